"""An image coded to the rate of another codec's bitstream, between the operating points that the records have of it.

Any codec whose points differ in one number will do, as `rdbench encode --set` has it. Bitstreams are written beside the
figures and decoded by another process.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.codec import Image, Point
from bench.data.images import load_verified
from bench.data.manifest import read_manifest
from bench.discovery import load
from bench.errors import RdbenchError
from bench.files import sha256, sha256_pixels, write_if_changed
from bench.metrics.psnr import psnr_rgb_db
from bench.run.job import decode_files

TOLERANCE = 0.01  # of the rate
MOST_STEPS = 12


def original(folder: Path, dataset: str, image: str) -> Image | None:
    """An image of a run's dataset (uint8, H x W x 3), or None if its file is gone or is another by now."""
    manifest = folder / "datasets" / f"{dataset}.json"
    if not manifest.is_file():
        return None
    for file in read_manifest(manifest).images:
        if file.name == image:
            with contextlib.suppress(RdbenchError):
                return load_verified(file.path, file.sha256)
    return None


def coded_at(rate: float, rows: pd.DataFrame, image: Image, folder: Path) -> dict[str, Any] | None:
    """A row like those of ``rows`` (records of one codec and image) of a bitstream nearest to ``rate`` (bit/pixel).

    The number between those of the two recorded points around ``rate`` is bisected; whole numbers stay whole. None if
    the rate is outside the points, or they differ in more than one number.
    """
    ordered = rows.sort_values("bpp")
    place = int(np.searchsorted(ordered.bpp.to_numpy(float), rate))
    if not 0 < place < len(ordered):
        return None
    low, high = (json.loads(ordered.parameters.iloc[index]) for index in (place - 1, place))
    varied = [key for key in low if low[key] != high.get(key)]
    if low.keys() != high.keys() or len(varied) != 1 or not _are_numbers(low[varied[0]], high[varied[0]]):
        return None
    key, codec = varied[0], load(str(ordered.codec.iloc[0]))
    best: tuple[float, Point, bytes] | None = None
    a, b = low[key], high[key]
    for _ in range(MOST_STEPS):
        middle = (a + b) // 2 if isinstance(a, int) and isinstance(b, int) else (a + b) / 2
        if middle in (a, b):
            break
        point = Point(f"{key}{middle:g}", **{**low, key: middle})
        bitstream = codec.encode(image, point)
        bpp = 8 * len(bitstream) / image[..., 0].size
        if best is None or abs(np.log(bpp / rate)) < abs(np.log(best[0] / rate)):
            best = bpp, point, bitstream
        if abs(bpp / rate - 1) <= TOLERANCE:
            break
        a, b = (middle, b) if bpp < rate else (a, middle)
    if best is None:
        return None
    return _row(best, ordered.iloc[0], codec.extension, image, folder)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _row(
    found: tuple[float, Point, bytes], about: pd.Series, extension: str, image: Image, folder: Path
) -> dict[str, Any]:
    bpp, point, bitstream = found
    name = f"figures/matched/{about.dataset}/{about.codec}/{about.image}.{point.name}{extension}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_if_changed(folder / name, bitstream)
    (pixels,) = decode_files(about.codec, [folder / name])
    return {
        "image": about.image,
        "codec": about.codec,
        "point": point.name,
        "bytes": len(bitstream),
        "bpp": bpp,
        "psnr_rgb_db": psnr_rgb_db(image, pixels),
        "bitstream": name,
        "bitstream_sha256": sha256(bitstream),
        "reconstruction_sha256": sha256_pixels(pixels),
    }
