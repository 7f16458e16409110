"""The variable-rate condition VRC: what it costs to set a codec's rate freely, measured one way for every codec.

docs/variable-rate.md is the protocol. Encoding and decoding run in two processes, as in a run; every rate is that of a
bitstream, every quality that of its decoded picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.codec import Codec, Embedded, Point, is_variable
from bench.data.datasets import ImageFile, Manifest
from bench.data.images import load_verified
from bench.discovery import load
from bench.errors import UsageError, is_transient
from bench.metrics import psnr_rgb_db
from bench.run.client import Worker, WorkerError
from bench.run.devices import acquire_device
from bench.run.job import decode_file
from bench.run.targets import TOLERANCE
from bench.sampling import evenly_spaced

VERSION = 1  # of the protocol
TARGETS = 20
LISTED, PREFIXES, SWITCHES = 8, 24, 5
_S, _F, _I = pa.string(), pa.float64(), pa.int64()

# test: listed (an operating point of the curve), counterpart (one of the codec that codes each rate separately), target
# (one of the random rates), prefix (of the whole bitstream), switch (one change of the operating point).
SCHEMA = pa.schema(
    [
        ("dataset", _S),
        ("image", _S),
        ("codec", _S),
        ("test", _S),
        ("number", _I),
        ("point", _S),
        ("target_bpp", _F),
        ("bpp", _F),
        ("psnr_rgb_db", _F),
        ("evaluations", _I),  # bitstreams made on the way
        ("switch_s", _F),  # of the first encoding after the change
        ("steady_s", _F),  # of the next one, at the same point
        ("reason", _S),  # why there is no number
    ]
)


def random_shares(count: int = TARGETS) -> np.ndarray:
    """``count`` places between the ends of a codec's rates, 0 to 1 on a logarithmic scale: one in each equal part, at
    random in it; the same for every codec and image.
    """
    return (np.arange(count) + np.random.RandomState(20).random_sample(count)) / count


def variable_rate(
    name: str, manifest: Manifest, log: Path, *, images: int = 1, targets: int = TARGETS, timeout_s: float = 600.0
) -> pd.DataFrame:
    """Rows of SCHEMA for the first ``images`` of a manifest.

    Raises UsageError for a codec with fixed rates, TransientError if the machine failed.
    """
    codec = load(name)
    if not is_variable(codec):
        raise UsageError(f"{name} has fixed rates; the condition is for codecs of which any rate can be asked")
    rows: list[dict[str, Any]] = []
    other = load(codec.counterpart) if codec.counterpart else None
    with ExitStack() as stack:
        device = stack.enter_context(acquire_device(bool(codec.weights_digest())))

        def workers(codec: str) -> list[Worker]:
            made = (Worker(side, codec, log, timeout_s, 1, device.environment()) for side in ("encode", "decode"))
            return [stack.enter_context(worker) for worker in made]

        measured = _Measured(*workers(name))
        counterpart = _Measured(*workers(other.name)) if other is not None and other.available()[0] else None
        for image in manifest.images[:images]:
            about = {"dataset": manifest.name, "image": image.name, "codec": name}
            found = list(_of_image(codec, measured, image, targets))
            if counterpart is not None and other is not None:
                found += _listed(other, counterpart, image, "counterpart")
            rows += [about | row for row in found]
    columns = {column: [row.get(column) for row in rows] for column in SCHEMA.names}
    return pa.table(columns, schema=SCHEMA).to_pandas()


class _Measured:
    """Two workers of one codec, and what their answers come to."""

    def __init__(self, encoder: Worker, decoder: Worker):
        self.encoder, self.decoder = encoder, decoder
        self.bitstream = Path(encoder.folder.name) / "bitstream"

    def ask(self, do: str, image: ImageFile, **request: Any) -> dict[str, Any]:
        """The encoder's answer; one with a ``reason`` if it has none and the codec is to blame."""
        of = {"image": image.path, "image_sha256": image.sha256}
        try:
            return self.encoder.ask(do=do, **of, **request)
        except WorkerError as error:
            if is_transient(error):
                raise
            return {"reason": str(error)}

    def quality(self, image: ImageFile, bitstream: Path) -> dict[str, Any]:
        """Rate and PSNR of a bitstream file, decoded in the other process; or the reason why not."""
        try:
            pixels = decode_file(self.decoder, bitstream)[1]
        except WorkerError as error:
            if is_transient(error):
                raise
            return {"reason": str(error)}
        original = load_verified(image.path, image.sha256)
        if pixels.shape != original.shape:
            return {"reason": f"expected a picture of {original.shape}, got {pixels.shape}"}
        bpp = 8 * bitstream.stat().st_size / (image.height * image.width)
        return {"bpp": bpp, "psnr_rgb_db": psnr_rgb_db(original, pixels)}


