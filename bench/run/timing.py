"""Encoding and decoding times, measured separately from the run: one codec at a time, with nothing else running.

In each of the two worker processes the codec is loaded and prepared, called once to warm up, then ``repeats`` times.
The median and the interquartile range of the repeats are reported. Loading (import, construction, and
``Codec.prepare``: weights, compiled code) has its own column, and so has the extra time of the warm-up call.
``decode`` returns its pixels in memory, so a GPU has finished when the clock stops.
"""

from __future__ import annotations

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
        ("repeats", _I),
        ("threads", _I),
        ("device", _S),
    ]
)


def time_codec(
    name: str, manifest: Manifest, log: Path, *, images: int = 1, points: int = 3, repeats: int = 3, threads: int = 1
) -> pd.DataFrame:
    """One row per image and point: the first ``images``, and ``points`` of the RD curve, evenly spaced with both ends.

    Raises WorkerError if the machine failed (a killed process, a timeout, a full disk), which is not the codec's
    result.
    """
    codec = load(name)
    state = codec_state(codec)
    rows = []
    if state.available and manifest.status == "ok":
        about = {"dataset": manifest.name, "codec": name, "repeats": repeats, "threads": threads}
        try:
            with acquire_device(bool(state.weights_sha256)) as device:
                about["device"] = f"{device.name}, {device_name()}" if device.uuid else device_name()
                for image in manifest.images[:images]:
                    with (
                        Worker("encode", name, log, threads=threads, device=device.environment()) as encoder,
                        Worker("decode", name, log, threads=threads, device=device.environment()) as decoder,
                    ):
                        for index in evenly_spaced(range(len(codec.points)), points, ends=True):
                            point = codec.points[index]
                            row = about | {"image": image.name, "point": point.name, "point_index": index}
                            rows.append(row | _time_point(encoder, decoder, image, point, repeats))
        except UsageError as error:  # the requested device does not exist
            rows.append(about | {"status": "failed", "reason": str(error)})
    columns = {column: [row.get(column) for row in rows] for column in SCHEMA.names}
    return pa.table(columns, schema=SCHEMA).to_pandas()


def _time_point(encoder: Worker, decoder: Worker, image: ImageFile, point: Point, repeats: int) -> dict[str, Any]:
    bitstream = str(Path(decoder.folder.name) / "bitstream")
    at = {"point": point.name, "parameters": dict(point.parameters)}
    of = {"image": image.path, "image_sha256": image.sha256}
    try:
        encoded = encoder.ask(do="time", **of, **at, repeats=repeats, out=bitstream)
        decoded = decoder.ask(do="time", bitstream=bitstream, repeats=repeats)
    except WorkerError as error:
        if is_transient(error):
            raise
        return {"status": "failed", "reason": str(error)}
    row = {"status": "ok", "pixels": encoded["height"] * encoded["width"]}
    for side, answer in (("encode", encoded), ("decode", decoded)):
        low, median, high = np.percentile(answer["seconds"], [25, 50, 75])
        row[f"{side}_s_median"], row[f"{side}_s_iqr"] = float(median), float(high - low)
        row[f"{side}_load_s"] = answer["load_s"]
        row[f"{side}_warmup_s"] = max(0.0, answer["first_s"] - float(median))
        row[f"{side}_peak_rss_mib"] = answer["peak_rss_mib"]
    return row
