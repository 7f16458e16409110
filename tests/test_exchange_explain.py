"""`rdbench explain` names the cause that was planted in somebody's curve, and none where none was.

The planted numbers are computed here from bitstreams and pixels, by arithmetic of this file's own.
"""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import codecs_wrappers
from bench import records
from bench.cli import main
from bench.exchange.gap import Cells, averagings, fitted_bytes, gap, interpolation_error_db

WRAPPER = """
import zlib
import numpy as np
from bench.codec import Codec, Colour, Point

class Planes(Codec):
    '''YCbCr planes, quantized and deflated.'''
    extension = ".planes"
    points = tuple(Point(f"step{step:02d}", step=step) for step in (40, 28, 20, 14, 10, 7, 5, 3, 2))
    def __init__(self, half):
        self.half, self.name = half, "planes420" if half else "planes444"
        self.colour = Colour("bt601", "full", "4:2:0" if half else "4:4:4")
    def version(self):
        return "1"
    def encode(self, image, point):
        r, g, b = np.moveaxis(image.astype(float), 2, 0)
        y = 0.299 * r + 0.587 * g + 0.114 * b
        planes = [y, (b - y) / 1.772 + 128, (r - y) / 1.402 + 128]
        if self.half:
            planes[1:] = [p[: len(p) // 2 * 2, : p.shape[1] // 2 * 2] for p in planes[1:]]
            planes[1:] = [(p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4 for p in planes[1:]]
        coded = [np.rint(np.clip(np.rint(p), 0, 255) / point["step"]).astype(np.uint8) for p in planes]
        head = np.array([*image.shape[:2], point["step"]], "<u2").tobytes()
        return head + zlib.compress(b"".join(p.tobytes() for p in coded), 9)
    def decode(self, bitstream):
        height, width, step = np.frombuffer(bitstream[:6], "<u2").astype(int)
        small = (height // 2, width // 2) if self.half else (height, width)
        flat = np.frombuffer(zlib.decompress(bitstream[6:]), np.uint8).astype(float) * step
        y, rest = flat[: height * width].reshape(height, width), flat[height * width :].reshape(2, *small)
        if self.half:
            rest = np.pad(rest.repeat(2, 1).repeat(2, 2), ((0, 0), (0, height % 2), (0, width % 2)), "edge")
        y, cb, cr = np.clip(y, 0, 255), *(np.clip(rest, 0, 255) - 128)
        rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 2)
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)

CODECS = [Planes(False), Planes(True)]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Path]:
    """A run's folder, made by the commands: two codecs on three crops of different sizes."""
    base = tmp_path_factory.mktemp("explain")
    folder, images, wrappers = base / "results" / "mine", base / "images", base / "wrappers"
    images.mkdir()
    wrappers.mkdir()
    crops = {
        "a": data.astronaut()[60:172, 150:270],
        "b": data.coffee()[100:201, 200:332],
        "c": data.chelsea()[40:130, 100:197],
    }
    for name, crop in crops.items():
        Image.fromarray(crop).save(images / f"{name}.png")
    (wrappers / "planes.py").write_text(textwrap.dedent(WRAPPER))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RDBENCH_CACHE", str(base / "cache"))
        patch.setenv("RDBENCH_WRAPPERS", str(wrappers))
        patch.setattr(codecs_wrappers, "__path__", [*codecs_wrappers.__path__, str(wrappers)])
        importlib.invalidate_caches()
        manifest = str(folder / "datasets" / "set.json")
        assert main(["fetch", f"folder:{images}", "--manifest", manifest, "--as", "set"]) == 0
        parts = [str(folder / f"{name}.parquet") for name in ("planes444", "planes420")]
        for part in parts:
            name = Path(part).stem
            assert main(["run", name, "--manifest", manifest, "--folder", str(folder), "--out", part]) == 0
        assert main(["collect", *parts, "--folder", str(folder)]) == 0
        yield folder
    sys.modules.pop("codecs_wrappers.planes", None)


def files(run: Path) -> dict[tuple[str, int], tuple[bytes, np.ndarray]]:
    """(image, place on the curve) -> bitstream of planes444 and the original's pixels."""
    frame = records.read(run / "records.parquet")
    rows = frame[(frame.codec == "planes444") & (frame.status == "ok")]
    originals = {name: np.asarray(Image.open(run.parents[1] / "images" / f"{name}.png")) for name in "abc"}
    return {
        (it.image, it.point_index): ((run / it.bitstream).read_bytes(), originals[it.image]) for it in rows.itertuples()
    }


def pixels(bitstream: bytes, cut=np.rint) -> np.ndarray:
    """The picture in a bitstream of planes444, decoded by this test. cut: how fractions become whole numbers."""
    height, width, step = np.frombuffer(bitstream[:6], "<u2").astype(int)
    y, cb, cr = np.frombuffer(zlib.decompress(bitstream[6:]), np.uint8).astype(float).reshape(3, height, width) * step
    y, cb, cr = np.clip(y, 0, 255), np.clip(cb, 0, 255) - 128, np.clip(cr, 0, 255) - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 2)
    return np.clip(cut(rgb), 0, 255).astype(np.uint8)


