"""No output replaces what a command reads: one guard for every command, found by an attack on them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from bench.cli import main


@pytest.fixture
def run_folder(image_folder, tmp_path, monkeypatch):
    """A run of one codec in tmp_path/results/r, and the images it is of in tmp_path/mine; entered."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(image_folder, tmp_path / "mine")
    folder = tmp_path / "results" / "r"
    manifest = folder / "datasets" / "mine.json"
    assert main(["fetch", "folder:mine", "--manifest", str(manifest), "--as", "mine"]) == 0
    of = ["--manifest", str(manifest), "--folder", str(folder), "--points", "4"]
    assert main(["run", "webp", *of, "--out", str(folder / "webp.parquet")]) == 0
    assert main(["collect", str(folder / "webp.parquet"), "--folder", str(folder)]) == 0
    return folder


def content(path):
    return path.read_bytes()


@pytest.mark.parametrize(
    "out, command",
    [
        ("results/r/records.parquet", ["export", "csv", "--folder", "results/r"]),
        ("results/r/bitstreams/mine/webp/coffee.q05.webp", ["export", "csv", "--folder", "results/r"]),
        ("results/r/records.parquet", ["compare", "webp", "--folder", "results/r", "--dataset", "mine"]),
        ("mine/coffee.png", ["time", "webp", "--dataset", "folder:mine"]),
        ("b.zip", ["verify", "b.zip"]),
        ("h.jsonl", ["history", "page", "--history", "h.jsonl"]),
    ],
    ids=["records", "bitstream", "records of compare", "image", "bundle", "history"],
)
def test_an_output_that_is_read_is_refused_and_stays_as_it_was(out, command, run_folder, tmp_path, capsys):
    assert main(["export", "bundle", "--folder", "results/r", "--out", "b.zip"]) == 0
    (tmp_path / "h.jsonl").write_text('{"commit": "c", "kind": "codec"}\n')
    before = content(tmp_path / out)
    assert main([*command, "--out", out]) == 2
    assert "would be lost; choose another name" in capsys.readouterr().err
    assert content(tmp_path / out) == before


@pytest.mark.parametrize(
    "command", [["verify", "b.zip", "--log", "b.zip"], ["explain", "t.csv", "--codec", "webp", "--log", "t.csv"]]
)
def test_a_log_that_is_the_input_is_refused_too(command, run_folder, tmp_path, capsys):
    assert main(["export", "bundle", "--folder", "results/r", "--out", "b.zip"]) == 0
    (tmp_path / "t.csv").write_text("bpp,psnr\n0.5,30\n1,33\n")
    before = content(tmp_path / command[-1])
    assert main(command) == 2
    assert "this is also the input" in capsys.readouterr().err
    assert content(tmp_path / command[-1]) == before


def test_a_run_may_write_its_own_records(run_folder):
    of = ["--manifest", str(run_folder / "datasets" / "mine.json"), "--folder", str(run_folder), "--points", "4"]
    assert main(["run", "webp", *of, "--out", str(run_folder / "records.parquet")]) == 0


def test_an_export_of_nothing_is_refused_and_writes_nothing(run_folder, tmp_path, capsys):
    assert (
        main(["export", "csv", "--folder", "results/r", "--codecs", "webp", "--dataset", "other", "--out", "z.csv"])
        == 2
    )
    assert not (tmp_path / "z.csv").exists() and capsys.readouterr().err


def test_a_damaged_run_next_to_it_does_not_keep_a_command_from_finding_its_own(run_folder, tmp_path):
    (tmp_path / "results" / "broken").mkdir()
    (tmp_path / "results" / "broken" / "records.parquet").write_bytes(b"PAR1 no table")
    assert main(["compare", "webp", "--dataset", "mine"]) == 0


def test_pictures_of_an_earlier_bitstream_do_not_stay_among_those_of_a_later_one(image_folder, tmp_path, capsys):
    image, file, folder = str(image_folder / "coffee.png"), tmp_path / "a.spiht", tmp_path / "parts"
    assert main(["encode", "spiht", image, str(file), "--point", "bpp2.00"]) == 0
    assert main(["decode", "spiht", str(file), "--progressive", str(folder)]) == 0
    assert len(list(folder.iterdir())) == 11
    (tmp_path / "b.spiht").write_bytes(file.read_bytes()[:60])
    capsys.readouterr()
    assert main(["decode", "spiht", str(tmp_path / "b.spiht"), "--progressive", str(folder)]) == 0
    left = sorted(path.name for path in folder.iterdir())
    assert "005.png" not in left and "100.png" in left
    assert "5 %" in capsys.readouterr().err and len(left) < 11


@pytest.mark.parametrize(
    "words, message",
    [
        (["time", "webp", "--out", "t", "--threads", "100000"], "the cores of this machine"),
        (["explain", "a.csv", "--codec", "webp", "--floor", "nan"], "expected dB of 0 or more, got 'nan'"),
        (["explain", "a.csv", "--codec", "webp", "--floor", "-1"], "expected dB of 0 or more"),
        (
            [
                "study-page",
                "--folder",
                "f",
                "--codecs",
                "a",
                "--rates",
                "1",
                "--questions",
                "9",
                "--out",
                "o",
                "--seed",
                "-1",
            ],
            "--seed",
        ),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_with_the_option_s_name(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_a_reader_that_closes_a_json_document_early_gets_no_traceback():
    program = "import sys; from bench.cli import main; sys.exit(main(['list', '--json']))"
    command = f'{sys.executable} -c "{program}" | head -c 100 >/dev/null; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.stdout.splitlines()[-1] == "1"


def test_only_commands_that_keep_finished_work_say_so_when_they_are_stopped(monkeypatch, capsys):
    def stopped(args):
        raise KeyboardInterrupt

    for command, keeps in ((["list"], False), (["fetch", "sample"], True)):
        name = {"list": "bench.commands.single._list", "fetch": "bench.commands.stages._fetch"}[command[0]]
        monkeypatch.setattr(name, stopped)
        assert main(command) == 130
        assert ("finished work is kept" in capsys.readouterr().err) == keeps


def test_history_show_says_when_a_curve_was_lost_and_when_there_is_nothing_to_compare(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = {"commit": "a", "kind": "codec", "dataset": "d", "codec": "c", "anchor": "j", "bd_rate_percent": 1.0}
    (tmp_path / "h.jsonl").write_text(json.dumps(first) + "\n")
    assert main(["history", "show", "--history", "h.jsonl"]) == 0
    assert capsys.readouterr().out == "one commit: nothing to compare yet\n"
    lost = first | {"commit": "b", "bd_rate_percent": None}
    (tmp_path / "h.jsonl").write_text(json.dumps(first) + "\n" + json.dumps(lost) + "\n")
    assert main(["history", "show", "--history", "h.jsonl"]) == 0
    assert "BD-rate [%]      1 -> none" in capsys.readouterr().out
    for wrong in ({"bd_rate_percent": "abc"}, {"worst": "zz"}, {"median_s": -1.0}):
        (tmp_path / "h.jsonl").write_text(json.dumps(first | wrong) + "\n")
        assert main(["history", "page", "--history", "h.jsonl"]) == 2
        assert "line 1: expected a JSON object" in capsys.readouterr().err
    (tmp_path / "h.jsonl").write_bytes(b"\xff\xfe\n")
    assert main(["history", "show", "--history", "h.jsonl"]) == 2
