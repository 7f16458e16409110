"""Time, or multiplications, against BD-rate: what a codec's bits cost to make and to read."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.style import count_images, plain_log

# What a panel has along its x axis: a column of the timing table, its unit here, and the axis's words.
AXES = {
    "encode": ("encode_s_median", "s_per_mpixel", "Encoding time [s/megapixel], log scale"),
    "decode": ("decode_s_median", "s_per_mpixel", "Decoding time [s/megapixel], log scale"),
    "decode_kmac": ("decode_kmac_per_pixel", "kmac_per_pixel", "Networks [kMAC/pixel], log scale"),
}
COLUMNS = ["kind", "codec", "label", "side", "unit", "x", "x_low", "x_high"]
COLUMNS += ["bd_rate_percent", "ci_low", "ci_high", "n_images", "n_points", "threads", "device"]


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: per codec and side (the ``sides`` of ``spec``, names of AXES) the median, least and greatest value over
    the timed points, with the fewest threads that were timed.
    """
    anchor = context.anchor(spec, dataset)
    if context.timing is None or not (context.timing.dataset == dataset).any():
        raise Missing(f"no times were measured on {dataset}; `rdbench time` measures them")
    timing = context.timing[(context.timing.dataset == dataset) & (context.timing.encode_s_median.notna())]
    timing = timing[timing.threads == timing.threads.min()]
    codecs = [codec for codec in context.codecs(spec, dataset) if codec in set(timing.codec)]
    headline = context.headline(spec, dataset, [codec for codec in codecs if codec != anchor])
    rows = []
    for codec in codecs:
        if codec == anchor:
            mean = {"bd_rate_percent": 0.0, "ci_low": None, "ci_high": None}
        elif codec in headline.index and pd.notna(headline.loc[codec].bd_rate_percent):
            mean = headline.loc[codec][["bd_rate_percent", "ci_low", "ci_high"]].to_dict()
        else:
            continue
        times = timing[timing.codec == codec]
        about = {"kind": "measured", "codec": codec, "label": context.style(codec).label} | mean
        about |= {"n_images": times.image.nunique(), "n_points": times.point.nunique()}
        about |= {"threads": times.threads.max(), "device": times.device.iloc[0]}
        for side in spec.get("sides", ("encode", "decode")):
            column, unit, _ = AXES[side]
            if column not in times or times[column].isna().all():
                continue  # no network
            values = times[column].astype(float) * (1e6 / times.pixels if unit == "s_per_mpixel" else 1)
            spread = {"x": values.median(), "x_low": values.min(), "x_high": values.max()}
            rows.append(about | {"side": side, "unit": unit} | spread)
    if not rows:
        raise Missing(f"no codec has both times and a BD-rate against {context.style(anchor).label} on {dataset}")
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """The sides next to each other on one BD-rate scale; better is lower and further left."""
    sides = list(dict.fromkeys(frame.side))
    figure, panels = context.layout.canvas(panels=len(sides), sharey=True)
    for axes, side in zip(panels, sides, strict=True):
        for row in frame[frame.side == side].itertuples():
            style = context.style(row.codec)
            axes.plot([row.x_low, row.x_high], [row.bd_rate_percent] * 2, color=style.colour, linewidth=1.2, alpha=0.6)
            if pd.notna(row.ci_low):
                axes.plot([row.x] * 2, [row.ci_low, row.ci_high], color=style.colour, linewidth=1.2, alpha=0.6)
            axes.plot([row.x], [row.bd_rate_percent], **style.line(linestyle="", markersize=5.5))
        axes.set_xscale("log")
        plain_log(axes)
        axes.set_xlabel(AXES[side][2])
    anchor = context.style(spec["anchor"]).label
    panels[0].set_ylabel(f"BD-rate against {anchor} [%], negative: fewer bits")
    order = frame.drop_duplicates("codec").sort_values("bd_rate_percent", ascending=False)
    looks = [(row.label, context.style(row.codec).line(linestyle="", markersize=5.5)) for row in order.itertuples()]
    context.layout.legend(figure, {"Measured": looks})
    points, threads = int(frame.n_points.max()), int(frame.threads.max())
    plural = "s" * (points != 1)
    how = f"{count_images(frame.n_images)}, {points} operating point{plural}: median, bar from fastest to slowest"
    where = f"{threads} thread{'' if threads == 1 else 's'}, {'; '.join(dict.fromkeys(frame.device))}"
    context.layout.titles(figure, context.title(spec, dataset), f"{how}; {where}")
    return figure