def planted(run: Path, cut=np.rint, more_bytes: int = 0, of_mean_mse: bool = False, digits: int = 17) -> dict:
    """Results of somebody who measured the same bitstreams in another way, as CompressAI's document."""
    found = files(run)
    bpp, psnr = [], []
    for index in range(9):
        own = [found[image, index] for image in "abc"]
        squares = [((pixels(data, cut).astype(float) - original) ** 2).mean() for data, original in own]
        bpp.append(np.mean([8 * (len(data) + more_bytes) / original[..., 0].size for data, original in own]))
        each = 10 * np.log10(255**2 / np.array(squares))
        psnr.append(10 * np.log10(255**2 / np.mean(squares)) if of_mean_mse else each.mean())
    return {
        "name": "planes",
        "results": {"psnr-rgb": np.round(psnr, digits).tolist(), "bpp": np.round(bpp, digits).tolist()},
    }


def explained(run: Path, document: dict, tmp_path: Path, capsys, *more: str) -> dict:
    (tmp_path / "theirs.json").write_text(json.dumps(document))
    command = ["explain", str(tmp_path / "theirs.json"), "--codec", "planes444", "--dataset", "set"]
    assert main([*command, "--folder", str(run), "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_same_measurement_has_no_gap(run, tmp_path, capsys):
    found = explained(run, planted(run), tmp_path, capsys)
    assert found["about"]["verdict"] == "no gap" and found["about"]["rms_db"] < 1e-6


@pytest.mark.parametrize("digits", [17, 3])
@pytest.mark.parametrize(
    ("cause", "how"),
    [
        ("psnr_of_mean_mse", {"of_mean_mse": True}),
        ("truncated_rgb_bt601", {"cut": np.floor}),
        ("bytes", {"more_bytes": 60}),
        ("bytes+psnr_of_mean_mse", {"more_bytes": 60, "of_mean_mse": True}),
    ],
)
def test_a_planted_cause_is_named_and_most_of_the_gap_goes_with_it(run, tmp_path, capsys, cause, how, digits):
    found = explained(run, planted(run, **how, digits=digits), tmp_path, capsys)
    best, about = found["rows"][0], found["about"]
    assert about["verdict"] == "explained", about["sentence"]
    assert best["cause"] == cause and best["share"] >= 0.9
    assert about["rms_db"] > 3 * best["rms_db"] and best["rms_db"] < 0.02
    if cause == "bytes":
        assert best["words"].startswith(("60 bytes more", "59 bytes more", "61 bytes more"))


def test_another_chroma_format_is_named_where_the_run_has_it(run, tmp_path, capsys):
    frame = records.read(run / "records.parquet")
    rows = frame[frame.codec == "planes420"]
    means = rows.groupby("point_index")[["bpp", "psnr_rgb_db"]].mean()
    document = {"results": {"bpp": means.bpp.tolist(), "psnr-rgb": means.psnr_rgb_db.tolist()}}
    found = explained(run, document, tmp_path, capsys)
    assert found["about"]["verdict"] == "explained" and found["rows"][0]["cause"] == "codec_planes420"
    assert "chroma format 4:2:0, not 4:4:4" in found["about"]["sentence"]


def test_a_gap_with_no_known_cause_is_said_to_have_none(run, tmp_path, capsys):
    document = planted(run)
    swing = 0.4 * (-1.0) ** np.arange(9)
    document["results"]["psnr-rgb"] = (np.array(document["results"]["psnr-rgb"]) + swing).tolist()
    found = explained(run, document, tmp_path, capsys)
    assert found["about"]["verdict"] == "unexplained"
    assert found["about"]["sentence"].startswith("no known cause explains it: the best, ")
    assert max(row["share"] for row in found["rows"]) < 0.75


def test_rows_of_single_images_are_compared_over_the_images_that_both_have(run, tmp_path, capsys):
    found = files(run)
    lines = ["image,point,bpp,psnr"]
    for (image, index), (bitstream, original) in found.items():
        if image != "c":
            square = ((pixels(bitstream).astype(float) - original) ** 2).mean()
            rate = 8 * len(bitstream) / original[..., 0].size
            lines.append(f"{image}.png,{index},{float(rate)!r},{float(10 * np.log10(255**2 / square))!r}")
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    command = ["explain", str(tmp_path / "theirs.csv"), "--codec", "planes444", "--dataset", "set", "--quick"]
    assert main([*command, "--folder", str(run), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)["about"]
    assert about["verdict"] == "no gap" and about["images"] == 2 and about["rms_db"] < 1e-6


def test_the_text_has_the_gap_the_causes_and_the_sentence(run, tmp_path, capsys):
    (tmp_path / "theirs.json").write_text(json.dumps(planted(run, of_mean_mse=True)))
    command = ["explain", str(tmp_path / "theirs.json"), "--codec", "planes444", "--dataset", "set", "--quick"]
    assert main([*command, "--folder", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "theirs.json (9 points) against planes444 on set (3 images, 9 points)"
    assert lines[1].startswith("gap: 0.") and "BD-rate +" in lines[1]
    assert lines[3].endswith("PSNR of the images' mean squared error, not the mean of their PSNRs")
    assert "explains 100 % of the gap" in lines[-1]


def test_curves_without_rates_in_common_and_codecs_that_did_not_run_are_mistakes(run, tmp_path, capsys):
    document = {"results": {"bpp": [100.0, 200.0], "psnr-rgb": [30, 31]}}
    (tmp_path / "theirs.json").write_text(json.dumps(document))
    command = ["explain", str(tmp_path / "theirs.json"), "--dataset", "set", "--folder", str(run), "--quick"]
    assert main([*command, "--codec", "planes444"]) == 2
    assert "less than half of the shorter range" in capsys.readouterr().err
    assert main([*command, "--codec", "jpeg"]) == 2
    assert "measured there: planes420, planes444" in capsys.readouterr().err


def test_pixels_are_left_out_with_a_reason_where_the_bitstreams_are_gone(run, tmp_path, capsys):
    document = planted(run, of_mean_mse=True)
    (run / "bitstreams").rename(run / "away")
    try:
        (tmp_path / "theirs.json").write_text(json.dumps(document))
        command = ["explain", str(tmp_path / "theirs.json"), "--codec", "planes444", "--dataset", "set"]
        assert main([*command, "--folder", str(run)]) == 0
    finally:
        (run / "away").rename(run / "bitstreams")
    printed = capsys.readouterr()
    assert "causes that change pixels are not tried" in printed.err and "is missing" in printed.err
    assert "truncated" not in printed.out and "explains 100 %" in printed.out


# The parts


def test_averagings_are_those_of_their_names():
    cells = Cells(
        "psnr_rgb_db", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[30.0, 40.0], [20.0, 30.0]]), np.array([3.0, 1.0])
    )
    curves = {it.key: it.curve(cells) for it in averagings(cells)}
    assert curves["mean"][0].tolist() == [2, 3] and curves["mean"][1].tolist() == [25, 35]
    squares = 255**2 / 10 ** (cells.quality / 10)
    np.testing.assert_allclose(curves["psnr_of_mean_mse"][1], 10 * np.log10(255**2 / squares.mean(axis=0)))
    pooled = (squares * cells.pixels[:, None]).sum(axis=0) / 4
    np.testing.assert_allclose(curves["pooled_mse"][1], 10 * np.log10(255**2 / pooled))
    assert curves["pooled_bpp"][0].tolist() == [1.5, 2.5]
    same = Cells("psnr_rgb_db", cells.bpp, cells.quality, np.array([2.0, 2.0]))
    assert [it.key for it in averagings(same)] == ["mean", "psnr_of_mean_mse"]
    linear = Cells("ms_ssim", cells.bpp, np.array([[0.9, 0.99], [0.99, 0.999]]), np.array([2.0, 2.0]))
    curves = {it.key: it.curve(linear)[1] for it in averagings(linear)}
    np.testing.assert_allclose(curves["mean"], [-10 * np.log10(0.055), -10 * np.log10(0.0055)])
    np.testing.assert_allclose(curves["mean_of_db"], [15, 25])


@pytest.mark.parametrize("count", [-300, -7, 12, 900, 20_000])
def test_a_constant_of_bytes_is_fitted_to_the_byte(count):
    bpp, quality = np.geomspace(0.2, 3, 9), np.linspace(26, 42, 9) + 0.4 * np.sin(np.arange(9))
    per_byte = 8 / 100_000
    assert abs(fitted_bytes((bpp + count * per_byte, quality), (bpp, quality), per_byte) - count) <= 1


def test_the_gap_of_a_shift_is_the_shift_and_interpolation_has_an_error_only_between_points():
    bpp, quality = np.geomspace(0.2, 3, 9), np.linspace(26, 42, 9) + 0.4 * np.sin(np.arange(9))
    found = gap((bpp, quality + 0.25), (bpp, quality))
    assert found.rms_db == pytest.approx(0.25) and found.mean_db == pytest.approx(0.25) and found.bd_rate_percent < 0
    assert gap((100 * bpp, quality), (bpp, quality)) is None
    fewer = gap((bpp[::2], quality[::2] + 0.25), (bpp, quality))
    assert fewer.rms_db == pytest.approx(0.25)  # whichever has more points, those that both have count
    assert gap((bpp, quality), (bpp[::2], quality[::2])).rms_db == pytest.approx(0, abs=1e-12)
    assert interpolation_error_db((bpp, quality), (bpp, quality)) == 0
    between = np.sqrt(bpp[1:] * bpp[:-1])
    assert 0 < interpolation_error_db((between, quality[1:]), (bpp, quality)) < 0.1
