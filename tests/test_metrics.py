"""The metrics against their definitions, against pytorch-msssim, and at their edges."""

import json
import math
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from bench import records
from bench.codec import Colour
from bench.errors import RdbenchError, UsageError
from bench.metrics import METRIC_VERSIONS_JSON, METRICS, Reference, measure, ssimulacra2
from bench.metrics.colour_ceiling import conversion_ceiling_psnr_rgb_db, convert_and_back

UNTIMED = settings(deadline=None)  # a busy machine is no failure
ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def picture(height: int, width: int, phase: int = 0) -> np.ndarray:
    """A deterministic picture with edges, ramps and texture; ``phase`` disturbs it."""
    y, x = np.mgrid[0:height, 0:width]
    red = (x * 3 + y * y // 7 + phase * (x % 5)) % 256
    green = (x * y // 11 + phase * 3) % 256
    blue = (128 + 100 * np.sin(x / 9 + phase / 4) * np.cos(y / 13)).astype(int)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def noisy(image: np.ndarray, spread: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, spread, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def psnr(error: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean(error.astype(float) ** 2))


def pairs(smallest: int = 1, largest: int = 12) -> st.SearchStrategy:
    """Two random pictures of one size."""

    def draw(size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(size[2])
        shape = (size[0], size[1], 3)
        return rng.integers(0, 256, shape, np.uint8), rng.integers(0, 256, shape, np.uint8)

    side = st.integers(smallest, largest)
    return st.tuples(side, side, st.integers(0, 2**32)).map(draw)


def test_the_columns_are_those_of_the_records():
    values = measure(Reference(picture(20, 30)), picture(20, 30, 1))
    assert set(values) == {*METRICS, "identical", "metric_notes"}
    assert set(values) <= set(records.SCHEMA.names)
    records.table([{"dataset": "d", "codec": "c", **values}])


@UNTIMED
@given(pairs())
def test_psnr_rgb_is_of_the_mean_squared_error_over_all_samples(pair):
    original, other = pair
    error = original.astype(float) - other
    assert measure(Reference(original), other)["psnr_rgb_db"] == pytest.approx(psnr(error), abs=1e-9)


@UNTIMED
@given(pairs())
def test_psnr_y_is_of_unrounded_bt601_luma(pair):
    original, other = pair
    luma = (original.astype(float) - other) @ [0.299, 0.587, 0.114]
    assert measure(Reference(original), other)["psnr_y_db"] == pytest.approx(psnr(luma), abs=1e-9)


@UNTIMED
@given(pairs())
def test_psnr_611_weighs_the_planes_of_bt709(pair):
    original, other = pair
    red, green, blue = np.moveaxis(original.astype(float) - other, 2, 0)
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = (6 * psnr(y) + psnr((blue - y) / 1.8556) + psnr((red - y) / 1.5748)) / 8
    assert measure(Reference(original), other)["psnr_611_db"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_an_error_in_one_channel_weighs_as_that_channel_does(channel, weight):
    original = np.full((10, 10, 3), 100, np.uint8)
    other = original.copy()
    other[:, :, channel] += 5
    values = measure(Reference(original), other)
    assert values["psnr_rgb_db"] == pytest.approx(10 * math.log10(255**2 / (25 / 3)))
    assert values["psnr_y_db"] == pytest.approx(20 * math.log10(255 / (5 * weight)))


def test_one_sample_off_by_one_among_many_is_seen():
    original = picture(50, 40)
    other = original.copy()
    other[49, 39, 2] ^= 1
    values = measure(Reference(original), other)
    assert not values["identical"]
    assert values["psnr_rgb_db"] == pytest.approx(10 * math.log10(255**2 * 50 * 40 * 3))


def test_the_largest_error_is_0_db():
    black = np.zeros((30, 30, 3), np.uint8)
    values = measure(Reference(black), black + 255)
    assert values["psnr_rgb_db"] == 0
    assert values["psnr_y_db"] == pytest.approx(0, abs=1e-12)


def test_an_identical_reconstruction_is_infinite_in_db_and_flagged():
    image = picture(170, 180)
    values = measure(Reference(image), image.copy())
    assert values["identical"] is True
    assert values["ms_ssim"] == 1.0
    for name in ("psnr_rgb_db", "psnr_y_db", "psnr_611_db", "ms_ssim_db"):
        assert values[name] == math.inf


def test_psnr_611_is_null_with_a_note_where_chroma_has_no_error_at_all():
    original = np.full((10, 10, 3), 100, np.uint8)
    values = measure(Reference(original), original + 1)
    assert values["psnr_611_db"] is None
    assert "psnr_611_db: no error in Cb and Cr" in values["metric_notes"]
    assert values["psnr_y_db"] == pytest.approx(20 * math.log10(255))


@pytest.mark.parametrize("size", [(160, 400), (400, 160), (1, 1), (17, 33)])
def test_ms_ssim_of_a_small_image_is_null_with_the_reason(size):
    values = measure(Reference(picture(*size)), picture(*size, 1))
    assert values["ms_ssim"] is None
    assert values["ms_ssim_db"] is None
    assert f"ms_ssim: short side {min(size)} px" in values["metric_notes"]
    assert math.isfinite(values["psnr_rgb_db"])


# pytorch_msssim 1.0.0, float64, data_range 255, of picture(h, w) and picture(h, w, 1).
@pytest.mark.parametrize(
    ("size", "expected"),
    [((161, 161), 0.9796060771478731), ((177, 202), 0.9789559829441248), ((256, 171), 0.9766799397777525)],
)
def test_ms_ssim_has_the_values_pytorch_msssim_gave(size, expected):
    values = measure(Reference(picture(*size)), picture(*size, 1))
    assert values["ms_ssim"] == pytest.approx(expected, abs=1e-9)
    assert values["ms_ssim_db"] == pytest.approx(-10 * math.log10(1 - expected), abs=1e-6)


@pytest.mark.parametrize("size", [(161, 161), (163, 200), (176, 323), (256, 192), (333, 161)])
@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda image: noisy(image, 3), id="slight noise"),
        pytest.param(lambda image: noisy(image, 60), id="strong noise"),
        pytest.param(lambda image: 255 - image, id="inverted: negative contrast terms"),
        pytest.param(lambda image: image // 32 * 32 + 16, id="coarse steps"),
        pytest.param(lambda image: np.full_like(image, 255), id="all white"),
        pytest.param(lambda image: image[:, :, ::-1].copy(), id="channels swapped"),
    ],
)
def test_ms_ssim_equals_pytorch_msssim(size, disturb):
    torch = pytest.importorskip("torch")
    pytorch_msssim = pytest.importorskip("pytorch_msssim")
    original = picture(*size)
    other = disturb(original)
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (original, other)]
    expected = pytorch_msssim.ms_ssim(*tensors, data_range=255).item()
    assert measure(Reference(original), other)["ms_ssim"] == pytest.approx(expected, abs=1e-10)


def test_ms_ssim_of_two_flat_images_equals_pytorch_msssim():
    torch = pytest.importorskip("torch")
    pytorch_msssim = pytest.importorskip("pytorch_msssim")
    original, other = (np.full((165, 170, 3), value, np.uint8) for value in (255, 254))
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (original, other)]
    expected = pytorch_msssim.ms_ssim(*tensors, data_range=255).item()
    assert measure(Reference(original), other)["ms_ssim"] == pytest.approx(expected, abs=1e-10)


def test_ms_ssim_falls_as_noise_grows():
    reference = Reference(picture(200, 180))
    values = [measure(reference, noisy(reference.image, spread))["ms_ssim"] for spread in (1, 4, 16, 64)]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < values[0] < 1


def test_measuring_changes_neither_image_and_a_reference_can_be_used_again():
    original, other = picture(165, 165), picture(165, 165, 1)
    kept = original.copy(), other.copy()
    reference = Reference(original)
    assert measure(reference, other) == measure(reference, other)
    assert np.array_equal(original, kept[0])
    assert np.array_equal(other, kept[1])


def test_a_view_that_is_not_contiguous_is_measured_alike():
    original, other = picture(170, 190), picture(170, 190, 1)
    padded = np.zeros((340, 190, 3), np.uint8)
    padded[::2] = other
    assert measure(Reference(original), padded[::2]) == measure(Reference(original), other)


@pytest.mark.parametrize(
    "wrong", [picture(20, 31), picture(30, 20), picture(20, 30)[:, :, :1], picture(20, 30).astype(np.float32)]
)
def test_a_reconstruction_of_another_shape_or_type_is_an_error_that_names_both(wrong):
    with pytest.raises(RdbenchError, match=r"expected uint8 20 x 30 x 3.*got"):
        measure(Reference(picture(20, 30)), wrong)


def test_the_versions_are_canonical_json_of_every_metric():
    assert json.loads(METRIC_VERSIONS_JSON) == METRICS
    assert json.dumps(METRICS, sort_keys=True, separators=(",", ":")) == METRIC_VERSIONS_JSON
    ours = '{"ms_ssim":"1","ms_ssim_db":"1","psnr_611_db":"1","psnr_rgb_db":"1","psnr_y_db":"1","ssimulacra2":'
    assert METRIC_VERSIONS_JSON.startswith(ours)  # other bytes would throw every cache away


def test_metrics_bd_and_colour_import_no_torch():
    code = "import sys, bench.rd.bd_table, bench.metrics.colour_ceiling; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_ssimulacra2_without_its_package_is_null_with_one_note(monkeypatch):
    monkeypatch.setattr(ssimulacra2, "INSTALLED", False)
    values = measure(Reference(picture(200, 200)), picture(200, 200, 1))
    assert values["ssimulacra2"] is None
    assert values["metric_notes"] == "ssimulacra2: package ssimulacra2 is not installed"


def test_ssimulacra2_gets_original_and_reconstruction_in_that_order(monkeypatch):
    seen = []

    def compute(original, other):
        seen.extend(np.asarray(PillowImage.open(file).convert("RGB")) for file in (original, other))
        return 71.5

    module = types.ModuleType("ssimulacra2")
    module.compute_ssimulacra2 = compute
    monkeypatch.setitem(sys.modules, "ssimulacra2", module)
    monkeypatch.setattr(ssimulacra2, "INSTALLED", True)
    original, other = picture(21, 34), picture(21, 34, 1)
    assert measure(Reference(original), other)["ssimulacra2"] == 71.5
    assert np.array_equal(seen[0], original)
    assert np.array_equal(seen[1], other)


def test_ssimulacra2_leaves_out_images_it_cannot_take(monkeypatch):
    monkeypatch.setattr(ssimulacra2, "INSTALLED", True)
    assert "short side under 8 px" in measure(Reference(picture(7, 90)), picture(7, 90, 1))["metric_notes"]
    monkeypatch.setattr(ssimulacra2.METRIC, "most_pixels", 100)
    assert "over 100 pixels" in measure(Reference(picture(11, 10)), picture(11, 10, 1))["metric_notes"]


def test_ssimulacra2_of_the_real_package_falls_as_noise_grows():
    pytest.importorskip("ssimulacra2")
    reference = Reference(picture(96, 128))
    scores = [measure(reference, noisy(reference.image, spread))["ssimulacra2"] for spread in (0, 2, 8, 32)]
    assert scores[0] == 100
    assert scores == sorted(scores, reverse=True)
    assert METRICS["ssimulacra2"]


# Colour conversion


@pytest.mark.parametrize("colour", [Colour(), Colour("bt709"), Colour(subsampling="4:2:0"), Colour(bit_depth=10)])
def test_grey_survives_full_range_conversion(colour):
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert np.array_equal(convert_and_back(grey, colour), grey)
    assert conversion_ceiling_psnr_rgb_db([grey], colour) == math.inf


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("span", ["full", "limited"])
def test_every_colour_comes_back_within_rounding_at_8_bits_and_exactly_at_10(matrix, span):
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels) ** 2, len(levels), 3)
    error = convert_and_back(cube, Colour(matrix, span)).astype(int) - cube
    assert 0 < np.abs(error).max() <= 3
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.05  # truncation would shift it by half a level or more
    assert np.array_equal(convert_and_back(cube, Colour(matrix, span, bit_depth=10)), cube)


