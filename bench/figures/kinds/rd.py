"""Rate-distortion curves averaged over images, claimed curves dashed, the range of quality they share shaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.fitting import common_range, short_labels, value_at, values_within, widened
from bench.figures.style import GREY, METRICS, PALE, axis_label, count_images, rate_axis
from bench.rd.curves import averaged_curve, why_null
from bench.rd.published import published_curve

COLUMNS = ["kind", "codec", "label", "averaging", "point", "n_images", "bpp", "value", "note"]
MEASURED, CLAIMED, MISSING = "Measured", "Published elsewhere", "Not measured here"
FIXED = "fixed rate"  # how an embedded codec is averaged
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
        averaging = FIXED if context.at_fixed_rate(dataset, codec) else "point"
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
    """Legend entries of what is missing, with the first clauses of the reason; the CSV has it whole."""
    rows = frame[frame.kind == "missing"].drop_duplicates("codec")
    by_reason = [(", ".join(part.label), reason) for reason, part in rows.groupby("note", sort=False)]
    look = {"linestyle": "", "marker": ""}
    return [(f"{labels}: {': '.join(reason.split(': ')[:2])}", look) for labels, reason in by_reason]


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """The curves with a legend; of a figure that shows all codecs, some in colour and the others grey, with labels."""
    figure, (axes,) = context.layout.canvas()
    measured = frame[frame.kind == "measured"]
    chosen = context.standing_out(spec, measured.codec)
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    middle = float(frame.value.median())
    for kind, heading in (("measured", MEASURED), ("claimed", CLAIMED)):
        entries = []
        for codec, curve in frame[frame.kind == kind].groupby("codec", sort=False):
            look = context.style(str(codec)).line()
            if chosen is not None and kind == "measured" and codec not in chosen:
                axes.plot(curve.bpp, curve.value, color=PALE, linewidth=0.8, zorder=1)
                continue
            axes.plot(curve.bpp, curve.value, zorder=3 if kind == "measured" else 2, **look)
            entries.append((_rate_at(middle, curve), curve.label.iloc[0], look))
        groups[heading] = [(label, look) for _, label, look in sorted(entries, key=lambda entry: entry[:2])]
    leading = measured if chosen is None else measured[measured.codec.isin(chosen)]
    limits = spec.get("xlim") or (None if chosen is None else _common_range(leading))
    rate_axis(axes, spec.get("x", "log"), limits)
    axes.set_ylabel(axis_label(spec["metric"]))
    low, high = _seen(frame[frame.bpp.notna()] if chosen is None else leading, limits)
    margin = 0.04 * (high - low or 1)
    axes.set_ylim(low - margin, high + margin)
    if chosen is None:
        if context.layout.explains:
            _shade(axes, frame, spec)
        context.layout.legend(figure, groups | {MISSING: missing(frame)})
    else:
        _label(figure, axes, measured, groups, chosen, context)
    context.layout.titles(figure, context.title(spec, dataset), subtitle(frame, spec["metric"], chosen is not None))
    return figure


def _label(
    figure: Figure, axes: Axes, measured: pd.DataFrame, groups: dict[str, Any], chosen: set[str], context: Context
) -> None:
    """Labels at the ends of the measured curves, grey ones small; the published ones in a legend inside the axes."""
    if not context.layout.explains:
        others = [(f"{measured.codec.nunique() - len(chosen)} other codecs", {"color": PALE, "linewidth": 0.8})]
        context.layout.legend(figure, groups | ({"": others} if measured.codec.nunique() > len(chosen) else {}))
        return
    low, high = axes.get_xlim()
    short = short_labels({codec: context.style(codec).label for codec in sorted(set(measured.codec))})
    ends = []
    for codec, curve in measured.groupby("codec", sort=False):
        curve = curve.sort_values("bpp")
        points = {"bpp": curve.bpp.tolist(), "value": curve.value.tolist()}
        rate = min(points["bpp"][-1], high)
        value = value_at(points, rate)
        if value is None or rate < low:
            continue
        text = short[str(codec)] + ("*" if (curve.averaging == FIXED).any() else "")
        ends.append((rate, value, text, context.style(str(codec)).colour, codec in chosen))
    bottom, top = axes.get_ylim()
    ends = [(rate, min(max(value, bottom), top), *rest) for rate, value, *rest in ends]
    context.layout.end_labels(figure, axes, ends)
    if groups[CLAIMED]:
        lines = [Line2D([], [], **look) for _, look in groups[CLAIMED]]
        labels = [label for label, _ in groups[CLAIMED]]
        axes.legend(lines, labels, title=CLAIMED, loc="lower right", fontsize=5.5, title_fontsize=5.5, handlelength=2.6)


def _common_range(curves: pd.DataFrame) -> tuple[float, float]:
    """The rates that half of the curves reach, with a small margin on a logarithmic axis."""
    low, high = common_range([{"bpp": part.bpp.tolist(), "value": []} for _, part in curves.groupby("codec")])
    low, high = widened(np.log(low), np.log(high), 0.02)
    return float(np.exp(low)), float(np.exp(high))


def _seen(curves: pd.DataFrame, limits: tuple[float, float] | None) -> tuple[float, float]:
    """The least and the greatest quality of the curves between the ``limits`` in rate."""
    if limits is None:
        return float(curves.value.min()), float(curves.value.max())
    seen = [
        value
        for _, part in curves.sort_values("bpp").groupby("codec")
        for value in values_within({"bpp": part.bpp.tolist(), "value": part.value.tolist()}, *limits)
    ]
    return min(seen), max(seen)


def _rate_at(quality: float, curve: pd.DataFrame) -> float:
    """The curve's log2 rate at ``quality``, so that the legend is in the order of the curves; beyond its ends a
    common slope of 5 dB per doubling is assumed.
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


def subtitle(frame: pd.DataFrame, metric: str, starred: bool = False) -> str:
    """How many images, and how they are averaged."""
    measured = frame[frame.kind == "measured"]
    how = "rate and quality averaged over images at each operating point"
    if (measured.averaging == FIXED).any():
        how += "; * at fixed rates" if starred else "; marked codecs at fixed rates"
    how += AVERAGING.get(metric, "")
    return f"{count_images(measured.n_images)}; {how}"
