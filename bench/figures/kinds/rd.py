"""Rate-distortion curves averaged over images, claimed curves dashed, the range of quality they share shaded."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures.context import Context, Missing
from bench.figures.style import GREY, METRICS, axis_label, canvas, count_images, legend, rate_axis, titles
from bench.rd.curves import averaged_curve, why_null
from bench.rd.published import published_curve

COLUMNS = ["kind", "codec", "label", "averaging", "point", "n_images", "bpp", "value", "note"]
MISSING = "Not measured here"
AVERAGING = {"ms_ssim_db": "; mean of the images' dB", "ms_ssim_db_of_mean": "; dB of the mean MS-SSIM"}


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: one row per point of every curve; kind is measured or claimed, averaging `point` or `fixed rate`.

    A codec that the figure names and the run has not measured is a row of kind `missing` with the reason in ``note``.
    """
    frame = rows(context, spec, dataset)
    check(frame, context, spec, dataset)
    return frame


def check(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> None:
    """Raises Missing if no measured point is there, or none within the rates that the figure shows."""
    measured = frame[frame.kind == "measured"]
    if measured.empty:
        raise Missing(nothing(context, frame, spec, dataset))
    limits = spec.get("xlim")
    if limits and not measured.bpp.between(*limits).any():
        raise Missing(
            f"no curve has a mean rate from {limits[0]:g} to {limits[1]:g} bit/pixel on {dataset}; the measured ones "
            f"are from {measured.bpp.min():.3g} to {measured.bpp.max():.3g}"
        )


def rows(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """The rows of :func:`table`, measured or not."""
    metric, found = spec["metric"], []
    about: dict[str, Any]
    for codec in context.codecs(spec, dataset):
        curve = averaged_curve(context.records, dataset, codec, metric)
        curve = curve[np.isfinite(curve.value)]
        averaging = "fixed rate" if context.at_fixed_rate(dataset, codec) else "point"
        about = {"kind": "measured", "codec": codec, "label": context.label(dataset, codec), "averaging": averaging}
        found += [about | row for row in curve[["point", "n_images", "bpp", "value"]].to_dict("records")]
    for name in spec.get("claimed", []):
        curve = published_curve(name, dataset, metric, context.published)
        about = {"kind": "claimed", "codec": name, "label": context.style(name).label, "point": "", "n_images": None}
        found += [about | row for row in curve[["averaging", "bpp", "value"]].to_dict("records")]
    if spec.get("codecs", "all") != "all":
        for codec, reason in context.left_out(spec, dataset).items():
            found.append({"kind": "missing", "codec": codec, "label": context.style(codec).label, "note": reason})
    return pd.DataFrame(found, columns=COLUMNS)


def nothing(context: Context, frame: pd.DataFrame, spec: dict[str, Any], dataset: str) -> str:
    """What to say where no codec was measured."""
    absent = frame[frame.kind == "missing"].drop_duplicates("codec").set_index("codec").note.to_dict()
    rows = context.records[context.records.dataset == dataset]
    why = "; ".join(filter(None, (why_null(rows, spec["metric"]), context.in_words(absent))))
    return f"no codec has {spec['metric']} on {dataset}" + (f" ({why})" if why else "")


def missing(frame: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    """Legend entries of what is missing, with the reason cut short; the CSV has it whole."""
    rows = frame[frame.kind == "missing"].drop_duplicates("codec")
    by_reason = [(", ".join(part.label), reason) for reason, part in rows.groupby("note", sort=False)]
    look = {"linestyle": "", "marker": ""}
    return [(f"{labels}: " + textwrap.shorten(reason, 60, placeholder=" ..."), look) for labels, reason in by_reason]


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    figure, (axes,) = canvas()
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    middle = float(frame.value.median())
    for kind, heading in (("measured", "Measured"), ("claimed", "Claimed (published)")):
        entries = []
        for codec, curve in frame[frame.kind == kind].groupby("codec", sort=False):
            look = context.style(str(codec)).line()
            axes.plot(curve.bpp, curve.value, zorder=3 if kind == "measured" else 2, **look)
            entries.append((_rate_at(middle, curve), curve.label.iloc[0], look))
        groups[heading] = [(label, look) for _, label, look in sorted(entries, key=lambda entry: entry[:2])]
    limits = spec.get("xlim")
    rate_axis(axes, spec.get("x", "log"), limits)
    axes.set_ylabel(axis_label(spec["metric"]))
    seen = frame[frame.bpp.notna()] if limits is None else frame[frame.bpp.between(*limits)]
    margin = 0.04 * (seen.value.max() - seen.value.min() or 1)
    axes.set_ylim(seen.value.min() - margin, seen.value.max() + margin)
    _shade(axes, frame, spec)
    legend(figure, groups | {MISSING: missing(frame)})
    titles(figure, context.title(spec, dataset), subtitle(frame, spec["metric"]))
    return figure


def _rate_at(quality: float, curve: pd.DataFrame) -> float:
    """The curve's log2 rate at ``quality``, so that the legend stands in the order of the curves; beyond its ends a
    common slope of 5 dB per doubling is taken.
    """
    ordered = curve.sort_values("value")
    within = float(np.clip(quality, ordered.value.iloc[0], ordered.value.iloc[-1]))
    return float(np.interp(within, ordered.value, np.log2(ordered.bpp))) + (quality - within) / 5


def _shade(axes: Axes, frame: pd.DataFrame, spec: dict[str, Any]) -> None:
    """Shades the range of quality that every measured curve shares with the anchor, if there is one."""
    measured, anchor = frame[frame.kind == "measured"], spec.get("anchor")
    if anchor is None or anchor not in set(measured.codec):
        return
    ranges = measured.groupby("codec").value.agg(["min", "max"])
    low, high = ranges["min"].max(), ranges["max"].min()
    if high <= low:
        return
    axes.axhspan(low, high, color="#f4f1e4", zorder=0, linewidth=0)
    digits, unit = (2, " dB") if METRICS.get(spec["metric"], ("", ""))[1] == "dB" else (4, "")
    text = f"shaded: shared by all measured curves, {low:.{digits}f} to {high:.{digits}f}{unit}"
    axes.text(0.99, 0.015, text, transform=axes.transAxes, fontsize=6, color=GREY, va="bottom", ha="right")


def subtitle(frame: pd.DataFrame, metric: str) -> str:
    """How many images, and how they are averaged."""
    measured = frame[frame.kind == "measured"]
    how = "rate and quality averaged over images at each operating point"
    if (measured.averaging == "fixed rate").any():
        how += "; marked codecs at fixed rates"
    how += AVERAGING.get(metric, "")
    return f"{count_images(measured.n_images)}; {how}"
