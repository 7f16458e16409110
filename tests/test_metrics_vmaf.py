"""VMAF, VMAF-NEG and CIEDE2000 of stills by imageio-ffmpeg's libvmaf."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from test_metrics import noisy, picture
from test_metrics_perceptual import note, value

from bench import metrics
from bench.metrics import Reference, measure
from bench.metrics import vmaf as vmaf_file


def needs_vmaf() -> None:
    if reason := vmaf_file.METRIC.missing():
        pytest.skip(reason)


def test_vmaf_of_an_identical_still_is_computed_and_not_100():
    needs_vmaf()
    image = picture(176, 190)
    same = measure(Reference(image, ["vmaf", "vmaf_neg", "ciede2000"]), image.copy())
    for name in ("vmaf", "vmaf_neg"):
        assert 97 < same[name] < 98
        assert value(name, image, noisy(image, 8)) < same[name]
    assert same["ciede2000"] == math.inf


@pytest.mark.parametrize("spread", [4, 30])
def test_ciede2000_is_of_the_mean_colour_difference(spread):
    needs_vmaf()
    original = picture(64, 80)
    other = noisy(original, spread)
    found = value("ciede2000", original, other)
    assert found == pytest.approx(45 - 20 * math.log10(colour_difference(original, other)), abs=2e-3)


def colour_difference(*images: np.ndarray) -> float:
    """Mean CIEDE2000 by scikit-image of 8-bit YCbCr, with libvmaf's weights and its reading of Cb and Cr."""
    colour = pytest.importorskip("skimage.color")
    labs = []
    for image in images:
        y, cb, cr = (vmaf_file._ycbcr(image).astype(float) - np.array([16, 128, 128])[:, None, None]) / np.array(
            [219, 224, 224]
        )[:, None, None]
        rgb = np.stack([y + 1.28033 * cr, y - 0.21482 * cb - 0.38059 * cr, y + 2.12798 * cb], axis=2)
        labs.append(colour.rgb2lab(rgb))
    return float(colour.deltaE_ciede2000(*labs, kL=0.65, kC=1, kH=4).mean())


def test_a_difference_that_8_bit_ycbcr_loses_has_no_ciede2000():
    needs_vmaf()
    original = np.full((64, 64, 3), 100, np.uint8)
    other = original.copy()
    other[5, 5, 2] = 101
    assert "ciede2000: no difference is left in 8-bit YCbCr" in note("ciede2000", original, other)


def test_one_call_gives_all_three_and_each_alone_is_the_same():
    needs_vmaf()
    original, other = picture(64, 70), noisy(picture(64, 70), 9)
    names = ["vmaf", "vmaf_neg", "ciede2000"]
    together = measure(Reference(original, names), other)
    assert {name: value(name, original, other) for name in names} == {name: together[name] for name in names}


def test_small_stills_have_no_vmaf():
    needs_vmaf()
    assert value("vmaf", picture(17, 40), picture(17, 40, 1)) is not None
    assert "vmaf: short side 16 px, it needs 17" in note("vmaf", picture(16, 40), picture(16, 40, 1))


def test_without_libvmaf_the_columns_are_null_with_a_note_each(monkeypatch):
    monkeypatch.setattr(vmaf_file, "_probe", lambda: ("", "imageio-ffmpeg's program has no libvmaf here"))
    found = measure(Reference(picture(40, 40), ["vmaf", "ciede2000"]), picture(40, 40, 1))
    assert (found["vmaf"], found["ciede2000"]) == (None, None)
    for name in ("vmaf", "ciede2000"):
        assert f"{name}: imageio-ffmpeg's program has no libvmaf here" in found["metric_notes"]
    assert json.loads(metrics.versions_json(["vmaf"]))["vmaf"] is None


def test_the_conversion_rounds_every_sample():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 31, 3), np.uint8)
    red, green, blue = np.moveaxis(image.astype(float), 2, 0) / 255
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [16 + 219 * y, 128 + 224 * (blue - y) / 1.8556, 128 + 224 * (red - y) / 1.5748]
    assert np.array_equal(vmaf_file._ycbcr(image), np.floor(np.stack(expected) + 0.5).astype(np.uint8))


@pytest.mark.parametrize("name", ["vmaf", "vmaf_neg", "ciede2000"])
def test_each_gets_worse_as_noise_grows(name):
    needs_vmaf()
    reference = Reference(picture(176, 190), [name])
    found = [measure(reference, noisy(reference.image, spread))[name] for spread in (1, 4, 16, 64)]
    assert found == sorted(set(found), reverse=True)
