"""The layout of a figure: for the page with title, legend and hash, for a paper as journals want it.

A figure for the page is 7.2 inches wide and explains itself. One for a paper is as wide as one or two columns, in type
of 8 points throughout, without title and hash: these are in the file's metadata, and the caption is the author's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.figures.fitting import spread
from bench.figures.style import GREY, PALE, RC

Groups = Mapping[str, list[tuple[str, dict[str, Any]]]]  # heading -> (label, line) pairs
LABEL_INCHES = 0.118  # between two labels at line ends
TITLES_INCHES = 0.6  # that title and subtitle take on the page
HANDLE_INCHES, LETTER_INCHES = 0.46, 0.066  # of a paper's legend: the line with its margins, a letter at 8 pt


@dataclass(frozen=True)
class Layout:
    """A figure for the page.

    name: of the layout; width: inches; text, small: points, of labels in the plot and of numbers next to marks.
    """

    name: str = "page"
    explains: bool = True  # are there titles and notes in the figure?
    width: float = 7.2
    text: float = 7
    small: float = 6

    @property
    def rc(self) -> dict[Any, Any]:
        """Matplotlib's settings."""
        return RC

    def grid(self, down: int, across: int, height: float, **ratios: Any) -> tuple[Figure, list[Axes]]:
        """A figure of that height (inches) with its panels row by row."""
        figure = Figure(figsize=(self.width, height), facecolor="white")
        return figure, list(figure.subplots(down, across, squeeze=False, **ratios).flat)

    def canvas(self, panels: int = 1, height: float | None = None, **ratios: Any) -> tuple[Figure, list[Axes]]:
        """A figure with panels next to each other, and room for titles above and a legend at the right.

        height: inches, where the usual one does not do.
        """
        figure, axes = self.grid(1, panels, height or 4.3, **ratios)
        self.adjust(figure, left=0.085, right=0.71, top=0.86, bottom=0.135, wspace=0.08)
        return figure, axes

    def adjust(self, figure: Figure, **margins: float) -> None:
        """Set the margins, as shares of the figure."""
        figure.subplots_adjust(**margins)

    def titles(self, figure: Figure, title: str, subtitle: str, left: float | None = None) -> None:
        """The title and, below it in grey, what the numbers are (images, averaging); at ``left`` or over the panels."""
        left = figure.subplotpars.left if left is None else left
        fitted, small = (
            min(10.0, 10 * 72 / len(title)),
            min(7.5, 7.5 * 108 / len(subtitle)),
        )  # DejaVu Sans on 7.2 inches
        inch = 1 / figure.get_figheight()
        figure.text(left, 1 - 0.1935 * inch, title, fontsize=fitted, fontweight="bold", va="center", color="#111111")
        figure.text(left, 1 - 0.4085 * inch, subtitle, fontsize=small, va="center", color=GREY)

    def finish(self, figure: Figure, sha256: str, link: str) -> None:
        """The last step: the hash of the plotted numbers in the corner, linked to their file."""
        figure.text(0.99, 0.012, f"data {sha256[:12]}", fontsize=5, ha="right", va="bottom", color="#999999", url=link)

    def legend(self, figure: Figure, groups: Groups) -> None:
        """Legends right of the panels, one below the other; empty groups are left out.

        Many entries are set smaller, down to 4 pt, so that the last one still fits in the figure.
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

    def end_labels(self, figure: Figure, axes: Axes, labels: Sequence[tuple[float, float, str, str, bool]]) -> None:
        """(x, y, text, colour, bold) of each curve's last visible point: its label right of the axes, with a thin line.

        Call it when the limits of the axes are set. Labels keep the curves' order, moved apart where they overlap.
        """
        box = axes.get_position()
        inches = box.height * figure.get_figheight()
        wide = box.width * figure.get_figwidth()
        places = axes.transData.transform([(x, y) for x, y, *_ in labels])
        shares = axes.transAxes.inverted().transform(places)
        order = sorted(range(len(labels)), key=lambda index: shares[index][1])
        heights = spread([shares[index][1] * inches for index in order], LABEL_INCHES, 0.0, inches)
        for index, height in zip(order, heights, strict=True):
            _, _, text, colour, bold = labels[index]
            ends = [shares[index][0], 1 + 0.22 / wide], [shares[index][1], height / inches]
            line = Line2D(*ends, transform=axes.transAxes, color=colour if bold else PALE, linewidth=0.4, clip_on=False)
            axes.add_line(line)
            size, weight = (self.text + 0.5, "bold") if bold else (self.small - 0.5, "normal")
            look: dict[str, Any] = {
                "fontsize": size,
                "fontweight": weight,
                "color": colour if bold else GREY,
                "va": "center",
            }
            axes.text(1 + 0.25 / wide, height / inches, text, transform=axes.transAxes, clip_on=False, **look)


@dataclass(frozen=True)
class Paper(Layout):
    """A figure for a paper, ``columns`` wide; legends stand below the panels."""

    name: str = "single"
    explains: bool = False
    width: float = 3.5
    text: float = 8
    small: float = 8

    @property
    def rc(self) -> dict[Any, Any]:
        sizes = dict.fromkeys(("font.size", "legend.fontsize", "legend.title_fontsize"), 8)
        return {**RC, **sizes, "svg.fonttype": "none", "axes.titlesize": 8, "lines.linewidth": 1.2}

    @property
    def is_narrow(self) -> bool:
        """Is it one column wide? Panels then stand below each other."""
        return self.width < 5

    def grid(self, down: int, across: int, height: float, **ratios: Any) -> tuple[Figure, list[Axes]]:
        """The panels row by row; in one column no more than two of them next to each other."""
        count = down * across
        across = min(across, 2) if self.is_narrow else across
        figure, axes = self._figure(-(-count // across), across, height, **ratios)
        for spare in axes[count:]:
            spare.set_axis_off()
        return figure, axes[:count]

    def canvas(self, panels: int = 1, height: float | None = None, **ratios: Any) -> tuple[Figure, list[Axes]]:
        """As for the page, panels below each other in one column; ``height`` less what the page's titles take."""
        stacked = self.is_narrow and panels > 1
        height = height - TITLES_INCHES if height else 2.0 if stacked else 2.4
        if stacked:
            ratios.pop("gridspec_kw", None)  # widths of panels next to each other
            return self._figure(panels, 1, height * panels, **ratios)
        return self._figure(1, panels, height, **ratios)

    def _figure(self, down: int, across: int, height: float, **ratios: Any) -> tuple[Figure, list[Axes]]:
        figure = Figure(figsize=(self.width, height), facecolor="white", layout="constrained")
        return figure, list(figure.subplots(down, across, squeeze=False, **ratios).flat)

    def adjust(self, figure: Figure, **margins: float) -> None:
        """Nothing: the margins follow from the labels."""

    def titles(self, figure: Figure, title: str, subtitle: str, left: float | None = None) -> None:
        """Nothing in the figure; what the numbers are goes into its metadata."""
        figure.set_label(subtitle)

    def finish(self, figure: Figure, sha256: str, link: str) -> None:
        """Long labels of axes broken, so that none is cut; the hash is in the metadata."""
        figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
        for axes in figure.axes:
            box = axes.get_position()
            wide, high = box.width * self.width / LETTER_INCHES, box.height * figure.get_figheight() / LETTER_INCHES
            axes.set_xlabel(textwrap.fill(axes.get_xlabel(), max(12, int(wide))))
            axes.set_ylabel(textwrap.fill(axes.get_ylabel(), max(12, int(high))))

    def legend(self, figure: Figure, groups: Groups) -> None:
        """One legend below the panels, in as many columns as its labels leave room for; the figure grows by it."""
        entries = [(label, look) for group in groups.values() for label, look in group if _is_seen(look)]
        if not entries:
            return
        longest = max(len(label) for label, _ in entries)
        wide = min(longest, int((self.width - HANDLE_INCHES) / LETTER_INCHES))
        labels = [textwrap.fill(label, wide) for label, _ in entries]
        columns = max(1, int(self.width / (HANDLE_INCHES + LETTER_INCHES * wide)))
        rows = [labels[at::columns] for at in range(columns)]
        lines = max(sum(label.count("\n") + 1 for label in column) for column in rows)
        figure.set_figheight(figure.get_figheight() + 0.16 * lines + 0.08)
        handles = [Line2D([], [], **look) for _, look in entries]
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.4, columnspacing=1.2)

    def end_labels(self, figure: Figure, axes: Axes, labels: Sequence[tuple[float, float, str, str, bool]]) -> None:
        """Nothing at the lines' ends: a column has no room for it, the legend says it."""


def _is_seen(look: Mapping[str, Any]) -> bool:
    """Whether an entry of a legend is for something drawn, and not for what is missing."""
    return bool(look.get("linestyle", "-") or look.get("marker"))


PAGE = Layout()
PAPER = (Paper(), Paper(name="double", width=7.16))
