"""BD-rates of chosen pairs of codecs with their intervals: a variant against what it varies."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.fitting import short_labels
from bench.figures.style import GREY, METRICS, count_images

COLUMNS = ["metric", "codec", "label", "anchor", "anchor_label", "bd_rate_percent", "ci_low", "ci_high", "bd_quality"]
COLUMNS += ["overlap", "n_images", "reason"]
ROW_INCHES = 0.3
AMBER = 0.75  # overlaps below it are marked


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: the headline BD-rate of each pair (codec, anchor) in each metric; a pair without one has its reason."""
    absent = context.left_out({"codecs": [codec for pair in spec["pairs"] for codec in pair]}, dataset)
    found = []
    for metric in spec["metrics"]:
        for codec, anchor in spec["pairs"]:
            row = {"metric": metric, "codec": codec, "anchor": anchor}
            row |= {"label": context.style(codec).label, "anchor_label": context.style(anchor).label}
            gone = [f"{context.style(name).label}: {absent[name]}" for name in (codec, anchor) if name in absent]
            if gone:
                found.append(row | {"reason": "; ".join(gone)})
                continue
            best = context.headline({"anchor": anchor, "metric": metric}, dataset, [codec]).loc[codec]
            found.append(row | best[best.index.intersection(COLUMNS)].to_dict() | row)
    frame = pd.DataFrame(found, columns=COLUMNS)
    if frame.bd_rate_percent.isna().all():
        raise Missing(context.in_words(absent) or "; ".join(dict.fromkeys(map(_plain, frame.reason))))
    return frame


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """A row for each pair, a panel for each metric, and the numbers next to them."""
    metrics = list(dict.fromkeys(frame.metric))
    pairs = frame.drop_duplicates(["codec", "anchor"])
    height = 0.62 + ROW_INCHES * (len(pairs) + 0.6) + 0.5
    wide = 40 if context.layout.explains else 24
    figure, panels = context.layout.canvas(len(metrics), height, sharey=True)
    context.layout.adjust(figure, left=0.3, right=0.985, top=1 - 0.8 / height, bottom=0.47 / height, wspace=0.06)
    for axes, metric in zip(panels, metrics, strict=True):
        _panel(axes, frame[frame.metric == metric].reset_index(drop=True), context)
        axes.set_title(METRICS.get(metric, (metric,))[0], fontsize=context.layout.text, color=GREY, pad=3)
    several = pairs.anchor.nunique() > 1
    short = short_labels(dict(zip(pairs.anchor, pairs.anchor_label, strict=True)))
    names = [f"{row.label} / {short[row.anchor]}" if several else str(row.label) for row in pairs.itertuples()]
    names = [textwrap.fill(name, wide) for name in names]
    for axes in panels:
        axes.set_yticks(range(len(pairs)), names, fontsize=context.layout.small)
    panels[0].set_ylim(len(pairs) - 0.4, -0.6)
    against = "" if several else f" against {pairs.anchor_label.iloc[0]}"
    place = {"y": 0.1 / height} if context.layout.explains else {}
    figure.supxlabel(f"BD-rate{against} [%], negative: fewer bits", fontsize=context.layout.text, **place)
    how = "mean of the images' BD-rates (PCHIP), 95 % interval by paired bootstrap over images"
    subtitle = f"{count_images(frame.n_images.dropna())}; {how}"
    context.layout.titles(figure, context.title(spec, dataset), subtitle, left=0.02)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, context: Context) -> None:
    """Points and intervals in the left half, numbers or reasons in the right; for a paper no numbers."""
    values = rows[["bd_rate_percent", "ci_low", "ci_high"]].stack().dropna()
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    span, room = (high - low) or 1.0, 1.15 if context.layout.explains else 0.06
    axes.set_xlim(low - 0.06 * span, high + room * span)
    axes.axvline(0, color="#444444", linewidth=0.9)
    look: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
    for place, row in rows.iterrows():
        if pd.isna(row.bd_rate_percent):
            text = _plain(row.reason) if context.layout.explains else "no value"
            text = textwrap.fill(text, 46)
            size = min(context.layout.small - 0.5, 12 / (text.count("\n") + 1))
            axes.text(0.985, place, text, fontsize=size, color=GREY, **look)
            continue
        style = context.style(row.codec)
        axes.plot([row.ci_low, row.ci_high], [place, place], color=style.colour, linewidth=2, solid_capstyle="butt")
        axes.plot([row.bd_rate_percent], [place], **style.line(linestyle="", markersize=4.5))
        if not context.layout.explains:
            continue
        text = f"{row.bd_rate_percent:+.1f}"
        text += f" ({row.ci_low:+.1f} to {row.ci_high:+.1f})" if pd.notna(row.ci_low) else ""
        text += f", overlap {row.overlap:.2f}" if row.overlap < AMBER else ""
        axes.text(0.985, place, text, fontsize=context.layout.small, **look)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=context.layout.small)


def _plain(reason: Any) -> str:
    """The first clauses of a reason in words: codes have underscores, sentences do not."""
    text = "no value" if pd.isna(reason) or not reason else ": ".join(str(reason).split(": ")[:3])
    return text if " " in text else text.replace("_", " ")
