"""--json: one document of one shape from every command, whatever happens; and what the shell completes."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from conftest import ROOT, shell

from bench.cli import main, parser
from bench.commands import plain

PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
SCHEMA = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.S)[1])
WRAPPER = """
import numpy as np
from bench.codec import Codec, Embedded, Point, check_image
from bench.studies import Study

class Rows(Embedded):
    '''The picture's rows, from the top, at half the depth.'''
    name, extension = "rows", ".rows"
    points = tuple(Point(f"bpp{bpp}", bpp=bpp) for bpp in (3, 6, 9, 12))
    def version(self):
        print("a library that prints")
        return "1"
    def encode_full(self, image):
        image = check_image(image)
        nibbles = (image // 16).ravel()
        nibbles = np.append(nibbles, np.zeros(nibbles.size % 2, np.uint8))
        return np.array(image.shape[:2], "<u2").tobytes() + bytes(nibbles[::2] * 16 + nibbles[1::2])
    def truncate(self, bitstream, point):
        height, width = np.frombuffer(bitstream[:4], "<u2").astype(int)
        return bitstream[: max(4, int(point["bpp"] * height * width / 8))]
    def decode(self, bitstream):
        if len(bitstream) < 4:
            raise ValueError("no header")
        height, width = np.frombuffer(bitstream[:4], "<u2").astype(int)
        half = np.frombuffer(bitstream[4:], np.uint8)
        samples = np.full(height * width * 3 + 1, 128, np.uint8)
        samples[: 2 * len(half) : 2], samples[1 : 2 * len(half) : 2] = half // 16 * 16 + 8, half % 16 * 16 + 8
        return samples[:-1].reshape(height, width, 3)

class Flat(Rows):
    name, extension = "flat", ".flat"
    def encode_full(self, image):
        return super().encode_full(check_image(image) // 2 + 64)

CODECS = [Rows(), Flat()]
STUDIES = [Study("brightness", "rows", ("mean",), lambda image: [{"mean": image.mean()}])]

def add_commands(commands):
    command = commands.add_parser("greet")
    command.set_defaults(call=lambda args: print("hello\\nfrom a family"))
"""


@pytest.fixture
def ask(capsys):
    """Runs a command with --json: its document, checked against the schema of docs/json.md."""

    def run(*arguments: object, code: int = 0) -> dict:
        assert main([*map(str, arguments), "--json"]) == code
        captured = capsys.readouterr()
        document = json.loads(captured.out, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
        jsonschema.validate(document, SCHEMA)
        assert (document["command"], document["exit_code"]) == (arguments[0], code)
        assert bool(document["error"]) == bool(code) and document["error"] in captured.err
        return document

    return run


@pytest.mark.slow
def test_every_command_of_a_run_gives_its_document(ask, add_wrapper, image_folder, tmp_path, monkeypatch):
    add_wrapper("family", WRAPPER)
    monkeypatch.chdir(tmp_path)
    run, photo, dataset = tmp_path / "results" / "mine", image_folder / "coffee.png", f"folder:{image_folder}"
    manifest, claims = run / "datasets" / "set.json", ROOT / "claims.yaml"
    gated = ["--folder", run, "--baseline", tmp_path / "base.csv"]
    seen = {}

    def rows(*arguments: object, code: int = 0) -> list[dict]:
        seen[arguments[0]] = ask(*arguments, code=code)
        return seen[arguments[0]]["rows"]

    assert {"rows", "flat", "jpeg"} <= {row["codec"] for row in rows("list")}
    (encoded,) = rows("encode", "rows", photo, "a.rows", "--point", "bpp6")
    assert encoded["bytes"] == Path("a.rows").stat().st_size and encoded["bpp"] == pytest.approx(6, abs=0.01)
    (decoded,) = rows("decode", "rows", "a.rows", "a.png")
    assert (decoded["height"], decoded["width"]) == (165, 201) and Path(decoded["image"]).is_file()
    assert len(rows("decode", "rows", "a.rows", "--progressive", "parts")) > 3
    assert Path(rows("convert", photo, "converted.png")[0]["image"]).is_file()
    (reached,) = rows("rate", "rows", photo, "--bpp", "5")
    assert reached["within"] and reached["psnr_rgb_db"] > 5
    assert [row["point"] for row in rows("try", "rows", photo)] == ["bpp3", "bpp6", "bpp9", "bpp12"]
    assert Path(seen["try"]["about"]["picture"]).is_file()
    assert Path(rows("new-codec", "fresh")[0]["wrapper"]).is_file()
    assert rows("fetch", dataset)[0]["images"] == 2
    assert rows("fetch", dataset, "--manifest", manifest, "--as", "set")[0]["status"] == "ok"
    for codec in ("rows", "flat"):
        found = rows("run", codec, "--manifest", manifest, "--folder", run, "--out", run / f"{codec}.parquet")
        assert len(found) == 8 and {row["status"] for row in found} == {"ok"}
    (left_out,) = rows("leave-out", "jpeg=slow", "--manifest", manifest, "--folder", run / "parts")
    assert (left_out["codec"], left_out["reason"]) == ("jpeg", "slow") and Path(left_out["table"]).is_file()
    counted = rows("collect", run / "rows.parquet", run / "flat.parquet", "--folder", run)
    assert [(row["codec"], row["rows"]) for row in counted] == [("flat", 8), ("rows", 8)]
    compared = rows("compare", "rows", "flat", "--dataset", "set", "--folder", run)
    assert {row["codec"] for row in compared} == {"flat"} and "bd_rate_percent" in compared[0]
    of_rows = ["--folder", run, "--dataset", "set", "--codecs", "rows"]
    assert rows("export", "compressai", *of_rows, "--out", "theirs.json")[0]["points"] == 4
    whose = ["--source", "me", "--url", "https://example.org", "--dataset", "set", "--averaging", "mean-of-psnrs"]
    assert {row["curve"] for row in rows("import", "theirs.json", *whose)} == {"theirs/rows"}
    assert rows("explain", "theirs.json", "--codec", "rows", "--folder", run, "--dataset", "set")
    assert seen["explain"]["about"]["verdict"] == "no gap"
    rows("export", "bundle", *of_rows, "--out", "rows.zip")
    assert {row["status"] for row in rows("verify", "rows.zip")} == {"witnessed"}
    assert rows("lossless", "--folder", run) == [], "none of the two is lossless"
    assert {row["reason"] for row in rows("validate", "--folder", run, "--out", "validation.csv")} != {None}
    assert rows("time", "rows", "--manifest", manifest, "--out", "t.parquet", "--points", 1, "--repeats", 1)[0][
        "device"
    ]
    (freedom,) = rows("variable-rate", "rows", "--manifest", manifest, "--images", 1, "--targets", 3)
    assert freedom["targets"] == 3 and freedom["bitstreams_per_target"] == 1
    entries = rows("history", "add", "--folder", run, "--anchor", "flat", "--commit", "c1", "--history", "h.jsonl")
    assert [row["codec"] for row in entries] == ["flat", "rows"]
    assert [row["mean"] for row in rows("study", "brightness", "--manifest", manifest, "--out", "study.json")]
    assert seen["study"]["about"]["status"] == "ok"
    pairs = rows("decode-matrix", "rows", "--manifest", manifest, "--images", 1, "--points", 1)
    assert all(row["ok"] for row in pairs)
    wanted = rows("match", "--folder", run, "--out", run / "matched.parquet", "--gallery-bpp", 5, "--gallery-count", 1)
    assert ("rows", 5.0) in {(row["codec"], row["wanted_bpp"]) for row in wanted}
    assert Path(seen["match"]["about"]["out"]).is_file()
    blind = ["--folder", run, "--codecs", "rows", "flat", "--rates", 3, 9, "--questions", 20]
    assert rows("study-page", *blind, "--out", "blind")[0]["traps"] == 2
    answers = Path("answers.csv")
    answers.write_text("study,participant,order,question,left,right,answer,seconds,mode\n")
    key = json.loads(Path("blind.key.json").read_bytes())
    for question in key["questions"]:
        left, right = question["names"][:2]
        line = (key["study"], "p1", "1", question["id"], left, right, "right", "1.5", "flicker")
        answers.write_text(answers.read_text() + ",".join(line) + "\n")
    scaled = rows("study-scale", answers, "--key", "blind.key.json", "--out", "jnd.csv", "--draws", 20)
    assert {row["scope"] for row in scaled} == {"image", "all"} and seen["study-scale"]["about"]["participants"]
    assert rows("figures", "--folder", run, "--spec", ROOT / "figures.yaml", "--only", "rd_psnr")[0]["name"]
    assert rows("baseline", "update", *gated, "--reason", "a first one")[0]["codec"] == "flat"
    assert rows("baseline", "show", *gated)[0]["reason"] == "a first one"
    assert {row["verdict"] for row in rows("gate", *gated)} == {"same"}
    assert {row["verdict"] for row in rows("claims", "--folder", run, "--spec", claims)} == {"not testable here"}
    assert rows("completion", "bash")[0]["code"]
    assert rows("report", "--folder", run)[0]["page"].endswith("index.html")
    assert Path(rows("publish", "mine")[0]["page"]).is_file()
    assert rows("greet") == [{"text": "hello"}, {"text": "from a family"}]
    own = next(action.choices for action in parser(families=False)._actions if isinstance(action.choices, dict))
    assert set(own) <= set(seen)
    assert set(own) <= set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M))))


def test_a_failure_is_a_document_too(ask, tmp_path, image_folder):
    document = ask("encode", "nosuch", image_folder / "coffee.png", tmp_path / "x", code=2)
    assert document["error"].startswith("no codec is called 'nosuch'") and document["rows"] == []
    assert ask("gate", "--folder", tmp_path, code=2)["error"].startswith("no records at")


def test_what_is_no_table_of_records_is_a_mistake_that_names_it(ask, tmp_path):
    absent, broken = tmp_path / "absent.parquet", tmp_path / "broken.parquet"
    broken.write_text("no table")
    for path in (absent, broken):
        error = ask("collect", path, "--folder", tmp_path, code=2)["error"]
        assert error.startswith("reading records: ") and str(path) in error


def test_a_fault_of_the_program_is_a_document_with_its_traceback_beside(add_wrapper, ask, capsys):
    add_wrapper("family", WRAPPER.replace('print("hello\\nfrom a family")', "1 / 0"))
    assert main(["greet", "--json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    jsonschema.validate(document, SCHEMA)
    assert document["error"] == "ZeroDivisionError: division by zero" and "Traceback" in captured.err


def test_what_json_cannot_hold_is_made_plain():
    value = {"a": np.float32(0.5), 1: (np.int64(3), float("inf")), "path": Path("x"), "nan": np.nan, "no": np.bool_(0)}
    assert plain(value) == {"a": 0.5, "1": [3, None], "path": "x", "nan": None, "no": False}


# Completion


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.skipif(importlib.util.find_spec("argcomplete") is None, reason="needs argcomplete")
def test_bash_completes_commands_codecs_points_datasets_and_what_families_bring(add_wrapper, tmp_path):
    add_wrapper("family", WRAPPER)
    asked = {
        "rdbench gre": {"greet"},
        "rdbench dec": {"decode", "decode-matrix"},
        "rdbench encode fla": {"flat"},
        "rdbench encode flat a.png b.flat --point bpp": {"bpp3", "bpp6", "bpp9", "bpp12"},
        "rdbench compare rows --dataset koda": {"kodak"},
        "rdbench gate --jun": {"--junit"},
    }
    script = 'eval "$(rdbench completion bash)"\n'
    for line in asked:
        script += f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_TYPE=9 COMP_WORDBREAKS=' '; COMPREPLY=()\n"
        script += '_python_argcomplete rdbench "" ""; echo "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script], env=shell(), cwd=ROOT, capture_output=True, text=True, check=True)
    answers = [set(line.split()) for line in done.stdout.splitlines()]
    assert dict(zip(asked, answers, strict=True)) == asked


@pytest.mark.parametrize("name", ["zsh", "fish", "tcsh", "powershell"])
def test_other_shells_have_their_code(name, capsys):
    assert main(["completion", name]) == 0
    assert "rdbench" in capsys.readouterr().out
