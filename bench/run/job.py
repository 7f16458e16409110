"""The two-process round trip: encode to disk, decode in another process, compare hashes, measure.

Every finished piece (image, codec, point) is kept in a cache whose key covers everything that determines it, so a run
that was killed resumes where it stopped, and a half-written piece is never mistaken for a finished one.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.codec import Codec, Point
from bench.data.datasets import ImageFile, Manifest
from bench.data.images import load_verified
from bench.discovery import load
from bench.errors import RdbenchError, TransientError, UsageError, is_transient
from bench.files import file_name, temp_path
from bench.metrics import Reference, measure, versions_json
from bench.run.cache import Entry
from bench.run.client import Worker, WorkerError
from bench.run.codec_state import CodecState, codec_state
from bench.run.devices import acquire_device
from bench.sampling import evenly_spaced

log = logging.getLogger(__name__)


@dataclass
class Job:
    """One codec on the images of one manifest.

    folder: the run's folder, with its logs and links to the bitstreams; refused: name and reason of images that cannot
    be loaded; left_out: the configuration's reason for leaving this codec out, if it does; on_progress(done, total,
    from_cache) is called after each piece; timeout_s: for one encode or decode; accept_failures: transient failures
    become rows too; points: at most so many of the codec's operating points, evenly spaced; 0 is all; metrics: those to
    measure beyond the default set.
    """

    codec: str
    manifest: Manifest
    folder: Path
    log: Path
    images: list[ImageFile] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    left_out: str = ""
    timeout_s: float = 600.0
    threads: int = 1
    accept_failures: bool = False
    points: int = 0
    metrics: tuple[str, ...] = ()
    on_progress: Callable[[int, int, int], None] = lambda done, total, cached: None

    def rows(self) -> list[dict[str, Any]]:
        """One row of records per image and point; a single row if the codec or the dataset is unavailable.

        Raises TransientError if the machine rather than a codec failed, after everything else is done and cached.
        """
        whole = {"dataset": self.manifest.name, "codec": self.codec}
        try:
            codec = load(self.codec)
        except UsageError as error:
            return [{**whole, "status": "failed", "reason": str(error)}]
        state = codec_state(codec)
        whole["role"] = codec.role
        if state.error:
            return [{**whole, "status": "failed", "reason": state.error}]
        if self.left_out or not state.available:
            return [{**whole, "status": "skipped", "reason": self.left_out or state.reason}]
        if self.manifest.status != "ok":
            return [{**whole, "status": "skipped", "reason": self.manifest.reason}]
        refused = [{"image": image["name"], "status": "skipped", "reason": image["reason"]} for image in self.refused]
        pieces = Pieces(self, codec, state)
        try:
            with pieces:
                rows = list(pieces.rows())
        except UsageError as error:  # the requested device does not exist
            return [{**whole, "status": "failed", "reason": str(error)}]
        pieces.raise_if_transient()
        return [*rows, *({**whole, **row} for row in refused)]


class Pieces:
    """The pieces of one job; as a context manager, it holds the two workers they need."""

    def __init__(self, job: Job, codec: Codec, state: CodecState):
        self.job, self.codec, self.state = job, codec, state
        self.done = self.cached = 0
        self.reference: tuple[str, Reference] | None = None  # the last image's hash and reference
        self.transient: list[str] = []  # the reason, for each piece that failed because of the machine
        self.points = evenly_spaced(list(enumerate(codec.points)), job.points, ends=True)
        self.total = len(job.images) * len(self.points)
        self.common = {
            "dataset": job.manifest.name,
            "codec": codec.name,
            "role": codec.role,
            "codec_version": state.version,
            "code_sha256": state.code_sha256,
            "weights_sha256": state.weights_sha256 or None,
        }

    def __enter__(self) -> Pieces:
        """Acquires the device and creates both workers. Raises UsageError if the device does not exist."""
        job, has_weights = self.job, bool(self.state.weights_sha256)
        with ExitStack() as stack:
            self.device = stack.enter_context(acquire_device(has_weights))
            if has_weights:
                self.common["device"] = self.device.name
            self.encoder, self.decoder = (
                stack.enter_context(
                    Worker(side, self.codec.name, job.log, job.timeout_s, job.threads, self.device.environment())
                )
                for side in ("encode", "decode")
            )
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of all the job's images at all the codec's operating points, in image order."""
        for image in self.job.images:
            for index, point in self.points:
                yield self.row(image, point, index)
                self.done += 1
                self.job.on_progress(self.done, self.total, self.cached)

    def raise_if_transient(self) -> None:
        """Raises TransientError if pieces failed because of the machine, unless the job accepts such rows."""
        job = self.job
        if self.transient and not job.accept_failures:
            raise TransientError(
                f"{job.codec} on {job.manifest.name}: {len(self.transient)} of {self.total} pieces failed because of "
                f"the machine: {self.transient[0]}. The others are finished and kept; run the same command again to "
                "repeat only these. If they always fail, --accept-failures (accept_failures in the configuration) "
                "records them"
            )

    def row(self, image: ImageFile, point: Point, index: int | None) -> dict[str, Any]:
        """The row of an image at an operating point, from the cache or computed. index: its place on the curve."""
        row = {
            **self.common,
            "image": image.name,
            "image_sha256": image.sha256,
            "width": image.width,
            "height": image.height,
            "point": point.name,
            "point_index": index,
            "parameters": point.to_json(),
        }
        try:
            piece, bitstream = self._piece(image, point)
            if self.codec.lossless and not piece["identical"]:
                raise WorkerError(
                    f"{self.codec.name}, which is lossless, decoded other pixels than it was given (PSNR "
                    f"{piece['psnr_rgb_db']:.2f} dB); its encoder or decoder is at fault"
                )
            link = self.job.folder / "bitstreams" / self.job.manifest.name / self.codec.name
            link /= file_name(image.name, f".{point.name}{self.codec.extension}")
            _link(bitstream, link)
        except (RdbenchError, OSError) as error:
            log.error("%s, %s, point %s: %s", self.codec.name, image.name, point.name, error)
            if not isinstance(error, WorkerError) or is_transient(error):  # an error on this side, not the codec's
                self.transient.append(f"{image.name}, point {point.name}: {error}")
            relative = os.path.relpath(self.job.log, self.job.folder)
            return {**row, "status": "failed", "reason": str(error), "log": relative}
        row["bitstream"] = str(link.relative_to(self.job.folder))
        row["bpp"] = 8 * piece["bytes"] / (image.width * image.height)
        return {**row, "status": "ok", **piece}

    def _piece(self, image: ImageFile, point: Point) -> tuple[dict[str, Any], Path]:
        """The measurements of one piece and the path of its bitstream, from the cache or computed."""
        entry = Entry(self.codec, self.state, image.sha256, point, self.device.name)
        coded, measured = entry.read(self.job.metrics)
        if coded is None:
            entry.bitstream.parent.mkdir(parents=True, exist_ok=True)
            request = {
                "image": image.path,
                "image_sha256": image.sha256,
                "point": point.name,
                "parameters": dict(point.parameters),
            }
            coded = _facts(self.encoder.ask(do="encode", **request, out=str(entry.bitstream)))
            measured = None
        if measured is None:
            measured = self._measure(image, entry.bitstream, coded)
            entry.write(coded, measured)
        else:
            self.cached += 1
        return {**coded, **measured}, entry.bitstream

    def _measure(self, image: ImageFile, bitstream: Path, coded: dict[str, Any]) -> dict[str, Any]:
        answer, pixels = decode_file(self.decoder, bitstream)
        shape = (answer["height"], answer["width"])
        if shape != (image.height, image.width):
            raise WorkerError(
                f"decode: expected a reconstruction of {image.height} x {image.width}, got {shape[0]} x {shape[1]}"
            )
        own, other = coded["encoder_reconstruction_sha256"], answer["reconstruction_sha256"]
        if own is not None and own != other:
            raise WorkerError(
                f"decode: the decoder's pixels ({other[:12]}) differ from the encoder's reconstruction ({own[:12]})"
            )
        if self.reference is None or self.reference[0] != image.sha256:
            original = load_verified(image.path, image.sha256)
            self.reference = image.sha256, Reference(original, self.job.metrics)
        metrics = measure(self.reference[1], pixels)
        return {"reconstruction_sha256": other, **metrics, "metric_versions": versions_json(self.job.metrics)}


