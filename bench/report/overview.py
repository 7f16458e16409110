"""The first screen: what the run says of the papers' headline claims, the headline curves, and the BD-rates.

All of the first dataset, with the first anchor of bd.csv and all of its metrics next to each other: a codec that is
tuned for one metric is not ranked by another alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.figures.fitting import common_range, short_labels, value_at
from bench.figures.style import METRICS
from bench.report.bdtable import NO_CELL
from bench.report.looks import MARKS
from bench.report.run import Run
from bench.report.sketch import plot
from bench.report.tables import records_link

MOST_COLUMNS = 3  # of BD-rates
MOST_BOLD = 6  # new codecs' curves
LEAST_BOLD = 5  # curves: where figures.yaml names fewer that the run has, the best of the others are added
RATES = (
    0.5,
    1.0,
    0.25,
    0.75,
    0.35,
    1.5,
    2.0,
    0.15,
    0.1,
)  # bit/pixel: the table shows the quality at the first one in reach


def overview(run: Run, curves: dict[str, Any], bd: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """{dataset, title, metric, label, unit, images, plot, at, anchor, anchor_label, columns, rows, presets}.

    None if nothing was measured. curves: of :func:`bench.report.data.curves_data`; bd: of
    :func:`bench.report.bdtable.bd_tables`. A row is a codec: its look, whether it is bold at first, its quality at the
    rate ``at`` and for each of ``columns`` (a metric) its cell of the BD table. Rows are in the order of the mean of
    their ranks in all columns, the anchor among them.
    """
    if not curves["datasets"] or not curves["metrics"]:
        return None
    name = curves["datasets"][0]["name"]
    tables = [it for it in bd if it["dataset"] == name]
    tables = [it for it in tables if it["anchor"] == tables[0]["anchor"] and _has_values(it)]
    tables = _columns(run, tables)
    metric = tables[0]["metric"] if tables else curves["metrics"][0]["key"]
    codecs = [it["name"] for it in curves["codecs"] if it["role"] == "codec" and it["name"] in curves["averaged"][name]]
    drawn = {codec: curves["averaged"][name][codec].get(metric, {"bpp": [], "value": []}) for codec in codecs}
    drawn = {codec: curve for codec, curve in drawn.items() if curve["bpp"]}
    cells = _cells(tables)
    listed = _ranked([codec for codec in codecs if codec in drawn or codec in cells], cells)
    bold = _bold(run, [codec for codec in listed if codec in drawn])
    at = _rate([drawn[codec] for codec in bold])
    labels = {codec: run.label_of(codec) for codec in listed}
    short = short_labels(labels)
    label, unit = METRICS.get(metric, (metric, ""))
    anchor = tables[0] if tables else None
    return {
        "dataset": name,
        "title": run.title_of(name),
        "metric": metric,
        "label": label,
        "unit": unit,
        "images": int(run.measured[run.measured.dataset == name].image.nunique()),
        "plot": plot(drawn, bold),
        "at": at,
        "anchor": anchor["anchor"] if anchor else None,
        "anchor_label": anchor["anchor_label"] if anchor else "",
        "columns": [{"metric": it["metric"], "label": it["metric_label"]} for it in tables],
        "rows": [
            {
                "codec": codec,
                "label": labels[codec],
                "short": short[codec],
                "link": records_link(dataset=name, codec=codec),
                "look": drawable(curves["looks"][codec]),
                "bold": codec in bold,
                "value": value_at(drawn[codec], at) if codec in drawn and at else None,
                "cells": cells.get(codec, [NO_CELL] * len(tables)),
            }
            for codec in listed
        ],
        "presets": presets(run, listed, bold),
    }


def drawable(look: dict[str, Any]) -> dict[str, Any]:
    """A look with its marker as an SVG path and whether that is hollow."""
    return {**look, "path": MARKS[look["marker"].removesuffix("-open")], "open": look["marker"].endswith("-open")}


def presets(run: Run, codecs: Sequence[str], bold: Sequence[str]) -> list[dict[str, Any]]:
    """[{title, codecs}] of figures.yaml's ``page``, of which the run has a codec; the bold ones come first.

    ``codecs`` is a list there, or one of the words `embedded` (every prefix of a bitstream decodes), `classical` (no
    trained weights) and `all`.
    """
    found = [{"title": "Overview", "codecs": list(bold)}]
    for preset in run.specification["page"].get("presets", ()):
        asked = preset["codecs"]
        chosen = [codec for codec in codecs if (codec in asked if isinstance(asked, list) else _is(run, codec, asked))]
        if chosen:
            found.append({"title": preset["title"], "codecs": chosen})
    return found


def _is(run: Run, codec: str, word: str) -> bool:
    status = run.statuses.get(codec, {})
    return {
        "embedded": bool(status.get("embedded")),
        "classical": not status.get("weights_sha256") and not status.get("training"),
        "all": True,
    }[word]


def _bold(run: Run, drawn: Sequence[str]) -> list[str]:
    """The curves in colour at first: those figures.yaml names, and codecs that it knows nothing of, which are new.

    drawn: best first.
    """
    named = [codec for codec in run.specification["page"].get("bold", ()) if codec in drawn]
    new = [codec for codec in drawn if codec not in run.specification["styles"]]
    chosen = [*named, *new][: MOST_BOLD + len(named)]
    best = [codec for codec in drawn if codec not in chosen]
    return [*chosen, *best[: max(0, LEAST_BOLD - len(chosen))]]


def _rate(curves: Sequence[dict[str, list[float]]]) -> float | None:
    """The first of RATES that at least half of the curves reach."""
    if not curves:
        return None
    low, high = common_range(curves)
    return next((rate for rate in RATES if low <= rate <= high), None)


def _has_values(table: dict[str, Any]) -> bool:
    return any(row["headline"]["value"] is not None for row in table["rows"])


def _columns(run: Run, tables: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables of the metrics that figures.yaml's ``page`` names, else the first ones; MOST_COLUMNS at most."""
    asked = run.specification["page"].get("metrics", ())
    named = [table for metric in asked for table in tables if table["metric"] == metric]
    return (named or list(tables))[:MOST_COLUMNS]


def _cells(tables: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """codec -> its headline cell in each table; the anchor's are zero by definition."""
    codecs = dict.fromkeys(
        codec for table in tables for codec in (table["anchor"], *(r["codec"] for r in table["rows"]))
    )
    found: dict[str, list[dict[str, Any]]] = {codec: [] for codec in codecs}
    for table in tables:
        rows = {row["codec"]: row["headline"] for row in table["rows"] if not row["validation"]}
        rows[table["anchor"]] = {**NO_CELL, "value": 0.0}
        for codec in codecs:
            found[codec].append(rows.get(codec, NO_CELL))
    return found


def _ranked(codecs: Sequence[str], cells: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The codecs by the mean of their ranks in all metrics; one without a value in a metric is the last there."""
    if not cells:
        return list(codecs)
    ranks: dict[str, list[int]] = {codec: [] for codec in codecs}
    for column in range(len(next(iter(cells.values())))):
        values = {codec: cells[codec][column]["value"] if codec in cells else None for codec in codecs}
        order = sorted(codecs, key=lambda codec: (values[codec] is None, values[codec] or 0.0))
        for place, codec in enumerate(order):
            ranks[codec].append(len(codecs) if values[codec] is None else place)
    return sorted(codecs, key=lambda codec: (sum(ranks[codec]), ranks[codec], codec))
