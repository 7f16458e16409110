"""What the page begins with: the headline curves, their BD-rates, and how many claims got which verdict.

All of the first dataset, with the first metric and anchor of bd.csv; the table's rows are the plot's legend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.claims.ledger import count
from bench.figures.style import METRICS
from bench.report.claims import MARKS as VERDICTS
from bench.report.looks import MARKS
from bench.report.run import Run
from bench.report.tables import records_link

WIDTH, HEIGHT = 640.0, 400.0  # of the drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 54.0, 8.0, 8.0, 38.0  # margins


def overview(
    run: Run, curves: dict[str, Any], bd: Sequence[dict[str, Any]], claims: dict[str, Any]
) -> dict[str, Any] | None:
    """{title, metric, unit, plot, anchor, rows, papers}; None if nothing was measured.

    curves: of :func:`bench.report.data.curves_data`; bd: of :func:`bench.report.bdtable.bd_tables`; claims: of
    :func:`bench.report.claims.claim_tables`. A row is a codec with its look, and its row of the BD table or None.
    """
    if not curves["datasets"] or not curves["metrics"]:
        return None
    name = curves["datasets"][0]["name"]
    table = next((it for it in bd if it["dataset"] == name), None)
    metric = table["metric"] if table else curves["metrics"][0]["key"]
    codecs = [it["name"] for it in curves["codecs"] if it["role"] == "codec" and it["name"] in curves["averaged"][name]]
    drawn = {codec: curves["averaged"][name][codec].get(metric, {"bpp": [], "value": []}) for codec in codecs}
    cells = {row["codec"]: row for row in table["rows"]} if table else {}
    order = [table["anchor"], *cells] if table else []
    codecs.sort(key=lambda codec: order.index(codec) if codec in order else len(order))
    label, unit = METRICS.get(metric, (metric, ""))
    return {
        "dataset": name,
        "title": run.title_of(name),
        "metric": metric,
        "label": label,
        "unit": unit,
        "images": int(run.measured[run.measured.dataset == name].image.nunique()),
        "plot": plot({codec: drawn[codec] for codec in codecs if drawn[codec]["bpp"]}),
        "anchor": table["anchor"] if table else None,
        "anchor_label": table["anchor_label"] if table else "",
        "rows": [
            {
                "codec": codec,
                "label": run.label_of(codec),
                "link": records_link(dataset=name, codec=codec),
                "look": drawable(curves["looks"][codec]),
                "bd": cells.get(codec),
            }
            for codec in codecs
            if drawn[codec]["bpp"] or codec in cells
        ],
        "papers": _papers(claims, name),
    }


def drawable(look: dict[str, Any]) -> dict[str, Any]:
    """A look with its marker as an SVG path and whether that is hollow."""
    return {**look, "path": MARKS[look["marker"].removesuffix("-open")], "open": look["marker"].endswith("-open")}


def plot(curves: dict[str, dict[str, list[float]]]) -> dict[str, Any] | None:
    """Places in a drawing of WIDTH x HEIGHT: {curves: {codec: [(x, y)]}, x_ticks, y_ticks: [(place, text)]}.

    The rate axis is logarithmic. None without curves.
    """
    rates = [math.log10(rate) for curve in curves.values() for rate in curve["bpp"]]
    values = [value for curve in curves.values() for value in curve["value"]]
    if not rates:
        return None
    x_low, x_high = _widened(min(rates), max(rates))
    y_low, y_high = _widened(min(values), max(values))

    def across(log_rate: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (log_rate - x_low) / (x_high - x_low), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - y_low) / (y_high - y_low), 1)

    steps = [digit * 10.0**decade for decade in range(-4, 3) for digit in (1, 2, 5)]
    x_ticks = [(across(math.log10(rate)), f"{rate:g}") for rate in steps if x_low <= math.log10(rate) <= x_high]
    step = next(it for it in (0.5, 1, 2, 5, 10, 20, 50) if (y_high - y_low) / it <= 8 or it == 50)
    first, last = math.ceil(y_low / step), math.floor(y_high / step)
    return {
        "curves": {
            codec: [(across(math.log10(x)), up(y)) for x, y in zip(curve["bpp"], curve["value"], strict=True)]
            for codec, curve in curves.items()
        },
        "x_ticks": x_ticks,
        "y_ticks": [(up(index * step), f"{index * step:g}") for index in range(first, last + 1)],
        "width": WIDTH,
        "height": HEIGHT,
        "box": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
    }


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.04 * (high - low or 1.0)
    return low - margin, high + margin


def _papers(claims: dict[str, Any], dataset: str) -> list[dict[str, Any]]:
    """Each paper's name with how many of its claims got which verdict on ``dataset``, without those by construction."""
    papers = []
    for paper in next((it["papers"] for it in claims["datasets"] if it["name"] == dataset), []):
        counts = [(it, number, VERDICTS[it]) for it, number in count(paper["claims"]).items() if number]
        papers.append(
            {"title": paper["title"].partition(":")[0], "id": f"claims-{dataset}-{paper['name']}", "counts": counts}
        )
    return papers
