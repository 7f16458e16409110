"""Images coded at equal rates, for pictures that are to be compared: pieces of a run at points between its own.

A codec is coded at the wanted rate where its format allows it: an embedded one is cut there, one whose operating points
differ in a single number is searched along that number, starting from the rates that the run has measured. Each try is
a piece like any other of the run: coded in one process, decoded in another, measured, kept in the cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.codec import Parameter, Point, is_cut_at_rate
from bench.data.manifest import ImageFile
from bench.discovery import load
from bench.records import SCHEMA
from bench.run.codec_state import codec_state
from bench.run.job import Job, Pieces
from bench.run.varied import point_with, varied_parameter

TOLERANCE = 0.02  # of the rate, a natural logarithm: what is nearer is taken at once
MOST_TRIES = 5
WANTED = pa.schema([*SCHEMA, pa.field("wanted_bpp", pa.float64())])  # records, and the rate that each was made for


@dataclass(frozen=True, order=True)
class Demand:
    """That an image of a dataset be coded by a codec at a rate (bits per pixel)."""

    dataset: str
    image: str
    codec: str
    bpp: float


def equal_rate_rows(job: Job, demands: Iterable[Demand], records: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of WANTED for the ``demands`` on the job's codec; none where the run's own rows are as near already.

    job.images: all images that may be asked for. records: rows of the run; those of this codec say where to search.
    Raises UsageError for a device that is not there, TransientError where the machine failed.
    """
    codec = load(job.codec)
    state = codec_state(codec)
    images = {image.name: image for image in job.images}
    own = records[(records.dataset == job.manifest.name) & (records.codec == job.codec) & (records.status == "ok")]
    rows = []
    with Pieces(job, codec, state) as pieces:
        for demand in demands:
            measured = own[own.image == demand.image]
            if demand.image not in images or measured.empty:
                continue
            row = _nearer(pieces, images[demand.image], demand.bpp, measured)
            if row is not None:
                rows.append(row | {"wanted_bpp": demand.bpp})
    pieces.raise_if_transient()
    return rows


def _nearer(pieces: Pieces, image: ImageFile, bpp: float, measured: pd.DataFrame) -> dict[str, Any] | None:
    """A row closer to ``bpp`` than every measured one of this codec and image, or None."""
    codec = pieces.codec
    made: Iterable[dict[str, Any]] = ()
    if is_cut_at_rate(codec):
        made = [pieces.row(image, Point(f"bpp{bpp:g}", bpp=bpp), None)]
    elif varied := varied_parameter(codec, measured.parameters):
        made = _search(pieces, image, bpp, measured, varied)
    best = min((row for row in made if row["status"] == "ok"), key=lambda row: _distance(row["bpp"], bpp), default=None)
    return best if best and _distance(best["bpp"], bpp) < min(_distance(rate, bpp) for rate in measured.bpp) else None


def _search(
    pieces: Pieces, image: ImageFile, bpp: float, measured: pd.DataFrame, varied: Parameter
) -> Iterator[dict[str, Any]]:
    """Rows at ever nearer values of the ``varied`` parameter, between the ``measured`` ones; a failed one is last."""
    points = [json.loads(text) for text in measured.parameters]
    known = {point[varied.name]: rate for point, rate in zip(points, measured.bpp, strict=True)}
    for _ in range(MOST_TRIES):
        value = next_value(known, bpp, varied.type is int)
        if value is None or min(_distance(rate, bpp) for rate in known.values()) <= TOLERANCE:
            return
        point = point_with(pieces.codec, varied, value, points[0])
        if point[varied.name] in known:
            return
        row = pieces.row(image, point, None)
        yield row
        if row["status"] != "ok":
            return
        known[point[varied.name]] = row["bpp"]


def _distance(rate: float, bpp: float) -> float:
    return abs(math.log(rate / bpp))


def next_value(known: Mapping[float, float], bpp: float, whole: bool) -> float | None:
    """The value to try next, from the rates (bits per pixel) of the ``known`` values of a parameter.

    It lies between two neighbouring values whose rates hold ``bpp`` between them, where the logarithm of the rate,
    interpolated over the value (over its logarithm where both are above 0), would be that of ``bpp``. ``whole``: a
    whole number. None where no two rates hold ``bpp`` between them, or no number is left between two that do.
    """
    values = sorted(known)
    for low, high in pairwise(values):
        a, b = known[low], known[high]
        if min(a, b) < bpp < max(a, b):
            share = math.log(bpp / a) / math.log(b / a)
            value = low * (high / low) ** share if low > 0 else low + (high - low) * share
            if whole:
                value = min(max(round(value), low + 1), high - 1)
            return value if low < value < high else None
    return None


def nearest_row(measured: pd.DataFrame, matched: pd.DataFrame | None, bpp: float) -> pd.Series | None:
    """Of one codec and image the row nearest to ``bpp``, as a ratio: of the run's ``measured`` and of the ``matched``.

    matched: rows of WANTED, of any codec and image, or None. None where nothing was measured.
    """
    if measured.empty:
        return None
    rows, first = measured, measured.iloc[0]
    if matched is not None:
        own = matched[matched.codec.eq(first.codec) & matched.image.eq(first.image) & matched.dataset.eq(first.dataset)]
        rows = pd.concat([measured, own[own.wanted_bpp.eq(bpp)]], ignore_index=True)
    return rows.iloc[int(np.abs(np.log(rows.bpp.to_numpy(float) / bpp)).argmin())]
