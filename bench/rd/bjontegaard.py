"""BD-rate and BD-quality: the mean gap between two rate-distortion curves over their common range.

Source: Bjontegaard, VCEG-M33 (2001) for the idea and the cubic polynomial; PCHIP as in the JVET sheets; Akima as
Herglotz et al. recommend ("The Bjontegaard Bible", arXiv 2304.12852). Rates enter as logarithms. Nothing is ever
extrapolated.

A curve is first put in order: points without a finite quality or a positive rate are left out, the rest are sorted by
rate, and repeated points are dropped, as are points that another one dominates (no more rate, no less quality). The
latter, the Pareto repair, are counted.

Reason codes of a value that is None:

too_few_points        fewer than 2 points left (pchip, akima), or 4 (cubic)
no_overlap            the curves' ranges do not meet
overlap_under_half    they meet on less than half of the shorter range: withheld
not_monotone          the fitted polynomial of one of them falls inside the common range (cubic only)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.errors import UsageError
from bench.rd.interpolate import FEWEST_POINTS, cubic_turns, integral, pchip_values

METHODS = ("pchip", "cubic", "akima")
AMBER_OVERLAP = 0.75
LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class BD:
    """A BD value, or the reason code if there is none, and what it is based on.

    value is a percentage for BD-rate (negative: the second curve needs less rate) and in the metric's unit for
    BD-quality. low and high bound the integral, in the metric's unit or as ln(bpp). The counts are of both curves
    together: repaired points, repeated points, and points left out for an infinite or missing number.
    """

    value: float | None
    reason: str
    overlap: float | None
    low: float | None
    high: float | None
    repaired: int
    repeated: int
    left_out: int

    @property
    def overlap_note(self) -> str:
        """ "" | "amber" | "withheld"."""
        return overlap_note(self.overlap)


def overlap_note(overlap: float | None) -> str:
    """The mark of a value with this overlap: "" | "amber" (under 0.75) | "withheld" (under 0.5)."""
    if overlap is None or overlap < LEAST_OVERLAP:
        return "withheld"
    return "amber" if overlap < AMBER_OVERLAP else ""


Numbers = Sequence[float] | np.ndarray
Pair = tuple[np.ndarray, np.ndarray]


def bd_rate(anchor_bpp: Numbers, anchor_quality: Numbers, bpp: Numbers, quality: Numbers, method: str = "pchip") -> BD:
    """BD-rate in percent: the mean relative rate at equal quality, of the second curve against the anchor.

    Four sequences of numbers; each pair has one length, in any order. Higher quality is better (dB, a score).
    """
    anchor, curve = Curve.from_points(anchor_bpp, anchor_quality), Curve.from_points(bpp, quality)
    bd = _bd(anchor, curve, (anchor.quality, anchor.log_rate), (curve.quality, curve.log_rate), method)
    return bd if bd.value is None else replace(bd, value=100 * math.expm1(bd.value))


def bd_quality(
    anchor_bpp: Numbers, anchor_quality: Numbers, bpp: Numbers, quality: Numbers, method: str = "pchip"
) -> BD:
    """BD-quality (BD-PSNR if the quality is one): the mean gain in quality at equal rate against the anchor."""
    anchor, curve = Curve.from_points(anchor_bpp, anchor_quality), Curve.from_points(bpp, quality)
    return _bd(anchor, curve, (anchor.log_rate, anchor.quality), (curve.log_rate, curve.quality), method)


def gain_curve(
    anchor_bpp: Numbers, anchor_quality: Numbers, bpp: Numbers, quality: Numbers, samples: int = 101
) -> tuple[np.ndarray, np.ndarray]:
    """Relative rate difference in percent over the curves' common quality range: (quality, percent), PCHIP.

    Two arrays of ``samples`` numbers, empty if the ranges do not overlap. Its mean in ln(1 + percent / 100) is the
    BD-rate.
    """
    anchor, curve = Curve.from_points(anchor_bpp, anchor_quality), Curve.from_points(bpp, quality)
    if min(len(anchor.quality), len(curve.quality)) < 2:
        return np.empty(0), np.empty(0)
    low, high = max(anchor.quality[0], curve.quality[0]), min(anchor.quality[-1], curve.quality[-1])
    if high <= low:
        return np.empty(0), np.empty(0)
    grid = np.linspace(low, high, samples)
    gap = pchip_values(curve.quality, curve.log_rate, grid) - pchip_values(anchor.quality, anchor.log_rate, grid)
    return grid, 100 * np.expm1(gap)


def bd_rates(anchor_bpp: np.ndarray, anchor_quality: np.ndarray, bpp: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """BD-rates in percent (PCHIP) of B pairs of curves, anchors B x N, others B x M; NaN where bd_rate has no value."""
    values = np.full(len(bpp), np.nan)
    for rows, (a_rate, a_quality), (b_rate, b_quality) in _batches(anchor_bpp, anchor_quality, bpp, quality):
        mean, overlap, _, _ = _mean_gap((a_quality, a_rate), (b_quality, b_rate), "pchip")
        values[rows] = np.where(overlap < LEAST_OVERLAP, np.nan, 100 * np.expm1(mean))
    return values


def quality_gains(
    anchor_bpp: np.ndarray, anchor_quality: np.ndarray, bpp: np.ndarray, quality: np.ndarray, samples: int = 101
) -> np.ndarray:
    """Gain in quality at equal rate of B pairs of curves, anchors B x N, others B x M: B x samples, in its unit.

    At rates evenly spaced in ln(bpp) over the common range, by PCHIP; their mean is the BD-quality. A row is NaN where
    bd_quality has no value.
    """
    gains = np.full((len(bpp), samples), np.nan)
    for rows, anchor, curve in _batches(anchor_bpp, anchor_quality, bpp, quality):
        low, high = (pick(anchor[0][:, end], curve[0][:, end]) for pick, end in ((np.maximum, 0), (np.minimum, -1)))
        shorter = np.minimum(anchor[0][:, -1] - anchor[0][:, 0], curve[0][:, -1] - curve[0][:, 0])
        enough = (high - low) >= LEAST_OVERLAP * shorter
        grid = np.linspace(low[enough], high[enough], samples, axis=1)
        curve_at, anchor_at = (pchip_values(x[enough], y[enough], grid) for x, y in (curve, anchor))
        gains[np.flatnonzero(rows)[enough]] = curve_at - anchor_at
    return gains


def _batches(
    anchor_bpp: np.ndarray, anchor_quality: np.ndarray, bpp: np.ndarray, quality: np.ndarray
) -> Iterator[tuple[np.ndarray, Pair, Pair]]:
    """Groups B pairs of curves by the points they keep, which in a bootstrap are nearly always the same.

    Yields the rows of a group (bool, B), and (ln(bpp), quality) of the anchor and of the other curve. Pairs with too
    few points are in no group.
    """
    a_bpp, a_quality, a_kept = _sorted(anchor_bpp, anchor_quality)
    b_bpp, b_quality, b_kept = _sorted(bpp, quality)
    patterns, group = np.unique(np.hstack([a_kept, b_kept]), axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        a, b = pattern[: a_kept.shape[1]], pattern[a_kept.shape[1] :]
        if min(a.sum(), b.sum()) < FEWEST_POINTS["pchip"]:
            continue
        rows = group.ravel() == index
        yield (
            rows,
            (np.log(a_bpp[rows][:, a]), a_quality[rows][:, a]),
            (np.log(b_bpp[rows][:, b]), b_quality[rows][:, b]),
        )


@dataclass(frozen=True)
class Curve:
    """A curve with rate and quality strictly increasing: ln(bpp), quality, and the numbers of dropped points."""

    log_rate: np.ndarray
    quality: np.ndarray
    repaired: int
    repeated: int
    left_out: int

    @classmethod
    def from_points(cls, bpp: Numbers, quality: Numbers) -> Curve:
        """A curve from points in any order. Raises UsageError unless there is one quality per rate."""
        bpp, quality = np.asarray(bpp, float), np.asarray(quality, float)
        if bpp.ndim != 1 or bpp.shape != quality.shape:
            raise UsageError(f"a curve needs one quality per rate, got shapes {bpp.shape} and {quality.shape}")
        rates, qualities, kept = (rows[0] for rows in _sorted(bpp[None], quality[None]))
        usable = _usable(rates, qualities)
        same = (rates[1:] == rates[:-1]) & (
            qualities[1:] == qualities[:-1]
        )  # after sorting, equal points are neighbours
        count, repeated = int(np.count_nonzero(usable)), int(np.count_nonzero(same & usable[1:]))
        rates, qualities = rates[kept], qualities[kept]
        return cls(np.log(rates), qualities, count - repeated - len(rates), repeated, len(bpp) - count)


def _sorted(bpp: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (B x N) sorted by rate, best quality first among equal rates, and which points are not dominated."""
    order = np.lexsort((-quality, bpp), axis=1)
    bpp, quality = np.take_along_axis(bpp, order, 1), np.take_along_axis(quality, order, 1)
    usable = _usable(bpp, quality)
    best = np.maximum.accumulate(np.where(usable, quality, -np.inf), axis=1)
    before = np.hstack([np.full((len(bpp), 1), -np.inf), best[:, :-1]])
    return bpp, quality, usable & (quality > before)


