"""The original pictures that the report shows and checks with, verified against the hashes in the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.data.datasets import load_image
from bench.errors import RdbenchError
from bench.files import sha256_pixels
from bench.report.run import Run

WHOLE_UP_TO = 8  # a dataset of up to this many images is shown whole
FIRST = 4  # of a larger one

Originals = dict[str, dict[str, np.ndarray | str]]  # dataset -> image -> uint8 H x W x 3, or why it is not to be had


def load_originals(run: Run, wanted: Sequence[str] | None = None) -> Originals:
    """The images that the page shows: those ``wanted``; of a set without any, all if it is small, else the first."""
    originals: Originals = {}
    for dataset in run.measured_datasets:
        rows = run.measured[run.measured.dataset == dataset].drop_duplicates("image").sort_values("image")
        chosen = rows[rows.image.isin(wanted or ())]
        if chosen.empty:
            chosen = rows[: WHOLE_UP_TO if len(rows) <= WHOLE_UP_TO else FIRST]
        entries = {entry["name"]: entry for entry in run.manifests.get(dataset, {}).get("images", [])}
        originals[dataset] = {row.image: _load(entries.get(row.image), row.image_sha256) for row in chosen.itertuples()}
    return originals


def _load(entry: dict[str, Any] | None, sha256: str) -> np.ndarray | str:
    if entry is None:
        return "the dataset's manifest does not list this image"
    try:
        pixels = load_image(entry["path"])
    except (OSError, RdbenchError) as error:
        return f"the original cannot be read: {error}"
    if sha256_pixels(pixels) != sha256:
        return f"{entry['path']} is not the image that was measured: the hash of its pixels differs"
    return pixels
