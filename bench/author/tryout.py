"""Codes one image with a codec at all its operating points, and with others, for a codec author's quick look.

The measurements are those of a run: real bitstreams, decoded in another process, from the same cache.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records
from bench.codec import check_image
from bench.data.images import load_image
from bench.data.manifest import ImageFile, Manifest
from bench.discovery import load, load_available
from bench.files import cache_dir, printable, sha256_file, sha256_pixels, write_atomically
from bench.metrics import extra
from bench.progress import Progress
from bench.rd.curves import DB_OF_MEAN, column_of, to_unit
from bench.run.job import Job

METRIC = "psnr_rgb_db"
SIDE_BY_SIDE = 46  # characters that a plot next to a table needs


def measure(codecs: Sequence[str], image: Path, metric: str = METRIC) -> pd.DataFrame:
    """Records of each codec on one image file, with ``metric``. Raises UsageError for a codec that is not available."""
    pixels = check_image(load_image(image))
    height, width = pixels.shape[:2]
    path = image.absolute()
    name = printable(image.stem)
    file = ImageFile(name, str(path), width, height, sha256_pixels(pixels), sha256_file(path))
    manifest = Manifest(name, images=[file], source=printable(str(path)))
    rows: list[dict[str, Any]] = []
    for name in codecs:
        load_available(name)
    with tempfile.TemporaryDirectory(prefix="rdbench-") as folder:
        for name in codecs:
            log = cache_dir() / "logs" / f"try_{name}.log"
            job = Job(name, manifest, Path(folder), log, manifest.images, on_progress=_QuietAtEnd(name))
            job.metrics = extra([column_of(metric)])
            rows += job.rows()
    return records.table({**row, "bitstream": None, "log": None} for row in rows)


class _QuietAtEnd(Progress):
    """Prints no final line, as the table follows."""

    def __call__(self, done: int, total: int, cached: int = 0) -> None:
        if done < total:
            super().__call__(done, total, cached)


def compare(frame: pd.DataFrame, codec: str, anchors: Sequence[str], metric: str = METRIC) -> list[dict[str, Any]]:
    """The BD-rate of ``codec`` against each anchor: the PCHIP row of :func:`bench.rd.bd_table.compare` of one image."""
    from bench.rd import bd_table

    (dataset,) = frame.dataset.unique()
    tables = [bd_table.compare(frame, anchor, [codec], metric, dataset) for anchor in anchors]
    rows = [table[(table.averaging == "per_image") & (table.method == "pchip")].iloc[0] for table in tables]
    kept = ["codec", "anchor", "metric", "bd_rate_percent", "overlap", "overlap_note", "reason"]
    return [row[kept].to_dict() for row in rows]


def as_text(frame: pd.DataFrame, codec: str, compared: Sequence[dict[str, Any]], metric: str, columns: int) -> str:
    """The codec's table and a plot of all curves, side by side if ``columns`` characters are enough for both."""
    from bench.author.terminal import plot
    from bench.figures.style import axis_label

    measured = records.measured(frame)
    table = _table(measured[measured.codec == codec].sort_values("point_index"), metric)
    names = [codec, *(row["anchor"] for row in compared)]
    curves = {name: _curve(measured[measured.codec == name], metric) for name in names}
    room = columns - max(map(len, table)) - 3
    width, height = (room, max(16, len(table))) if room >= SIDE_BY_SIDE else (columns, 18)
    picture = plot(curves, width, height, f"{axis_label(metric)} over bit/pixel (log)")
    if room >= SIDE_BY_SIDE:
        wide, high = max(map(len, table)), max(len(table), len(picture))
        pairs = zip(table + [""] * (high - len(table)), picture + [""] * (high - len(picture)), strict=True)
        lines = [f"{left:{wide}}   {right}".rstrip() for left, right in pairs]
    else:
        lines = [*table, "", *picture]
    return "\n".join([*lines, "", *map(_verdict, compared)]).rstrip() + "\n"


def draw(frame: pd.DataFrame, codec: str, anchors: Sequence[str], metric: str, out: Path) -> Path:
    """Draws the RD plot as PNG, with the same styles as a run's figures."""
    import io

    import matplotlib

    from bench.figures.context import Context
    from bench.figures.kinds import rd
    from bench.figures.spec import read_specification
    from bench.figures.style import RC, styles

    given, labels = read_specification()["styles"], {name: load(name).label for name in (codec, *anchors)}
    (dataset,) = frame.dataset.unique()
    context = Context(frame, None, None, pd.DataFrame(), styles([codec, *anchors], given, labels), {})
    spec = {"metric": metric, "codecs": [codec, *anchors], "title": f"{labels[codec] or codec} on {{dataset}}"}
    with matplotlib.rc_context(RC):
        figure = rd.draw(rd.table(context, spec, dataset), context, spec, dataset)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return write_atomically(out, buffer.getvalue())


def _table(rows: pd.DataFrame, metric: str) -> list[str]:
    """A line per operating point: bytes, rate, PSNR and one other metric."""
    from bench.figures.style import METRICS

    other = "ms_ssim_db" if metric in (METRIC, DB_OF_MEAN) else metric  # the same for a single image
    wide = max([5, *rows.point.map(len)])
    label, unit = METRICS.get(other, (other, ""))
    second = f"{label.partition(' (')[0]} [{unit}]" if unit else label
    width = max(7, len(second))
    lines = [f"{'point':{wide}} {'bytes':>8} {'bpp':>7} {'PSNR [dB]':>9} {second:>{width}}"]
    digits = {name: 4 if rows[name].abs().max() <= 1 else 2 for name in (METRIC, other)}
    for row in rows.to_dict("records"):
        quality = [
            "same" if row["identical"] else "-" if pd.isna(row[name]) else f"{row[name]:.{digits[name]}f}"
            for name in (METRIC, other)
        ]
        numbers = f"{int(row['bytes']):8} {row['bpp']:7.4f} {quality[0]:>9} {quality[1]:>{width}}"
        lines.append(f"{row['point']:{wide}} {numbers}")
    return lines


def _curve(rows: pd.DataFrame, metric: str) -> list[tuple[float, float]]:
    column = "ms_ssim_db" if metric == DB_OF_MEAN else metric
    pairs = rows.sort_values("bpp")[["bpp", column]].astype(float)
    pairs[column] = to_unit(pairs[column], column)
    return [(bpp, value) for bpp, value in pairs.itertuples(index=False) if math.isfinite(value)]


def _verdict(row: dict[str, Any]) -> str:
    pair = f"BD-rate of {row['codec']} against {row['anchor']}"
    if pd.isna(row["bd_rate_percent"]):
        return f"{pair}: none ({row['reason']})"
    return f"{pair}: {row['bd_rate_percent']:+.1f} % on this image (overlap {row['overlap']:.2f})"


def default_picture(codec: str, image: Path) -> Path:
    """The default path of the PNG, in the current folder."""
    return Path(os.curdir, f"try_{image.stem}_{codec}.png")
