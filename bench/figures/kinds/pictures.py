"""Reconstructions side by side at matched rates: a row for each codec, a column for each rate.

With one rate the codecs are next to each other. Pixels are decoded again from the run's bitstreams; with ``animate``
there is also an animation over the rates. The table holds the hashes of all pixels, so it still identifies the content.
"""

from __future__ import annotations

import io
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageDraw
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.demands import measured_rows, rates_of
from bench.figures.layout import LETTER_INCHES
from bench.figures.style import GREY
from bench.files import sha256_pixels
from bench.run.equal_rates import nearest_row
from bench.run.job import decode_files

COLUMNS = ["image", "codec", "label", "rate", "point", "bytes", "bpp", "psnr_rgb_db", "bitstream", "bitstream_sha256"]
COLUMNS += ["reconstruction_sha256"]
CELL_INCHES = 2.3
CAPTION_LETTERS = 38  # of a picture's caption, about
ACROSS = 2  # codecs next to each other where there is one rate
FRAME_MS = 700  # of an animation


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS: for each codec and rate (bit/pixel) the bitstream that was coded at it, else the run's nearest.

    The image is the one ``spec`` names, or the first of the set. Instead of `rates`, `match` names a codec: the rate is
    that of one of its operating points (see :func:`bench.figures.demands.rates_of`).
    """
    rows = measured_rows(spec, context.records, dataset)
    codecs = context.codecs(spec, dataset)
    rates = [] if rows.empty else rates_of(spec, rows, codecs)
    if not rates:
        raise Missing(f"{spec.get('match', 'no codec of this figure')} was not measured on {dataset}")
    found = []
    for codec in codecs:
        for rate in rates:
            row = nearest_row(rows[rows.codec == codec], context.matched, rate)
            if row is not None:
                found.append({**{key: row[key] for key in COLUMNS if key in row}, **_labels(context, codec, rate)})
    if not found:
        raise Missing(f"none of {', '.join(spec['codecs'])} was measured on image {rows.image.iloc[0]} of {dataset}")
    return pd.DataFrame(found, columns=COLUMNS)


def _labels(context: Context, codec: str, rate: float) -> dict[str, Any]:
    return {"label": context.style(codec).label, "rate": rate}


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """The pictures at the rates of ``spec["shown"]``, or at all."""
    everything = frame  # which the animation shows
    frame = frame[frame.rate.isin(spec["shown"])] if "shown" in spec else frame
    pixels = _decode(everything if _is_animated(context, spec) else frame, context, spec)
    codecs, rates = list(dict.fromkeys(frame.codec)), list(dict.fromkeys(frame.rate))
    height, width = next(iter(pixels.values())).shape[:2]
    across = len(rates) if len(rates) > 1 else ACROSS
    down = -(-len(codecs) * len(rates) // across)
    layout = context.layout
    cell = max(CELL_INCHES, layout.width / across) if layout.explains else layout.width / across
    caption = 0.2 if layout.explains else 0.14 * (1 + int(CAPTION_LETTERS * LETTER_INCHES / cell))
    size = (cell * across, (0.97 * cell * height / width + caption) * down + (0.6 if layout.explains else 0.02))
    figure = Figure(figsize=size, facecolor="white", layout=None if layout.explains else "constrained")
    cells = figure.subplots(down, across, squeeze=False).flatten()
    layout.adjust(
        figure, left=0.015, right=0.985, bottom=0.16 / size[1], top=1 - 0.75 / size[1], wspace=0.03, hspace=0.12
    )
    for (codec, rate), row in frame.set_index(["codec", "rate"]).iterrows():
        axes = cells[codecs.index(codec) * len(rates) + rates.index(rate)]
        axes.imshow(pixels[codec, rate], interpolation="nearest")
        if layout.explains:
            axes.set_title(_caption(row), fontsize=5.5, color=GREY, pad=2.5)
        else:
            axes.set_title(textwrap.fill(_caption(row), int(cell / LETTER_INCHES)), pad=2)
    for axes in cells:
        axes.set_axis_off()
    how = f"{frame.image.iloc[0]}; bitstreams nearest to {_list(rates)} bit/pixel"
    layout.titles(figure, context.title(spec, dataset), how)
    return figure


def extras(frame: pd.DataFrame, context: Context, spec: dict[str, Any]) -> dict[str, bytes]:
    """With ``spec["animate"]`` an animated WebP, lossless: codecs side by side, a frame a rate, the last one held."""
    pixels = _decode(frame, context, spec) if _is_animated(context, spec) else {}
    _decoded.cache_clear()  # nothing else asks for the pictures of this figure
    if not pixels:
        return {}
    frames = []
    for rate, rows in frame.groupby("rate", sort=False):
        cells = [_captioned(pixels[row.codec, rate], _caption(row)) for row in rows.itertuples()]
        frames.append(PIL.Image.fromarray(np.hstack(cells)))
    buffer = io.BytesIO()
    durations = [FRAME_MS] * (len(frames) - 1) + [4 * FRAME_MS]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    frames[0].save(buffer, "WEBP", lossless=True, method=4, **options)
    return {"webp": buffer.getvalue()}


def _is_animated(context: Context, spec: dict[str, Any]) -> bool:
    return bool(spec.get("animate")) and context.layout.explains


def _decode(frame: pd.DataFrame, context: Context, spec: dict[str, Any]) -> dict[tuple[str, float], np.ndarray]:
    """(codec, rate) -> uint8 H x W x 3, cropped. Raises Missing for a file that is gone or decodes to other pixels."""
    pixels: dict[tuple[str, float], np.ndarray] = {}
    for codec, rows in frame.groupby("codec", sort=False):
        if not all((context.folder / name).is_file() for name in rows.bitstream):
            raise Missing(f"the bitstreams of {codec} are not in {context.folder}")
        files = tuple(zip(rows.bitstream, rows.reconstruction_sha256, strict=True))
        pictures = _decoded(context.folder, str(codec), files)
        pixels |= {
            (str(codec), rate): _crop(picture, spec.get("crop"))
            for rate, picture in zip(rows.rate, pictures, strict=True)
        }
    return pixels


@cache  # of one figure, whose drawing and animation ask for the same; extras() empties it
def _decoded(folder: Path, codec: str, files: tuple[tuple[str, str], ...]) -> tuple[np.ndarray, ...]:
    """The pictures of bitstream files (path relative to ``folder``, hash of the pixels)."""
    pictures = tuple(decode_files(codec, [folder / name for name, _ in files]))
    for (name, expected), picture in zip(files, pictures, strict=True):
        if sha256_pixels(picture) != expected:
            raise Missing(f"{name} decodes to different pixels from those measured")
        picture.setflags(write=False)
    return pictures


def _caption(row: Any) -> str:
    if np.isinf(row.psnr_rgb_db):
        return f"Original ({row.bytes / 1000:.1f} kB, lossless)"
    return f"{row.label}: {row.bytes / 1000:.1f} kB, {row.bpp:.3f} bpp, {row.psnr_rgb_db:.2f} dB"


def _captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture under a white bar with ``text``."""
    bar = PIL.Image.new("RGB", (picture.shape[1], 18), "white")
    PIL.ImageDraw.Draw(bar).text((4, 3), text, fill="#222222")
    return np.vstack([np.asarray(bar), picture])


def _crop(picture: np.ndarray, size: list[int] | None) -> np.ndarray:
    """The middle of a picture, ``size`` (height, width) or less."""
    if size is None:
        return picture
    tops = [max(0, (side - wanted) // 2) for side, wanted in zip(picture.shape, size, strict=False)]
    return picture[tops[0] : tops[0] + size[0], tops[1] : tops[1] + size[1]]


def _list(rates: list[float]) -> str:
    return ", ".join(f"{rate:.4g}" for rate in rates)
