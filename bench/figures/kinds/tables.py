"""A table of what a study measured: means over images, one row for each value of a column."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.kinds.study import study_rows
from bench.figures.style import GREY, count_images

COLUMNS = ["row", "n_images"]
FONT, LINE_INCHES, WIDTH_INCHES, MARGIN_INCHES = 6.5, 0.135, 7.2, 0.15
WIDEST = 34  # characters of a cell before it is broken


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """``by``, n_images and a column for each of ``spec["columns"]``, in the study's order of rows.

    A column of the study is a mean over images (its first value if it is text); one with `ratio` is the ratio of two
    means; one with `given` holds numbers from elsewhere, by row.
    """
    by = spec["by"]
    asked = {name for column in spec["columns"] for name in (column.get("ratio") or _own(column))}
    rows = study_rows(context, spec, dataset, by, *sorted(asked))
    groups = rows.groupby(by, sort=False)
    found = {"n_images": groups.image.nunique()}
    for column in spec["columns"]:
        found[column["column"]] = _values(column, groups)
    frame = pd.DataFrame(found, index=found["n_images"].index).rename_axis(by).reset_index()
    if frame.empty:
        raise Missing(f"the study {spec['study']} has no rows")
    return frame


def _own(column: dict[str, Any]) -> list[str]:
    return [] if "given" in column else [column["column"]]


def _values(column: dict[str, Any], groups: Any) -> pd.Series:
    if "given" in column:
        keys = list(groups.groups)
        return pd.Series([column["given"].get(key) for key in keys], index=keys)
    if "ratio" in column:
        over, under = column["ratio"]
        return groups[over].mean() / groups[under].mean()
    values = groups[column["column"]]
    numeric = pd.api.types.is_numeric_dtype(values.obj)
    return values.mean() if numeric else values.first()


def cells(frame: pd.DataFrame, spec: dict[str, Any]) -> list[list[str]]:
    """The table as text: the header, then the rows. ``times`` scales a number, ``digits`` rounds it."""
    header = [spec.get("by_label", spec["by"].replace("_", " ").capitalize())]
    header += [column.get("title", column["column"]) for column in spec["columns"]]
    rows = [
        [str(row[spec["by"]]), *(_text(row[c["column"]], c) for c in spec["columns"])] for _, row in frame.iterrows()
    ]
    return [header, *rows]


def _text(value: Any, column: dict[str, Any]) -> str:
    if value is None or value == "" or pd.isna(value):
        return "-"
    if isinstance(value, int | float | np.number):
        return f"{value * column.get('times', 1):,.{column.get('digits', 0)}f}"
    return str(value)


def extras(frame: pd.DataFrame, context: Context, spec: dict[str, Any]) -> dict[str, bytes]:
    """The same table as Markdown, and for a paper as LaTeX (package booktabs)."""
    header, *rows = cells(frame, spec)
    rule = ["---", *("---" if _is_text(frame, column) else "---:" for column in spec["columns"])]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, rule, *rows)]
    found = {"md": ("\n".join(lines) + "\n").encode()}
    if not context.layout.explains:
        letters = "l" + "".join("l" if _is_text(frame, column) else "r" for column in spec["columns"])
        body = [" & ".join(map(_tex, row)) + r" \\" for row in (header, *rows)]
        parts = [rf"\begin{{tabular}}{{{letters}}}", r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule"]
        found["tex"] = ("\n".join([*parts, r"\end{tabular}"]) + "\n").encode()
    return found


def _tex(text: str) -> str:
    """``text`` with what LaTeX would read as a command escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """The table with rules above, below, and under its header; text is left-aligned, numbers right."""
    grid = [[textwrap.wrap(cell, WIDEST) or [""] for cell in row] for row in cells(frame, spec)]
    grid[0] = [textwrap.wrap(cell[0] if len(cell) == 1 else " ".join(cell), 16) for cell in grid[0]]
    widths = [max(len(line) for row in grid for line in row[column]) + 2 for column in range(len(grid[0]))]
    heights = [max(map(len, row)) * LINE_INCHES + 0.06 for row in grid]
    height = 0.72 + sum(heights) + 0.2
    figure = Figure(figsize=(WIDTH_INCHES, height), facecolor="white")
    figure.subplots_adjust(left=MARGIN_INCHES / WIDTH_INCHES)
    inner = WIDTH_INCHES - 2 * MARGIN_INCHES
    per_character = min(inner / sum(widths), 0.078)
    size = min(FONT, FONT * per_character / 0.062)
    edges = MARGIN_INCHES + np.concatenate([[0], np.cumsum(widths)]) * per_character
    left = [not number for number in (False, *(not _is_text(frame, column) for column in spec["columns"]))]
    top = height - 0.66
    for number, (row, tall) in enumerate(zip(grid, heights, strict=True)):
        for column, lines in enumerate(row):
            place = edges[column] if left[column] else edges[column + 1] - 2 * per_character
            figure.text(
                place / WIDTH_INCHES,
                (top - 0.03) / height,
                "\n".join(lines),
                ha="left" if left[column] else "right",
                va="top",
                fontsize=size,
                linespacing=1.35,
                fontweight="bold" if number == 0 else "normal",
                color="#111111",
            )
        if number == 0:
            _rule(figure, top / height, edges[-1])
            _rule(figure, (top - tall) / height, edges[-1])
        top -= tall
    _rule(figure, top / height, edges[-1])
    counts = f"{count_images(frame.n_images)}; means over images" if frame.n_images.max() > 1 else spec.get("note", "")
    counts = "; ".join(filter(None, (counts, spec.get("how"))))
    context.layout.titles(figure, context.title(spec, dataset), counts or " ")
    return figure


def _rule(figure: Figure, y: float, right: float) -> None:
    from matplotlib.lines import Line2D

    ends = [MARGIN_INCHES / WIDTH_INCHES, min(right / WIDTH_INCHES, 1 - MARGIN_INCHES / WIDTH_INCHES)]
    figure.add_artist(Line2D(ends, [y, y], color=GREY, linewidth=0.6))


def _is_text(frame: pd.DataFrame, column: dict[str, Any]) -> bool:
    return not pd.api.types.is_numeric_dtype(frame[column["column"]])
