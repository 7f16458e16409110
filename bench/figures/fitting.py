"""What makes a plot readable without a legend: axes fitted to what curves share, labels at the line ends."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

LONGEST_LABEL = 23  # characters

Curve = Mapping[str, Sequence[float]]  # bpp and value, by rising rate


def common_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The lowest and the highest rate (bit/pixel) that at least half of the curves reach.

    One curve that begins at 0.008 bit/pixel or goes on to 5 does not stretch an axis that all others leave empty. Where
    no rate is reached by half of the curves, the range of all.
    """
    lows = sorted(min(curve["bpp"]) for curve in curves)
    highs = sorted(max(curve["bpp"]) for curve in curves)
    low, high = lows[(len(lows) - 1) // 2], highs[len(highs) // 2]
    return (low, high) if low < high else (lows[0], highs[-1])


def value_at(curve: Curve, rate: float) -> float | None:
    """The quality at ``rate``, linear over the logarithm of the rate; None outside of the curve."""
    points = list(zip(curve["bpp"], curve["value"], strict=True))
    for (low, left), (high, right) in pairwise(points):
        if low <= rate <= high and low < high:
            share = math.log(rate / low) / math.log(high / low)
            return left + share * (right - left)
    return next((value for bpp, value in points if bpp == rate), None)


def values_within(curve: Curve, low: float, high: float) -> list[float]:
    """The values of a curve from one rate to another, those at the two ends included where the curve reaches them."""
    inner = [(rate, value) for rate, value in zip(curve["bpp"], curve["value"], strict=True) if low <= rate <= high]
    ends = [(rate, value_at(curve, rate)) for rate in (low, high)]
    found = [(rate, value) for rate, value in {*inner, *ends} if value is not None]
    return [value for _, value in sorted(found)]


def widened(low: float, high: float, share: float) -> tuple[float, float]:
    """The range with a margin of ``share`` of it at both ends."""
    margin = share * (high - low or 1.0)
    return low - margin, high + margin


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the ``wanted`` ones (rising), at least ``gap`` apart and within ``low`` to ``high`` if they fit."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap if places else low))
    limit = high
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    return places


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
