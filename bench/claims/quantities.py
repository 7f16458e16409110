"""The quantities that claims.yaml compares with numbers, each with its 95 % interval over images.

An interval is a percentile interval of the paired bootstrap of :mod:`bench.rd.bootstrap`. A quantity with ``draws``
can be calculated with: all of one dataset come from the same resamples of its images. A BD-rate cannot, its interval
is that of :mod:`bench.rd.bd_table`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from bench.claims.evidence import Evidence
from bench.errors import Missing, UsageError
from bench.rd import bd_table, bootstrap
from bench.rd.bjontegaard import bd_quality, quality_gains
from bench.rd.curves import CURVE_METRICS, CurveTable

PARTS = {"all": (0, 3), "low": (0, 1), "middle": (1, 2), "high": (2, 3)}  # thirds of the common range of ln(bpp)
WIDE_GAP = 1 / 3  # of the common range: from here on the interpolation decides what lies between two points
SAMPLES = 102  # of a gain curve, a multiple of three
RATIO = "ratio"
_REASONS = {
    "too_few_points": "too few points on a curve",
    "no_overlap": "the two curves do not meet",
    "overlap_under_half": "the two curves share less than half of the shorter one's range",
    "not_monotone": "the fitted polynomial falls inside the common range",
    "most_images_without_value": "most images have no value of their own",
    "no_common_images": "the two codecs have no fully measured image in common",
}


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number in ``unit``. interval: None where there is none (a single image), the number itself twice if exact.

    draws: float64 (bootstrap.DRAWS,), one value a resample of the images; None: this cannot be calculated with. images:
    those it is a mean over, none for an exact number. names: the curves and studies it rests on. spread: of a BD-rate,
    by how much the interpolation methods differ; note: what a reader should know of the number, or "".
    """

    value: float
    unit: str
    interval: tuple[float, float] | None
    draws: np.ndarray | None = None
    images: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    spread: float = 0.0
    note: str = ""

    @classmethod
    def constant(cls, value: float, unit: str = "", names: tuple[str, ...] = ()) -> Quantity:
        """An exact number: the same for every image."""
        return cls(value, unit, (value, value), np.full(bootstrap.DRAWS, value), (), names)

    @classmethod
    def drawn(
        cls, value: float, unit: str, draws: np.ndarray, images: tuple[str, ...], names: tuple[str, ...]
    ) -> Quantity:
        """A mean over images. Raises Missing for one that is not finite."""
        if not np.isfinite(value):
            raise Missing(f"what was measured of {' and '.join(names)} is not a finite number")
        low, high = bootstrap.interval(draws) if len(images) != 1 else (None, None)
        return cls(value, unit, None if low is None or high is None else (low, high), draws, images, names)


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def combine(symbol: str, left: Quantity, right: Quantity) -> Quantity:
    """``left`` + - * / ``right``, resample by resample.

    Raises UsageError for units that do not go together or a quantity without draws, Missing for one of other images.
    """
    if left.draws is None or right.draws is None:
        raise UsageError("a BD-rate cannot be used in a calculation")
    if left.images and right.images and left.images != right.images:
        raise Missing(f"{' and '.join(dict.fromkeys(left.names + right.names))} were not measured on the same images")
    unit = _unit(symbol, left, right)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(_OPERATIONS[symbol](np.float64(left.value), np.float64(right.value)))
        draws = _OPERATIONS[symbol](left.draws, right.draws)
    return Quantity.drawn(
        value, unit, draws, left.images or right.images, tuple(dict.fromkeys(left.names + right.names))
    )


def _unit(symbol: str, left: Quantity, right: Quantity) -> str:
    plain = {left.unit, right.unit} & {"", RATIO}
    if symbol == "/" and left.unit == right.unit:
        return RATIO
    if left.unit == right.unit and symbol in "+-":
        return left.unit
    if not plain or (symbol == "/" and right.unit not in ("", RATIO)):
        raise UsageError(f"{left.unit or 'a plain number'} {symbol} {right.unit or 'a plain number'} has no meaning")
    return next((unit for unit in (left.unit, right.unit) if unit not in ("", RATIO)), RATIO)


def bd_rate(
    data: Evidence, codec: str, anchor: str, metric: str = "psnr_rgb_db", averaging: str = "per_image"
) -> Quantity:
    """BD-rate in percent, PCHIP; of or against a published curve that of averaged curves, which is all it has."""
    if data.is_published(anchor) or data.is_published(codec):
        return _bd_rate_published(data, codec, anchor, metric)
    images = _pair(data, codec, anchor, metric)[0].images
    table = bd_table.compare(data.frame(codec, anchor), anchor, [codec], metric, data.dataset)
    rows = table[table.averaging == averaging].set_index("method")
    row = rows.loc["pchip"]
    if row.reason:
        raise Missing(f"no BD-rate of {codec} against {anchor}: {_REASONS.get(row.reason, row.reason)}")
    interval = None if np.isnan(row.ci_low) else (float(row.ci_low), float(row.ci_high))
    values = {method: float(value) for method, value in rows.bd_rate_percent.items() if not np.isnan(value)}
    gap = _widest_gap(*(table.averaged() for table in _pair(data, codec, anchor, metric)))
    about = _interpolation(values, gap)
    return Quantity(float(row.bd_rate_percent), "%", interval, None, images, (codec, anchor), *about)


