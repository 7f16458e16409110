"""Several small RD plots on common axes: variants of a codec, each beside the same reference."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.figures.context import Context
from bench.figures.kinds import rd
from bench.figures.style import GREY, axis_label, legend, rate_axis, titles

COLUMNS = ["panel", *rd.COLUMNS, "marked"]
ACROSS = 3


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: the rows of an RD plot for each panel; marked points are those that ``spec["marked"]`` lists."""
    parts = []
    for panel in spec["panels"]:
        part = rd.rows(context, spec | panel, dataset)
        parts.append(part.assign(panel=panel["title"]))
    frame = pd.concat(parts, ignore_index=True)
    rd.check(frame, context, spec, dataset)
    marks = {(codec, point) for codec, points in spec.get("marked", {}).items() for point in points}
    frame["marked"] = [pair in marks for pair in zip(frame.codec, frame.point, strict=True)]
    return frame[COLUMNS]


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """The panels from left to right and down; marked points are crosses."""
    names = list(dict.fromkeys(frame.panel))
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(7.2, 0.75 + 5.25 / across * down + 0.25), facecolor="white")
    cells = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    high = figure.get_figheight()
    figure.subplots_adjust(left=0.085, right=0.71, top=1 - 0.85 / high, bottom=0.5 / high, wspace=0.08, hspace=0.24)
    groups: dict[str, dict[str, dict[str, Any]]] = {"Measured": {}, "Claimed (published)": {}}
    for axes, name in zip(cells.flat, names, strict=False):
        part = frame[frame.panel == name]
        for kind, heading in (("measured", "Measured"), ("claimed", "Claimed (published)")):
            for codec, curve in part[part.kind == kind].groupby("codec", sort=False):
                style = context.style(str(codec))
                look = style.line(markersize=3.0)
                axes.plot(curve.bpp, curve.value, zorder=3 if kind == "measured" else 2, **look)
                marked = curve[curve.marked.astype(bool)]
                axes.plot(marked.bpp, marked.value, "x", color="#222222", markersize=5, zorder=4)
                groups[heading].setdefault(curve.label.iloc[0], look)
        axes.set_title(name, fontsize=7, color=GREY, pad=3)
        if not (part.kind == "measured").any():
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, fontsize=7, color=GREY, ha="center")
    for axes in cells.flat[len(names) :]:
        axes.set_axis_off()
    for axes in cells[-1]:
        rate_axis(axes, spec.get("x", "log"), spec.get("xlim"))
    for axes in cells[:, 0]:
        axes.set_ylabel(axis_label(spec["metric"]), fontsize=7)
    entries = {heading: list(looks.items()) for heading, looks in groups.items()}
    if frame.marked.any():
        entries["Measured"].append(
            (spec.get("mark_label", "marked"), {"marker": "x", "color": "#222222", "linestyle": ""})
        )
    legend(figure, entries | {rd.MISSING: rd.missing(frame)})
    titles(figure, context.title(spec, dataset), rd.subtitle(frame, spec["metric"]))
    return figure
