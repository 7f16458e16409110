"""`rdbench try`: the numbers of a run, for one image, as table, characters and picture."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from bench.author.terminal import plot
from bench.cli import main
from bench.discovery import load
from bench.metrics import psnr_rgb_db
from bench.rd.bjontegaard import bd_rate

QUANTIZER = """
import zlib
import numpy as np
from bench.codec import Codec, Point, check_image

class Quantizer(Codec):
    name, extension = "{name}", ".q"
    points = tuple(Point(f"s{{s}}", s=s) for s in (64, 32, 16, 8))
    def version(self): return "1"
    def encode(self, image, point):
        image = check_image(image)
        if point["s"] == {refuses}: raise RuntimeError("no step of this size")
        levels = np.diff(image // np.uint8(point["s"]), axis=1, prepend=np.uint8(0))
        head = bytes([point["s"]]) + np.array(image.shape[:2], "<u2").tobytes()
        return head + zlib.compress(levels.tobytes(), {level})
    def decode(self, bitstream):
        height, width = np.frombuffer(bitstream[1:5], "<u2")
        raw = np.frombuffer(zlib.decompress(bitstream[5:]), np.uint8).reshape(height, width, 3)
        levels = np.cumsum(raw, axis=1, dtype=np.uint8)
        return np.minimum(levels.astype(int) * bitstream[0] + bitstream[0] // 2, 255).astype(np.uint8)

CODECS = [Quantizer()]
"""


@pytest.fixture
def tried(add_wrapper, image_folder, tmp_path, monkeypatch):
    """Two quantizers, `mine` with slower compression, and a current folder that takes the picture."""
    monkeypatch.chdir(tmp_path)
    add_wrapper("mine", QUANTIZER.format(name="mine", refuses=0, level=9))
    add_wrapper("theirs", QUANTIZER.format(name="theirs", refuses=0, level=1))
    return image_folder / "coffee.png"


def test_the_numbers_are_those_of_the_codec_and_bd_rate_is_of_the_two_curves(tried, photographs, capsys):
    assert main(["try", "mine", str(tried), "--against", "theirs,mine", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    curves = {}
    for name in ("mine", "theirs"):
        codec, image = load(name), photographs["coffee"]
        rows = [row for row in document["rows"] if row["codec"] == name]
        streams = [codec.encode(image, point) for point in codec.points]
        assert [row["point"] for row in rows] == [point.name for point in codec.points]
        assert [row["bytes"] for row in rows] == [len(stream) for stream in streams]
        psnr = [psnr_rgb_db(image, codec.decode(stream)) for stream in streams]
        assert [row["psnr_rgb_db"] for row in rows] == pytest.approx(psnr)
        curves[name] = np.array([8 * len(stream) / image[..., 0].size for stream in streams]), np.array(psnr)
    (against,) = document["about"]["bd"]  # a codec is not held against itself
    assert against["bd_rate_percent"] == pytest.approx(bd_rate(*curves["theirs"], *curves["mine"]).value)
    assert against["bd_rate_percent"] < -5
    with Image.open(document["about"]["picture"]) as picture:
        assert picture.format == "PNG" and min(picture.size) > 500


@pytest.mark.parametrize(("columns", "beside"), [(130, True), (60, False)])
def test_table_and_plot_fit_the_terminal_in_plain_characters(tried, monkeypatch, capsys, tmp_path, columns, beside):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = tmp_path / "a picture.png"
    assert main(["try", "mine", str(tried), "--against", "theirs", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    drawn = lines[: next(i for i, line in enumerate(lines) if line.startswith("BD-rate"))]
    assert text.isascii() and max(map(len, drawn)) <= columns
    assert lines[0].startswith("point") and ("PSNR (RGB)" in lines[0]) == beside
    assert [line.split()[0] for line in lines[1:5]] == ["s64", "s32", "s16", "s8"]
    assert "o mine   x theirs" in text and "BD-rate of mine against theirs: -" in text
    assert lines[-1] == str(out) and out.is_file()
    assert not (tmp_path / "try_coffee_mine.png").exists()


def test_points_that_fail_are_told_and_the_others_shown(tried, add_wrapper, capsys):
    add_wrapper("mine", QUANTIZER.format(name="mine", refuses=16, level=9))
    assert main(["try", "mine", str(tried)]) == 1
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()[1:4]] == ["s64", "s32", "s8"]
    assert "1 of 4 points failed; mine at s16: encode: RuntimeError: no step of this size" in captured.err


def test_a_codec_that_is_not_there_is_a_mistake_before_anything_runs(tried, add_wrapper, capsys, tmp_path):
    add_wrapper(
        "absent", QUANTIZER.format(name="absent", refuses=0, level=1) + "Quantizer.available = lambda s: (False, 'why')"
    )
    for arguments in (["absent", str(tried)], ["mine", str(tried), "--against", "absent"]):
        assert main(["try", *arguments]) == 2
        assert "codec absent is not available here: why" in capsys.readouterr().err
    assert main(["try", "mine", str(tmp_path / "none.png")]) == 2
    assert main(["try", "mine", str(tried), "--metric", "beauty"]) == 2
    assert "try --metric: expected psnr_rgb_db" in capsys.readouterr().err


def test_a_lossless_codec_is_the_same_picture_and_has_no_curve(tried, capsys):
    assert main(["try", "identity", str(tried), "--against", "mine"]) == 0
    out = capsys.readouterr().out
    assert "same" in out and "BD-rate of identity against mine: none (too_few_points)" in out


@pytest.mark.slow
def test_a_learned_codec_is_tried_like_any_other(image_folder, tmp_path, monkeypatch, capsys):
    codec = load("naive_scaling")
    if not codec.available()[0]:
        pytest.skip(codec.available()[1])
    monkeypatch.setattr(type(codec), "points", codec.points[:1])  # this process plans, the workers have the same points
    monkeypatch.chdir(ROOT)
    assert main(["try", codec.name, str(image_folder / "coffee.png"), "--out", str(tmp_path / "a.png"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["status"], row["weights_sha256"]) for row in rows] == [("ok", codec.weights_digest())]


# The plot


def test_a_plot_is_where_its_numbers_are():
    lines = plot({"a": [(1, 10), (10, 20), (100, 30)], "b": [(1, 30)]}, width=30, height=9, title="dB")
    assert lines == [
        "dB",
        "  30.00 |x                 ..o",
        "        |             .....",
        "        |        ..o..",
        "        |   .....",
        "  10.00 |o..",
        "        +" + "-" * 20 + "-",
        "         1  2   5  10 20  50",
        "         o a   x b",
    ]


@pytest.mark.parametrize("curve", [[(0.5, 30.0)], [(0.5, 30.0), (0.5, 30.0)], [(0.5, 30.0), (0.7, 30.0)]])
def test_a_curve_without_extent_is_drawn_all_the_same(curve):
    lines = plot({"a": curve}, 40, 10, "title")
    assert sum(line.count("o") for line in lines[1:-3]) >= 1 and all(len(line) <= 40 for line in lines)


def test_nothing_to_plot_is_said():
    assert plot({"a": []}, 40, 10, "title") == ["(nothing to plot)"]
    assert not math.isnan(len(plot({str(i): [(1 + i, i)] for i in range(20)}, 40, 10, "more curves than marks")))
