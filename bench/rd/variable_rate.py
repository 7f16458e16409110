"""What the rows of the variable-rate condition (bench.run.variable_rate) come to, codec by codec."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.rd.bjontegaard import bd_rate
from bench.rd.interpolate import pchip_values

COLUMNS = [
    "dataset",
    "codec",
    "images",
    "targets",
    "missed",  # targets for which there is no bitstream
    "error_percent_median",  # of |rate / target - 1|
    "error_percent_worst",
    "bitstreams_per_target",
    "off_curve_db_worst",  # most negative: a target's quality below the curve through the listed points
    "off_curve_db_rms",
    "drops",  # targets with more rate and less quality than their neighbour
    "bd_rate_percent",  # of the targets against the counterpart
    "bd_images",  # how many images that is the mean of
    "prefixes",
    "prefix_drops",  # prefixes that are longer and worse than their neighbour
    "prefix_drop_db_worst",
    "first_prefix_bpp",  # the shortest of the tested ones that decodes
    "switch_ms",  # extra time of the first encoding after a change of the operating point
]
LEAST_DROP_DB = 0.001  # a smaller one is rounding of the 8-bit picture


def targets(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the targets with two further columns: ``error_percent``, and ``off_curve_db``, the quality above the
    monotone cubic through the listed points of that image at that rate (NaN outside their range).
    """
    parts = []
    for _, rows in frame.groupby(["dataset", "codec", "image"], sort=False):
        listed = rows[(rows.test == "listed") & rows.bpp.notna() & np.isfinite(rows.psnr_rgb_db.astype(float))]
        listed = listed.sort_values("bpp").drop_duplicates("bpp")
        asked = rows[rows.test == "target"].copy()
        x, rate = np.log(listed.bpp.to_numpy(float)), np.log(asked.bpp.to_numpy(float))
        asked["error_percent"] = 100 * (asked.bpp / asked.target_bpp - 1)
        asked["off_curve_db"] = np.nan
        if len(x) >= 2:
            inside = np.isfinite(rate) & (rate >= x[0]) & (rate <= x[-1])
            curve = pchip_values(x, listed.psnr_rgb_db.to_numpy(float), rate[inside])
            asked.loc[asked.index[inside], "off_curve_db"] = asked.psnr_rgb_db.to_numpy(float)[inside] - curve
        parts.append(asked)
    return pd.concat(parts) if parts else frame.iloc[:0].assign(error_percent=[], off_curve_db=[])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS: a row per dataset and codec. What does not apply (prefixes of a codec without) is null."""
    asked = targets(frame)
    groups = frame.groupby(["dataset", "codec"], sort=True)
    rows = [_row(part, asked[(asked.dataset == d) & (asked.codec == c)]) for (d, c), part in groups]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(rows: pd.DataFrame, asked: pd.DataFrame) -> dict[str, Any]:
    first, met = rows.iloc[0], asked[asked.bpp.notna()]
    errors = met.error_percent.abs()
    row: dict[str, Any] = {"dataset": first.dataset, "codec": first.codec, "images": rows.image.nunique()}
    row |= {"targets": len(asked), "missed": len(asked) - len(met)}
    if len(met):
        row |= {"error_percent_median": errors.median(), "error_percent_worst": errors.max()}
        row |= {"bitstreams_per_target": met.evaluations.mean(), "off_curve_db_worst": met.off_curve_db.min()}
        row |= {"off_curve_db_rms": float(np.sqrt(np.nanmean(np.square(met.off_curve_db.to_numpy(float)))))}
        row["drops"] = sum(len(_drops(part)) for _, part in met.groupby("image"))
    row |= _against_counterpart(rows, met)
    prefixes = rows[(rows.test == "prefix") & rows.bpp.notna()]
    if (rows.test == "prefix").any():
        drops = np.concatenate([_drops(part) for _, part in prefixes.groupby("image")] or [np.empty(0)])
        row |= {"prefixes": int((rows.test == "prefix").sum()), "prefix_drops": len(drops)}
        row |= {"prefix_drop_db_worst": drops.max() if len(drops) else 0.0, "first_prefix_bpp": prefixes.bpp.min()}
    switches = rows[(rows.test == "switch") & rows.switch_s.notna()]
    if len(switches):
        row["switch_ms"] = 1000 * float((switches.switch_s - switches.steady_s).median())
    return row


def _drops(rows: pd.DataFrame) -> np.ndarray:
    """By how many dB quality falls, for each neighbouring pair of rates at which it falls."""
    steps = np.diff(rows.sort_values("bpp").psnr_rgb_db.to_numpy(float))
    return -steps[steps < -LEAST_DROP_DB]


def _against_counterpart(rows: pd.DataFrame, met: pd.DataFrame) -> dict[str, Any]:
    """The mean over images of the targets' BD-rate against the counterpart; of those with a common range."""
    other = rows[(rows.test == "counterpart") & rows.bpp.notna()]
    values = []
    for image, part in met.groupby("image"):
        anchor = other[other.image == image]
        if len(anchor) >= 2:
            found = bd_rate(anchor.bpp, anchor.psnr_rgb_db, part.bpp, part.psnr_rgb_db).value
            values += [] if found is None else [found]
    return {"bd_rate_percent": float(np.mean(values)) if values else None, "bd_images": len(values)}
