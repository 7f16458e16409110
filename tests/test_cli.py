"""The command line as a person uses it: results in files, messages on standard error, meaningful exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from bench.cli import main


def test_an_image_goes_through_encode_and_decode_and_comes_back(image_folder, tmp_path, capsys, photographs):
    bitstream, out = tmp_path / "a.webp", tmp_path / "a.png"
    assert main(["encode", "webp", str(image_folder / "coffee.png"), str(bitstream), "--point", "q90"]) == 0
    assert f"{bitstream.stat().st_size} bytes" in capsys.readouterr().out
    assert main(["decode", "webp", str(bitstream), str(out)]) == 0
    difference = np.asarray(Image.open(out)).astype(int) - photographs["coffee"]
    assert 0 < np.mean(difference**2) < 60


def test_a_parameter_of_the_point_can_be_set(image_folder, tmp_path):
    sizes = []
    for quality in (7, 93):
        path = tmp_path / f"{quality}.jpg"
        assert main(["encode", "jpeg", str(image_folder / "coffee.png"), str(path), "--set", f"quality={quality}"]) == 0
        sizes.append(path.stat().st_size)
    assert sizes[1] > 4 * sizes[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "nosuch", "{image}", "{out}"], "no codec is called 'nosuch'; there are"),
        (["encode", "jpeg", "{image}", "{out}", "--point", "q101"], "no operating point 'q101'; it has q05"),
        (["encode", "jpeg", "{image}", "{out}", "--set", "quality"], "--set: expected name=value"),
        (["encode", "jpeg", "/nowhere/a.png", "{out}"], "/nowhere/a.png"),
        (["encode", "jpeg", "{text}", "{out}"], "text.png"),
        (["decode", "webp", "{text}", "{out}"], "decoding"),
        (["decode", "webp", "/nowhere/a.webp", "{out}"], "/nowhere/a.webp"),
        (["fetch", "nosuch"], "nosuch"),
        (["run", "jpeg", "--dataset", "sample", "--part", "3-of-2", "--out", "{out}"], "k-of-n"),
        (["compare", "jpeg", "webp", "--dataset", "nosuch"], "snakemake --cores"),
        (["publish", "nosuch"], "Make one first"),
        (["new-codec", "jpeg"], "jpeg"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, message, image_folder, tmp_path, capsys):
    (tmp_path / "text.png").write_text("this is no picture")
    places = {"image": image_folder / "coffee.png", "out": tmp_path / "out", "text": tmp_path / "text.png"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rdbench: ") and message in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_list_says_what_is_there_and_why_something_is_not(add_wrapper, capsys):
    add_wrapper("broken", "1 / 0\n")
    assert main(["list", "--json"]) == 0
    listed = {entry["codec"]: entry for entry in json.loads(capsys.readouterr().out)["rows"]}
    assert {"identity", "grey", "jpeg", "jpeg2000", "webp", "jpegxl", "avif"} <= set(listed)
    assert listed["jpeg"]["available"] and listed["jpeg"]["version"] and listed["jpeg"]["points"]
    assert not listed["broken"]["available"] and "ZeroDivisionError" in listed["broken"]["error"]
    assert main(["list"]) == 0
    assert "NOT AVAILABLE" in capsys.readouterr().out


def test_a_wrapper_family_can_bring_its_own_command(add_wrapper, capsys):
    add_wrapper(
        "family",
        """
        CODECS = []

        def add_commands(commands):
            command = commands.add_parser("greet")
            command.set_defaults(call=lambda args: print("hello from a family"))
        """,
    )
    assert main(["greet"]) == 0
    assert "hello from a family" in capsys.readouterr().out


def test_neither_the_harness_nor_a_classical_codec_imports_torch():
    modules = sorted(path.stem for path in (ROOT / "bench").glob("*.py") if path.stem != "__init__")
    code = f"import sys, importlib; [importlib.import_module('bench.' + m) for m in {modules}]; "
    code += "from bench.discovery import load; load('jpeg').version(); load('webp').version(); "
    code += "print([m for m in ('torch', 'compressai', 'tensorflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_explains_itself_with_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out.split("examples:")[0].splitlines()
    commands = [line.split()[0] for line in listed if line.startswith("    ") and line[4] != " "]
    assert {"list", "fetch", "encode", "decode", "run", "compare", "new-codec", "publish", "train"} <= set(commands)
    for name in commands:
        with pytest.raises(SystemExit) as exit:
            main([name, "--help"])
        assert exit.value.code == 0
        assert f"rdbench {name}" in capsys.readouterr().out.split("example", 1)[1]