def test_chroma_reduction_is_a_box_mean_and_expansion_is_linear():
    # One blue-yellow step inside a chroma sample: luma is kept, chroma of the samples far from the step too.
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :7] = (200, 200, 40)
    image[:, 7:] = (40, 40, 200)
    back = convert_and_back(image, Colour(subsampling="4:2:2")).astype(int)
    assert np.abs(back[:, [0, 1, 2, 3, 12, 13, 14, 15]] - image[:, [0, 1, 2, 3, 12, 13, 14, 15]]).max() <= 2
    blue = back[0, 4:11, 2]
    assert np.abs(back - image)[:, 6:8].max() > 20
    assert blue[0] < 60
    assert blue[-1] > 180


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (17, 33), (2, 5)])
def test_odd_sizes_keep_their_size(subsampling, size):
    image = picture(*size)
    assert convert_and_back(image, Colour(subsampling=subsampling)).shape == image.shape


def test_coarser_chroma_has_the_lower_ceiling():
    image = noisy(picture(64, 64), 3)
    ceilings = [conversion_ceiling_psnr_rgb_db([image], Colour(subsampling=s)) for s in ("4:4:4", "4:2:2", "4:2:0")]
    assert ceilings == sorted(ceilings, reverse=True)
    assert len(set(ceilings)) == 3


