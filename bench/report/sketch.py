"""The geometry of the first screen's plot: curves, axes fitted to the rates they share, and labels at the line ends.

Everything is in the drawing's own units, WIDTH x HEIGHT, with the origin at the top left.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from bench.figures.fitting import Curve, common_range, spread, values_within, widened

WIDTH, HEIGHT = 720.0, 404.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 176.0, 10.0, 40.0  # margins; the labels are in the right one
LABEL_GAP = 14.0  # between the baselines of two labels


def plot(curves: Mapping[str, Curve], bold: Collection[str] = ()) -> dict[str, Any] | None:
    """{curves: {name: [(x, y)]}, ends: {name: (x, y, label y)}, x_ticks, y_ticks: [(place, text)], width, height, box}.

    The rate axis is logarithmic and spans the common range of the ``bold`` curves (of all, if none is bold); the
    quality axis spans what these reach there. Curves may leave the box and have to be clipped to it. ``ends`` has where
    each curve leaves the box or stops, for all that enter it, and for the bold ones where their label is, for the
    others None. None without curves.
    """
    curves = {name: curve for name, curve in curves.items() if curve["bpp"]}
    if not curves:
        return None
    leading = [curve for name, curve in curves.items() if name in bold] or list(curves.values())
    lowest, highest = common_range(leading)
    x_low, x_high = widened(math.log10(lowest), math.log10(highest), 0.02)
    inside = [value for curve in leading for value in values_within(curve, lowest, highest)]
    y_low, y_high = widened(min(inside), max(inside), 0.04)

    def across(rate: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(rate) - x_low) / (x_high - x_low), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - y_low) / (y_high - y_low), 1)

    ends = {}
    for name, curve in curves.items():
        values = values_within(curve, 10**x_low, 10**x_high)
        if values:
            rate, y = min(curve["bpp"][-1], 10**x_high), up(values[-1])
            ends[name] = (across(rate), min(max(y, TOP), HEIGHT - BOTTOM))
    labelled = sorted((name for name in ends if name in bold), key=lambda name: ends[name][1])
    wanted = [ends[name][1] for name in labelled]
    heights = spread(wanted, LABEL_GAP, TOP, HEIGHT - 6)
    places = {name: round(place, 1) for name, place in zip(labelled, heights, strict=True)}
    return {
        "curves": {
            name: [(across(x), up(y)) for x, y in zip(curve["bpp"], curve["value"], strict=True)]
            for name, curve in curves.items()
        },
        "ends": {name: (*end, places.get(name)) for name, end in ends.items()},
        "x_ticks": [(across(rate), f"{rate:g}") for rate in _rate_ticks(10**x_low, 10**x_high)],
        "y_ticks": [(up(value), f"{value:g}") for value in _value_ticks(y_low, y_high)],
        "width": WIDTH,
        "height": HEIGHT,
        "box": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
    }


def _rate_ticks(low: float, high: float) -> list[float]:
    """Three or more round rates of a logarithmic axis."""
    for digits in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [digit * 10.0**decade for decade in range(-4, 3) for digit in digits]
        found = [round(rate, 9) for rate in found if low <= rate <= high]
        if len(found) >= 3:
            break
    return found


def _value_ticks(low: float, high: float) -> list[float]:
    """At most eight round values of a linear axis."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
    step = next((it for it in steps if (high - low) / it <= 8), steps[-1])
    return [round(index * step, 9) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
