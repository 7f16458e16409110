"""What figures with pictures need coded at equal rates, from their specification and a run's records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.figures.spec import datasets_of
from bench.run.equal_rates import Demand

LOWEST, HIGHEST = 1e-4, 1e4  # bits per pixel: no limit


def figure_demands(specification: Mapping[str, Any], frame: pd.DataFrame, only: Sequence[str] = ()) -> Iterable[Demand]:
    """The demands of every figure of kind `pictures` (or of those that ``only`` names) on the datasets measured."""
    for spec in specification["figures"]:
        if spec["kind"] != "pictures" or (only and spec["name"] not in only):
            continue
        for dataset in datasets_of(spec, sorted(set(frame.dataset))):
            rows = measured_rows(spec, frame, dataset)
            codecs = [codec for codec in spec["codecs"] if codec in set(rows[~rows.identical.eq(True)].codec)]
            for rate in rates_of(spec, rows, codecs):
                for codec in codecs:
                    if codec != spec.get("match"):
                        yield Demand(dataset, rows.image.iloc[0], codec, rate)


def measured_rows(spec: Mapping[str, Any], frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The measured rows of the one image that a figure shows: the one it names, or the first of the set."""
    rows = frame[(frame.dataset == dataset) & (frame.status == "ok")]
    if rows.empty:
        return rows
    return rows[rows.image == (spec.get("images", {}).get(dataset) or min(rows.image))]


def rates_of(spec: Mapping[str, Any], rows: pd.DataFrame, codecs: Sequence[str]) -> list[float]:
    """The rates (bits per pixel) of a figure's pictures; with `match` that of one operating point of that codec.

    It is the point, of those `between` two rates if there are any, that the worst of the other codecs comes nearest
    to. Lossless rows match any rate. [] where the codec to match has no row.
    """
    if "rates" in spec:
        return list(spec["rates"])
    rates = {name: np.log(part.bpp) for name, part in rows[~rows.identical.eq(True)].groupby("codec")}
    own = rates.pop(spec["match"], None)
    if own is None:
        return []
    low, high = np.log(spec.get("between", (LOWEST, HIGHEST)))
    others = [rates[name] for name in codecs if name in rates]
    mismatch = {rate: max((np.abs(other - rate).min() for other in others), default=0.0) for rate in own}
    wanted = [rate for rate in mismatch if low <= rate <= high] or list(mismatch)
    return [float(np.exp(min(wanted, key=mismatch.__getitem__)))]