def test_the_ceiling_is_the_mean_over_images():
    images = [noisy(picture(40, 40), 2), noisy(picture(32, 50), 9)]
    alone = [conversion_ceiling_psnr_rgb_db([image], Colour()) for image in images]
    assert conversion_ceiling_psnr_rgb_db(images, Colour()) == pytest.approx(sum(alone) / 2)


@pytest.mark.parametrize("wrong", [Colour("bt2020"), Colour(range="tv"), Colour(subsampling="4:1:1")])
def test_an_unknown_colour_format_is_named(wrong):
    with pytest.raises(UsageError, match="Colour's"):
        convert_and_back(picture(4, 4), wrong)


@UNTIMED
@given(pairs(smallest=8))
def test_bt601_full_range_is_jpegs_matrix_rounded(pair):
    # ITU-T T.871 section 7; Pillow's own conversion truncates and cannot be the reference.
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    samples = np.clip(np.rint(pair[0] @ matrix.T + [0, 128, 128]), 0, 255) - [0, 128, 128]
    inverse = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
    expected = np.clip(np.rint(samples @ inverse.T), 0, 255)
    # A chroma sample that falls on a half may go either way, which moves a channel by up to 2.
    differs = convert_and_back(pair[0], Colour()) != expected
    assert differs.mean() <= 0.1
    assert np.abs(convert_and_back(pair[0], Colour()) - expected).max() <= 2


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared beside the checkout")
def test_the_ceiling_of_kodak_in_ycbcr_444_is_53_db_not_the_44_of_truncation():
    images = [np.asarray(PillowImage.open(path)) for path in sorted((SHARED / "datasets/kodak").glob("*.png"))]
    assert len(images) == 24
    assert conversion_ceiling_psnr_rgb_db(images, Colour()) == pytest.approx(53.1, abs=0.15)