def _of_image(codec: Codec, of: _Measured, image: ImageFile, targets: int) -> Iterator[dict[str, Any]]:
    listed = list(_listed(codec, of, image, "listed"))
    yield from listed
    rates = [row["bpp"] for row in listed if "bpp" in row]
    if len(rates) > 1:
        low, high = min(rates), max(rates)
        for number, share in enumerate(random_shares(targets)):
            yield _target(of, image, low * (high / low) ** share) | {"number": number}
    if isinstance(codec, Embedded):
        yield from _prefixes(of, image)
    yield from _switches(codec, of, image)


def _listed(codec: Codec, of: _Measured, image: ImageFile, test: str) -> Iterator[dict[str, Any]]:
    """Operating points of the codec's curve, evenly spaced."""
    for number, point in enumerate(evenly_spaced(codec.points, LISTED, ends=True)):
        answer = of.ask("encode", image, **_request(point), out=str(of.bitstream))
        found = answer if "reason" in answer else of.quality(image, of.bitstream)
        row = {"test": test, "number": number, "point": point.name}
        yield row | {key: found[key] for key in ("bpp", "psnr_rgb_db", "reason") if key in found}


def _request(point: Point) -> dict[str, Any]:
    return {"point": point.name, "parameters": dict(point.parameters)}


def _target(of: _Measured, image: ImageFile, bpp: float) -> dict[str, Any]:
    answer = of.ask("rate", image, target_bpp=bpp, tolerance=TOLERANCE["bpp"], out=str(of.bitstream))
    found = answer if "reason" in answer else answer | of.quality(image, of.bitstream)
    kept = ("point", "evaluations", "bpp", "psnr_rgb_db", "reason")
    return {"test": "target", "target_bpp": bpp} | {key: found[key] for key in kept if key in found}


def _prefixes(of: _Measured, image: ImageFile) -> Iterator[dict[str, Any]]:
    """Prefixes of the whole bitstream, their lengths in equal ratios from 16 bytes on."""
    answer = of.ask("whole", image, out=str(of.bitstream))
    if "reason" in answer:
        yield {"test": "prefix", "reason": answer["reason"]}
        return
    whole = of.bitstream.read_bytes()
    cut = of.bitstream.with_name("prefix")
    lengths = np.unique(np.geomspace(min(16, len(whole)), len(whole), PREFIXES).round().astype(int))
    for number, length in enumerate(lengths):
        cut.write_bytes(whole[:length])
        yield {"test": "prefix", "number": number} | of.quality(image, cut)


def _switches(codec: Codec, of: _Measured, image: ImageFile) -> Iterator[dict[str, Any]]:
    """Changes between the two ends of the curve: the first encoding after each, and the one after that."""
    ends = [_request(codec.points[0]), _request(codec.points[-1])]
    answer = of.ask("switch", image, ends=ends, repeats=SWITCHES)
    if "reason" in answer:
        yield {"test": "switch", "reason": answer["reason"]}
        return
    for number, (point, switch_s, steady_s) in enumerate(answer["switches"]):
        yield {"test": "switch", "number": number, "point": point, "switch_s": switch_s, "steady_s": steady_s}
