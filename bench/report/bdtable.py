"""The BD tables of the page: bd.csv with words instead of codes, a row per codec."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.figures.style import METRICS
from bench.report.run import Run
from bench.report.tables import records_link, value_or_none

REASONS = {
    "codec_missing": "the codec has no measurements",
    "anchor_missing": "the anchor has no measurements",
    "no_common_images": "the two codecs have no fully measured image in common",
    "too_few_points": "too few points on a curve",
    "no_overlap": "the two curves' quality ranges do not overlap",
    "overlap_under_half": "the two curves' quality ranges overlap by less than half of the shorter one",
    "not_monotone": "the fitted polynomial falls inside the common range",
    "most_images_without_value": "most images have no value of their own",
}
METHOD_LABELS = {"pchip": "PCHIP", "cubic": "cubic polynomial", "akima": "Akima"}


def bd_tables(run: Run) -> list[dict[str, Any]]:
    """One table per dataset, metric and anchor in bd.csv: rows by headline BD-rate, each with every other variant."""
    if run.bd is None or run.bd.empty:
        return []
    tables = []
    for (dataset, metric, anchor), part in run.bd.groupby(["dataset", "metric", "anchor"], sort=False):
        rows = [_bd_row(run, codec, rows) for codec, rows in part.groupby("codec", sort=True)]
        rows.sort(key=lambda row: (row["validation"], row["order"] is None, row["order"] or 0.0, row["label"]))
        tables.append(
            {
                "dataset": dataset,
                "title": run.title_of(dataset),
                "metric": metric,
                "metric_label": METRICS.get(metric, (metric, ""))[0],
                "unit": METRICS.get(metric, ("", ""))[1],
                "anchor": anchor,
                "anchor_label": run.label_of(anchor),
                "anchor_link": records_link(dataset=dataset, codec=anchor),
                "rows": rows,
                "scale": _scale(rows),
            }
        )
    return tables


def _bd_row(run: Run, codec: str, rows: pd.DataFrame) -> dict[str, Any]:
    cells = {(row.averaging, row.method): _bd_cell(row) for row in rows.itertuples()}
    headline = cells.get(("per_image", "pchip")) or NO_CELL
    averaged = cells.get(("averaged_curve", "pchip")) or NO_CELL
    dataset = rows.dataset.iloc[0]
    images = run.measured[run.measured.dataset == dataset].image.nunique()
    return {
        "codec": codec,
        "label": run.label_of(codec),
        "remarks": _remarks(headline, averaged, images),
        "validation": run.role_of(codec) == "validation",
        "link": records_link(dataset=dataset, codec=codec),
        "headline": headline,
        "averaged": averaged,
        "others": [
            {"averaging": averaging, "method": METHOD_LABELS[method], **cells.get((averaging, method), NO_CELL)}
            for averaging in ("per_image", "averaged_curve")
            for method in METHOD_LABELS
        ],
        "order": headline["value"] if headline["value"] is not None else averaged["value"],
    }


def _remarks(headline: dict[str, Any], averaged: dict[str, Any], images: int) -> list[str]:
    """What a reader needs to know about a row's numbers."""
    remarks = []
    if headline["value"] is None:
        remarks.append(f"no headline value, {headline['reason']}")
    if averaged["value"] is None:
        remarks.append(f"no value of the averaged curve, {averaged['reason']}")
    if headline["images"] is not None and headline["images"] < images:
        remarks.append(f"fully measured, like the anchor, on {int(headline['images'])} of {images} images")
    if headline["without"]:
        remarks.append(f"{headline['without']} of the images have no BD-rate of their own and are not in the mean")
    if headline["repaired"]:
        remarks.append(f"{int(headline['repaired'])} points dropped by the Pareto repair")
    return remarks


NO_CELL: dict[str, Any] = {
    "value": None,
    "low": None,
    "high": None,
    "quality": None,
    "overlap": None,
    "note": "",
    "reason": "not computed",
    "images": None,
    "without": 0,
    "repaired": None,
    "from": None,
    "to": None,
}


def _bd_cell(row: Any) -> dict[str, Any]:
    return {
        "value": value_or_none(row.bd_rate_percent),
        "low": value_or_none(row.ci_low),
        "high": value_or_none(row.ci_high),
        "quality": value_or_none(row.bd_quality),
        "overlap": value_or_none(row.overlap),
        "note": row.overlap_note,
        "reason": REASONS.get(row.reason, row.reason.replace("_", " ")),
        "images": value_or_none(row.n_images),
        "without": int(getattr(row, "n_images_without_value", 0)),
        "repaired": value_or_none(row.repaired_points),
        "from": value_or_none(row.quality_low),
        "to": value_or_none(row.quality_high),
    }


def _scale(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The range in percent that the small interval plots of one table share; it holds zero."""
    values = [row["headline"][key] for row in rows for key in ("value", "low", "high")]
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    margin = 0.04 * (high - low or 1.0)
    return low - margin, high + margin
