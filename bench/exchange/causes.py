"""A codec's measurements as they would be under each known cause of a disagreement: from records, files and pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.images import load_verified
from bench.data.manifest import ImageFile, images_of_run
from bench.discovery import codecs, load, module_of
from bench.errors import RdbenchError, UsageError
from bench.exchange.gap import Cells
from bench.exchange.pixels import MULTIPLES, pixel_causes
from bench.files import sha256_file
from bench.rd.curves import curve_table
from bench.run.client import Worker
from bench.run.devices import acquire_device
from bench.run.job import decode_file

PSNR = "psnr_rgb_db"
OTHER_PSNRS = {
    "psnr_y_db": "PSNR of luma (BT.601) alone, not of RGB",
    "psnr_611_db": "PSNR of Y, Cb and Cr weighted 6:1:1, not of RGB",
}


@dataclass(frozen=True)
class Cause:
    """key and words of a cause ("" for none: our numbers as they are), and our cells under it."""

    key: str
    words: str
    cells: Cells


@dataclass(frozen=True)
class Subject:
    """What is explained: a codec on a dataset of a run. images and points: of its cells, in order."""

    folder: Path
    frame: pd.DataFrame  # its measured rows
    codec: str
    dataset: str
    metric: str
    images: tuple[str, ...]
    points: tuple[str, ...]
    cells: Cells

    def grid(self, column: str) -> np.ndarray:
        """A column of the records as images x points; NaN or None where a row has none."""
        table = self.frame.pivot(index="image", columns="point", values=column)
        return table.loc[list(self.images), list(self.points)].to_numpy()

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each image."""
        table = self.frame.drop_duplicates("image").set_index("image")
        return [(int(table.height[name]), int(table.width[name])) for name in self.images]


def subject(
    records: pd.DataFrame, folder: Path, codec: str, dataset: str, metric: str, images: set[str] | None = None
) -> Subject:
    """The codec's cells on the dataset: every point that all images reached. images: only these, where they are known.

    Raises UsageError if nothing was measured.
    """
    table = curve_table(records, dataset, codec, metric)
    if images is not None:
        table = table.select([name for name in table.images if name in images])
    reached = ~table.saturated.any(axis=0)
    if not table.images or reached.sum() < 2:
        measured = records[(records.dataset == dataset) & (records.status == "ok")]
        there = ", ".join(sorted(set(measured.codec))) or "nothing"
        raise UsageError(
            f"explaining {codec} on {dataset}: {folder} has no two points of it that all images reached; measured "
            f"there: {there}"
        )
    rows = records[(records.dataset == dataset) & (records.codec == codec) & (records.status == "ok")]
    sizes = rows.drop_duplicates("image").set_index("image")
    pixels = np.array([float(sizes.width[name] * sizes.height[name]) for name in table.images])
    points = tuple(name for name, kept in zip(table.points, reached, strict=True) if kept)
    cells = Cells(metric, table.bpp[:, reached], table.value[:, reached], pixels)
    return Subject(folder, rows, codec, dataset, metric, table.images, points, cells)


def from_records(subject: Subject, records: pd.DataFrame) -> list[Cause]:
    """Causes that need no pixels: other PSNRs, other rates, other settings of the codec that the run has."""
    found = []
    if subject.metric == PSNR:
        for column, words in OTHER_PSNRS.items():
            quality = subject.grid(column).astype(float)
            if np.isfinite(quality).any(axis=0).sum() > 1 and not np.isnan(quality).any():
                found.append(Cause(column, words, replace(subject.cells, quality=quality)))
    for multiple in MULTIPLES:
        padded = np.array([_padded(height, multiple) * _padded(width, multiple) for height, width in subject.sizes])
        if (padded != subject.cells.pixels).any():
            bpp = subject.cells.bpp * (subject.cells.pixels / padded)[:, None]
            words = f"bits over the pixels of images padded to multiples of {multiple}, not of the images"
            found.append(Cause(f"padded_{multiple}", words, replace(subject.cells, bpp=bpp)))
    return found + _siblings(subject, records)


def _padded(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _siblings(subject: Subject, records: pd.DataFrame) -> list[Cause]:
    """The codec with another chroma format, or as a validation setting, where the run has measured it."""
    own, found = load(subject.codec), []
    measured = set(records[(records.dataset == subject.dataset) & (records.status == "ok")].codec)
    for name, other in codecs().items():
        if name == subject.codec or name not in measured or module_of(other) != module_of(own):
            continue
        theirs, ours = (it.colour.subsampling if it.colour else "RGB" for it in (other, own))
        if theirs == ours and other.role != "validation":
            continue
        try:
            cells = _sibling_cells(subject, records, name)
        except UsageError:
            continue
        what = f"chroma format {theirs}, not {ours}" if theirs != ours else f"another setting, {other.description}"
        found.append(Cause(f"codec_{name}", f"{what} (our {name})", cells))
    return found


def _sibling_cells(own: Subject, records: pd.DataFrame, name: str) -> Cells:
    return subject(records, own.folder, name, own.dataset, own.metric, set(own.images)).cells


def from_pixels(
    subject: Subject, log: Path = Path(os.devnull), on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Cause]:
    """Causes that change pixels: every bitstream is decoded once and measured in each way.

    Raises UsageError if bitstreams or images are not there any more, or not those of the records.
    """
    codec = load(subject.codec)
    causes = pixel_causes(codec.colour, subject.sizes)
    originals = images_of_run(subject.folder, subject.dataset)
    files, hashes = subject.grid("bitstream"), subject.grid("bitstream_sha256")
    pixels = subject.grid("reconstruction_sha256")
    values = np.full((len(causes), *subject.cells.bpp.shape), np.nan)
    total = subject.cells.bpp.size
    with (
        acquire_device(bool(codec.weights_digest())) as device,
        Worker("decode", subject.codec, log, device=device.environment()) as decoder,
    ):
        for row, name in enumerate(subject.images):
            original = _pixels_of(originals, name)
            for column in range(len(subject.points)):
                path = subject.folder / str(files[row, column])
                if not path.is_file() or sha256_file(path) != hashes[row, column]:
                    raise UsageError(f"{path} is missing, or is not the bitstream that was measured; run it again")
                answer, decoded = decode_file(decoder, path)
                if answer["reconstruction_sha256"] != pixels[row, column]:
                    raise UsageError(f"{path} decodes to other pixels here than in the run")
                values[:, row, column] = [cause.psnr_db(original, decoded) for cause in causes]
                on_progress(row * len(subject.points) + column + 1, total)
    cells = [replace(subject.cells, quality=quality) for quality in values]
    return [Cause(cause.key, cause.words, own) for cause, own in zip(causes, cells, strict=True)]


def _pixels_of(originals: dict[str, ImageFile], name: str) -> np.ndarray:
    if name not in originals:
        raise UsageError(f"image {name} is not in the run's dataset any more")
    try:
        return load_verified(originals[name].path, originals[name].sha256)
    except RdbenchError as error:
        raise UsageError(str(error)) from None