def _interpolation(values: dict[str, float], gap: float) -> tuple[float, str]:
    """(by how much the methods' BD-rates differ, a note where the points lie too far apart to tell).

    gap: the widest step in quality between neighbouring points, as a part of the common range.
    """
    spread = max(values.values()) - min(values.values())
    if gap <= WIDE_GAP:
        return spread, ""
    numbers = ", ".join(f"{method} {value:.1f}" for method, value in values.items())
    return spread, f"interpolation-dependent: neighbouring points are {100 * gap:.0f} % of the range apart; {numbers} %"


def _widest_gap(*curves: tuple[np.ndarray, np.ndarray]) -> float:
    """The widest step in quality between neighbouring points within the common range, as a part of that range."""
    qualities = [np.sort(np.ravel(quality)) for _, quality in curves]
    low, high = max(each[0] for each in qualities), min(each[-1] for each in qualities)
    if not high > low:
        return 0.0
    inside = (np.clip(each, low, high) for each in qualities)
    return float(max(np.diff(each).max(initial=0.0) for each in inside) / (high - low))


def _bd_rate_published(data: Evidence, codec: str, anchor: str, metric: str) -> Quantity:
    (ours, images), (theirs, others) = (_averaged(data, name, metric) for name in (codec, anchor))
    result = bd_table.bd_rate(*theirs, *ours)
    if result.value is None:
        raise Missing(f"no BD-rate of {codec} against {anchor}: {_REASONS.get(result.reason, result.reason)}")
    found = {method: bd_table.bd_rate(*theirs, *ours, method).value for method in bd_table.METHODS}
    values = {method: value for method, value in found.items() if value is not None}
    about = _interpolation(values, _widest_gap(theirs, ours))
    exact = (result.value, result.value)  # both are means over the same images: resampling one side means nothing
    return Quantity(result.value, "%", exact, None, images or others, (codec, anchor), *about)


def _averaged(data: Evidence, name: str, metric: str) -> tuple[tuple[np.ndarray, np.ndarray], tuple[str, ...]]:
    """Rate and quality of a published curve, or of the mean over a measured one's images, and those images."""
    if data.is_published(name):
        curve = data.published(name, metric)
        return (curve.bpp.to_numpy(float), curve.value.to_numpy(float)), ()
    table = data.table(name, metric)
    return table.averaged(), table.images


def mean_gain(data: Evidence, codec: str, anchor: str, metric: str = "psnr_rgb_db", part: str = "all") -> Quantity:
    """Mean difference in quality at equal rate of the averaged curves, over the rates of ``part`` that both reach."""
    return _gain(data, codec, anchor, metric, part, np.mean)


def least_gain(data: Evidence, codec: str, anchor: str, metric: str = "psnr_rgb_db", part: str = "all") -> Quantity:
    """The least difference in quality at equal rate of the averaged curves: above zero, better at every rate."""
    return _gain(data, codec, anchor, metric, part, np.min)


