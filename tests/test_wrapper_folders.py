"""Folders of wrappers that are a user's own: what is wrong with them is said with the true path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.discovery import codecs, discover, load
from bench.errors import UsageError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["list"], ["nosuchcommand"], ["encode", "jpeg", "a.png", "b.jpg"], ["--help"]])
def test_a_wrappers_folder_that_is_not_there_is_a_mistake(command, tmp_path):
    environment = {**os.environ, "RDBENCH_WRAPPERS": "/nosuch/wrappers", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *command], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert (
        done.stderr
        == "rdbench: RDBENCH_WRAPPERS names /nosuch/wrappers, which is not a folder; correct it, or unset it\n"
    )


def test_a_helper_module_is_no_codec_and_its_wrapper_works(add_wrapper, capsys):
    add_wrapper("helper_of_mine", "from bench.codec import Codec, Image\nLEVEL = 3\ndef help():\n    return 1\n")
    add_wrapper(
        "mine",
        """
        from bench.codec import Codec, Point
        from codecs_wrappers.helper_of_mine import LEVEL
        class Mine(Codec):
            name, extension, points = "mine", ".mine", (Point("only"),)
            def version(self): return str(LEVEL)
        CODECS = [Mine()]
        """,
    )
    (found,) = (wrapper for wrapper in discover() if wrapper.module == "helper_of_mine")
    assert (found.codecs, found.error) == ((), "")
    assert "mine" in codecs()
    assert main(["list", "--json"]) == 0
    rows = {row["codec"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert "helper_of_mine" not in rows and rows["mine"]["version"] == "3"


def test_a_codec_class_without_codecs_is_an_error_with_the_files_true_path(add_wrapper, capsys):
    path = add_wrapper("lacking", "from bench.codec import Codec\nclass Lacking(Codec):\n    name = 'lacking'\n")
    with pytest.raises(UsageError) as error:
        load("lacking")
    assert str(error.value).startswith(f"{path} could not be imported: AttributeError")
    assert main(["list", "--json"]) == 0
    rows = {row["codec"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["lacking"]["error"].startswith(f"{path} could not be imported")


def test_an_import_error_names_the_file_where_it_lies(add_wrapper, capsys):
    path = add_wrapper("broken", "import nosuchmodule\n")
    assert main(["encode", "broken", "a.png", "b.bin"]) == 2
    assert f"{path} could not be imported: ModuleNotFoundError" in capsys.readouterr().err


def test_two_files_of_one_name_are_a_mistake_that_names_both(add_wrapper, capsys):
    path = add_wrapper("jpeg", "CODECS = []\n")
    assert main(["list"]) == 2
    assert f"codecs_wrappers/jpeg.py and {path} have the same name" in capsys.readouterr().err


def test_a_codec_that_two_files_give_is_an_error_that_names_the_first(add_wrapper):
    source = "from codecs_wrappers.jpeg import Jpeg\nclass Mine(Jpeg):\n    name = 'twice'\nCODECS = [Mine()]\n"
    first = add_wrapper("aaa_first", source)
    add_wrapper("bbb_second", source)
    errors = {wrapper.module: wrapper.error for wrapper in discover() if wrapper.error}
    assert errors == {"bbb_second": f"codec 'twice' is already given by {first}"}


def test_programs_that_are_missing_are_said_before_the_wrapper_is_written(add_wrapper, capsys, tmp_path, monkeypatch):
    add_wrapper("other", "CODECS = []\n")
    written = []
    monkeypatch.setattr(
        "bench.author.newcodec.write_atomically", lambda path, _: written.append(capsys.readouterr().err) or path
    )
    command = ["--command", "nosuchenc -q {q} {in} {out}", "--decode", "nosuchdec {in} {out}", "--points", "10,20"]
    assert main(["new-codec", "absent_programs", *command]) == 0
    assert written[0].startswith("new-codec: nosuchenc and nosuchdec not found here")
    out = capsys.readouterr().out
    assert "a codec called absent_programs that needs nosuchenc and nosuchdec" in out and "working" not in out


def test_a_codec_of_the_template_is_still_called_working(add_wrapper, capsys):
    add_wrapper("other", "CODECS = []\n")
    assert main(["new-codec", "fresh_template"]) == 0
    assert "a working codec called fresh_template" in capsys.readouterr().out
