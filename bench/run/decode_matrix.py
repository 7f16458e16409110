"""Does a bitstream made on one device decode on another? Every pair of devices is tried, in separate processes.

The devices are the CPU with one thread, the CPU with two, and each GPU. Every bitstream is decoded on every device, and
the pixels are compared with those of the device that encoded it, which decodes it twice. A codec with a checksum over
its integers turns any difference in them into an error. Pixels may differ by 1 between devices, but not on one device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.codec import Codec, Point
from bench.data.datasets import ImageFile
from bench.device import requested_device
from bench.run.client import Worker, WorkerError
from bench.run.devices import CPU, Device, gpus_for, lock_gpu
from bench.run.job import decode_file
from bench.sampling import evenly_spaced

LARGEST_DIFFERENCE = 1  # of 255, between two devices


@dataclass(frozen=True)
class Place:
    """A device, and the number of threads a codec's libraries may use."""

    device: Device
    threads: int = 1
    number: int = 0  # of the GPU

    @property
    def name(self) -> str:
        if self.device.uuid:
            return f"GPU {self.number} ({self.device.name})"
        return f"CPU, {self.threads} thread{'' if self.threads == 1 else 's'}"


@dataclass
class Cell:
    """The results of one encoder's bitstreams on one decoder. Counts are of bitstreams or of 8-bit samples."""

    codec: str
    encoder: str
    decoder: str
    bitstreams: int = 0
    failed: int = 0
    differing: int = 0  # bitstreams with any differing pixel
    differing_samples: int = 0
    samples: int = 0
    largest_difference: int = 0
    same_bytes: int = 0  # bitstreams identical to those of the other device; for information
    images: set[str] = field(default_factory=set)
    error: str = ""  # the first

    @property
    def ok(self) -> bool:
        limit = 0 if self.encoder == self.decoder else LARGEST_DIFFERENCE
        return not self.failed and self.largest_difference <= limit

    def compare(self, pixels: np.ndarray, reference: np.ndarray) -> None:
        """Counts the samples in which ``pixels`` differs from ``reference`` (uint8, H x W x 3)."""
        if pixels.shape != reference.shape:
            self.fail(f"expected pixels of shape {reference.shape}, as on the encoding device, got {pixels.shape}")
            return
        difference = np.maximum(pixels, reference) - np.minimum(pixels, reference)
        count = int(np.count_nonzero(difference))
        self.samples += difference.size
        self.differing += count > 0
        self.differing_samples += count
        self.largest_difference = max(self.largest_difference, int(difference.max()))

    def fail(self, reason: str) -> None:
        self.failed += 1
        self.error = self.error or reason

    def row(self) -> dict[str, Any]:
        return {**vars(self), "images": len(self.images), "ok": self.ok}


def places() -> list[Place]:
    """The CPU with one thread and with two, and the GPUs that RDBENCH_DEVICE allows."""
    gpus = gpus_for(requested_device())
    return [Place(CPU, 1), Place(CPU, 2), *(Place(gpu, 1, number) for number, gpu in enumerate(gpus))]


def decode_matrix(
    codec: Codec,
    images: Sequence[ImageFile],
    log: Path,
    *,
    points: int = 3,
    timeout_s: float = 600.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """One row per encoder and decoder with the columns of :class:`Cell`, ``images`` (a count) and ``ok``.

    points: how many of the RD curve, evenly spaced with both ends. Errors that a codec raises are counted, and the
    first one is kept. Waits for GPUs that other jobs are using.
    """
    chosen = evenly_spaced(codec.points, points, ends=True)
    with ExitStack() as stack:
        at = places()
        for place in at:
            if place.device.uuid:
                stack.enter_context(lock_gpu([place.device]))
        encoders, decoders = (
            [
                stack.enter_context(Worker(side, codec.name, log, timeout_s, place.threads, place.device.environment()))
                for place in at
            ]
            for side in ("encode", "decode")
        )
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rdbench-")))
        cells = [[Cell(codec.name, made.name, read.name) for read in at] for made in at]
        for done, (image, point) in enumerate((image, point) for image in images for point in chosen):
            on_progress(done, len(images) * len(chosen))
            made = [_encode(encoder, image, point, scratch / str(i)) for i, encoder in enumerate(encoders)]
            for row, bitstream in zip(cells, made, strict=True):
                for cell, other in zip(row, made, strict=True):
                    cell.bitstreams += 1
                    cell.images.add(image.name)
                    cell.same_bytes += isinstance(bitstream, Path) and _same(bitstream, other)
            for i, bitstream in enumerate(made):
                _decode_everywhere(bitstream, i, decoders, cells[i])
        on_progress(len(images) * len(chosen), len(images) * len(chosen))
    return pd.DataFrame([cell.row() for row in cells for cell in row])


def _encode(encoder: Worker, image: ImageFile, point: Point, out: Path) -> Path | str:
    """The bitstream file, or the reason why there is none."""
    try:
        at = {"point": point.name, "parameters": dict(point.parameters)}
        encoder.ask(do="encode", image=image.path, image_sha256=image.sha256, **at, out=str(out))
    except WorkerError as error:
        return str(error)
    return out


def _same(bitstream: Path, other: Path | str) -> bool:
    return isinstance(other, Path) and bitstream.read_bytes() == other.read_bytes()


def _decode_everywhere(bitstream: Path | str, own: int, decoders: Sequence[Worker], cells: Sequence[Cell]) -> None:
    """Decodes a bitstream on every device and counts, in ``cells``, the differences from the encoding device."""
    if isinstance(bitstream, str):
        for cell in cells:
            cell.fail(bitstream)
        return
    reference = _decode(decoders[own], bitstream)
    for decoder, cell in zip(decoders, cells, strict=True):
        pixels = _decode(decoder, bitstream)
        if isinstance(pixels, str):
            cell.fail(pixels)
        elif isinstance(reference, str):
            cell.fail(f"nothing to compare with: the encoding device cannot decode it: {reference}")
        else:
            cell.compare(pixels, reference)


def _decode(decoder: Worker, bitstream: Path) -> np.ndarray | str:
    try:
        return decode_file(decoder, bitstream)[1]
    except WorkerError as error:
        return str(error)


def as_text(table: pd.DataFrame) -> str:
    """The table for a terminal: a block per codec, a line per encoder and decoder."""
    return "".join(_block(codec, part) for codec, part in table.groupby("codec", sort=False))


def _block(codec: Any, part: pd.DataFrame) -> str:
    lines = [f"{codec}: {part.images.max()} images, {part.bitstreams.max()} bitstreams from each encoder"]
    width = max(map(len, [*part.encoder, "encoder"]))
    lines.append(f"  {'encoder':{width}}  {'decoder':{width}}  verdict  {'same bytes':>10}  failed  pixels")
    lines += _lines(part, width)
    return "\n".join(lines) + "\n"


def _lines(part: pd.DataFrame, width: int) -> Iterator[str]:
    for row in part.itertuples():
        pixels = "equal" if row.samples else "none decoded"
        if row.differing_samples:
            pixels = (
                f"{row.differing_samples} of {row.samples} samples of {row.differing} pictures differ, "
                f"by {row.largest_difference} at most"
            )
        pixels += f"; {row.error}" if row.error else ""
        verdict = "ok" if row.ok else "FAILED"
        pair = f"{row.encoder:{width}}  {row.decoder:{width}}"
        yield f"  {pair}  {verdict:7}  {row.same_bytes:>10}  {row.failed:>6}  {pixels}"
