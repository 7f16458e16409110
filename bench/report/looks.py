"""How a curve looks on the page: the printed figures' colours made legible on a light and on a dark page, and markers.

On a dark page a colour's lightness (in OKLab) is turned round, which keeps hues and tells apart what lightness told
apart. On both the lightness then moves until a line has WCAG's contrast of 3:1 to the page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bench.figures.style import Style

LIGHT_GROUND, DARK_GROUND = "#ffffff", "#16181b"  # --ground of report.css
CONTRAST = 3.0  # WCAG 1.4.11
TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    + [[0.0883024619, 0.2817188376, 0.6299787005]]
)
TO_LAB = np.array(
    [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099]]
    + [[0.0259040371, 0.7827717662, -0.808675766]]
)
PLOTLY_MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "v": "triangle-down",
    "D": "diamond",
    "d": "diamond-tall",
    "P": "cross",
    "X": "x",
    "p": "pentagon",
    "h": "hexagon",
    "8": "octagon",
    "*": "star",
    "<": "triangle-left",
    ">": "triangle-right",
}
MARKS = {  # SVG paths around 0, about 7 wide
    "circle": "M0-3.4a3.4 3.4 0 1 0 .01 0Z",
    "square": "M-3-3H3V3H-3Z",
    "triangle-up": "M0-3.8 3.6 2.8H-3.6Z",
    "triangle-down": "M0 3.8 3.6-2.8H-3.6Z",
    "triangle-left": "M-3.8 0 2.8-3.6V3.6Z",
    "triangle-right": "M3.8 0-2.8-3.6V3.6Z",
    "diamond": "M0-4 4 0 0 4-4 0Z",
    "diamond-tall": "M0-4.6 2.6 0 0 4.6-2.6 0Z",
    "cross": "M-1.2-3.6H1.2V-1.2H3.6V1.2H1.2V3.6H-1.2V1.2H-3.6V-1.2H-1.2Z",
    "x": "M-3.4-1.8-1.8-3.4 0-1.6 1.8-3.4 3.4-1.8 1.6 0 3.4 1.8 1.8 3.4 0 1.6-1.8 3.4-3.4 1.8-1.6 0Z",
    "pentagon": "M0-3.8 3.6-1.2 2.2 3.1H-2.2L-3.6-1.2Z",
    "hexagon": "M0-3.9 3.4-2V2L0 3.9-3.4 2V-2Z",
    "octagon": "M-1.5-3.6H1.5L3.6-1.5V1.5L1.5 3.6H-1.5L-3.6 1.5V-1.5Z",
    "star": "M0-4.6 1.1-1.5 4.4-1.4 1.8.6 2.7 3.7 0 1.9-2.7 3.7-1.8.6-4.4-1.4-1.1-1.5Z",
}


def look(style: Style) -> dict[str, Any]:
    """label, colours on a light and a dark page, plotly's marker and dash."""
    return {
        "label": style.label,
        "colour": legible(style.colour, dark=False),
        "dark": legible(style.colour, dark=True),
        "marker": PLOTLY_MARKERS.get(style.marker, "circle") + ("-open" if style.open_marker else ""),
        "dash": ",".join(f"{1.4 * length:g}px" for length in style.dashes) or "solid",
    }


@cache
def legible(colour: str, dark: bool) -> str:
    """``#rrggbb`` as a line of it is drawn on the light or the dark page, with a contrast of 3:1 or more."""
    light, a, b = TO_LAB @ np.cbrt(TO_LMS @ _linear(colour))
    light = 1.04 - 0.55 * light if dark else light
    ground = DARK_GROUND if dark else LIGHT_GROUND
    drawn = colour if not dark else _hex(light, a, b)
    while contrast(drawn, ground) < CONTRAST:
        light += 0.01 if dark else -0.01
        drawn = _hex(light, a, b)
    return drawn


def contrast(colour: str, ground: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    low, high = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ _linear(it)) for it in (colour, ground))
    return (high + 0.05) / (low + 0.05)


def _linear(colour: str) -> np.ndarray:
    coded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def _hex(light: float, a: float, b: float) -> str:
    linear = np.clip(np.linalg.inv(TO_LMS) @ (np.linalg.inv(TO_LAB) @ [light, a, b]) ** 3, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in coded)
