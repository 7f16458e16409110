"""A bundle's rows against its bitstreams: each is decoded in a process of its own, and everything compared.

Status of a row:

witnessed                  its bitstream is in the bundle, has its hash and size, and decodes to pixels with its hash
bitstream hash mismatch    the bundle's file is damaged, or not the one that was measured
rate differs               bytes or bpp are not those of the file
decoding failed            the decoder refuses the file
reconstruction differs     the decoder's pixels have another hash
metrics differ             only with the images at hand: measured again, the pixels have other values
codec not available        not installed here, unavailable, or with other weights
not in bundle              the bundle does not have the bitstream
not checked                the machine stopped the decoder (a timeout, a kill); not the row's fault
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import records
from bench.data.images import load_verified
from bench.discovery import load
from bench.errors import RdbenchError, TransientError, UsageError
from bench.exchange.bundle import Bundle
from bench.files import sha256_file
from bench.metrics import METRICS, Reference, measure, versions_json
from bench.run.client import Worker, WorkerError
from bench.run.codec_state import codec_state
from bench.run.devices import acquire_device
from bench.run.job import decode_file

WITNESSED = "witnessed"
WRONG = (
    "bitstream hash mismatch",
    "rate differs",
    "decoding failed",
    "reconstruction differs",
    "metrics differ",
)
UNCHECKED = ("codec not available", "not in bundle", "not checked")
COLUMNS = ["dataset", "codec", "image", "point", "status", "reason", "bitstream_sha256"]
TOLERANCE = 1e-6  # relative, of a metric measured again: sums in another order


def verify(
    bundle: Bundle,
    originals: Mapping[str, Path] | None = None,
    timeout_s: float = 600.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """A row of COLUMNS for each measured row of the bundle.

    originals: image files by the sha256 of their pixels, besides those in the bundle; with a row's image the metrics
    are measured again. Raises UsageError for images that are not what their name says.
    """
    frame = records.measured(bundle.frame)
    images = {**(originals or {}), **{name: it for name, it in bundle.images.items() if name not in bundle.damaged}}
    done, rows = 0, []
    for codec, part in frame.groupby("codec", sort=True):
        part = part.sort_values(["dataset", "image", "point_index"])
        found = _codec(str(codec), part, bundle, images, timeout_s)
        for row, (status, reason) in zip(part.itertuples(), found, strict=True):
            rows.append({**{name: getattr(row, name) for name in COLUMNS[:4]}, "status": status, "reason": reason})
            rows[-1]["bitstream_sha256"] = row.bitstream_sha256
            done += 1
            on_progress(done, len(frame))
    return pd.DataFrame(rows, columns=COLUMNS)


def _codec(
    codec: str, rows: pd.DataFrame, bundle: Bundle, images: Mapping[str, Path], timeout_s: float
) -> Iterator[tuple[str, str]]:
    """Status and reason of each row of one codec, which one worker process decodes."""
    reason, weights = _unavailable(codec)
    if reason:
        yield from (("codec not available", reason) for _ in range(len(rows)))
        return
    with (
        tempfile.TemporaryDirectory(prefix="rdbench-verify-") as folder,
        acquire_device(bool(weights)) as device,
        Worker("decode", codec, Path(folder, "log"), timeout_s, device=device.environment()) as decoder,
    ):
        kept: tuple[tuple[str, tuple[str, ...]], Reference] | None = None
        for row in rows.to_dict("records"):
            path = bundle.bitstreams.get(str(row["bitstream_sha256"]))
            fault = _of_file(row, path, bundle) or _of_weights(row, weights)
            if fault:
                yield fault
                continue
            assert path is not None
            try:
                answer, pixels = decode_file(decoder, path)
            except TransientError as error:
                yield "not checked", str(error)
            except WorkerError as error:
                yield "decoding failed", str(error)
            else:
                fault = _of_pixels(row, answer)
                original = images.get(str(row["image_sha256"]))
                if fault is None and original is not None:
                    extra = tuple(it for it in records.EXTRA_METRICS if it in row and pd.notna(row[it]))
                    key = (str(row["image_sha256"]), extra)
                    if kept is None or kept[0] != key:
                        kept = key, Reference(_original(original, key[0]), extra)
                    fault = _of_metrics(row, kept[1], pixels)
                yield fault or (WITNESSED, "")


def _unavailable(codec: str) -> tuple[str, str]:
    """Why a codec cannot decode here, or "", and the hash of its weights."""
    try:
        state = codec_state(load(codec))
    except UsageError as error:
        return str(error).partition(";")[0], ""
    return state.error or ("" if state.available else state.reason or "unavailable"), state.weights_sha256


def _of_file(row: Mapping[str, Any], path: Path | None, bundle: Bundle) -> tuple[str, str] | None:
    name = str(row["bitstream_sha256"])
    if name in bundle.damaged:
        return "bitstream hash mismatch", bundle.damaged[name]
    if path is None:
        return "not in bundle", ""
    if (got := sha256_file(path)) != name:
        return "bitstream hash mismatch", f"the file's sha256 is {got[:12]}, the row's {name[:12]}"
    size = path.stat().st_size
    if row["bytes"] != size or not math.isclose(row["bpp"], 8 * size / (row["width"] * row["height"]), rel_tol=1e-12):
        return "rate differs", f"the file has {size} bytes, the row says {row['bytes']:g} and {row['bpp']:g} bpp"
    return None


def _of_weights(row: Mapping[str, Any], weights: str) -> tuple[str, str] | None:
    theirs = row["weights_sha256"] if pd.notna(row["weights_sha256"]) else ""
    if theirs == weights:
        return None
    return "codec not available", f"its weights here are {weights[:12] or 'none'}, the row's {theirs[:12] or 'none'}"


def _of_pixels(row: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[str, str] | None:
    size = (answer["height"], answer["width"])
    if size != (row["height"], row["width"]):
        return "reconstruction differs", f"{size[1]} x {size[0]} pixels, the row says {row['width']} x {row['height']}"
    got, expected = str(answer["reconstruction_sha256"]), str(row["reconstruction_sha256"])
    if got == expected:
        return None
    why = f"its sha256 is {got[:12]}, the row's {expected[:12]}"
    if pd.notna(row["weights_sha256"]):
        why += "; networks may round some pixels by 1 of 255 on another processor (docs/learned.md)"
    return "reconstruction differs", why


def _original(path: Path, pixels_sha256: str) -> np.ndarray:
    try:
        return load_verified(path, pixels_sha256)
    except RdbenchError as error:
        raise UsageError(f"measuring again: {error}") from None


def _of_metrics(row: Mapping[str, Any], reference: Reference, pixels: np.ndarray) -> tuple[str, str] | None:
    """The metrics of a row that differ, among those both sides have in the same version."""
    try:
        stored = json.loads(row["metric_versions"])
    except (TypeError, ValueError):
        return "metrics differ", "the row does not say the versions of its metrics"
    here, found = json.loads(versions_json(reference.extra)), measure(reference, pixels)
    for name in (*METRICS, *reference.extra):
        if name not in stored or stored[name] != here.get(name) or found.get(name) is None or pd.isna(row[name]):
            continue
        if not math.isclose(row[name], found[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return "metrics differ", f"{name} is {found[name]:.6g}, the row says {row[name]:.6g}"
    return None


def summary(table: pd.DataFrame, bundle: Bundle) -> tuple[str, str]:
    """The text for a terminal, and what is wrong with the bundle in one sentence, or ""."""
    counts = table.status.value_counts()
    lines = [f"{counts[status]:6d}  {status}" for status in (WITNESSED, *WRONG, *UNCHECKED) if status in counts]
    for (codec, status, reason), part in table[table.status != WITNESSED].groupby(["codec", "status", "reason"]):
        first = part.iloc[0]
        where = f"{first.dataset} {first.image} {first.point}" + (f" and {len(part) - 1} more" if len(part) > 1 else "")
        lines.append(f"{codec}, {where}: {status}" + (f" ({reason})" if reason else ""))
    lines += [f"note: {note}" for note in bundle.notes]
    wrong = int(table.status.isin(WRONG).sum())
    if wrong:
        fault = f"{wrong} of {len(table)} rows are not what the bundle says"
    elif not counts.get(WITNESSED):
        fault = f"none of the {len(table)} rows could be checked"
    else:
        fault = f"the bundle does not fit together: {bundle.notes[0]}" if bundle.notes else ""
    return "\n".join(lines) + "\n", fault
