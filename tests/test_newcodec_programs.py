"""`rdbench new-codec --command`: two programs become a codec that keeps the contract, or a sentence says why not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from bench.author.newprogram import Programs, parse_values, wrap
from bench.cli import main
from bench.discovery import load
from bench.errors import BitstreamError, UsageError

# A codec as an author may have it: scripts that take PPM, divide samples by a step and deflate. It knows no PNG.
ENCODER = """
import re, sys, zlib
step, source, target = int(sys.argv[1]), *sys.argv[2:]
width, height, samples = re.fullmatch(rb"P6\\s(\\d+)\\s(\\d+)\\s255\\s(.*)", open(source, "rb").read(), re.S).groups()
code = zlib.compress(samples.translate(bytes(i // step for i in range(256))))
open(target, "wb").write(b"TOY %d %d %d " % (int(width), int(height), step) + code)
"""
DECODER = """
import sys, zlib
magic, width, height, step, code = open(sys.argv[1], "rb").read().split(b" ", 4)
step = int(step)
assert magic == b"TOY"
samples = zlib.decompress(code).translate(bytes(min(255, i * step + step // 2) for i in range(256)))
assert len(samples) == 3 * int(width) * int(height)
open(sys.argv[2], "wb").write(b"P6\\n%d %d\\n255\\n" % (int(width), int(height)) + samples)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """--command and --decode of the scripts, which lie in the current folder and are named as there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enc.py").write_text(ENCODER)
    (tmp_path / "dec.py").write_text(DECODER)
    return f"{sys.executable} -S enc.py {{step}} {{in}} {{out}}", f"{sys.executable} -S dec.py {{in}} {{out}}"


def test_two_programs_and_a_list_of_values_are_a_codec(add_wrapper, toy, photographs, tmp_path, monkeypatch, capsys):
    add_wrapper("other", "CODECS = []\n")  # a folder of wrappers of the author's own
    arguments = ["new-codec", "toy", "--command", toy[0], "--decode", toy[1], "--points", "4,16,64"]
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row == {"codec": "toy", "wrapper": str(tmp_path / "wrappers" / "toy.py")}
    monkeypatch.chdir("/")  # as a worker does
    codec = load("toy")
    assert [point.name for point in codec.points] == ["step64", "step16", "step4"]  # in order of rising rate
    assert codec.image_extension == ".ppm"  # found by trying
    image = photographs["coffee"]
    bitstreams = [codec.encode(image, point) for point in codec.points]
    assert [bitstream[:4] for bitstream in bitstreams] == [b"TOY "] * 3
    assert len(bitstreams[0]) < len(bitstreams[1]) < len(bitstreams[2])
    assert np.abs(codec.decode(bitstreams[2]).astype(int) - image).max() == 2
    with pytest.raises(BitstreamError, match="decoding"):
        codec.decode(bitstreams[0][:50])
    with pytest.raises(BitstreamError, match="empty"):
        codec.decode(b"")


def test_a_program_that_was_built_anew_is_another_version(add_wrapper, toy, tmp_path):
    add_wrapper("toy", wrap("toy", "Toy", Programs(*toy, points=(8,))))
    before = load("toy").version()
    assert str(tmp_path) not in before and "enc.py" in before  # the same text on another machine
    (tmp_path / "enc.py").write_text(ENCODER + "# changed\n")
    from codecs_wrappers.native import program

    program._digest.cache_clear()  # a process has one answer
    assert load("toy").version() != before
    (tmp_path / "enc.py").unlink()
    assert load("toy").available() == (False, f"missing files: {tmp_path / 'enc.py'}")


def test_a_decoder_that_is_made_to_write_without_end_is_stopped(add_wrapper, tmp_path, monkeypatch):
    source = wrap("endless", "Endless", Programs("cp {in} {out}", "cp {in} {out}", images="png"))
    add_wrapper("endless", source.replace('("cp", "{bitstream}"', '("sh", "-c", "cat /dev/zero > {image}"'))
    from codecs_wrappers.native import program

    monkeypatch.setattr(program, "LARGEST_FILE", 1 << 20)
    with pytest.raises(BitstreamError, match=r"expected exit status 0"):
        load("endless").decode(b"1")
    (tmp_path / "large").write_bytes(bytes(1 << 21))  # this process may write what it likes


@pytest.mark.skipif(not shutil.which("gzip"), reason="needs gzip on the PATH")
def test_the_contract_test_passes_on_it_at_once(tmp_path):
    environment = {**os.environ, "RDBENCH_WRAPPERS": str(tmp_path)}
    command = [sys.executable, "-m", "bench.cli", "new-codec", "gzipped"]
    command += ["--command", "sh -c 'gzip -9 -n -c {in} > {out}'", "--decode", "sh -c 'gzip -d -c {in} > {out}'"]
    command += ["--images", "ppm", "--extension", "gz", "--version-command", "gzip --version"]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    contract = str(ROOT / "tests" / "test_contract.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", contract, "-k", "gzipped and not stored"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) == 16, "every test that takes a codec, once"


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        (
            Programs("enc {q} {in}", "dec {in} {out}", (1,)),
            "--command: expected {in} and {out}, but {out} is missing",
        ),
        (Programs("enc {q} {in} {out}", "dec {out}", (1,)), "--decode: expected {in} and {out}, but {in} is missing"),
        (Programs("enc {q} {in} {out}", "dec {q} {in} {out}", (1,)), "only {in} and {out} in --decode; got {q}"),
        (Programs("enc {q} {r} {in} {out}", "dec {in} {out}", (1,)), "one setting.*got {q}, {r}"),
        (Programs("enc {image} {in} {out}", "dec {in} {out}", (1,)), "one setting.*got {image}"),
        (Programs("enc {q} {in} {out}", "dec {in} {out}"), "needs distinct values.*got {q} and 0 values"),
        (Programs("enc {in} {out}", "dec {in} {out}", (1, 2)), "values need a setting; got no setting and 2 values"),
        (Programs("enc {q} {in} {out}", "dec {in} {out}", (1, 1)), "distinct values.*and 2 values"),
        (Programs("enc {q} {in} {out}", "dec {in} {out}", ("a/b",)), "letters, digits and ._- only, got a/b"),
        (Programs("enc '{q} {in} {out}", "dec {in} {out}", (1,)), "No closing quotation"),
        (Programs("enc {q {in} {out}", "dec {in} {out}", (1,)), "--command: "),
        (Programs("false {q} {in} {out}", "true {in} {out}", (1,)), "png images: .*got 1 from false.*; ppm images: "),
        (Programs("cp {in} {out}", "true {in} {out}"), "wrote no image.png"),
    ],
    ids=lambda value: value.command + " | " + value.decode if isinstance(value, Programs) else "",
)
def test_commands_that_are_no_codec_are_refused_with_the_reason(programs, message):
    with pytest.raises(UsageError, match=message.replace("{", r"\{")) as refused:
        wrap("mine", "Mine", programs)
    assert str(refused.value).startswith("a new codec called 'mine'")


@pytest.mark.slow
def test_the_tutorials_codec_keeps_the_contract(tmp_path):
    page = (ROOT / "docs" / "tutorial" / "your-codec.md").read_text(encoding="utf-8")
    name, source = re.search(r"cat > codecs_wrappers/(\w+)\.py <<'PYTHON'\n(.*?)^PYTHON$", page, re.S | re.M).groups()
    (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    asked = ["tests/test_contract.py", "-k", f"{name} and not stored", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "RDBENCH_WRAPPERS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *asked], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 15


def test_programs_that_are_not_installed_are_wrapped_as_they_are_and_say_so(add_wrapper):
    programs = Programs("nosuch-enc -q {q} {in} {out}", "nosuch-dec {in} {out}", (30, 20), "ppm", ".xyz")
    add_wrapper("absent", wrap("absent", "Absent", programs))
    codec = load("absent")
    assert codec.available() == (False, "nosuch-enc and nosuch-dec not on the PATH")
    assert [point["q"] for point in codec.points] == [30, 20] and codec.extension == ".xyz"


@pytest.mark.parametrize(
    "arguments",
    [["--command", "enc {in} {out}"], ["--decode", "dec {in} {out}"], ["--points", "1,2"], ["--extension", "x"]],
)
def test_half_a_request_is_a_mistake(arguments, capsys):
    assert main(["new-codec", "mine", *arguments]) == 2
    assert "new-codec: " in capsys.readouterr().err


def test_values_are_numbers_where_they_look_like_it():
    assert parse_values("10, 0.5,-3,fast,") == (10, 0.5, -3, "fast")
