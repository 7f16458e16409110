"""The variable-rate condition: how near the rates come, and how smooth the curve is between its points."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.style import count_images, plain_log
from bench.rd.variable_rate import targets

COLUMNS = ["kind", "codec", "label", "image", "target_bpp", "bpp", "error_percent", "psnr_rgb_db", "off_curve_db"]
COLUMNS += ["evaluations", "reason"]


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: a row per codec, image and random target of the condition; one without a rate has its reason."""
    frame = context.variable_rate
    if frame is None or not (frame.dataset == dataset).any():
        raise Missing(f"the variable-rate condition was not measured on {dataset}; `rdbench variable-rate` measures it")
    asked = targets(frame[frame.dataset == dataset])
    codecs = [codec for codec in context.codecs(spec, dataset) if codec in set(asked.codec)]
    parts = [
        asked[asked.codec == codec].assign(kind="measured", label=context.style(codec).label).sort_values("target_bpp")
        for codec in codecs
    ]
    if not parts:
        raise Missing(f"no codec of this figure was measured under the variable-rate condition on {dataset}")
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """Left the error of the rate, right the quality above the curve through the listed points; zero is ideal."""
    figure, panels = context.layout.canvas(panels=2)
    context.layout.adjust(figure, wspace=0.3)
    for codec, rows in frame.groupby("codec", sort=False):
        line = context.style(codec).line(linestyle="", markersize=3.5)
        panels[0].plot(rows.target_bpp, rows.error_percent, **line)
        panels[1].plot(rows.bpp, rows.off_curve_db, **line)
    words = (
        ("Wanted rate [bit/pixel], log scale", "Rate above the wanted one [%]"),
        ("Rate [bit/pixel], log scale", "PSNR above the points' curve [dB]"),
    )
    for axes, (across, up) in zip(panels, words, strict=True):
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=0)
        axes.set_xscale("log")
        plain_log(axes)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
    looks = [
        (rows.label.iloc[0], context.style(codec).line(linestyle="", markersize=3.5))
        for codec, rows in frame.groupby("codec", sort=False)
    ]
    context.layout.legend(figure, {"Measured": looks})
    missed = int(frame.bpp.isna().sum())
    most = frame.groupby("codec").size().max()
    subtitle = f"{most} targets a codec, {count_images([frame.image.nunique()])}"
    subtitle += f"; {missed} without a bitstream" if missed else ""
    context.layout.titles(figure, context.title(spec, dataset), subtitle)
    return figure
