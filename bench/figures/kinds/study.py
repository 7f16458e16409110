"""What a study measured: lines of one column over another, or the parts that make up a whole.

The table of a study has a row per image and whatever it varies; figures show means over images.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.style import COLOURS, DASHES, GREY, MARKERS, count_images, rate_axis

MOST_MARKERS = 40  # points of a line that has them; others are distinguished by dashes


def study_rows(context: Context, spec: dict[str, Any], dataset: str, *columns: str) -> pd.DataFrame:
    """The study's table. Raises Missing with the study's own reason if it has none."""
    study = context.studies.get((spec["study"], dataset))
    if study is None:
        raise Missing(f"the study {spec['study']} was not run on {dataset}")
    if study["status"] != "ok" or not study["rows"]:
        raise Missing(f"study {spec['study']}: {study['reason'] or 'it returned no rows'}")
    frame = pd.DataFrame(study["rows"], columns=study["columns"])
    for column in columns:
        if column not in frame:
            raise Missing(f"the study {spec['study']} has no column {column}; it has {', '.join(frame)}")
    return frame


class Lines:
    """Kind `lines`: y over x, one line per value of `series`, means over images at equal `at` (a column)."""

    COLUMNS = ["series", "at", "n_images", "x", "y"]

    @classmethod
    def table(cls, context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
        """COLUMNS: one row per point of every line, in the study's own order of series."""
        series, at, x, y = (spec[key] for key in ("series", "at", "x_column", "y_column"))
        rows = study_rows(context, spec, dataset, series, at, x, y)
        plain = pd.DataFrame({"series": rows[series], "at": rows[at], "image": rows.image, "x": rows[x], "y": rows[y]})
        groups = plain.groupby(["series", "at"], sort=False)
        means = groups.agg(n_images=("image", "nunique"), x=("x", "mean"), y=("y", "mean"))
        return means.reset_index()[cls.COLUMNS]

    @staticmethod
    def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
        figure, (axes,) = context.layout.canvas()
        entries, colours = [], context.palette(frame.series.nunique())
        for number, (series, line) in enumerate(frame.groupby("series", sort=False)):
            look: dict[str, Any] = {"color": colours[number], "linewidth": 1.3, "markersize": 3.4}
            look |= {"marker": MARKERS[number % len(MARKERS)] if len(line) <= MOST_MARKERS else ""}
            dashed = number >= len(COLOURS) or (number % 2 and not look["marker"])
            look |= {"linestyle": (0, DASHES[number // 2 % len(DASHES)]) if dashed else "-"}
            axes.plot(line.x, line.y, **look)
            entries.append((str(series), look))
        if spec.get("x") in ("log", "linear"):
            rate_axis(axes, spec["x"], spec.get("xlim"))
        axes.set_xlabel(spec["x_label"])
        axes.set_ylabel(spec["y_label"])
        context.layout.legend(figure, {spec.get("legend", spec["series"].replace("_", " ").capitalize()): entries})
        how = spec.get("note") or f"{count_images(frame.n_images)}; means over images"
        context.layout.titles(figure, context.title(spec, dataset), how)
        return figure


class Parts:
    """Kind `parts`: stacked bars of `value` by `part`, one bar per value of `series`, means over images."""

    COLUMNS = ["series", "part", "n_images", "value"]

    @classmethod
    def table(cls, context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
        """COLUMNS: the mean over images of every part of every bar."""
        series, part, value = (spec[key] for key in ("series", "part", "value"))
        rows = study_rows(context, spec, dataset, series, part, value)
        images = rows.image.nunique()
        sums = rows.groupby([series, part], sort=False).agg(n_images=("image", "nunique"), value=(value, "sum"))
        sums["value"] /= images
        return sums.reset_index().rename(columns={series: "series", part: "part"})[cls.COLUMNS]

    @staticmethod
    def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
        bars, parts = list(dict.fromkeys(frame.series)), list(dict.fromkeys(frame.part))
        figure, (axes,) = context.layout.canvas(height=1.6 + 0.42 * len(bars))
        high = figure.get_figheight()
        context.layout.adjust(figure, top=1 - 0.68 / high, bottom=0.5 / high, left=0.16)
        entries, left, colours = [], dict.fromkeys(bars, 0.0), context.palette(len(parts))
        for number, part in enumerate(parts):
            look: dict[str, Any] = {"color": colours[number]}
            for bar in bars:
                value = float(frame[(frame.series == bar) & (frame.part == part)].value.sum())
                axes.barh(str(bar), value, left=left[bar], height=0.62, edgecolor="white", linewidth=0.5, **look)
                left[bar] += value
            entries.append((str(part), look | {"linewidth": 5}))
        for bar in bars:
            axes.text(
                left[bar], bars.index(bar), f" {left[bar]:.4g}", va="center", fontsize=context.layout.small, color=GREY
            )
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(spec["x_label"])
        context.layout.legend(figure, {spec.get("legend", spec["part"].replace("_", " ").capitalize()): entries})
        context.layout.titles(
            figure, context.title(spec, dataset), f"{count_images(frame.n_images)}; means over images"
        )
        return figure
