"""Somebody's rate-distortion curves, whatever format they came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

# Their name, in lower case with _ between words -> the metric.
METRICS = {
    "psnr": "psnr_rgb_db",
    "psnr_db": "psnr_rgb_db",
    "psnr_rgb": "psnr_rgb_db",
    "rgb_psnr": "psnr_rgb_db",
    "psnr_y": "psnr_y_db",
    "y_psnr": "psnr_y_db",
    "psnr_luma": "psnr_y_db",
    "msssim": "ms_ssim",
    "ms_ssim_rgb": "ms_ssim",
    "ms_ssim_db_rgb": "ms_ssim_db",
}
METRICS |= {
    name: name
    for name in (
        "psnr_rgb_db",
        "psnr_y_db",
        "psnr_611_db",
        "ms_ssim",
        "ms_ssim_db",
        "ms_ssim_db_of_mean",
        "ssimulacra2",
        "psnr_hvs_m_db",
        "fsim",
        "vif",
        "iw_ssim",
        "vmaf",
        "vmaf_neg",
        "ciede2000",
    )
}


@dataclass(frozen=True)
class Curves:
    """What a file holds.

    points: a row for each operating point of each curve: codec, metric, point (its place in the file), bpp, value.
    cells: None, or the rows of single images behind them: codec, image, point, bpp and a column for each metric.
    facts: what the file says of its title, url, dataset, averaging and codec; absent keys are not said.
    layout: what :func:`bench.exchange.written.compressai` needs to write the same file again. notes: for the reader.
    """

    format: str
    points: pd.DataFrame
    cells: pd.DataFrame | None = None
    facts: dict[str, str] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
