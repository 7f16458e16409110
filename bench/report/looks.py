"""How a curve looks on the page: the printed figures' colours made legible on a light and on a dark page, and markers.

On a dark page a colour's lightness (in OKLab) is inverted, which keeps hues and keeps apart what lightness kept
apart. On both the lightness then moves until a line has WCAG's contrast of 3:1 to the page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from bench.figures.colour import contrast, from_oklab, oklab
from bench.figures.style import Style

LIGHT_GROUND, DARK_GROUND = "#ffffff", "#16181b"  # --ground of report.css
CONTRAST = 3.0  # WCAG 1.4.11
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
    "H": "hexagon2",
    "8": "octagon",
    "+": "cross-thin",  # plotly draws thin marks only where they are open
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
    "hexagon2": "M-2-3.4H2L3.9 0 2 3.4H-2L-3.9 0Z",
    "cross-thin": "M-.6-3.8H.6V-.6H3.8V.6H.6V3.8H-.6V.6H-3.8V-.6H-.6Z",
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
    light, a, b = oklab(colour)
    light = 1.04 - 0.55 * light if dark else light
    ground = DARK_GROUND if dark else LIGHT_GROUND
    drawn = colour if not dark else from_oklab(light, a, b)
    while contrast(drawn, ground) < CONTRAST:
        light += 0.01 if dark else -0.01
        drawn = from_oklab(light, a, b)
    return drawn
