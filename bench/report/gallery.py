"""Pictures of originals and reconstructions at matched rates, decoded again from the bitstreams in the records.

Every picture is a lossless WebP file, or PNG where a side is too long for that. A reconstruction whose pixels do not
have the hash in the records is not shown; the page says so instead. A file's name holds the hash of its pixels, so one
that exists is right and is not made again.
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

from bench.errors import RdbenchError, is_transient
from bench.files import sha256_pixels, write_atomically
from bench.records import with_weights
from bench.report.originals import Originals
from bench.report.run import Run
from bench.run.equal_rates import nearest_row
from bench.run.job import decode_files

PNG_LEVEL = 3
LONGEST_WEBP_SIDE = 16383
WEBP: dict[str, Any] = {"lossless": True, "method": 2, "quality": 50}  # two thirds of PNG, 0.3 s a megapixel
METRICS = ("psnr_rgb_db", "ms_ssim_db")
NOT_PUBLISHED = "pictures of this dataset are not part of a published report"


@dataclass(frozen=True)
class Picture:
    """One reconstruction to show: its row of the records, its file, and for which of the gallery's rates."""

    row: Any
    path: Path
    rate: int = 0


def build_gallery(
    run: Run,
    originals: Originals,
    folder: Path,
    rates_bpp: Sequence[float],
    *,
    published: bool = False,
    may_show: Callable[[str], bool] = lambda dataset: True,
    processes: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes the pictures below ``folder``/images and returns what they are, by dataset.

    {dataset: {"rates", "left_out", "images": {image: {"original": facts, "shown": [per rate {codec: facts}]}}}}; facts
    have a src relative to ``folder``, or a reason for having none. ``published`` leaves out links to bitstream files;
    ``may_show`` says whether a dataset's pictures may be written; ``processes`` decode them.
    """
    pictures = [
        Picture(row, picture_path(folder, row), rate)
        for dataset, images in originals.items()
        for image in images
        for rate, bpp in enumerate(rates_bpp)
        for row in nearest_rows(run, dataset, image, bpp)
    ]
    reasons = make_pictures(run, pictures, may_show, progress, processes)
    gallery: dict[str, Any] = {}
    for dataset, images in originals.items():
        rows = run.measured[run.measured.dataset == dataset].drop_duplicates("image").set_index("image")
        group: dict[str, Any] = {"rates": list(rates_bpp), "left_out": len(rows) - len(images), "images": {}}
        for image, pixels in images.items():
            facts = _original(folder, dataset, rows.loc[image], pixels if may_show(dataset) else NOT_PUBLISHED)
            group["images"][image] = {"original": facts, "shown": [{} for _ in rates_bpp]}
        gallery[dataset] = group
    for picture in pictures:
        shown = gallery[picture.row.dataset]["images"][picture.row.image]["shown"][picture.rate]
        reason = reasons.get(picture.path)
        facts = picture_facts(picture.row, picture.path.relative_to(folder), reason, not published)
        deviation = float(picture.row.bpp) / list(rates_bpp)[picture.rate] - 1
        shown[picture.row.codec] = facts | {"deviation": deviation, "matched": bool(pd.isna(picture.row.point_index))}
    return gallery


def nearest_rows(run: Run, dataset: str, image: str, bpp: float) -> list[Any]:
    """For each codec the row whose rate is nearest to ``bpp``, as a ratio: one coded at it, or one of the records."""
    rows = run.measured[(run.measured.dataset == dataset) & (run.measured.image == image)]
    rows = rows[rows.role == "codec"]
    return [nearest_row(part, run.matched, bpp) for _, part in rows.groupby("codec")]


def picture_path(folder: Path, row: Any) -> Path:
    """The file of a reconstruction: its name holds the hash of its pixels."""
    name = f"{row.image}.{row.codec}.{row.point}.{row.reconstruction_sha256[:12]}"
    return folder / "images" / row.dataset / (name + _suffix(int(row.width), int(row.height)))


def _suffix(width: int, height: int) -> str:
    return ".webp" if max(width, height) <= LONGEST_WEBP_SIDE else ".png"


def make_pictures(
    run: Run,
    pictures: Sequence[Picture],
    may_show: Callable[[str], bool],
    progress: Callable[[int, int], None],
    processes: int,
) -> dict[Path, str]:
    """Decodes what is missing, ``processes`` codecs at a time; returns why a picture could not be made, by its path."""
    missing: dict[str, dict[Path, Picture]] = {}
    reasons: dict[Path, str] = {}
    for picture in pictures:
        if not may_show(picture.row.dataset):
            reasons[picture.path] = NOT_PUBLISHED
        elif not picture.path.is_file():
            missing.setdefault(picture.row.codec, {})[picture.path] = picture
    total, done = sum(map(len, missing.values())), 0
    networks = with_weights(run.measured)
    ordered = sorted(missing, key=lambda codec: codec not in networks)  # the longest first
    with ThreadPoolExecutor(processes) as pool:
        wanted = [list(missing[codec].values()) for codec in ordered]
        for count, failed in pool.map(partial(_make_codec, run), ordered, wanted):
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
                _write_picture(picture.path, pixels)
            else:
                reasons[picture.path] = f"decoded again it has pixels {found[:12]}, recorded are {expected[:12]}"
    except RdbenchError as error:
        if is_transient(error):
            raise  # the page would say so as long as it stands
        reasons |= {picture.path: f"decoding again failed: {error}" for picture in waiting}
    return len(pictures), reasons


def _write_picture(path: Path, pixels: np.ndarray) -> None:
    options: dict[str, Any] = WEBP if path.suffix == ".webp" else {"compress_level": PNG_LEVEL}
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, path.suffix[1:], **options)
    write_atomically(path, buffer.getvalue(), sync=False)


def _original(folder: Path, dataset: str, row: pd.Series, pixels: np.ndarray | str) -> dict[str, Any]:
    facts = {"width": int(row.width), "height": int(row.height), "sha256": row.image_sha256}
    if isinstance(pixels, str):
        return {**facts, "reason": pixels}
    path = folder / "images" / dataset / f"{row.name}.original.{row.image_sha256[:12]}"
    path = path.with_name(path.name + _suffix(int(row.width), int(row.height)))
    if not path.is_file():
        _write_picture(path, pixels)
    return {**facts, "src": path.relative_to(folder).as_posix()}


def picture_facts(row: Any, src: Path, reason: str | None, link: bool) -> dict[str, Any]:
    """What the page shows of one bitstream: point, bytes, bpp, metrics, sha256, and src or the reason for none."""
    facts: dict[str, Any] = {"point": row.point, "bytes": int(row.bytes), "bpp": float(row.bpp)}
    facts |= {key: float(row[key]) if math.isfinite(row[key]) else None for key in METRICS}
    facts |= {"identical": bool(row.identical), "sha256": row.bitstream_sha256}
    if link:
        facts["bitstream"] = f"../{row.bitstream}"
    return facts | ({"reason": reason} if reason else {"src": src.as_posix()})


def sweep(folder: Path, *described: Any) -> None:
    """Removes the files below ``folder``/images that none of the described (nested lists and dicts) names."""
    used: set[Path] = set()

    def collect(item: Any) -> None:
        if isinstance(item, str):
            used.add(folder / item)
        elif isinstance(item, dict | list):
            for part in item.values() if isinstance(item, dict) else item:
                collect(part)

    collect(list(described))
    for path in (folder / "images").glob("*/*"):
        if path not in used:
            path.unlink()
