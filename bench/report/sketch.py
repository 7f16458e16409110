"""The geometry of the first screen's plot: curves, axes fitted to the rates they share, and labels at the line ends.

Everything is in the drawing's own units, WIDTH x HEIGHT, with the origin at the top left.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 720.0, 404.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 176.0, 10.0, 40.0  # margins; the labels stand in the right one
LABEL_GAP = 14.0  # between the baselines of two labels
LONGEST_LABEL = 23  # characters

Curve = Mapping[str, list[float]]  # bpp and value, by rising rate


def plot(curves: Mapping[str, Curve], bold: Collection[str] = ()) -> dict[str, Any] | None:
    """{curves: {name: [(x, y)]}, ends: {name: (x, y, label y)}, x_ticks, y_ticks: [(place, text)], width, height, box}.

    The rate axis is logarithmic and spans the common range of the ``bold`` curves (of all, if none is bold); the
    quality axis spans what these reach there. Curves may leave the box and have to be clipped to it. ``ends`` has where
    each curve leaves the box or stops, for all that enter it, and for the bold ones where their label stands, for the
    others None. None without curves.
    """
    curves = {name: curve for name, curve in curves.items() if curve["bpp"]}
    if not curves:
        return None
    leading = [curve for name, curve in curves.items() if name in bold] or list(curves.values())
    lowest, highest = common_range(leading)
    x_low, x_high = _widened(math.log10(lowest), math.log10(highest), 0.02)
    inside = [value for curve in leading for value in _within(curve, lowest, highest)]
    y_low, y_high = _widened(min(inside), max(inside), 0.04)

    def across(rate: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(rate) - x_low) / (x_high - x_low), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - y_low) / (y_high - y_low), 1)

    ends = {}
    for name, curve in curves.items():
        values = _within(curve, 10**x_low, 10**x_high)
        if values:
            rate, y = min(curve["bpp"][-1], 10**x_high), up(values[-1])
            ends[name] = (across(rate), min(max(y, TOP), HEIGHT - BOTTOM))
    labelled = sorted((name for name in ends if name in bold), key=lambda name: ends[name][1])
    places = dict(zip(labelled, spread([ends[name][1] for name in labelled]), strict=True))
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


def common_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The lowest and the highest rate (bit/pixel) that at least half of the curves reach.

    One curve that begins at 0.008 bit/pixel or goes on to 5 does not stretch an axis that all others leave empty. Where
    no rate is reached by half of the curves, the range of all.
    """
    lows = sorted(min(curve["bpp"]) for curve in curves)
    highs = sorted(max(curve["bpp"]) for curve in curves)
    low, high = lows[(len(lows) - 1) // 2], highs[len(highs) // 2]
    return (low, high) if low < high else (lows[0], highs[-1])


def spread(wanted: Sequence[float], gap: float = LABEL_GAP, low: float = TOP, high: float = HEIGHT - 6) -> list[float]:
    """Places near the ``wanted`` ones (rising), at least ``gap`` apart and within ``low`` to ``high`` if they fit."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap if places else low))
    limit = high
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    return [round(place, 1) for place in places]


def short_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels for line ends, at most LONGEST_LABEL long: of what is in brackets only as much as tells them apart."""
    forms = [
        {name: label.partition(" (")[0] for name, label in labels.items()},
        {name: re.sub(r" \(([^,)]*),.*\)", r" (\1)", label) for name, label in labels.items()},
        dict(labels),
    ]
    counts = [Counter(form.values()) for form in forms]
    found = {}
    for name, label in labels.items():
        text = next((form[name] for form, count in zip(forms, counts, strict=True) if count[form[name]] == 1), label)
        found[name] = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1].rstrip()}…"
    return found


def value_at(curve: Curve, rate: float) -> float | None:
    """The quality at ``rate``, linear over the logarithm of the rate; None outside of the curve."""
    points = list(zip(curve["bpp"], curve["value"], strict=True))
    for (low, left), (high, right) in pairwise(points):
        if low <= rate <= high and low < high:
            share = math.log(rate / low) / math.log(high / low)
            return left + share * (right - left)
    return next((value for bpp, value in points if bpp == rate), None)


def _within(curve: Curve, low: float, high: float) -> list[float]:
    """The values of a curve from one rate to another, those at the two ends included where the curve reaches them."""
    inner = [(rate, value) for rate, value in zip(curve["bpp"], curve["value"], strict=True) if low <= rate <= high]
    ends = [(rate, value_at(curve, rate)) for rate in (low, high)]
    return [value for _, value in sorted({*inner, *ends}, key=lambda pair: pair[0]) if value is not None]


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    margin = share * (high - low or 1.0)
    return low - margin, high + margin


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
