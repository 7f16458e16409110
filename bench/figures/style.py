"""How every figure looks: fonts, colours, a codec's line, titles, legends and the hash in the corner.

Colours are those of Okabe and Ito, then of Tol's muted scheme: told apart by colour-blind readers, and by their markers
in print without colour. Measured curves are solid, claimed ones dashed.
"""

from __future__ import annotations

import hashlib
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

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
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">")  # figures.yaml has *, h, d and 8 besides
DASHES = ((4, 1.6), (1.4, 1.4), (6, 1.6, 1.4, 1.6), (8, 2), (3, 1.2, 1.2, 1.2, 1.2, 1.2))
GREY = "#666666"
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


def canvas(width: float = 7.2, height: float = 4.3, panels: int = 1, **ratios: Any) -> tuple[Figure, list[Axes]]:
    """A figure (inches) with room for titles above and a legend at the right, and its panels."""
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.subplots(1, panels, squeeze=False, **ratios)[0]
    figure.subplots_adjust(left=0.085, right=0.71, top=0.86, bottom=0.135, wspace=0.08)
    return figure, list(axes)


def titles(figure: Figure, title: str, subtitle: str, left: float | None = None) -> None:
    """The title and, below it in grey, what the numbers are: images and averaging; at ``left`` or over the panels."""
    left = figure.subplotpars.left if left is None else left
    fitted, small = min(10.0, 10 * 72 / len(title)), min(7.5, 7.5 * 108 / len(subtitle))  # DejaVu Sans on 7.2 inches
    inch = 1 / figure.get_figheight()
    figure.text(left, 1 - 0.1935 * inch, title, fontsize=fitted, fontweight="bold", va="center", color="#111111")
    figure.text(left, 1 - 0.4085 * inch, subtitle, fontsize=small, va="center", color=GREY)


def stamp(figure: Figure, sha256: str, link: str) -> None:
    """The hash of the plotted numbers in the corner, linked to their file."""
    figure.text(0.99, 0.012, f"data {sha256[:12]}", fontsize=5, ha="right", va="bottom", color="#999999", url=link)


def legend(figure: Figure, groups: Mapping[str, list[tuple[str, dict[str, Any]]]]) -> None:
    """Legends right of the panels, one below the other: heading -> (label, line) pairs; empty groups are left out.

    Many entries are set smaller, down to 4 pt, so that the last one still stands in the figure.
    """
    top, sizes = 0.875, [7 - step / 4 for step in range(13)]

    def wrapped(size: float) -> dict[str, list[str]]:
        return {
            heading: [textwrap.fill(label, int(29 * 7 / size)) for label, _ in entries]
            for heading, entries in groups.items()
            if entries
        }

    def lines(labels: list[str]) -> float:
        return sum(label.count("\n") + 1 for label in labels) + 1.7

    def height(size: float) -> float:
        return size * 1.45 / 72 / figure.get_figheight()

    size = next((it for it in sizes if sum(map(lines, wrapped(it).values())) * height(it) < top - 0.03), sizes[-1])
    for heading, labels in wrapped(size).items():
        drawn = figure.legend(
            [Line2D([], [], **look) for _, look in groups[heading]],
            labels,
            title=heading,
            loc="upper left",
            bbox_to_anchor=(0.722, top),
            alignment="left",
            fontsize=size,
            title_fontproperties={"weight": "bold", "size": size},
            handlelength=2.6 * 7 / size,
            labelspacing=0.42,
        )
        drawn.get_title().set_color("#222222")
        top -= lines(labels) * height(size)


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
    """Between four and nine ticks on a log x axis, written as plain numbers. Call it when everything is plotted."""
    low, high = axes.get_xlim()
    if not 0 < low <= high < math.inf:
        return  # nothing is plotted
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
    for steps in ((1, 2, 5), (1, 3), (1,), (1, 1.5, 2, 3, 5, 7), fine):
        ticks = [round(step * 10.0**decade, 12) for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if 4 <= len(ticks) <= 9:
            break
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def count_images(counts: Iterable[int]) -> str:
    """``24 images``, or ``22 to 24 images`` where codecs differ."""
    counts = list(counts)
    if not counts:
        return "no image"
    low, high = int(min(counts)), int(max(counts))
    return f"{high} image{'s' * (high != 1)}" if low == high else f"{low} to {high} images"


def placeholder(title: str, reason: str) -> Figure:
    """A small picture that holds a figure's place and says why it is empty."""
    figure = Figure(figsize=(7.2, 1.1), facecolor="#f7f7f7")
    figure.text(0.03, 0.7, title, fontsize=10, fontweight="bold", va="center", color="#111111")
    figure.text(
        0.03,
        0.36,
        textwrap.fill(textwrap.shorten(f"Not drawn: {reason}", 300, placeholder=" ..."), 105),
        fontsize=8,
        va="center",
        color=GREY,
    )
    return figure
