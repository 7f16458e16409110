"""A mistyped name is answered with the one that was probably meant, in every command that takes names."""

import pytest

from bench.cli import main
from bench.names import did_you_mean


@pytest.mark.parametrize(
    ("name", "expected"),
    [("webpp", " (did you mean webp?)"), ("JPEG", " (did you mean jpeg?)"), ("zzz", ""), ("", "")],
)
def test_the_nearest_name_is_offered_if_there_is_one(name, expected):
    assert did_you_mean(name, ["avif", "jpeg", "webp", "jpeg2000"]) == expected


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (["run", "weebp", "--out", "x.parquet"], "webp"),
        (["fetch", "kodack"], "kodak"),
        (["run", "webp", "--out", "x.parquet", "--metrics", "ciede200"], "ciede2000"),
    ],
)
def test_commands_offer_it(command, meant, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert f"(did you mean {meant}?)" in capsys.readouterr().err
