"""Several small RD plots on common axes: variants of a codec, each with the same reference."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures.context import Context
from bench.figures.kinds import rd
from bench.figures.style import GREY, MARKERS, axis_label, rate_axis

COLUMNS = ["panel", *rd.COLUMNS, "marked"]
ACROSS = 3
KINDS = (("measured", rd.MEASURED), ("claimed", rd.CLAIMED))
Look = dict[str, Any]
Groups = dict[str, list[tuple[str, Look]]]


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
    """The panels from left to right and down, or with ``together`` all in one; marked points are crosses."""
    figure, groups = (_together if spec.get("together") else _apart)(frame, context, spec)
    if frame.marked.any():
        look = {"marker": "x", "color": "#222222", "linestyle": ""}
        groups[rd.MEASURED].append((spec.get("mark_label", "marked"), look))
    context.layout.legend(figure, groups | ({rd.MISSING: rd.missing(frame)} if context.layout.explains else {}))
    context.layout.titles(figure, context.title(spec, dataset), rd.subtitle(frame, spec["metric"]))
    return figure


def _apart(frame: pd.DataFrame, context: Context, spec: dict[str, Any]) -> tuple[Figure, Groups]:
    names = list(dict.fromkeys(frame.panel))
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    height = 0.75 + 5.25 / across * down + 0.25
    figure, cells = context.layout.grid(down, across, height, sharex=True, sharey=True)
    context.layout.adjust(
        figure, left=0.085, right=0.71, top=1 - 0.85 / height, bottom=0.5 / height, wspace=0.08, hspace=0.24
    )
    groups: dict[str, dict[str, Look]] = {rd.MEASURED: {}, rd.CLAIMED: {}}
    for axes, name in zip(cells, names, strict=False):
        part = frame[frame.panel == name]
        for kind, heading in KINDS:
            for codec, curve in part[part.kind == kind].groupby("codec", sort=False):
                look = context.style(str(codec)).line(markersize=3.0)
                _curve(axes, curve, kind, look)
                groups[heading].setdefault(curve.label.iloc[0], look)
        axes.set_title(name, fontsize=context.layout.text, color=GREY, pad=3)
        if not (part.kind == "measured").any():
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, color=GREY, ha="center")
    for axes in cells[len(names) :]:
        axes.set_axis_off()
    for axes in cells:
        grid = axes.get_subplotspec()
        if grid and (grid.is_last_row() or cells.index(axes) + across >= len(names)):
            rate_axis(axes, spec.get("x", "log"), spec.get("xlim"))
        if grid and grid.is_first_col():
            axes.set_ylabel(axis_label(spec["metric"]), fontsize=context.layout.text)
    return figure, {heading: list(looks.items()) for heading, looks in groups.items()}


def _together(frame: pd.DataFrame, context: Context, spec: dict[str, Any]) -> tuple[Figure, Groups]:
    """What all panels have in common once, in black, and of each panel the rest in a colour of its own."""
    figure, (axes,) = context.layout.canvas()
    panels = frame[frame.kind == "measured"].groupby("codec").panel.nunique()
    count = frame[frame.kind == "measured"].panel.nunique()
    palette = context.palette(frame.panel.nunique())
    colours: dict[str, tuple[str, str]] = {}
    groups: dict[str, dict[str, Look]] = {rd.MEASURED: {}, rd.CLAIMED: {}}
    for kind, heading in KINDS:
        for (codec, panel), curve in frame[frame.kind == kind].groupby(["codec", "panel"], sort=False):
            if curve.label.iloc[0] in groups[heading]:
                continue
            look = context.style(str(codec)).line(markersize=3.0)
            if kind == "measured" and count > 1 and panels[codec] == count:
                look |= {"color": "#222222", "markeredgecolor": "#222222", "markerfacecolor": "#222222"}
            else:
                place = min(len(colours), len(palette) - 1)
                colour, marker = colours.setdefault(panel, (palette[place], MARKERS[place % len(MARKERS)]))
                look |= {"color": colour, "markeredgecolor": colour, "markerfacecolor": colour}
                look |= {"marker": marker} if kind == "measured" else {}
            _curve(axes, curve, kind, look)
            groups[heading][curve.label.iloc[0]] = look
    rate_axis(axes, spec.get("x", "log"), spec.get("xlim"))
    axes.set_ylabel(axis_label(spec["metric"]))
    return figure, {heading: list(looks.items()) for heading, looks in groups.items()}


def _curve(axes: Axes, curve: pd.DataFrame, kind: str, look: Look) -> None:
    axes.plot(curve.bpp, curve.value, zorder=3 if kind == "measured" else 2, **look)
    marked = curve[curve.marked.astype(bool)]
    axes.plot(marked.bpp, marked.value, "x", color="#222222", markersize=5, zorder=4)