def decode_file(decoder: Worker, bitstream: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The decoding worker's answer and pixels for one bitstream, which it gets under a neutral name."""
    scratch = Path(decoder.folder.name)
    _link(bitstream, scratch / "bitstream")
    try:
        answer = decoder.ask(do="decode", bitstream=str(scratch / "bitstream"), out=str(scratch / "pixels.npy"))
        return answer, np.load(scratch / "pixels.npy")
    finally:
        for name in ("bitstream", "pixels.npy"):
            (scratch / name).unlink(missing_ok=True)


def decode_files(codec: str, paths: list[Path], log: Path = Path(os.devnull)) -> Iterator[np.ndarray]:
    """The reconstructions (uint8, H x W x 3) of bitstream files, decoded in another process. Raises WorkerError."""
    with (
        acquire_device(bool(load(codec).weights_digest())) as device,
        Worker("decode", codec, log, device=device.environment()) as decoder,
    ):
        for path in paths:
            yield decode_file(decoder, Path(path))[1]


def part_of(images: list[ImageFile], part: str) -> list[ImageFile]:
    """Every n-th image from the k-th on, for ``part`` "k-of-n", so that a dataset can be split across machines."""
    try:
        index, count = (int(number) for number in part.split("-of-"))
        if not 1 <= index <= count:
            raise ValueError
    except ValueError:
        raise UsageError(f"choosing a part: expected k-of-n with 1 <= k <= n, such as 2-of-8, got {part!r}") from None
    return images[index - 1 :: count]


def _facts(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("load_s", "peak_rss_mib")}


def _link(source: Path, target: Path) -> None:
    """``target`` as a hard link to ``source``, or a copy across file systems; atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = temp_path(target)
    try:
        os.link(source, part)
    except OSError as error:
        if not source.is_file():
            raise RdbenchError(f"linking bitstream {source}: {error}") from None
        shutil.copyfile(source, part)
    os.replace(part, target)
    part.unlink(missing_ok=True)  # renaming onto a link to the same file does nothing
