"""The gate's memory: entries by commit, what counts as worse, its page; and crops of what the gate refuses."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from test_gate import run as codec_rows

from bench import records
from bench.cli import main
from bench.errors import UsageError
from bench.gate import history
from bench.gate.crops import pair


def rows(rate: float = 1.0) -> pd.DataFrame:
    """Records of an anchor, and of a codec with ``rate`` times its bytes."""
    anchor, codec = codec_rows(codec="anchor"), codec_rows(rate=rate)
    return pd.concat([anchor, codec], ignore_index=True)


def entry(commit: str, value: float, **more: object) -> dict[str, object]:
    return {
        "kind": "codec",
        "commit": commit,
        "dataset": "d",
        "codec": "c",
        "anchor": "a",
        "bd_rate_percent": value,
    } | more


def test_an_entry_has_the_bd_rate_against_the_anchor_its_interval_and_the_images_that_need_most(tmp_path):
    frame = rows(0.9).astype({"bytes": float})
    frame.loc[(frame.codec == "mine") & (frame.image == "i4"), ["bytes", "bpp"]] *= 1.2
    found = {e["codec"]: e for e in history.of_run(tmp_path, frame, "anchor", {"commit": "c1", "date": None})}
    assert set(found) == {"anchor", "mine"} and found["anchor"]["bd_rate_percent"] == 0
    mine = found["mine"]
    assert mine["bd_rate_percent"] == pytest.approx((5 * -10 + 8) / 6, abs=0.01)
    assert mine["ci_low"] < mine["bd_rate_percent"] < mine["ci_high"]
    assert mine["worst"][0] == {"image": "i4", "bd_rate_percent": pytest.approx(8, abs=0.01)}
    assert len(mine["worst"]) == 5 and mine["bytes"] == int(frame[frame.codec == "mine"].bytes.sum())
    with pytest.raises(UsageError, match="no measurement of webp on set; --anchor takes one of anchor, mine"):
        history.of_run(tmp_path, frame, "webp", {"commit": "c1"})


def test_times_come_with_the_entry_and_are_those_of_the_fewest_threads(tmp_path):
    (tmp_path / "timing" / "set").mkdir(parents=True)
    times = {"dataset": "set", "codec": "mine", "status": "ok", "pixels": 2_000_000, "device": "abacus"}
    timed = [
        times | {"threads": threads, "encode_s_median": 4.0 / threads, "decode_s_median": 1.0 / threads}
        for threads in (1, 2)
    ]
    pd.DataFrame(timed).to_parquet(tmp_path / "timing" / "set" / "mine.parquet")
    found = {e["codec"]: e for e in history.of_run(tmp_path, rows(), "anchor", {"commit": "c"})}
    assert (found["mine"]["encode_s_per_mpixel"], found["mine"]["decode_s_per_mpixel"]) == (2.0, 0.5)
    assert found["mine"]["machine"] == "abacus" and "machine" not in found["anchor"]


def test_a_commit_replaces_its_own_entries_and_no_others(tmp_path):
    path = tmp_path / "history.jsonl"
    history.add(path, [entry("c1", 1.0), entry("c1", 2.0, codec="other")])
    assert history.add(path, [entry("c2", 3.0)]) == 3
    assert history.add(path, [entry("c1", 4.0)]) == 3
    found = history.by_series(history.read(path))
    assert [e["bd_rate_percent"] for e in found["codec", "d", "c"]] == [3.0, 4.0]
    assert [e["bd_rate_percent"] for e in found["codec", "d", "other"]] == [2.0]


def test_more_rate_and_more_time_are_regressions_and_noise_is_none():
    values = [10.0, 10.4, 11.0, 9.0]
    marks = history.regressions(entry(f"c{n}", value) for n, value in enumerate(values))
    assert [(m["commit"], m["before"], m["now"]) for m in marks] == [("c2", 10.4, 11.0)]
    times = [1.0, 1.1, 0.9, 1.2, 1.4, 1.0]
    timed = [entry(f"c{n}", 0.0, decode_s_per_mpixel=t, machine="m") for n, t in enumerate(times)]
    (mark,) = history.regressions(timed)
    assert (mark["commit"], mark["what"], mark["before"]) == ("c4", "decode_s_per_mpixel", pytest.approx(1.05))
    timed[4]["machine"] = "slower one"
    assert history.regressions(timed) == []
    assert history.regressions([entry("c0", 1.0), entry("c1", 9.0, anchor="another")]) == []


def test_benchmarks_are_entries_as_well_and_another_file_is_refused(tmp_path):
    test = {"fullname": "benchmarks/test_a.py::test_b", "stats": {"median": 0.5, "iqr": 0.01}}
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"machine_info": {"cpu": {"brand_raw": "abacus"}, "node": "n"}, "benchmarks": [test]}))
    (found,) = history.of_benchmarks(path, {"commit": "c1"})
    assert history.name_of(found) == ("benchmark", test["fullname"])
    assert (found["median_s"], found["machine"]) == (0.5, "abacus")
    slower = found | {"commit": "c2", "median_s": 0.7}
    assert [m["what"] for m in history.regressions([found, slower])] == ["median_s"]
    path.write_text("[]")
    with pytest.raises(UsageError, match="expected the JSON of `pytest --benchmark-json FILE`"):
        history.of_benchmarks(path, {"commit": "c1"})


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"commit": 3, "kind": "codec"}', '{"commit": "c", "kind": "x"}'])
def test_a_line_that_is_no_entry_is_named_by_its_number(line, tmp_path):
    path = tmp_path / "history.jsonl"
    history.add(path, [entry("c1", 1.0)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UsageError, match="line 2: expected a JSON object with kind and commit"):
        history.read(path)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with a run in it, entered."""
    monkeypatch.chdir(tmp_path)
    for words in (["init", "-q"], ["config", "user.email", "a@b"], ["config", "user.name", "n"]):
        subprocess.run(["git", *words], check=True)
    (tmp_path / "code").write_text("1")
    subprocess.run(["git", "add", "code"], check=True)
    subprocess.run(["git", "commit", "-qm", "first"], check=True)
    (tmp_path / "run").mkdir()
    return tmp_path


