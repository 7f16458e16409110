"""What makes a codec's jobs run again, and what does not."""

from __future__ import annotations

import json
import os

import pytest

from bench.run.codec_state import all_codec_states, code_sha256, codec_state

WRAPPER = """
from codecs_wrappers.helper import SIZE
from bench.codec import Codec, Point

class Mine(Codec):
    name, extension, points = "mine", ".m", (Point("only"),)
    def version(self):
        return "1"

CODECS = [Mine()]
"""


def test_the_hash_follows_the_code_and_what_it_imports_but_not_comments_or_time_stamps(add_wrapper):
    add_wrapper("helper", "SIZE = 3\nCODECS = []\n")
    path = add_wrapper("mine", WRAPPER)
    first = code_sha256("mine")
    os.utime(path, (1, 1))
    add_wrapper("mine", WRAPPER + "# a remark\n")
    assert code_sha256("mine") == first
    add_wrapper("mine", WRAPPER + "LIMIT = 1\n")
    assert code_sha256("mine") != first
    add_wrapper("mine", WRAPPER)
    add_wrapper("helper", "SIZE = 4\nCODECS = []\n")
    assert code_sha256("mine") != first


def test_relative_imports_count_too(add_wrapper):
    add_wrapper("helper", "SIZE = 3\nCODECS = []\n")
    add_wrapper("mine", WRAPPER.replace("codecs_wrappers.helper", ".helper"))
    first = code_sha256("mine")
    add_wrapper("helper", "SIZE = 4\nCODECS = []\n")
    assert code_sha256("mine") != first


def test_a_codec_that_says_no_without_a_reason_or_has_no_version_is_in_error(add_wrapper):
    for body, reason in (
        ("available = lambda self: (False, '')", "without a reason"),
        ("version = lambda self: ''", "empty"),
    ):
        add_wrapper("helper", "SIZE = 3\nCODECS = []\n")
        add_wrapper("mine", WRAPPER + f"Mine.{body}\n")
        assert reason in all_codec_states()["mine"].error


def test_a_status_file_is_touched_only_when_something_changed(add_wrapper, tmp_path):
    add_wrapper("helper", "SIZE = 3\nCODECS = []\n")
    add_wrapper("mine", WRAPPER)
    from bench.discovery import load

    path = codec_state(load("mine")).write(tmp_path)
    os.utime(path, (1, 1))
    codec_state(load("mine")).write(tmp_path)
    assert path.stat().st_mtime == 1


def test_two_wrappers_that_give_one_name_are_told_apart(add_wrapper):
    add_wrapper("helper", "SIZE = 3\nCODECS = []\n")
    mine = add_wrapper("mine", WRAPPER)
    add_wrapper("other", WRAPPER)
    found = all_codec_states()
    assert found["mine"].available
    assert f"already given by {mine}" in found["other"].error


def test_a_package_that_decides_no_bits_is_left_out(add_wrapper, tmp_path):
    add_wrapper("mine", WRAPPER.replace("codecs_wrappers.helper", "codecs_wrappers.trainer.steps"))
    package = add_wrapper("placeholder", "CODECS = []\n").with_name("trainer")
    package.mkdir()

    def hashed(init: str, steps: str) -> str:
        (package / "__init__.py").write_text(init)
        (package / "steps.py").write_text(steps)
        return code_sha256("mine")

    assert hashed('"""It."""\n', "SIZE = 3\n") != hashed('"""It."""\n', "SIZE = 4\n")
    said = '"""It."""\n\nAFFECTS_BITSTREAM = False  # as its weights have a hash\n'
    assert hashed(said, "SIZE = 3\n") == hashed(said, "SIZE = 4\n")


def test_a_module_that_does_not_affect_the_bitstream_is_left_out(add_wrapper):
    add_wrapper("mine", WRAPPER)

    def hashed(helper: str) -> str:
        add_wrapper("helper", helper)
        return code_sha256("mine")

    assert hashed("SIZE = 3\n") != hashed("SIZE = 4\n")
    assert hashed("\nAFFECTS_BITSTREAM = False\nSIZE = 3\n") == hashed("\nAFFECTS_BITSTREAM = False\nSIZE = 4\n")


def test_a_status_tells_how_the_weights_came_about():
    from bench.discovery import codecs

    known = codecs()
    assert codec_state(known["jpeg"]).training == ()
    for facts, entry in zip(codec_state(known["qsf"]).training, known["qsf"].entries, strict=True):
        assert facts["name"] == entry and facts["hours"] > 0 and facts["images"] > 0 and facts["start"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("training = lambda self: ({'name': 'net', 'hours': 'six'},)", "hours of net as a number, got 'six'"),
        ("training = lambda self: ({'name': 'net', 'images': None},)", "images of net as a number"),
        ("training = lambda self: ({'name': 'net', 'device': 3},)", "device of net as a string, got 3"),
        ("training = lambda self: ({'hours': 3},)", "the name of each file"),
        ("training = lambda self: 7", "TypeError"),
        ("version = lambda self: 3", "version must be a string, got 3"),
        ("weights_digest = lambda self: b'00'", "weights_sha256 must be a string"),
        ("available = lambda self: (False, 7)", "reason must be a string"),
        ("available = lambda self: 1 / 0", "ZeroDivisionError"),
        ("available = lambda self: exit(3)", "SystemExit: 3"),
        ("version = lambda self: open(chr(0xdc80))", r"FileNotFoundError"),
        ("label = 5", "label must be a string"),
        ("points = (Point('only', step={1}),)", "expected numbers at every operating point, or strings at every one"),
    ],
)
def test_a_codec_that_answers_nonsense_is_in_error_and_the_others_are_not(add_wrapper, tmp_path, body, reason):
    add_wrapper("helper", "SIZE = 3\nCODECS = []\n")
    add_wrapper("mine", WRAPPER.replace("\nCODECS", f"\nMine.{body}\nCODECS"))
    found = all_codec_states()
    assert reason in found["mine"].error and found["jpeg"].available
    json.loads(found["mine"].write(tmp_path).read_bytes())


def test_a_wrapper_that_ends_the_program_when_imported_is_in_error(add_wrapper):
    add_wrapper("mine", "raise SystemExit(3)\n")
    assert "SystemExit: 3" in all_codec_states()["mine"].error
