"""Lossless codecs side by side: bits per pixel and speed. There is no distortion, so no curve and no BD-rate."""

from __future__ import annotations

import pandas as pd

from bench import records

RAW_BPP = 24.0
COLUMNS = ["dataset", "codec", "n_images", "bpp", "bpp_least", "bpp_most", "raw_percent"]
COLUMNS += ["encode_mb_per_s", "decode_mb_per_s", "n_timed", "threads", "device"]


def lossless_table(frame: pd.DataFrame, timing: pd.DataFrame | None, dataset: str) -> pd.DataFrame:
    """COLUMNS: a row for each codec whose role is `lossless` and that was measured on ``dataset``, smallest rate first.

    frame: records; timing: rows of bench.run.timing.SCHEMA, or None. bpp is the mean of the images' rates, next to the
    least and the most; raw_percent its share of the 24 bit of a pixel. Speeds are in 10^6 bytes of the image (3 a
    pixel) per second, the median over n_timed images, and null where nothing was timed.
    """
    measured = records.measured(frame[(frame.dataset == dataset) & (frame.role == "lossless")])
    times = None if timing is None else timing[(timing.dataset == dataset) & (timing.status == "ok")]
    rows = []
    for codec, part in measured.groupby("codec"):
        row = {"dataset": dataset, "codec": codec, "n_images": part.image.nunique(), "bpp": part.bpp.mean()}
        row |= {"bpp_least": part.bpp.min(), "bpp_most": part.bpp.max(), "raw_percent": 100 * part.bpp.mean() / RAW_BPP}
        own = None if times is None else times[times.codec == codec]
        if own is not None and len(own):
            for side in ("encode", "decode"):
                row[f"{side}_mb_per_s"] = (3e-6 * own.pixels / own[f"{side}_s_median"]).median()
            row |= {"n_timed": own.image.nunique(), "threads": own.threads.max(), "device": own.device.iloc[0]}
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["bpp", "codec"], ignore_index=True)


def as_text(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    if table.empty:
        return "no lossless codec was measured\n"
    lines = []
    for dataset, part in table.groupby("dataset", sort=False):
        lines.append(f"lossless coding on {dataset}")
        lines.append(f"{'codec':20} {'bit/pixel':>9} {'of 24 bit':>9} {'encode MB/s':>12} {'decode MB/s':>12} images")
        for row in part.itertuples():
            speeds = [
                f"{speed:12.1f}" if pd.notna(speed) else f"{'-':>12}"
                for speed in (row.encode_mb_per_s, row.decode_mb_per_s)
            ]
            percent = f"{row.raw_percent:7.1f} %"
            lines.append(f"{row.codec:20} {row.bpp:9.3f} {percent} {speeds[0]} {speeds[1]} {row.n_images:6d}")
        timed = part[part.n_timed.notna()]
        if len(timed):
            threads = int(timed.threads.max())
            lines.append(f"times: {threads} thread{'s' * (threads != 1)}, {'; '.join(dict.fromkeys(timed.device))}")
    return "\n".join(lines) + "\n"
