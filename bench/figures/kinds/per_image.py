"""The BD-rate of each image, and their mean with its interval: how much a headline number depends on the images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.style import METRICS, PALE, count_images, plain_log
from bench.rd.bjontegaard import bd_rates
from bench.rd.curves import CurveTable, curve_table, why_null

COLUMNS = [
    "kind",
    "codec",
    "label",
    "image",
    "at_quality",
    "anchor_bpp",
    "bd_rate_percent",
    "ci_low",
    "ci_high",
    "n_images",
]


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: a row per codec and image (kind `measured`), and one per codec for the headline mean (kind `mean`).

    anchor_bpp is the rate the anchor needs for at_quality on that image, a measure of how hard the image is.
    """
    anchor, metric = context.anchor(spec, dataset), spec["metric"]
    codecs = [codec for codec in context.codecs(spec, dataset) if codec != anchor]
    base = curve_table(context.records, dataset, anchor, metric)
    quality, needed = _difficulty(dict(zip(base.images, _curves(base), strict=True)))
    rows = []
    for codec in codecs:
        other = curve_table(context.records, dataset, codec, metric)
        common = [image for image in base.images if image in other.images]
        if not common:
            continue
        curves = (_curves(side.select(common)) for side in (base, other))
        pairs = (np.stack(arrays) for side in curves for arrays in zip(*side, strict=True))
        about = {"kind": "measured", "codec": codec, "label": context.style(codec).label, "at_quality": quality}
        for image, value in zip(common, bd_rates(*pairs), strict=True):
            if np.isfinite(value):
                rows.append(about | {"image": image, "anchor_bpp": needed[image], "bd_rate_percent": value})
    if not rows:
        why = why_null(context.records[context.records.dataset == dataset], metric)
        text = f"no image of {dataset} has a BD-rate of {metric} against {context.style(anchor).label}"
        raise Missing(text + (f" ({why})" if why else ""))
    if not np.isfinite([needed[str(row["image"])] for row in rows]).any():
        raise Missing(f"no value of {metric} is reached by {context.style(anchor).label} on all images of {dataset}")
    headline = context.headline(spec, dataset, sorted({str(row["codec"]) for row in rows}))
    for codec, mean in headline.iterrows():
        if pd.notna(mean.bd_rate_percent):
            about = {"kind": "mean", "codec": codec, "label": context.style(str(codec)).label}
            rows.append(about | mean[["bd_rate_percent", "ci_low", "ci_high", "n_images"]].to_dict())
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """Left each image against its difficulty, right the means with their intervals, on one scale."""
    figure, (left, right) = context.layout.canvas(panels=2, sharey=True, gridspec_kw={"width_ratios": [3, 1]})
    images, means = frame[frame.kind == "measured"], frame[frame.kind == "mean"].sort_values("bd_rate_percent")
    order = images.groupby("codec").bd_rate_percent.mean().sort_values(ascending=False).index
    entries, chosen = [], context.standing_out(spec, images.codec)
    for codec in order:
        style, points = context.style(codec), images[images.codec == codec]
        look = style.line(linestyle="", markersize=4)
        if chosen is not None and codec not in chosen:
            left.plot(points.anchor_bpp, points.bd_rate_percent, "o", color=PALE, markersize=2, zorder=1)
            continue
        left.plot(points.anchor_bpp, points.bd_rate_percent, alpha=0.85, **look)
        entries.append((style.label, look))
    for place, mean in enumerate(means.itertuples()):
        style = context.style(mean.codec)
        if chosen is not None and mean.codec not in chosen:
            style = replace(style, colour=PALE)
        if pd.notna(mean.ci_low):
            right.plot(
                [place, place], [mean.ci_low, mean.ci_high], color=style.colour, linewidth=2, solid_capstyle="butt"
            )
        right.plot([place], [mean.bd_rate_percent], **style.line(linestyle="", markersize=5))
    for axes in (left, right):
        axes.axhline(0, color=context.style(spec["anchor"]).colour, linewidth=1.0)
    left.set_xscale("log")
    plain_log(left)
    anchor, (name, unit) = context.style(spec["anchor"]).label, METRICS.get(spec["metric"], (spec["metric"], ""))
    left.set_xlabel(f"Rate {anchor} needs for {images.at_quality.iloc[0]:.4g} {unit} [bit/pixel], log scale")
    left.set_ylabel(f"BD-rate against {anchor} [%], negative: fewer bits")
    right.set_xlabel("Mean, 95 % interval")
    right.set(xticks=[], xlim=(-0.7, max(len(means), 1) - 0.3))
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    if others := len(order) - len(entries):
        entries.append((f"{others} other codecs", {"color": PALE, "marker": "o", "linestyle": "", "markersize": 2}))
    context.layout.legend(figure, {"Measured": entries})
    counts = images.groupby("codec").image.nunique()
    how = f"each point one image's {name} BD-rate (PCHIP); interval by paired bootstrap over images"
    context.layout.titles(figure, context.title(spec, dataset), f"{count_images(counts)}; {how}")
    return figure


def _curves(table: CurveTable) -> list[tuple[np.ndarray, np.ndarray]]:
    return [table.image_curve(row) for row in range(len(table.images))]


def _difficulty(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[float, dict[str, float]]:
    """A quality in the middle of what the anchor reaches, and the rate each image needs for it (NaN: out of reach)."""
    finite = {image: (bpp[np.isfinite(value)], value[np.isfinite(value)]) for image, (bpp, value) in curves.items()}
    finite = {image: curve for image, curve in finite.items() if len(curve[0])}
    needed = {image: float("nan") for image in curves}
    if not finite:
        return float("nan"), needed
    low, high = max(v.min() for _, v in finite.values()), min(v.max() for _, v in finite.values())
    quality = (low + high) / 2
    for image, (bpp, value) in finite.items():
        order = np.argsort(value)
        if value.min() <= quality <= value.max():
            needed[image] = float(np.exp(np.interp(quality, value[order], np.log(bpp[order]))))
    return quality, needed
