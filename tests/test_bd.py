"""BD-rates against published values and the bjontegaard package, their laws, and the tables made of the records."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench import records
from bench.errors import UsageError
from bench.rd import bootstrap
from bench.rd.bd_table import (
    AVERAGINGS,
    COLUMNS,
    METHODS,
    bd_quality,
    bd_rate,
    bd_rates,
    compare,
    gain_curve,
    overlap_note,
)
from bench.rd.bjontegaard import Curve
from bench.rd.curves import DB_OF_MEAN, averaged_curve, curve_table
from bench.rd.interpolate import akima_slopes, cubic_turns, integral, pchip_slopes, pchip_values

UNTIMED = settings(deadline=None)  # a busy machine is no failure
ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

# JCTVC-E137 as the public VMAF tests use it: kbit/s, PSNR in dB, and the BD-rate by PCHIP as a fraction.
PUBLISHED = [
    (
        [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247), (18883.6928, 34.2911)],
        [(108061.2784, 43.6768), (61299.9936, 40.4232), (33928.7472, 37.2761), (18910.912, 34.3147)],
        -0.00465215420752807,
    ),
    (
        [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)],
        [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)],
        -0.018779823450567612,
    ),
]


@st.composite
def curves(draw, smallest=4, largest=12):
    """A curve as (bpp, quality), both strictly rising."""
    count = draw(st.integers(smallest, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bpp = draw(st.floats(0.05, 0.5)) + np.cumsum(rng.uniform(0.02, 0.8, count))
    return bpp, draw(st.floats(24, 30)) + np.cumsum(rng.uniform(0.2, 2.0, count))


def random_curve(rng, count):
    return np.cumsum(rng.uniform(0.05, 1.0, count)), 25 + np.cumsum(rng.uniform(0.3, 2.0, count))


# Known values


@pytest.mark.parametrize(("anchor", "test", "expected"), PUBLISHED)
def test_pchip_gives_the_published_bd_rates(anchor, test, expected):
    assert bd_rate(*zip(*anchor, strict=True), *zip(*test, strict=True)).value / 100 == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared beside the checkout")
def test_pchip_gives_the_bd_rates_of_the_shared_vectors():
    vectors = json.loads((SHARED / "fixtures/bd/vectors.json").read_text())
    assert vectors
    for vector in vectors:
        bd = bd_rate(*np.transpose(vector["anchor"]), *np.transpose(vector["test"]))
        assert bd.value / 100 == pytest.approx(vector["bd_rate"], abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_50_random_pairs_agree_with_the_bjontegaard_package(method):
    bjontegaard = pytest.importorskip("bjontegaard")
    rng = np.random.default_rng(7)
    rates = qualities = tries = 0
    while min(rates, qualities) < 50:
        tries += 1
        assert tries < 1000
        count = int(rng.integers(4, 20))
        anchor, test = random_curve(rng, count), random_curve(rng, count)
        rate, quality = bd_rate(*anchor, *test, method), bd_quality(*anchor, *test, method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if rate.value is not None:
                theirs = bjontegaard.bd_rate(*anchor, *test, method, min_overlap=0)
                assert rate.value == pytest.approx(theirs, abs=1e-6, rel=1e-9)
                rates += 1
            if quality.value is not None:
                theirs = bjontegaard.bd_psnr(*anchor, *test, method, min_overlap=0)
                assert quality.value == pytest.approx(theirs, abs=1e-6)
                qualities += 1


@UNTIMED
@given(curves(smallest=2))
def test_pchip_equals_scipys(curve):
    interpolate = pytest.importorskip("scipy.interpolate")
    quality = np.random.default_rng(len(curve[0])).permutation(curve[1])  # not monotone: every branch of the slopes
    theirs = interpolate.PchipInterpolator(curve[0], quality)
    slopes = pchip_slopes(curve[0][None], quality[None])[0]
    at = np.linspace(curve[0][0], curve[0][-1], 57)
    assert slopes == pytest.approx(theirs(curve[0], 1), abs=1e-9)
    assert pchip_values(*(curve[0], quality), at) == pytest.approx(theirs(at), abs=1e-9)


def test_the_classic_polynomial_is_fitted_to_ln_rate_over_quality():
    # Rates that are exactly a cubic in quality, so that the integral is known in closed form.
    quality = np.array([28.0, 30, 32, 35, 38])
    offset = 0.003 * (quality - 33) ** 3
    anchor, test = np.exp(0.2 * quality - 6), np.exp(0.2 * quality - 6 + offset)
    mean = 0.003 * (5**4 - 5**4) / 4 / 10
    assert bd_rate(anchor, quality, test, quality, "cubic").value == pytest.approx(100 * math.expm1(mean), abs=1e-9)
    narrow = slice(0, 4)  # 28 .. 35 dB only: the mean of the cubic there is (2^4 - 5^4) / 4 * 0.003 / 7
    mean = 0.003 * (2**4 - 5**4) / 4 / 7
    found = bd_rate(anchor, quality, test[narrow], quality[narrow], "cubic")
    assert found.value == pytest.approx(100 * math.expm1(mean), abs=1e-9)


# Laws


@UNTIMED
@given(curves(), st.sampled_from(METHODS))
def test_a_curve_against_itself_is_0(curve, method):
    for bd in (bd_rate(*curve, *curve, method), bd_quality(*curve, *curve, method)):
        assert bd.value == 0 or (method, bd.value, bd.reason) == ("cubic", None, "not_monotone")


@UNTIMED
@given(curves(), st.floats(0.2, 5), st.sampled_from(METHODS))
def test_a_factor_k_on_all_rates_is_exactly_k_minus_1(curve, factor, method):
    found = bd_rate(*curve, curve[0] * factor, curve[1], method)
    assume(found.reason != "not_monotone")
    assert found.value == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert found.overlap == 1


@UNTIMED
@given(curves(), curves(), st.sampled_from(METHODS))
def test_swapping_the_curves_inverts_the_ratio_of_rates(first, second, method):
    there, back = bd_rate(*first, *second, method), bd_rate(*second, *first, method)
    assert (there.value is None) == (back.value is None)
    if there.value is not None:
        assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1, abs=1e-9)
        forth, behind = bd_quality(*first, *second, method), bd_quality(*second, *first, method)
        if forth.value is not None:
            assert forth.value == pytest.approx(-behind.value, abs=1e-9)


@UNTIMED
@given(curves(), curves(), st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_the_order_of_points_and_repeated_points_change_nothing(first, second, method, random):
    order = list(range(len(second[0])))
    random.shuffle(order)
    order += order[:1]
    plain = bd_rate(*first, *second, method)
    shuffled = bd_rate(*first, second[0][order], second[1][order], method)
    assert shuffled.value == plain.value
    assert shuffled.repeated == 1
    assert shuffled.repaired == plain.repaired == 0


@UNTIMED
@given(curves(), curves(), st.floats(-20, 20), st.sampled_from(METHODS))
def test_a_shift_of_the_metric_and_another_unit_of_rate_change_nothing(first, second, shift, method):
    plain = bd_rate(*first, *second, method)
    assume(plain.value is not None)
    moved = bd_rate(first[0] * 1000, first[1] + shift, second[0] * 1000, second[1] + shift, method)
    assume(moved.value is not None)  # at an overlap of exactly one half rounding decides
    assert moved.value == pytest.approx(plain.value, rel=1e-6, abs=1e-6)


@UNTIMED
@given(curves(), st.floats(0.1, 3), st.sampled_from(METHODS))
def test_a_shift_of_one_codecs_quality_is_its_bd_quality(curve, shift, method):
    found = bd_quality(*curve, curve[0], curve[1] + shift, method)
    assume(found.reason != "not_monotone")
    assert found.value == pytest.approx(shift, abs=1e-6)


@UNTIMED
@given(curves())
def test_bd_rate_is_the_mean_of_the_gain_curve_in_logarithms(curve):
    other = curve[0] * np.linspace(0.7, 1.2, len(curve[0])), curve[1] + 0.05
    found = bd_rate(*curve, *other)
    assume(found.value is not None)
    quality, percent = gain_curve(*curve, *other, samples=4001)
    assert (quality[0], quality[-1]) == pytest.approx((found.low, found.high))
    gap = np.log1p(percent / 100)
    assert 100 * math.expm1((gap[1:] + gap[:-1]).mean() / 2) == pytest.approx(found.value, abs=1e-3)


# Ranges: nothing is extrapolated, little overlap gives no value


@pytest.mark.parametrize("method", METHODS)
def test_only_the_common_range_counts(method):
    quality = np.arange(26.0, 42.0)
    anchor = np.exp(0.15 * quality)
    upper = quality >= 32
    found = bd_rate(anchor, quality, 0.8 * anchor[upper], quality[upper], method)
    assert (found.low, found.high) == (32, 41)
    assert found.value == pytest.approx(-20, abs=1e-3)
    # What the anchor does far below the common range is of no consequence; of PCHIP and Akima at least.
    if method != "cubic":
        bent = np.where(quality < 28, anchor * 0.9, anchor)
        assert bd_rate(bent, quality, 0.8 * anchor[upper], quality[upper], method).value == found.value


def test_the_overlap_is_the_common_range_over_the_shorter_one():
    bpp = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
    anchor = np.array([26.0, 28, 30, 32, 36])
    assert bd_rate(bpp, anchor, bpp, anchor + 2).overlap == pytest.approx(0.8)
    assert bd_rate(bpp, anchor, bpp[:2], np.array([35.0, 37])).overlap == pytest.approx(0.5)
    assert bd_rate(bpp, anchor, bpp[1:4], np.array([27.0, 29, 31])).overlap == 1


@pytest.mark.parametrize(
    ("shift", "note", "reason"),
    [(2.0, "", ""), (2.6, "amber", ""), (5.0, "amber", ""), (5.1, "withheld", "overlap_under_half")]
    + [(10.0, "withheld", "no_overlap"), (15.0, "withheld", "no_overlap")],
)
def test_little_overlap_is_marked_and_less_than_half_withheld(shift, note, reason):
    bpp, quality = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2]), np.array([26.0, 28, 30, 32, 34, 36])
    found = bd_rate(bpp, quality, bpp, quality + shift)
    assert found.overlap_note == note
    assert found.reason == reason
    assert (found.value is None) == bool(reason)
    assert found.overlap == pytest.approx(max(10 - shift, 0) / 10)


def test_the_limits_of_the_overlap_note():
    assert [overlap_note(overlap) for overlap in (1, 0.75, 0.7499, 0.5, 0.4999, 0, None)] == [
        "", "", "amber", "amber", "withheld", "withheld", "withheld",
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "fewest"), [("pchip", 2), ("akima", 2), ("cubic", 4)])
def test_too_few_points_have_a_reason(method, fewest):
    bpp, quality = 0.1 * 1.5 ** np.arange(8), np.arange(30.0, 38.0)
    few = bd_rate(bpp, quality, bpp[: fewest - 1], quality[: fewest - 1], method)
    assert (few.value, few.reason, few.overlap) == (None, "too_few_points", None)
    assert bd_rate(bpp, quality, bpp[:fewest], quality[:fewest], method).value == pytest.approx(0, abs=1e-9)
    assert bd_rate([], [], bpp, quality, method).reason == "too_few_points"


@pytest.mark.parametrize("count", [2, 3, 4, 5, 19])
def test_akima_has_the_slopes_of_scipy(count):
    from scipy.interpolate import Akima1DInterpolator

    rng = np.random.default_rng(count)
    x, y = np.cumsum(rng.uniform(0.1, 2, (20, count)), axis=1), np.cumsum(rng.uniform(-0.5, 2, (20, count)), axis=1)
    y[::2, count // 2 :] = y[::2, count // 2, None]  # a level part, where Akima's weights are 0 / 0
    y[1] = 3 * x[1]
    for slopes, row, values in zip(akima_slopes(x, y), x, y, strict=True):
        assert slopes == pytest.approx(Akima1DInterpolator(row, values).derivative()(row), rel=1e-9, abs=1e-9)


def test_the_cubic_is_the_least_squares_polynomial():
    rng = np.random.default_rng(7)
    x, y = np.cumsum(rng.uniform(0.1, 2, (20, 9)), axis=1), np.cumsum(rng.uniform(0.1, 2, (20, 9)), axis=1)
    low, high = x[:, 0] + 0.3, x[:, -1] - 0.4
    for found, *curve, a, b in zip(integral(x, y, low, high, "cubic"), x, y, low, high, strict=True):
        primitive = np.polynomial.Polynomial.fit(*curve, 3).integ()
        assert found == pytest.approx(primitive(b) - primitive(a), rel=1e-11)


SATURATING = ([1, 2, 3, 4], [90, 99, 99.8, 99.95]), ([1.02, 2, 3, 4], [90.5, 99.2, 99.9, 99.97])


def test_a_polynomial_that_falls_between_rising_points_gives_no_value():
    anchor, curve = SATURATING  # its polynomial of ln(rate) over quality falls to -30: the mean would be 8.5e9 %
    found = bd_rate(*anchor, *curve, "cubic")
    assert (found.value, found.reason) == (None, "not_monotone")
    assert found.overlap == pytest.approx((99.95 - 90.5) / (99.97 - 90.5))
    assert bd_rate(*anchor, *curve, "pchip").value == pytest.approx(-2.104, abs=1e-3)
    swapped = bd_quality(np.exp(anchor[1]), np.log(anchor[0]), np.exp(curve[1]), np.log(curve[0]), "cubic")
    assert (swapped.value, swapped.reason) == (None, "not_monotone")  # the same polynomials, as quality over ln(rate)


def test_a_polynomial_that_turns_outside_the_common_range_keeps_its_value():
    quality = np.array([28.0, 30, 32, 34, 36, 38])
    log_rate = (quality - 36) ** 3 / 100 - 0.12 * (quality - 36)  # falls between 34 and 38 only
    anchor = np.exp([-4.0, -3, -2.5, -2]), np.array([28.0, 30, 31, 32])
    kept = Curve(log_rate, quality, 0, 0, 0)
    assert not cubic_turns(kept.quality[None], kept.log_rate[None], np.array([28.0]), np.array([33.9]))[0]
    assert cubic_turns(kept.quality[None], kept.log_rate[None], np.array([28.0]), np.array([34.5]))[0]
    assert bd_rate(*anchor, np.exp(log_rate[:4]), quality[:4], "cubic").reason == ""


def test_the_mean_over_images_leaves_out_a_polynomial_that_turns_and_counts_it():
    frame = make_records({"a": 1.0, "b": 1.1}, images=3)
    worst = (frame.image == frame.image.iloc[0]) & (frame.codec == "b")
    frame.loc[worst, "psnr_rgb_db"] = frame.psnr_rgb_db.min() + np.array([0, 9, 9.8, 9.95, 9.97])
    row = row_of(compare(frame, "a", ["b"], "psnr_rgb_db", "set"), "per_image", "cubic")
    assert (row.n_images, row.n_images_without_value, row.overlap_note) == (2, 1, "amber")
    assert abs(row.bd_rate_percent) < 100


def test_a_beaten_point_is_repaired_and_counted():
    bpp, quality = [0.2, 0.4, 0.6, 0.8, 1.0], [30.0, 32, 31.5, 34, 35]
    clean = bd_rate(bpp, [30, 32, 33, 34, 35], [0.2, 0.4, 0.8, 1.0], [30, 32, 34, 35])
    found = bd_rate(bpp, [30, 32, 33, 34, 35], bpp, quality)
    assert (clean.repaired, found.repaired) == (0, 1)
    assert found.value == clean.value


def test_of_equal_rates_the_better_and_of_equal_qualities_the_cheaper_point_stays():
    anchor = [0.2, 0.5, 1.0, 2.0], [30.0, 33, 36, 39]
    found = bd_rate(*anchor, [0.2, 0.5, 0.5, 1.0, 1.5, 2.0], [30.0, 32.9, 33, 36, 36, 39])
    assert found.repaired == 2
    assert found.value == 0


def test_points_without_a_number_are_left_out_and_counted():
    anchor = [0.2, 0.5, 1.0, 2.0], [30.0, 33, 36, 39]
    found = bd_rate(*anchor, [0.2, 0.5, 1.0, 2.0, 9.0, 0.0, 1.5], [30.0, 33, 36, 39, math.inf, 20, math.nan])
    assert (found.value, found.left_out, found.repaired) == (0, 3, 0)


def test_wrong_input_is_named():
    with pytest.raises(UsageError, match="one quality per rate"):
        bd_rate([1, 2], [30], [1, 2], [30, 31])
    with pytest.raises(UsageError, match="no BD method 'spline'"):
        bd_rate([1, 2], [30, 31], [1, 2], [30, 31], "spline")


def test_the_gain_curve_shows_where_the_rate_is_saved():
    quality = np.arange(28.0, 41.0)
    bpp = np.exp(0.15 * quality - 5)
    grid, percent = gain_curve(bpp, quality, np.where(quality < 34, 0.9, 1.2) * bpp, quality)
    assert (grid[0], grid[-1], len(grid)) == (28, 40, 101)
    assert percent[grid <= 32] == pytest.approx(-10, abs=1e-9)
    assert percent[grid >= 35] == pytest.approx(20, abs=1e-9)
    assert gain_curve(bpp, quality, bpp, quality + 20)[0].size == 0
    assert gain_curve(bpp, quality, bpp[:1], quality[:1])[1].size == 0


# Many curves at once


def test_a_batch_equals_single_bd_rates_also_where_curves_need_repair():
    rng = np.random.default_rng(3)
    shape = (300, 8)
    anchor, test = ((0.1 * 1.5 ** np.arange(8) * rng.uniform(0.7, 1.4, shape)) for _ in range(2))
    qualities = [26 + 2 * np.arange(8) + rng.normal(0, 1.2, shape) + rng.uniform(0, 14, (300, 1)) for _ in range(2)]
    qualities[1][rng.random(shape) < 0.05] = math.inf
    found = bd_rates(anchor, qualities[0], test, qualities[1])
    single = [bd_rate(*row) for row in zip(anchor, qualities[0], test, qualities[1], strict=True)]
    expected = [math.nan if bd.value is None else bd.value for bd in single]
    assert sum(bd.repaired > 0 for bd in single) > 50
    assert 20 < np.isnan(expected).sum() < 250
    assert found == pytest.approx(np.array(expected), rel=1e-9, nan_ok=True)


def test_a_draw_has_as_many_images_as_the_set_and_the_seed_decides_it():
    counts = bootstrap.image_counts(7, 500, seed=1)
    assert counts.shape == (500, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.2)
    assert np.array_equal(counts, bootstrap.image_counts(7, 500, seed=1))
    assert not np.array_equal(counts, bootstrap.image_counts(7, 500, seed=2))


def test_the_interval_is_between_percentiles_and_none_where_draws_lack_a_value():
    values = np.arange(1001.0)
    assert bootstrap.interval(values) == pytest.approx((25, 975))
    assert bootstrap.interval(np.where(values < 40, math.nan, values))[0] is not None
    assert bootstrap.interval(np.where(values < 60, math.nan, values)) == (None, None)


# Records


def make_records(factors: dict[str, float], images: int = 6, points: int = 5, spread: float = 0.1, **changes):
    """Records of codecs that differ by a factor on the rate, with a spread between images; ``changes`` fill columns."""
    rows = []
    for number, (codec, factor) in enumerate(factors.items()):
        rng = np.random.default_rng(number)
        own = np.exp(rng.normal(0, spread, images))
        for image in range(images):
            for point in range(points):
                quality = 28 + 2.5 * point + 0.5 * image
                rows.append(
                    {
                        "dataset": "set", "image": f"i{image}", "codec": codec, "point": f"q{point}", "status": "ok",
                        "point_index": point, "bpp": factor * own[image] * (1 + image) * 2 ** ((quality - 34) / 5),
                        "psnr_rgb_db": quality, "ms_ssim": 1 - 10 ** (-quality / 20), "ms_ssim_db": quality / 2,
                        "saturated": False, **changes,
                    }
                )  # fmt: skip
    return records.table(rows)


def row_of(table: pd.DataFrame, averaging: str, method: str = "pchip") -> pd.Series:
    return table[(table.averaging == averaging) & (table.method == method)].iloc[0]


def test_the_averaged_curve_is_the_mean_over_images_at_each_point():
    frame = make_records({"a": 1.0})
    curve = averaged_curve(frame, "set", "a", "psnr_rgb_db")
    assert list(curve.columns) == ["point", "point_index", "bpp", "value", "n_images", "n_identical", "worst"]
    means = frame.groupby("point_index")[["bpp", "psnr_rgb_db"]].mean()
    assert curve.bpp.to_numpy() == pytest.approx(means.bpp.to_numpy())
    assert curve.value.to_numpy() == pytest.approx(means.psnr_rgb_db.to_numpy())
    assert (curve.n_images == 6).all()
    assert list(curve.point) == [f"q{point}" for point in range(5)]


def test_a_point_that_one_image_did_not_reach_is_in_no_averaged_curve_but_in_the_images_own():
    frame = make_records({"a": 1.0})
    frame.loc[(frame.image == "i2") & (frame.point_index == 4), "saturated"] = True
    assert list(averaged_curve(frame, "set", "a", "psnr_rgb_db").point_index) == [0, 1, 2, 3]
    table = curve_table(frame, "set", "a", "psnr_rgb_db")
    row = table.images.index("i2")
    assert len(table.image_curve(row)[0]) == len(table.points) == 5
    assert list(table.saturated[row]) == [False] * 4 + [True]


def test_an_identical_image_is_left_out_of_rate_and_value_at_its_point_and_counted():
    frame = make_records({"a": 1.0})
    cell = (frame.image == "i2") & (frame.point_index == 4)
    frame.loc[cell, "psnr_rgb_db"] = math.inf
    last = averaged_curve(frame, "set", "a", "psnr_rgb_db").iloc[4]
    others = frame[(frame.point_index == 4) & ~cell]
    assert (last.n_images, last.n_identical) == (5, 1)
    assert last.value == pytest.approx(others.psnr_rgb_db.mean())
    assert last.bpp == pytest.approx(others.bpp.mean())


def test_a_lossless_codec_stays_infinite_at_its_mean_rate():
    frame = make_records({"a": 1.0}, points=1, psnr_rgb_db=math.inf)
    curve = averaged_curve(frame, "set", "a", "psnr_rgb_db")
    assert (curve.value[0], curve.n_images[0], curve.n_identical[0]) == (math.inf, 0, 6)
    assert curve.bpp[0] == pytest.approx(frame.bpp.mean())


def test_an_image_with_a_failed_point_is_in_no_mean():
    frame = make_records({"a": 1.0})
    frame.loc[(frame.image == "i3") & (frame.point_index == 0), ["status", "bpp", "psnr_rgb_db"]] = [
        "failed",
        None,
        None,
    ]
    curve = averaged_curve(frame, "set", "a", "psnr_rgb_db")
    assert list(curve.n_images) == [5] * 5
    rest = frame[(frame.image != "i3") & (frame.point_index == 2)]
    assert curve.value[2] == pytest.approx(rest.psnr_rgb_db.mean())
    assert "i3" not in curve_table(frame, "set", "a", "psnr_rgb_db").images


def test_the_two_averages_of_ms_ssim_in_db_are_told_apart():
    frame = make_records({"a": 1.0})
    of_each = averaged_curve(frame, "set", "a", "ms_ssim_db").value.to_numpy()
    of_mean = averaged_curve(frame, "set", "a", DB_OF_MEAN).value.to_numpy()
    linear = frame.groupby("point_index").ms_ssim.mean().to_numpy()
    assert of_mean == pytest.approx(-10 * np.log10(1 - linear))
    assert of_each == pytest.approx(frame.groupby("point_index").ms_ssim_db.mean().to_numpy())
    assert (of_mean < of_each).all()
    own, same = (curve_table(frame, "set", "a", metric) for metric in (DB_OF_MEAN, "ms_ssim_db"))
    assert own.image_curve(1)[1] == pytest.approx(same.image_curve(1)[1])


def test_nothing_measured_is_an_empty_curve_and_an_unknown_metric_an_error():
    frame = make_records({"a": 1.0}, status="skipped", bpp=None)
    assert averaged_curve(frame, "set", "a", "psnr_rgb_db").empty
    assert averaged_curve(frame, "set", "nobody", "psnr_rgb_db").empty
    assert not curve_table(frame, "elsewhere", "a", "psnr_rgb_db").images
    with pytest.raises(UsageError, match="no curve of metric 'psnr'"):
        averaged_curve(frame, "set", "a", "psnr")


@pytest.mark.parametrize("metric", ["psnr_rgb_db", "ms_ssim_db", DB_OF_MEAN])
def test_a_constant_factor_on_the_rate_is_the_bd_rate_in_both_averagings(metric):
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0)
    table = compare(frame, "anchor", ["codec"], metric, "set", draws=500)
    assert list(table.columns) == COLUMNS
    assert len(table) == len(AVERAGINGS) * len(METHODS)
    assert table.bd_rate_percent.to_numpy(float) == pytest.approx(-20, abs=1e-9)
    assert (table.n_images == 6).all()
    assert set(table.overlap_note) == {""}
    assert (table.bd_quality > 0).all()
    with_interval = table.dropna(subset=["ci_low"])
    assert set(with_interval.averaging) == set(AVERAGINGS)
    # Every image gains the same, so no draw differs.
    assert with_interval[["ci_low", "ci_high"]].to_numpy(float) == pytest.approx(-20, abs=1e-9)


def test_per_image_is_the_mean_of_the_images_and_averaged_curve_the_bd_of_the_mean():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0.3)
    table = compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=100)

    def points(codec, image):
        rows = frame[(frame.codec == codec) & (frame.image == image)]
        return rows.bpp.to_numpy(), rows.psnr_rgb_db.to_numpy()

    singles = [bd_rate(*points("anchor", f"i{image}"), *points("codec", f"i{image}")).value for image in range(6)]
    assert row_of(table, "per_image").bd_rate_percent == pytest.approx(np.mean(singles))
    means = frame.groupby(["codec", "point_index"])[["bpp", "psnr_rgb_db"]].mean()
    expected = bd_rate(*means.loc["anchor"].to_numpy().T, *means.loc["codec"].to_numpy().T).value
    assert row_of(table, "averaged_curve").bd_rate_percent == pytest.approx(expected)
    assert abs(expected - np.mean(singles)) > 0.5


def test_the_intervals_are_those_of_a_bootstrap_done_by_hand():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0.3)
    table = compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=200, seed=5)
    anchor, codec = (curve_table(frame, "set", name, "psnr_rgb_db") for name in ("anchor", "codec"))
    singles = np.array([bd_rate(*anchor.image_curve(i), *codec.image_curve(i)).value for i in range(6)])
    per_image, averaged = [], []
    for counts in bootstrap.image_counts(6, 200, seed=5):
        drawn = np.repeat(np.arange(6), counts)
        per_image.append(singles[drawn].mean())
        means = [table.mean(axis=0) for c in (anchor, codec) for table in (c.bpp[drawn], c.value[drawn])]
        averaged.append(bd_rate(*means).value)
    for averaging, values in (("per_image", per_image), ("averaged_curve", averaged)):
        row = row_of(table, averaging)
        assert (row.ci_low, row.ci_high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
        assert row.ci_low < row.bd_rate_percent < row.ci_high


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 2), st.floats(0.01, 0.4), st.integers(4, 20))
def test_the_interval_contains_the_estimate_and_lies_within_the_images_extremes(factor, spread, images):
    frame = make_records({"anchor": 1.0, "codec": factor}, images=images, spread=spread)
    table = compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=300)
    for averaging in AVERAGINGS:
        row = row_of(table, averaging)
        assert row.ci_low <= row.bd_rate_percent <= row.ci_high


def test_the_same_seed_gives_the_same_table():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0.3)
    first, second = (compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=300) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_pairing_cancels_what_images_have_in_common():
    # The images' rates differ by a factor of six; both codecs share that, so the interval is far narrower.
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0.01)
    row = row_of(compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=1000), "averaged_curve")
    assert 0 < row.ci_high - row.ci_low < 3


def test_one_image_has_a_value_but_no_interval():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, images=1)
    table = compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=100)
    assert table.bd_rate_percent.notna().all()
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)


def test_a_codec_that_failed_on_an_image_is_compared_on_the_common_ones():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0.3)
    failed = frame.copy()
    failed.loc[(failed.codec == "codec") & (failed.image == "i1"), ["status", "bpp"]] = ["failed", None]
    found = compare(failed, "anchor", ["codec"], "psnr_rgb_db", "set", draws=100)
    without = compare(frame[frame.image != "i1"], "anchor", ["codec"], "psnr_rgb_db", "set", draws=100)
    assert (found.n_images == 5).all()
    pd.testing.assert_frame_equal(found, without)


@pytest.mark.parametrize(
    ("anchor", "codec", "reason"), [("anchor", "gone", "codec_missing"), ("gone", "anchor", "anchor_missing")]
)
def test_a_codec_or_anchor_that_was_not_measured_is_rows_with_the_reason(anchor, codec, reason):
    table = compare(make_records({"anchor": 1.0}), anchor, [codec], "psnr_rgb_db", "set")
    assert len(table) == 6
    assert set(table.reason) == set(table.bd_quality_reason) == {reason}
    assert table[["bd_rate_percent", "bd_quality", "ci_low"]].isna().all(axis=None)
    assert all(table[name].dtype == float for name in ("bd_rate_percent", "ci_low", "bd_quality", "overlap"))


def test_codecs_without_a_common_image_have_that_reason():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, images=4)
    odd = frame.image.isin(["i1", "i3"])
    frame = frame[odd == (frame.codec == "anchor")]
    table = compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set")
    assert set(table.reason) == {"no_common_images"}


def test_a_codec_of_one_point_has_too_few_points_and_does_not_stop_the_others():
    frame = make_records({"anchor": 1.0, "codec": 0.8, "grey": 1.0})
    frame = frame[(frame.codec != "grey") | (frame.point_index == 0)]
    table = compare(frame, "anchor", ["grey", "codec"], "psnr_rgb_db", "set", draws=50)
    assert set(table[table.codec == "grey"].reason) == {"too_few_points"}
    assert table[table.codec == "codec"].bd_rate_percent.notna().all()


def test_images_without_a_value_of_their_own_are_counted_and_mark_the_mean():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0)
    far = (frame.codec == "codec") & frame.image.isin(["i0", "i1"])
    frame.loc[far, "psnr_rgb_db"] += 40
    row = row_of(compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=50), "per_image")
    assert (row.n_images, row.n_images_without_value, row.overlap_note) == (4, 2, "amber")
    assert row.bd_rate_percent == pytest.approx(-20)
    most = (frame.codec == "codec") & frame.image.isin(["i2", "i3"])
    frame.loc[most, "psnr_rgb_db"] += 7  # overlap under a half: another reason than that of the first two
    row = row_of(compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=50), "per_image")
    assert math.isnan(row.bd_rate_percent)
    assert row.reason == "most_images_without_value"
    assert row.overlap_note == "withheld"


def test_repaired_points_are_shown_in_the_table():
    frame = make_records({"anchor": 1.0, "codec": 0.8}, spread=0)
    frame.loc[(frame.codec == "codec") & (frame.image == "i0") & (frame.point_index == 3), "psnr_rgb_db"] -= 4
    table = compare(frame, "anchor", ["codec"], "psnr_rgb_db", "set", draws=50)
    assert row_of(table, "per_image").repaired_points == 1
    assert row_of(table, "averaged_curve").repaired_points == 0
