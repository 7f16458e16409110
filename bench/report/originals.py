"""The original pictures that the report shows and checks with, verified against the hashes in the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.data.datasets import load_image
from bench.errors import RdbenchError
from bench.files import sha256_pixels
from bench.report.run import Run
from bench.run.equal_rates import Demand

WHOLE_UP_TO = 8  # a dataset of up to this many images is shown whole
FIRST = 4  # of a larger one

Originals = dict[str, dict[str, np.ndarray | str]]  # dataset -> image -> uint8 H x W x 3, or why it is not available


def load_originals(run: Run, wanted: Sequence[str] | None = None, most: int | None = None) -> Originals:
    """The images that the page shows, see :func:`shown_images`."""
    originals: Originals = {}
    for dataset in run.measured_datasets:
        rows = run.measured[run.measured.dataset == dataset]
        hashes = dict(zip(rows.image, rows.image_sha256, strict=True))
        entries = {entry["name"]: entry for entry in run.manifests.get(dataset, {}).get("images", [])}
        shown = shown_images(hashes, wanted, most)
        originals[dataset] = {image: _load(entries.get(image), hashes[image]) for image in shown}
    return originals


def shown_images(images: Iterable[str], wanted: Sequence[str] | None = None, most: int | None = None) -> list[str]:
    """Which of a set's images the page shows: those ``wanted``; without any, all of a small set, else the first few.

    most: how many at most, in place of WHOLE_UP_TO and FIRST.
    """
    names = sorted(set(images))
    chosen = [name for name in names if name in (wanted or ())]
    if chosen:
        return chosen
    return names[: most or (WHOLE_UP_TO if len(names) <= WHOLE_UP_TO else FIRST)]


def page_demands(frame: pd.DataFrame, rates_bpp: Sequence[float], most: int | None = None) -> Iterable[Demand]:
    """What the page's pictures need coded at equal rates: every codec on every shown image at each of the rates."""
    rows = frame[(frame.status == "ok") & (frame.role == "codec")]
    for (dataset, codec), part in rows.groupby(["dataset", "codec"]):
        shown = shown_images(rows[rows.dataset == dataset].image, None, most)
        for image in set(shown) & set(part.image):
            yield from (Demand(str(dataset), image, str(codec), bpp) for bpp in rates_bpp)


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
