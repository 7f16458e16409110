"""The run's curves and its records, as JSON-ready values for the report, the explorer and the records view.

JSON has no infinity: an infinite value (identical reconstruction) is left out of curves, where it has no place, and is
the text "inf" in the records view.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.figures.style import METRICS, styles
from bench.rd.curves import DB_OF_MEAN, averaged_curve
from bench.rd.published import load_published
from bench.records import EXTRA_METRICS, schema_of
from bench.report.looks import look
from bench.report.run import Run

PICKED = {
    "psnr_rgb_db": "psnr_rgb_db",  # metric of a curve -> column of the records
    "ms_ssim_db": "ms_ssim_db",
    DB_OF_MEAN: "ms_ssim_db",
    "psnr_y_db": "psnr_y_db",
    "psnr_611_db": "psnr_611_db",
    "ssimulacra2": "ssimulacra2",
    **{name: name for name in EXTRA_METRICS},
}
LABELS = {"ms_ssim_db": "MS-SSIM (mean of images' dB)", DB_OF_MEAN: "MS-SSIM (dB of the mean)"}
DECIMALS = 6  # of bpp and metrics in averaged and claimed curves; explorer and records view have every digit

PIECE_ROWS = 15_000  # of the records, some 6 MB of a page
LONGEST_TEXT = 1000  # characters of a reason in a page


def metrics_of(run: Run) -> list[dict[str, str]]:
    """The metrics that were measured: key, column of the records, label, unit, in the page's order."""
    return [
        {"key": key, "column": column, "label": LABELS.get(key, METRICS[key][0]), "unit": METRICS[key][1]}
        for key, column in PICKED.items()
        if column in run.measured and run.measured[column].notna().any()
    ]


def curves_data(run: Run) -> dict[str, Any]:
    """Metrics, datasets, codecs in the page's order, how each curve looks, averaged and claimed curves by dataset."""
    metrics = metrics_of(run)
    keys = [metric["key"] for metric in metrics]
    published = load_published()
    claimed = {dataset: _claimed(run, dataset, keys, published) for dataset in run.measured_datasets}
    names = {curve["name"] for curves in claimed.values() for curve in curves}
    drawn = [codec for codec in run.codecs if run.role_of(codec) not in ("control", "lossless")]
    looks = styles({*run.records.codec, *names}, run.specification["styles"], {c: run.label_of(c) for c in run.codecs})
    return {
        "metrics": metrics,
        "datasets": [{"name": name, "title": run.title_of(name)} for name in run.measured_datasets],
        "codecs": [{"name": codec, "role": run.role_of(codec)} for codec in drawn],
        "looks": {name: look(looks[name]) for name in sorted({*drawn, *names})},
        "averaged": {
            dataset: {codec: {key: _averaged(run, dataset, codec, key) for key in keys} for codec in drawn}
            for dataset in run.measured_datasets
        },
        "claimed": claimed,
    }


def number(value: Any) -> float | None:
    """A float rounded for plotting; None for what cannot be drawn."""
    return None if value is None or not math.isfinite(value) else round(float(value), DECIMALS)


def _averaged(run: Run, dataset: str, codec: str, metric: str) -> dict[str, list]:
    curve = averaged_curve(run.records, dataset, codec, metric)
    curve = curve[curve.value.map(math.isfinite).astype(bool)] if len(curve) else curve
    return {
        "point": list(curve.point),
        "bpp": [number(value) for value in curve.bpp],
        "value": [number(value) for value in curve.value],
        "worst": [number(value) for value in curve.worst],
        "n": [int(count) for count in curve.n_images],
    }


def _claimed(run: Run, dataset: str, keys: list[str], published: pd.DataFrame) -> list[dict[str, Any]]:
    """Published curves on this dataset. ``on`` lists the metrics of the figures in figures.yaml that show the curve."""
    shown: dict[str, set[str]] = {}
    for figure in run.specification["figures"]:
        for name in figure.get("claimed", []):
            shown.setdefault(name, set()).add(figure["metric"])
    curves = []
    for (source, codec), rows in published[published.dataset == dataset].groupby(["source", "codec"], sort=True):
        values = {
            key: {"bpp": [number(x) for x in part.bpp], "value": [number(x) for x in part.value]}
            for key, part in rows[rows.metric.isin(keys)].sort_values(["bpp", "value"]).groupby("metric")
        }
        if values:
            about = rows.iloc[0]
            name = f"{source}/{codec}"
            facts = {key: str(about[key]) for key in ("averaging", "url", "licence", "note")}
            facts |= {"name": name, "source": source}
            curves.append(
                {"name": name, "source": source, "on": sorted(shown.get(name, ())), "metrics": values, **facts}
            )
    return curves


def records_data(run: Run, links: bool, size: int = PIECE_ROWS) -> list[dict[str, Any]]:
    """The whole table in pieces of ``size`` rows: the first is in the page, the others are files that it loads.

    A piece goes by columns, text stored once: {"rows": n, "columns": [{"name", "values", "codes"?}]}. The first has
    also ``total`` (rows of all), ``size``, and ``base``: null with ``links`` false (a published report), where the
    bitstream files are not next to the page and nothing points to them.
    """
    frame = run.records
    first, *others = [_piece(frame[at : at + size]) for at in range(0, max(1, len(frame)), size)]
    return [first | {"total": len(frame), "size": size, "base": "../" if links else None}, *others]


def _piece(frame: pd.DataFrame) -> dict[str, Any]:
    columns: list[dict[str, Any]] = []
    for name in schema_of(frame.columns).names:
        values = [short(value) if isinstance(value, str) else cell(value) for value in frame[name]]
        if any(isinstance(value, str) and value != "inf" for value in values):
            distinct = sorted({value for value in values if value is not None})
            place: dict[Any, int | None] = {value: index for index, value in enumerate(distinct)} | {None: None}
            columns.append({"name": name, "values": distinct, "codes": [place[value] for value in values]})
        else:
            columns.append({"name": name, "values": values})
    return {"rows": len(frame), "columns": columns}


def short(text: str) -> str:
    """``text``, of which a page shows so many characters at most; the run's tables have all of them."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ... ({len(text)} characters, see records.csv)"


def cell(value: Any) -> Any:
    """One cell of the records for JSON: every digit, whole numbers as integers, "inf" and null as above."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    if hasattr(value, "item"):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
