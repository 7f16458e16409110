"""Options that count or time something take nothing that is none: no empty table, no traceback."""

from __future__ import annotations

import pytest

from bench.cli import main

COUNTS = [
    ("time", ["webp", "--out", "t.parquet"], ("--repeats", "--images", "--points")),
    ("decode-matrix", ["webp"], ("--images", "--points")),
    ("run", ["webp", "--out", "r.parquet"], ("--threads", "--timeout")),
    ("figures", ["--folder", "."], ("--processes",)),
    ("report", ["--folder", "."], ("--processes",)),
    ("study-page", ["--folder", ".", "--codecs", "jpeg", "--out", "page"], ("--questions", "--rates")),
    ("study-scale", ["a.csv", "--key", "k.json", "--out", "jnd.csv"], ("--draws",)),
    ("plonq-levels", [], ("--images", "--crop")),
]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "abc"])
@pytest.mark.parametrize(("command", "needed", "option"), [(c, n, option) for c, n, o in COUNTS for option in o])
def test_a_count_or_a_time_is_above_nothing(command, needed, option, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([command, *needed, option, value])
    assert ended.value.code == 2
    assert f"argument {option}: expected" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_comparing_on_a_set_that_the_run_lacks_names_those_it_has(tmp_path, capsys):
    from bench.records import table, write

    row = {"dataset": "folder-f1", "image": "a", "codec": "jpeg", "role": "codec", "status": "ok"}
    write(table([row]), tmp_path / "records.parquet")
    assert main(["compare", "jpeg", "webp", "--folder", str(tmp_path)]) == 2
    assert "the run has the datasets folder-f1" in capsys.readouterr().err
