"""Pictures of originals and reconstructions at matched rates, decoded anew from the bitstreams that the records list.

Every picture is lossless PNG. A reconstruction whose pixels do not have the hash in the records is not shown; the page
says so instead. A file's name holds the hash of its pixels, so one that exists is right and is not made again.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image

from bench.coding import decode_files
from bench.errors import RdbenchError
from bench.files import sha256_pixels, write_atomically
from bench.report.originals import Originals
from bench.report.run import Run

PNG_LEVEL = 3
METRICS = ("psnr_rgb_db", "ms_ssim_db")
NOT_PUBLISHED = "pictures of this dataset are not part of a published report"


@dataclass(frozen=True)
class Picture:
    """One reconstruction to show at one rate: where in the gallery, its row of the records, and its PNG file."""

    dataset: str
    image: str
    rate: int
    row: Any
    path: Path


def build_gallery(
    run: Run,
    originals: Originals,
    folder: Path,
    rates_bpp: Sequence[float],
    *,
    published: bool = False,
    may_show: Callable[[str], bool] = lambda dataset: True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes the pictures below ``folder``/images and returns what they are, by dataset.

    {dataset: {"rates", "left_out", "images": {image: {"original": facts, "shown": [per rate {codec: facts}]}}}}; facts
    have a src relative to ``folder``, or a reason for having none. ``published`` leaves out links to bitstream files;
    ``may_show`` tells of which datasets pictures may be written. Pictures of earlier builds that are not shown any more
    are removed.
    """
    pictures = [
        Picture(dataset, image, rate, row, _path(folder, dataset, row))
        for dataset, images in originals.items()
        for image in images
        for rate, bpp in enumerate(rates_bpp)
        for row in nearest_rows(run, dataset, image, bpp)
    ]
    reasons = _make(run, [picture for picture in pictures if may_show(picture.dataset)], progress)
    gallery: dict[str, Any] = {}
    for dataset, images in originals.items():
        rows = run.measured[run.measured.dataset == dataset].drop_duplicates("image").set_index("image")
        group: dict[str, Any] = {"rates": list(rates_bpp), "left_out": len(rows) - len(images), "images": {}}
        for image, pixels in images.items():
            facts = _original(folder, dataset, rows.loc[image], pixels if may_show(dataset) else NOT_PUBLISHED)
            group["images"][image] = {"original": facts, "shown": [{} for _ in rates_bpp]}
        gallery[dataset] = group
    for picture in pictures:
        reason = reasons.get(picture.path) if may_show(picture.dataset) else NOT_PUBLISHED
        shown = gallery[picture.dataset]["images"][picture.image]["shown"][picture.rate]
        shown[picture.row.codec] = _facts(picture.row, picture.path.relative_to(folder), reason, not published)
    _sweep(folder, gallery)
    return gallery


def nearest_rows(run: Run, dataset: str, image: str, bpp: float) -> list[Any]:
    """For each codec the row of the records whose rate is nearest to ``bpp``, as a ratio."""
    rows = run.measured[(run.measured.dataset == dataset) & (run.measured.image == image)]
    rows = rows[rows.role == "codec"]
    return [part.iloc[np.abs(np.log(part.bpp / bpp)).argmin()] for _, part in rows.groupby("codec")]


def _path(folder: Path, dataset: str, row: pd.Series) -> Path:
    return folder / "images" / dataset / f"{row.image}.{row.codec}.{row.point}.{row.reconstruction_sha256[:12]}.png"


def _make(run: Run, pictures: Sequence[Picture], progress: Callable[[int, int], None]) -> dict[Path, str]:
    """Decodes what is missing, two codecs at a time; returns why a picture could not be made, by its path."""
    missing: dict[str, dict[Path, Picture]] = {}
    for picture in pictures:
        if not picture.path.is_file():
            missing.setdefault(picture.row.codec, {})[picture.path] = picture
    total, done = sum(map(len, missing.values())), 0
    reasons: dict[Path, str] = {}
    with ThreadPoolExecutor(2) as pool:
        wanted = [list(by_path.values()) for by_path in missing.values()]
        for count, failed in pool.map(partial(_make_codec, run), missing, wanted):
            reasons |= failed
            done += count
            progress(done, total)
    return reasons


def _make_codec(run: Run, codec: str, pictures: list[Picture]) -> tuple[int, dict[Path, str]]:
    """Decodes one codec's pictures; returns how many there were and the reasons for those that were not made."""
    reasons: dict[Path, str] = {}
    waiting = []
    for picture in pictures:
        if (run.folder / picture.row.bitstream).is_file():
            waiting.append(picture)
        else:
            reasons[picture.path] = f"the bitstream {picture.row.bitstream} is missing"
    try:
        for pixels in decode_files(codec, [run.folder / picture.row.bitstream for picture in waiting]):
            picture = waiting.pop(0)
            found, expected = sha256_pixels(pixels), picture.row.reconstruction_sha256
            if found == expected:
                _write_png(picture.path, pixels)
            else:
                reasons[picture.path] = f"decoded again it has pixels {found[:12]}, recorded are {expected[:12]}"
    except RdbenchError as error:
        reasons |= {picture.path: f"decoding again failed: {error}" for picture in waiting}
    return len(pictures), reasons


def _write_png(path: Path, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG", compress_level=PNG_LEVEL)
    write_atomically(path, buffer.getvalue(), sync=False)


def _original(folder: Path, dataset: str, row: pd.Series, pixels: np.ndarray | str) -> dict[str, Any]:
    facts = {"width": int(row.width), "height": int(row.height), "sha256": row.image_sha256}
    if isinstance(pixels, str):
        return {**facts, "reason": pixels}
    path = folder / "images" / dataset / f"{row.name}.original.{row.image_sha256[:12]}.png"
    if not path.is_file():
        _write_png(path, pixels)
    return {**facts, "src": path.relative_to(folder).as_posix()}


def _facts(row: pd.Series, src: Path, reason: str | None, link: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"point": row.point, "bytes": int(row.bytes), "bpp": float(row.bpp)}
    facts |= {key: float(row[key]) if math.isfinite(row[key]) else None for key in METRICS}
    facts |= {"identical": bool(row.identical), "sha256": row.bitstream_sha256}
    if link:
        facts["bitstream"] = f"../{row.bitstream}"
    return facts | ({"reason": reason} if reason else {"src": src.as_posix()})


def _sweep(folder: Path, gallery: dict[str, Any]) -> None:
    """Removes pictures that the gallery does not show."""
    images = [image for group in gallery.values() for image in group["images"].values()]
    shown = [facts for image in images for at_rate in image["shown"] for facts in at_rate.values()]
    used = {folder / facts["src"] for facts in [*shown, *(image["original"] for image in images)] if "src" in facts}
    for path in (folder / "images").glob("*/*.png"):
        if path not in used:
            path.unlink()
