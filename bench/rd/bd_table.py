"""The BD table: every codec of the records against an anchor, in both averagings, with intervals.

Two averagings, never mixed:

per_image (headline)   the BD of each image's own curves, then the mean over the images
averaged_curve         the mean curve over the images at each operating point, then its BD (the papers' way)

The interval is a 95 % percentile interval of a paired bootstrap over images: of the per-image values, or of the
curve averaged again for each draw. The averaged curve has an interval for PCHIP only.

Reason codes of a null beyond those of bench.rd.bjontegaard:

codec_missing, anchor_missing   nothing measured of this codec on this dataset with this metric
no_common_images                the two codecs have no fully measured image in common
most_images_without_value       fewer than half of the images have a BD value
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from bench.rd import bootstrap
from bench.rd.bjontegaard import BD, METHODS, bd_quality, bd_rate, bd_rates, gain_curve, overlap_note
from bench.rd.curves import CurveTable, curve_table

__all__ = ["BD", "METHODS", "bd_quality", "bd_rate", "bd_rates", "compare", "gain_curve", "overlap_note"]

AVERAGINGS = ("per_image", "averaged_curve")
COLUMNS = [
    "dataset",
    "metric",
    "anchor",
    "codec",
    "averaging",
    "method",
    "bd_rate_percent",
    "ci_low",
    "ci_high",
    "bd_quality",
    "overlap",
    "overlap_note",
    "n_images",
    "n_images_without_value",
    "repaired_points",
    "left_out_points",
    "quality_low",
    "quality_high",
    "reason",
    "bd_quality_reason",
]
NUMBERS = ["bd_rate_percent", "ci_low", "ci_high", "bd_quality", "overlap", "quality_low", "quality_high"]


def compare(
    records: pd.DataFrame,
    anchor: str,
    codecs: Iterable[str],
    metric: str,
    dataset: str,
    draws: int = bootstrap.DRAWS,
    seed: int = bootstrap.SEED,
) -> pd.DataFrame:
    """BD-rates of ``codecs`` against ``anchor``: one row per codec, averaging and method, with the columns of COLUMNS.

    bd_rate_percent, ci_low and ci_high are percentages (negative: less rate than the anchor); bd_quality, quality_low
    and quality_high are in the metric's unit. n_images counts the images behind the value, among those that both codecs
    have completely; n_images_without_value counts the rest of those. In per_image rows overlap, quality_low and
    quality_high are means over images, repaired_points and left_out_points sums. A null has its reason code in
    ``reason`` (``bd_quality_reason`` for bd_quality). Raises UsageError for a metric that does not exist.
    """
    anchor_table = curve_table(records, dataset, anchor, metric)
    rows: list[dict[str, Any]] = []
    for codec in codecs:
        table = curve_table(records, dataset, codec, metric)
        names = {"dataset": dataset, "metric": metric, "anchor": anchor, "codec": codec}
        rows += [row | names for row in _pair(anchor_table, table, draws, seed)]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))


def _pair(anchor: CurveTable, codec: CurveTable, draws: int, seed: int) -> list[dict[str, Any]]:
    common = [image for image in anchor.images if image in codec.images]
    if not common:
        missing = "anchor_missing" if not anchor.images else "codec_missing" if not codec.images else "no_common_images"
        return [
            _row(averaging, method, reason=missing, bd_quality_reason=missing)
            for averaging in AVERAGINGS
            for method in METHODS
        ]
    anchor, codec = anchor.select(common), codec.select(common)
    rows = []
    for method in METHODS:
        rows.append(_per_image_row(anchor, codec, method, draws, seed))
        rows.append(_averaged_row(anchor, codec, method, draws, seed))
    return sorted(rows, key=lambda row: AVERAGINGS.index(row["averaging"]))


def _row(averaging: str, method: str, **cells: Any) -> dict[str, Any]:
    empty = {"overlap_note": "withheld", "n_images": 0, "n_images_without_value": 0, "repaired_points": 0}
    return dict.fromkeys(COLUMNS) | empty | {"left_out_points": 0, "averaging": averaging, "method": method} | cells


def _per_image_row(anchor: CurveTable, codec: CurveTable, method: str, draws: int, seed: int) -> dict[str, Any]:
    pairs = [(*anchor.image_curve(image), *codec.image_curve(image)) for image in range(len(anchor.images))]
    rates = [bd_rate(*pair, method=method) for pair in pairs]
    rate, reason, used = _mean_of_images(rates)
    quality, quality_reason, _ = _mean_of_images([bd_quality(*pair, method=method) for pair in pairs])
    ci_low, ci_high = None, None
    if rate is not None and len(used) > 1:
        counts = bootstrap.image_counts(len(used), draws, seed)
        ci_low, ci_high = bootstrap.interval(counts @ np.array([bd.value for bd in used]) / len(used))
    overlaps = [bd.overlap for bd in rates if bd.overlap is not None]
    overlap = fmean(overlaps) if overlaps else None
    lows = [bd.low for bd in used if bd.low is not None]
    highs = [bd.high for bd in used if bd.high is not None]
    return _row(
        "per_image",
        method,
        bd_rate_percent=rate,
        ci_low=ci_low,
        ci_high=ci_high,
        bd_quality=quality,
        overlap=overlap,
        overlap_note=_per_image_note(rate, overlap, len(rates) - len(used)),
        n_images=len(used),
        n_images_without_value=len(rates) - len(used),
        repaired_points=sum(bd.repaired for bd in rates),
        left_out_points=sum(bd.left_out for bd in rates),
        quality_low=fmean(lows) if lows else None,
        quality_high=fmean(highs) if highs else None,
        reason=reason,
        bd_quality_reason=quality_reason,
    )


def _mean_of_images(values: list[BD]) -> tuple[float | None, str, list[BD]]:
    """The mean over images with a value, or the reason for None; and the BDs of those images."""
    used = [bd for bd in values if bd.value is not None]
    if 2 * len(used) >= len(values):
        return fmean(bd.value for bd in used if bd.value is not None), "", used
    reasons = {bd.reason for bd in values}
    return None, reasons.pop() if len(reasons) == 1 else "most_images_without_value", used


def _per_image_note(rate: float | None, overlap: float | None, without_value: int) -> str:
    # A mean without some of the images is marked, however well the others overlap.
    if rate is None:
        return "withheld"
    return "amber" if without_value else overlap_note(overlap)


def _averaged_row(anchor: CurveTable, codec: CurveTable, method: str, draws: int, seed: int) -> dict[str, Any]:
    pair = (*anchor.averaged(), *codec.averaged())
    rate, quality = bd_rate(*pair, method=method), bd_quality(*pair, method=method)
    ci_low, ci_high = None, None
    if rate.value is not None and method == "pchip" and len(anchor.images) > 1:
        counts = bootstrap.image_counts(len(anchor.images), draws, seed)
        ci_low, ci_high = bootstrap.interval(bd_rates(*anchor.averaged(counts), *codec.averaged(counts)))
    return _row(
        "averaged_curve",
        method,
        bd_rate_percent=rate.value,
        ci_low=ci_low,
        ci_high=ci_high,
        bd_quality=quality.value,
        overlap=rate.overlap,
        overlap_note=rate.overlap_note,
        n_images=len(anchor.images),
        repaired_points=rate.repaired,
        left_out_points=rate.left_out,
        quality_low=rate.low,
        quality_high=rate.high,
        reason=rate.reason,
        bd_quality_reason=quality.reason,
    )
