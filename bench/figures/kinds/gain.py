"""How much more or less rate than the anchor, at each quality: where on the curve a BD-rate comes from."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.fitting import widened
from bench.figures.style import PALE, axis_label, count_images
from bench.rd.bjontegaard import gain_curve
from bench.rd.curves import averaged_curve, why_null

COLUMNS = ["kind", "codec", "label", "n_images", "quality", "rate_difference_percent"]


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: each measured codec's relative rate difference, sampled over the qualities it shares with the anchor."""
    anchor, metric, parts = context.anchor(spec, dataset), spec["metric"], []
    base = averaged_curve(context.records, dataset, anchor, metric)
    for codec in context.codecs(spec, dataset):
        if codec == anchor:
            continue
        curve = averaged_curve(context.records, dataset, codec, metric)
        quality, percent = gain_curve(base.bpp, base.value, curve.bpp, curve.value)
        part = pd.DataFrame({"quality": quality, "rate_difference_percent": percent})
        part = part.assign(kind="measured", codec=codec, label=context.label(dataset, codec))
        parts.append(part.assign(n_images=None if curve.empty else int(curve.n_images.max())))
    parts = [part for part in parts if len(part)]
    if not parts:
        why = why_null(context.records[context.records.dataset == dataset], metric)
        text = f"no codec shares a range of {metric} with {context.style(anchor).label} on {dataset}"
        raise Missing(text + (f" ({why})" if why else ""))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """One line per codec; the anchor is the zero line."""
    figure, (axes,) = context.layout.canvas()
    anchor = context.style(spec["anchor"])
    axes.axhline(0, color=anchor.colour, linewidth=1.1)
    chosen = context.standing_out(spec, [*frame.codec, spec["anchor"]])
    entries = [(0.0, f"{anchor.label} (anchor)", anchor.line(marker="", linewidth=1.1))]
    for codec, curve in frame.groupby("codec", sort=False):
        if chosen is not None and codec not in chosen:
            axes.plot(curve.quality, curve.rate_difference_percent, color=PALE, linewidth=0.8, zorder=1)
            continue
        look = context.style(str(codec)).line(markevery=(5, 15))
        axes.plot(curve.quality, curve.rate_difference_percent, **look)
        look.pop("markevery")
        entries.append((curve.rate_difference_percent.mean(), curve.label.iloc[0], look))
    axes.set_xlabel(axis_label(spec["metric"]))
    axes.set_ylabel(f"Rate difference to {anchor.label} [%], negative: fewer bits")
    axes.margins(x=0.02)
    if chosen is not None:
        shares = frame[frame.codec.isin(chosen)].rate_difference_percent
        axes.set_ylim(*widened(min(0.0, shares.min()), max(0.0, shares.max()), 0.08))
    shown = [entry[1:] for entry in sorted(entries, key=lambda entry: (-entry[0], entry[1]))]
    if others := frame.codec.nunique() + 1 - len(shown):
        shown.append((f"{others} other codecs", {"color": PALE, "linewidth": 0.8}))
    context.layout.legend(figure, {"Measured": shown})
    how = "PCHIP through curves averaged over images at each operating point"
    context.layout.titles(figure, context.title(spec, dataset), f"{count_images(frame.n_images)}; {how}")
    return figure
