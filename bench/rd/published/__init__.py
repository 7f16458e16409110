"""Published rate-distortion curves, as data with source and licence.

They are a kind of their own, `claimed`: somebody else's numbers, measured with somebody else's tools. Figures draw them
dashed and no table of measured BD-rates contains them.
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


def sources(folder: str | Path = FOLDER) -> dict[str, dict[str, Any]]:
    """What sources.yaml says of each source: title, url, licence, licence_file, original, averaging, note, codecs."""
    with open(Path(folder) / "sources.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def load_published(dataset: str | None = None, metric: str | None = None, folder: str | Path = FOLDER) -> pd.DataFrame:
    """Every published point (or those of one dataset, one metric): COLUMNS, in order of source, curve and rate.

    metric is psnr_rgb_db, ms_ssim (0..1), ms_ssim_db (dB averaged over images, or the source does not say) or
    ms_ssim_db_of_mean (dB of the mean). Where a source has linear MS-SSIM, rows of the last are derived from it.
    """
    parts = [_read(Path(folder) / f"{name}.csv", name, about) for name, about in sources(folder).items()]
    frame = pd.concat(parts, ignore_index=True)
    frame = pd.concat([frame, _in_db(frame)], ignore_index=True)
    for column, wanted in (("dataset", dataset), ("metric", metric)):
        if wanted is not None:
            frame = frame[frame[column] == wanted]
    return frame.sort_values(["source", "dataset", "metric", "codec", "bpp", "value"], ignore_index=True)[COLUMNS]


def published_curve(name: str, dataset: str, metric: str, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """The points of the curve called ``source/codec`` in order of rate; empty if the source has none for that dataset
    and metric. Raises UsageError if there is no such curve at all, which is a slip in a specification.
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
    """The rows of linear MS-SSIM again, in dB."""
    linear = frame[frame.metric == "ms_ssim"]
    derived = "dB of the published mean: -10 log10(1 - ms_ssim)"
    return linear.assign(
        metric="ms_ssim_db_of_mean",
        value=-10 * np.log10(1 - linear.value),
        note=[f"{derived}; {note}" if note else derived for note in linear.note],
    )
