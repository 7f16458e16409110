"""Encoding and decoding times, measured separately from the run: one codec at a time, with nothing else running.

In each of the two worker processes the codec is loaded and prepared, called once to warm up, then ``repeats`` times.
The median and the interquartile range of the repeats are reported. Loading (import, construction, and
``Codec.prepare``: weights, compiled code) has its own column, and so has the extra time of the warm-up call. Both
processes import at the same time, and nothing is coded before both have finished.
``decode`` returns its pixels in memory, so a GPU has finished when the clock stops.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.codec import Point
from bench.data.datasets import ImageFile, Manifest
from bench.discovery import load
from bench.errors import UsageError, is_transient
from bench.run.client import Worker, WorkerError
from bench.run.codec_state import codec_state
from bench.run.devices import acquire_device
from bench.run.environment import device_name
from bench.sampling import evenly_spaced

_S, _I, _F = pa.string(), pa.int64(), pa.float64()

SCHEMA = pa.schema(
    [
        ("dataset", _S),
        ("image", _S),
        ("pixels", _I),
        ("codec", _S),
        ("point", _S),
        ("point_index", _I),
        ("status", _S),
        ("reason", _S),
        ("encode_s_median", _F),
        ("encode_s_iqr", _F),
        ("decode_s_median", _F),
        ("decode_s_iqr", _F),
        ("encode_load_s", _F),  # import, construction and prepare()
        ("decode_load_s", _F),
        ("encode_warmup_s", _F),  # the first call's time above the median
        ("decode_warmup_s", _F),
        ("encode_peak_rss_mib", _F),
        ("decode_peak_rss_mib", _F),
        ("encode_kmac_per_pixel", _F),  # of networks: 1000 multiplications with addition; null for a codec without
        ("decode_kmac_per_pixel", _F),
        ("encode_peak_gpu_mib", _F),  # null without a GPU
        ("decode_peak_gpu_mib", _F),
        ("parameters", _I),  # of the weights that all operating points together need; null for a codec without
        ("weights_bytes", _I),
        ("repeats", _I),
        ("threads", _I),
        ("device", _S),
    ]
)


def time_codec(
    name: str,
    manifest: Manifest,
    log: Path,
    *,
    images: int = 1,
    points: int = 3,
    repeats: int = 3,
    threads: Sequence[int] = (1,),
) -> pd.DataFrame:
    """One row per number of threads, image and point: the first ``images``, and ``points`` of the RD curve, evenly
    spaced with both ends. threads: of the codec's libraries; 0 stands for all cores.

    Raises WorkerError if the machine failed (a killed process, a timeout, a full disk), which is not the codec's
    result.
    """
    codec = load(name)
    state = codec_state(codec)
    rows = []
    if state.available and manifest.status == "ok":
        about: dict[str, Any] = {"dataset": manifest.name, "codec": name, "repeats": repeats}
        counts = dict.fromkeys(count or (os.cpu_count() or 1) for count in threads)
        indices = list(evenly_spaced(range(len(codec.points)), points, ends=True))
        try:
            with acquire_device(bool(state.weights_sha256)) as device:
                about["device"] = f"{device.name}, {device_name()}" if device.uuid else device_name()
                for count, image in product(counts, manifest.images[:images]):
                    with (
                        Worker("encode", name, log, threads=count, device=device.environment()) as encoder,
                        Worker("decode", name, log, threads=count, device=device.environment()) as decoder,
                    ):
                        _load_both(encoder, decoder)
                        for index in indices:
                            at = {"threads": count, "image": image.name}
                            at |= {"point": codec.points[index].name, "point_index": index}
                            costs = index == indices[-1]  # the same at all points
                            timed = _time_point(encoder, decoder, image, codec.points[index], repeats, costs)
                            rows.append(about | at | timed)
        except UsageError as error:  # the requested device does not exist
            rows.append(about | {"status": "failed", "reason": str(error)})
    columns = {column: [row.get(column) for row in rows] for column in SCHEMA.names}
    return pa.table(columns, schema=SCHEMA).to_pandas()


def _load_both(*workers: Worker) -> None:
    """Has the codec loaded and prepared in all the processes; an error is left for the first request to tell."""

    def load_one(worker: Worker) -> None:
        try:
            worker.ask(do="prepare")
        except WorkerError as error:
            if is_transient(error):
                raise

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(load_one, workers))


def _time_point(
    encoder: Worker, decoder: Worker, image: ImageFile, point: Point, repeats: int, with_costs: bool
) -> dict[str, Any]:
    bitstream = str(Path(decoder.folder.name) / "bitstream")
    at = {"point": point.name, "parameters": dict(point.parameters)}
    of = {"image": image.path, "image_sha256": image.sha256}
    try:
        encoded = encoder.ask(do="time", **of, **at, repeats=repeats, out=bitstream)
        decoded = decoder.ask(do="time", bitstream=bitstream, repeats=repeats)
        costs = _costs(encoder, decoder, of | at, bitstream) if with_costs else {}
    except WorkerError as error:
        if is_transient(error):
            raise
        return {"status": "failed", "reason": str(error)}
    row = {"status": "ok", "pixels": encoded["height"] * encoded["width"], **costs}
    for side, answer in (("encode", encoded), ("decode", decoded)):
        low, median, high = np.percentile(answer["seconds"], [25, 50, 75])
        row[f"{side}_s_median"], row[f"{side}_s_iqr"] = float(median), float(high - low)
        row[f"{side}_load_s"] = answer["load_s"]
        row[f"{side}_warmup_s"] = max(0.0, answer["first_s"] - float(median))
        row[f"{side}_peak_rss_mib"] = answer["peak_rss_mib"]
    return row


def _costs(encoder: Worker, decoder: Worker, request: dict[str, Any], bitstream: str) -> dict[str, Any]:
    """The columns that are not times: what the networks take. Both sides are asked at once, as nothing is timed."""
    with ThreadPoolExecutor(2) as pool:
        asked = {
            "encode": pool.submit(encoder.ask, do="cost", **request),
            "decode": pool.submit(decoder.ask, do="cost", bitstream=bitstream),
        }
    answers = {side: answer.result() for side, answer in asked.items()}
    row: dict[str, Any] = {}
    for side, answer in answers.items():
        row[f"{side}_kmac_per_pixel"] = answer["mac_per_pixel"] and answer["mac_per_pixel"] / 1000
        row[f"{side}_peak_gpu_mib"] = answer["peak_gpu_mib"]
    weights = answers["encode"]["weights"]
    return row | {"parameters": weights.get("parameters"), "weights_bytes": weights.get("bytes")}
