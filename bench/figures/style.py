"""How every figure looks: fonts, colours, a codec's line, axes. bench/figures/layout.py has sizes, titles and legends.

Colours are those of Okabe and Ito, then of Tol's muted scheme: distinguishable for colour-blind readers, and by their
markers in print without colour. Measured curves are solid, published ones dashed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "axes.unicode_minus": False,  # keeps the PDF's font subsets small
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "svg.fonttype": "path",
    "svg.hashsalt": "rdbench",
    "pdf.fonttype": 42,
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#44AA99", "#7A5C00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">")  # figures.yaml has *, h, H, d, 8 and + besides
DASHES = ((4, 1.6), (1.4, 1.4), (6, 1.6, 1.4, 1.6), (8, 2), (3, 1.2, 1.2, 1.2, 1.2, 1.2))
GREY = "#666666"
PALE = "#c4c4bf"  # of curves that are there for comparison only
MOST_TICKS = 9
CHARACTER_INCHES = 0.075  # of a tick's number, at 8 pt
METRICS = {
    "psnr_rgb_db": ("PSNR (RGB)", "dB"),
    "psnr_y_db": ("PSNR (Y)", "dB"),
    "psnr_611_db": ("PSNR (YCbCr 6:1:1)", "dB"),
    "ms_ssim": ("MS-SSIM", ""),
    "ms_ssim_db": ("MS-SSIM (RGB)", "dB"),
    "ms_ssim_db_of_mean": ("MS-SSIM (RGB)", "dB"),
    "ssimulacra2": ("SSIMULACRA 2", ""),
    "psnr_hvs_m_db": ("PSNR-HVS-M (Y)", "dB"),
    "fsim": ("FSIM (colour)", ""),
    "vif": ("VIF (pixel domain, Y)", ""),
    "nlpd": ("−NLPD (Y)", ""),
    "iw_ssim": ("IW-SSIM (Y)", ""),
    "vmaf": ("VMAF", ""),
    "vmaf_neg": ("VMAF-NEG", ""),
    "ciede2000": ("CIEDE2000", "dB"),
    "butteraugli": ("−Butteraugli", ""),
    "lpips": ("−LPIPS (AlexNet)", ""),
    "lpips_vgg": ("−LPIPS (VGG16)", ""),
    "dists": ("−DISTS", ""),
}


@dataclass(frozen=True)
class Style:
    """How one codec or published curve is drawn."""

    label: str
    colour: str
    marker: str
    dashes: tuple[float, ...] = ()  # empty: a solid line
    open_marker: bool = False

    def line(self, **more: Any) -> dict[str, Any]:
        """Keyword arguments for Axes.plot."""
        face = "white" if self.open_marker else self.colour
        look: dict[str, Any] = {
            "color": self.colour,
            "marker": self.marker,
            "markerfacecolor": face,
            "markeredgecolor": self.colour,
        }
        look |= {"linewidth": 1.3, "markersize": 3.4, "markeredgewidth": 0.8, "linestyle": "-"}
        if self.dashes:
            look |= {"linestyle": (0, self.dashes), "linewidth": 1.0, "marker": "", "alpha": 0.9}
        return look | more


def styles(names: Iterable[str], given: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> dict[str, Style]:
    """A style for every name: as ``given`` (figures.yaml) where it says, else one that no other name has.

    A name without an entry starts at a place in the palette that its own hash decides and takes the next colour that is
    free, or with all taken the next free pair of colour and marker: a new wrapper just appears, and the others keep
    their looks. ``source/codec`` names a claimed curve; those share the palette among themselves only.
    """
    found = {}
    for claimed in (False, True):
        used = {(entry.get("colour"), entry.get("marker")) for name, entry in given.items() if ("/" in name) == claimed}
        for name in sorted(name for name in names if ("/" in name) == claimed):
            entry = given.get(name, {})
            turn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
            pairs = [(COLOURS[(turn + i) % 10], MARKERS[(turn + i + i // 10) % 10]) for i in range(100)]
            taken = {colour for colour, _ in used}
            free = (
                [pair for pair in pairs if pair[0] not in taken]
                or [pair for pair in pairs if pair not in used]
                or pairs
            )
            colour, marker = entry.get("colour", free[0][0]), entry.get("marker", free[0][1])
            used.add((colour, marker))
            label = entry.get("label") or labels.get(name) or (" ".join(reversed(name.split("/"))) if claimed else name)
            dashes = tuple(entry.get("dashes", DASHES[turn % len(DASHES)])) if claimed else ()
            hollow = bool(entry.get("open", not entry)) and not claimed
            found[name] = Style(label, colour, marker, dashes, open_marker=hollow)
    return found


def axis_label(metric: str) -> str:
    """``PSNR (RGB) [dB]``; the metric's column name if it is not known."""
    name, unit = METRICS.get(metric, (metric, ""))
    return f"{name} [{unit}]" if unit else name


def rate_axis(axes: Axes, scale: str, limits: Any = None) -> None:
    """The rate axis, linear or log, with plain numbers."""
    axes.set_xlabel("Rate [bit/pixel]" + (", log scale" if scale == "log" else ""))
    if scale == "log":
        axes.set_xscale("log")
    if limits:
        axes.set_xlim(*limits)
    if scale == "log":
        plain_log(axes)


def plain_log(axes: Axes) -> None:
    """Plain numbers on a log x axis, as many as its width has room for. Call it when everything is plotted."""
    low, high = axes.get_xlim()
    if not 0 < low <= high < math.inf:
        return  # nothing is plotted
    figure = axes.get_figure(root=True)
    inches = axes.get_position().width * (figure.get_figwidth() if figure else 1)
    fitting = [ticks for ticks in _log_ticks(low, high) if _has_room(ticks, low, high, inches)]
    ticks = next((ticks for ticks in fitting if len(ticks) >= 4), max(fitting, key=len, default=[]))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _log_ticks(low: float, high: float) -> Iterator[list[float]]:
    """Sets of round numbers from ``low`` to ``high``, those to be preferred first."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
    for steps in ((1, 2, 5), (1, 3), (1,), (1, 1.5, 2, 3, 5, 7), fine):
        ticks = [round(step * 10.0**decade, 12) for decade in decades for step in steps]
        yield [tick for tick in ticks if low <= tick <= high]
    for apart in (2, 3, 4):
        yield [10.0**decade for decade in decades[::apart] if low <= 10.0**decade <= high]
    for count in (4, 3, 2):
        even = MaxNLocator(count).tick_values(low, high)
        yield [round(float(tick), 12) for tick in even if max(low, 1e-12) <= tick <= high]


def _has_room(ticks: list[float], low: float, high: float, inches: float) -> bool:
    """Whether there are some ticks, not too many, and the numbers of neighbours stand apart on an axis so long."""
    if len(ticks) > MOST_TICKS:
        return False
    scale = inches / (math.log10(high / low) or 1.0)
    widths = [len(f"{tick:g}") * CHARACTER_INCHES for tick in ticks]
    return all(
        scale * math.log10(after / before) > (left + right) / 2 + CHARACTER_INCHES
        for (before, left), (after, right) in pairwise(zip(ticks, widths, strict=True))
    )


def count_images(counts: Iterable[int]) -> str:
    """``24 images``, or ``22 to 24 images`` where codecs differ."""
    counts = list(counts)
    if not counts:
        return "no image"
    low, high = int(min(counts)), int(max(counts))
    return f"{high} image{'s' * (high != 1)}" if low == high else f"{low} to {high} images"
