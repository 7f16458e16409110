"""Curves drawn in ASCII, for a terminal. (No plotting library that uses only ASCII was found.)"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

MARKS = "ox+*#%@&"
LABEL = 7  # characters left of the axis
STEPS = (1, 2, 5)

Curve = Sequence[tuple[float, float]]  # rate (> 0) and value, by increasing rate


def plot(curves: Mapping[str, Curve], width: int, height: int, title: str) -> list[str]:
    """``height`` lines of at most ``width`` characters: curves over a logarithmic rate axis, the first one in front.

    A curve's points are drawn with its mark and joined by dots. A legend follows the axis. Curves without points are
    left out; if there are none at all, a single line says so.
    """
    drawn = {name: points for name, points in curves.items() if points}
    if not drawn:
        return ["(nothing to plot)"]
    across, down = max(8, width - LABEL - 2), max(4, height - 4)  # title, axis, its numbers, legend
    rates = [math.log(rate) for points in drawn.values() for rate, _ in points]
    values = [value for points in drawn.values() for _, value in points]
    (left, right), (bottom, top) = _range(rates), _range(values)

    def column(rate: float) -> int:
        return round((math.log(rate) - left) / (right - left) * (across - 1))

    def row(value: float) -> int:
        return round((top - value) / (top - bottom) * (down - 1))

    grid = [[" "] * across for _ in range(down)]
    for mark, points in reversed(list(zip(_marks(len(drawn)), drawn.values(), strict=True))):
        for (rate, value), (next_rate, next_value) in pairwise(points):
            start, end = column(rate), column(next_rate)
            for x in range(start, end + 1):
                share = (x - start) / max(1, end - start)
                grid[row(value + share * (next_value - value))][x] = "."
        for rate, value in points:
            grid[row(value)][column(rate)] = mark
    lines = [title[:width]]
    for y, cells in enumerate(grid):
        value = top - (top - bottom) * y / (down - 1)
        lines.append(f"{f'{value:.2f}' if y % 4 == 0 else '':>{LABEL}} |{''.join(cells)}".rstrip())
    lines += [
        f"{'':{LABEL}} +{'-' * across}",
        " " * (LABEL + 2) + _ticks(math.exp(left), math.exp(right), column, across),
    ]
    legend = "   ".join(f"{mark} {name}" for mark, name in zip(_marks(len(drawn)), drawn, strict=True))
    return [*lines, f"{'':{LABEL}}  {legend}"[:width]]


def _marks(count: int) -> str:
    return (MARKS * (1 + count // len(MARKS)))[:count]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value, widened if they are equal."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, column: Callable[[float], int], across: int) -> str:
    """The numbers below the axis, each starting at its position, as far as they do not overlap."""
    line = ""
    for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in STEPS:
            rate = step * 10.0**decade
            text = f"{rate:g}"
            if low <= rate <= high and len(line) + bool(line) <= column(rate) <= across - len(text):
                line = line.ljust(column(rate)) + text
    return line