def _usable(bpp: np.ndarray, quality: np.ndarray) -> np.ndarray:
    return np.isfinite(quality) & np.isfinite(bpp) & (bpp > 0)


def _mean_gap(anchor: Pair, curve: Pair, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean of curve - anchor over the common range of x, overlap fraction, and that range; B each, of x, y (B x N)."""
    low = np.maximum(anchor[0][:, 0], curve[0][:, 0])
    high = np.minimum(anchor[0][:, -1], curve[0][:, -1])
    shorter = np.minimum(anchor[0][:, -1] - anchor[0][:, 0], curve[0][:, -1] - curve[0][:, 0])
    high = np.maximum(high, low)
    common = high - low
    with np.errstate(invalid="ignore", divide="ignore"):
        if anchor[0].shape == curve[0].shape:  # both at once, as NumPy's call overhead dominates for a single pair
            x, y = np.concatenate([anchor[0], curve[0]]), np.concatenate([anchor[1], curve[1]])
            of_anchor, of_curve = np.split(integral(x, y, np.tile(low, 2), np.tile(high, 2), method), 2)
        else:
            of_anchor, of_curve = (integral(*points, low, high, method) for points in (anchor, curve))
        mean = (of_curve - of_anchor) / common
    return mean, common / shorter, low, high


def _bd(anchor: Curve, curve: Curve, anchor_points: Pair, points: Pair, method: str) -> BD:
    if method not in METHODS:
        raise UsageError(f"no BD method {method!r}; expected {', '.join(METHODS)}")
    counts = (
        anchor.repaired + curve.repaired,
        anchor.repeated + curve.repeated,
        anchor.left_out + curve.left_out,
    )
    if min(len(points[0]), len(anchor_points[0])) < FEWEST_POINTS[method]:
        return BD(None, "too_few_points", None, None, None, *counts)
    (anchor_x, anchor_y), (x, y) = anchor_points, points
    gap = _mean_gap((anchor_x[None], anchor_y[None]), (x[None], y[None]), method)
    mean, overlap, low, high = (float(number[0]) for number in gap)
    if overlap == 0:
        return BD(None, "no_overlap", 0.0, None, None, *counts)
    reason = "overlap_under_half" if overlap < LEAST_OVERLAP else ""
    if not reason and method == "cubic":
        bounds = np.array([low]), np.array([high])
        turns = (cubic_turns(u[None], v[None], *bounds)[0] for u, v in (anchor_points, points))
        reason = "not_monotone" if any(turns) else ""
    return BD(None if reason else mean, reason, overlap, low, high, *counts)
