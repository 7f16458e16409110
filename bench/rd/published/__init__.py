"""Published rate-distortion curves, as data with source and licence.

They are labelled `claimed`: other people's numbers, measured with other people's tools. Figures draw them dashed, and
tables of measured BD-rates do not contain them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.errors import UsageError

FOLDER = Path(__file__).parent
COLUMNS = ["source", "codec", "dataset", "metric", "bpp", "value", "averaging", "url", "licence", "note"]


def sources() -> dict[str, dict[str, Any]]:
    """The entries of sources.yaml by source: title, url, licence, licence_file, original, averaging, note, codecs."""
    with open(FOLDER / "sources.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def load_published() -> pd.DataFrame:
    """Every published point: COLUMNS, sorted by source, curve and rate.

    metric is psnr_rgb_db, ms_ssim (0..1), ms_ssim_db (dB averaged over images, or the source does not say which) or
    ms_ssim_db_of_mean (dB of the mean). Where a source has linear MS-SSIM, rows of the last kind are derived from it.
    """
    parts = [_read(FOLDER / f"{name}.csv", name, about) for name, about in sources().items()]
    frame = pd.concat(parts, ignore_index=True)
    frame = pd.concat([frame, _in_db(frame)], ignore_index=True)
    return frame.sort_values(["source", "dataset", "metric", "codec", "bpp", "value"], ignore_index=True)[COLUMNS]


def published_curve(name: str, dataset: str, metric: str, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """The points of the curve ``source/codec`` by increasing rate; empty if it has none for this dataset and metric.

    Raises UsageError if there is no curve of that name at all, which is a mistake in a specification.
    """
    published = load_published() if published is None else published
    source, _, codec = name.partition("/")
    curve = published[(published.source == source) & (published.codec == codec)]
    if curve.empty:
        known = sorted(set(published[published.source == source].codec)) or sorted(set(published.source))
        raise UsageError(f"no published curve is called {name!r} (source/codec); there are {', '.join(known)}")
    curve = curve[(curve.dataset == dataset) & (curve.metric == metric)]
    return curve.sort_values(["bpp", "value"], ignore_index=True)


def _read(path: Path, source: str, about: dict[str, Any]) -> pd.DataFrame:
    frame = pd.read_csv(path, float_precision="round_trip")
    own = about.get("codecs", {})
    of_codec = [own.get(codec, {}) for codec in frame.codec]
    return frame.assign(
        source=source,
        averaging=[it.get("averaging", about["averaging"]) for it in of_codec],
        url=about["url"],
        licence=about["licence"],
        note=["; ".join(filter(None, [it.get("note"), about.get("note")])) for it in of_codec],
    )


def _in_db(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of linear MS-SSIM, converted to dB."""
    linear = frame[frame.metric == "ms_ssim"]
    derived = "dB of the published mean: -10 log10(1 - ms_ssim)"
    return linear.assign(
        metric="ms_ssim_db_of_mean",
        value=-10 * np.log10(1 - linear.value),
        note=[f"{derived}; {note}" if note else derived for note in linear.note],
    )