def test_the_commands_add_a_commits_entries_list_what_got_worse_and_draw_it(checkout, capsys):
    records.write(rows(1.0), checkout / "run" / "records.parquet")
    assert main(["history", "add", "--folder", "run", "--anchor", "anchor", "--history", "h.jsonl"]) == 0
    first = history.read(checkout / "h.jsonl")[0]
    assert len(first["commit"]) == 12 and first["date"]
    records.write(rows(1.02), checkout / "run" / "records.parquet")
    (checkout / "code").write_text("2")
    assert main(["history", "add", "--folder", "run", "--anchor", "anchor", "--history", "h.jsonl"]) == 0
    capsys.readouterr()
    assert main(["history", "show", "--history", "h.jsonl"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith("commit ")
    assert line.startswith(f"{first['commit']}+") and "codec set mine" in line and "0 -> 2" in line
    assert main(["history", "page", "--history", "h.jsonl"]) == 0
    page = (checkout / "h.html").read_text()
    assert page.count('class="point bad"') == 1 and "<code>" + first["commit"] + "+</code>" in page
    assert page.count("<polyline") == 2 and "://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "words, message",
    [
        (["add"], "expected a run's --folder, a --benchmarks file, or both"),
        (["add", "--folder", "nowhere"], "no records at nowhere/records.parquet; make them with"),
        (["show"], "has no entries yet; after a run: rdbench history add"),
        (["page"], "has no entries yet"),
    ],
)
def test_a_wrong_command_is_told_what_to_do(checkout, words, message, capsys):
    assert main(["history", *words, "--history", "h.jsonl"]) == 2
    assert message in capsys.readouterr().err


def test_outside_a_checkout_the_commit_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    records.write(rows(), tmp_path / "records.parquet")
    assert main(["history", "add", "--folder", ".", "--anchor", "anchor", "--history", "h.jsonl"]) == 2
    assert "is not a git checkout; name what was measured with --commit" in capsys.readouterr().err
    assert (
        main(["history", "add", "--folder", ".", "--anchor", "anchor", "--history", "h.jsonl", "--commit", "v1"]) == 0
    )
    assert {e["commit"] for e in history.read(tmp_path / "h.jsonl")} == {"v1"}


# Crops


def test_a_crop_shows_the_square_with_the_largest_errors_next_to_the_original():
    original = np.zeros((300, 400, 3), np.uint8)
    decoded = original.copy()
    decoded[200:240, 300:340] = 90
    picture = pair(original, decoded)
    assert picture.shape == (256, 2 * 256 + 8, 3)
    left, right = picture[:, :256], picture[:, 264:]
    assert (left == 0).all() and (right == 90).sum() == 3 * 80 * 80
    small = pair(original[:5, :9], decoded[:5, :9])
    assert small.shape == (10, 18 + 8 + 18, 3)


def test_the_gate_writes_crops_of_the_worst_images_and_its_summary_shows_them(
    image_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "r"
    assert (
        main(
            [
                "fetch",
                f"folder:{image_folder}",
                "--manifest",
                str(folder / "datasets" / "photos.json"),
                "--as",
                "photos",
            ]
        )
        == 0
    )
    of = ["--manifest", str(folder / "datasets" / "photos.json"), "--folder", str(folder), "--points", "4"]
    assert main(["run", "webp", *of, "--out", str(folder / "records.parquet")]) == 0
    frame = records.read(folder / "records.parquet")
    better = frame.copy()
    better["bytes"] = (better.bytes * np.where(better.image == "coffee", 0.9, 0.97)).astype(int)
    better["bpp"] = 8 * better.bytes / (better.width * better.height)
    better["bitstream_sha256"] = "0" * 64
    records.write(better, folder / "records.parquet")
    assert main(["baseline", "update", "--folder", str(folder), "--reason", "planted"]) == 0
    records.write(frame, folder / "records.parquet")
    summary = tmp_path / "out" / "summary.md"
    summary.parent.mkdir()
    assert main(["gate", "--folder", str(folder), "--worst", "1", "--summary", str(summary)]) == 1
    text = summary.read_text()
    assert "![coffee](../results/r/worst/photos.webp.coffee.png)" in text
    assert (folder / "worst" / "photos.webp.coffee.png").is_file()
    assert len(list((folder / "worst").iterdir())) == 1