def _gain(data: Evidence, codec: str, anchor: str, metric: str, part: str, reduce: Callable[..., Any]) -> Quantity:
    key = ("gain", codec, anchor, metric)
    if key not in data.kept:
        ours, theirs = _pair(data, codec, anchor, metric)
        if reason := bd_quality(*theirs.averaged(), *ours.averaged()).reason:
            raise Missing(f"no gain of {codec} over {anchor}: {_REASONS.get(reason, reason)}")
        once, drawn = np.ones((1, len(ours.images))), bootstrap.image_counts(len(ours.images))
        gains = [quality_gains(*theirs.averaged(counts), *ours.averaged(counts), SAMPLES) for counts in (once, drawn)]
        data.kept[key] = ours.images, *gains
    images, gain, draws = data.kept[key]
    third = slice(*(end * SAMPLES // 3 for end in PARTS[part]))
    value = float(reduce(gain[0, third]))
    return Quantity.drawn(value, _unit_of(metric), reduce(draws[:, third], axis=1), images, (codec, anchor))


def at_point(data: Evidence, codec: str, column: str, number: int) -> Quantity:
    """Mean over images of ``bpp`` or a metric at an operating point: 0 has the lowest rate, -1 the highest."""
    table, values = _column(data, codec, column)
    _require_point(table, codec, number)
    return _mean(values[:, number], _unit_of(column), table.images, (codec,))


def total(data: Evidence, codec: str, column: str = "bpp") -> Quantity:
    """Mean over images of the sum over all operating points: what a copy for each of them takes."""
    table, values = _column(data, codec, column)
    return _mean(values.sum(axis=1), _unit_of(column), table.images, (codec,))


def loss(data: Evidence, codec: str, rate_weight: float, number: int | None = None) -> Quantity:
    """Mean over images of bpp + rate_weight 255^2 MSE (samples in 0..1): at an operating point, or the least that any
    rate within the codec's range gives on each image, on the PCHIP of PSNR over ln(bpp)."""
    table = data.table(codec, "psnr_rgb_db")
    rates, weight = table.bpp, rate_weight * 255**2
    if number is not None:
        _require_point(table, codec, number)
        values = rates[:, number] + weight * 10 ** (-table.value[:, number] / 10)
        return _mean(values, "", table.images, (codec,))
    least = []
    for image_rates, psnr in zip(rates, table.value, strict=True):
        different, first = np.unique(np.log(image_rates[np.isfinite(psnr)]), return_index=True)
        grid = np.linspace(different[0], different[-1], 400)
        curve = PchipInterpolator(different, psnr[np.isfinite(psnr)][first])(grid)
        least.append((np.exp(grid) + weight * 10 ** (-curve / 10)).min())
    return _mean(np.array(least), "", table.images, (codec,))


def least_step(data: Evidence, codec: str, column: str) -> Quantity:
    """The least change of a mean from one operating point to the next, in order of rate: above zero if it rises."""
    table, values = _column(data, codec, column)
    reached = values[:, ~table.saturated.any(axis=0)]
    if reached.shape[1] < 2:
        raise Missing(f"codec {codec} has {reached.shape[1]} points that every image reaches, two are needed")
    counts = bootstrap.image_counts(len(reached)) / len(reached)
    draws = np.diff(counts @ reached, axis=1).min(axis=1)
    value = float(np.diff(reached.mean(axis=0)).min())
    return Quantity.drawn(value, _unit_of(column), draws, table.images, (codec,))


def study_mean(data: Evidence, study: str, column: str, take: str = "mean", **filters: str | float) -> Quantity:
    """Mean over images of a study's column: of each image the mean, min, max or sum of the rows that match (see
    :meth:`Evidence.rows`)."""
    if take == "only":
        raise UsageError("study_mean takes the mean, min, max or sum of an image's rows; `only` is fact's")
    means = data.rows(study, column, filters).groupby("image")[column].agg(take)
    return _mean(means.to_numpy(float), _unit_of(column), tuple(means.index), (study,))


def fact(data: Evidence, study: str, column: str, take: str = "only", **filters: str | float) -> Quantity:
    """A number of a study that is the same for every image: the ``only`` row that matches, or their min, max, mean
    or sum."""
    rows = data.rows(study, column, filters)
    rows = rows[rows.image == rows.image.iloc[0]]
    if take == "only" and len(rows) > 1:
        raise UsageError(f"{len(rows)} rows of study {study} match; say which with take=min, max, mean or sum")
    value = rows[column].iloc[0] if take == "only" else rows[column].agg(take)
    return Quantity.constant(float(value), _unit_of(column), (study,))


def _pair(data: Evidence, codec: str, anchor: str, metric: str) -> tuple[CurveTable, CurveTable]:
    ours, theirs = data.table(codec, metric), data.table(anchor, metric)
    common = [image for image in theirs.images if image in ours.images]
    if not common:
        raise Missing(f"{codec} and {anchor} have no fully measured image in common")
    return ours.select(common), theirs.select(common)


def _require_point(table: CurveTable, codec: str, number: int) -> None:
    if not -len(table.points) <= number < len(table.points):
        raise Missing(f"codec {codec} has {len(table.points)} points, not one number {number}")


def _column(data: Evidence, codec: str, column: str) -> tuple[CurveTable, np.ndarray]:
    table = data.table(codec, "psnr_rgb_db" if column == "bpp" else column)
    return table, table.bpp if column == "bpp" else table.value


def _mean(values: np.ndarray, unit: str, images: tuple[str, ...], names: tuple[str, ...]) -> Quantity:
    draws = bootstrap.image_counts(len(values)) @ values / len(values)
    return Quantity.drawn(float(values.mean()), unit, draws, images, names)


def _unit_of(column: str) -> str:
    return column if column in ("bpp", "bytes", "ms") else "h" if column == "hours" else "dB" if "_db" in column else ""


FUNCTIONS: dict[str, Callable[..., Quantity]] = {
    function.__name__: function
    for function in (bd_rate, mean_gain, least_gain, at_point, total, loss, least_step, study_mean, fact)
}
CHOICES = {  # what an argument of that name may be
    "metric": set(CURVE_METRICS),
    "column": {"bpp", *CURVE_METRICS},
    "part": set(PARTS),
    "averaging": set(bd_table.AVERAGINGS),
    "take": {"only", "min", "max", "mean", "sum"},
}
FREE_COLUMNS = {"study_mean", "fact"}  # whose columns are those of the study
