"""Colours measured: contrast as WCAG has it, and lightness (OKLab) that can be changed while the hue stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    + [[0.0883024619, 0.2817188376, 0.6299787005]]
)
TO_LAB = np.array(
    [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099]]
    + [[0.0259040371, 0.7827717662, -0.808675766]]
)
DARKEST, LIGHTEST = 0.25, 0.74  # lightness of lines that are told apart in grey print, on white paper


def contrast(colour: str, ground: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    low, high = sorted(luminance(it) for it in (colour, ground))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, 0 (black) to 1 (white): what grey print keeps of a colour."""
    return float(np.array([0.2126, 0.7152, 0.0722]) @ _linear(colour))


def oklab(colour: str) -> tuple[float, float, float]:
    """Lightness (0 to 1) and the two colour axes of ``#rrggbb`` in OKLab."""
    light, a, b = TO_LAB @ np.cbrt(TO_LMS @ _linear(colour))
    return float(light), float(a), float(b)


def from_oklab(light: float, a: float, b: float) -> str:
    """``#rrggbb`` of a place in OKLab, cut to what a screen can show."""
    linear = np.clip(np.linalg.inv(TO_LMS) @ (np.linalg.inv(TO_LAB) @ [light, a, b]) ** 3, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in coded)


def apart_in_grey(colours: Sequence[str]) -> list[str]:
    """The colours with their hues, each of another lightness, and neighbours of lightnesses far apart.

    Up to six lines in this order can be told apart in print without colour; of more, markers have to help.
    """
    count = len(colours)
    levels = np.linspace(DARKEST, LIGHTEST, count) if count > 1 else np.array([DARKEST])
    half = (count + 1) // 2
    order = [place // 2 + (half if place % 2 else 0) for place in range(count)]
    found = []
    for colour, place in zip(colours, order, strict=True):
        _, a, b = oklab(colour)
        found.append(from_oklab(float(levels[place]), a, b))
    return found


def _linear(colour: str) -> np.ndarray:
    coded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
