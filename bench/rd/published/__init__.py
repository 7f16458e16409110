"""Published rate-distortion curves, as data with source and licence.

They are labelled `claimed`: other people's numbers, measured with other people's tools. Figures draw them dashed, and
tables of measured BD-rates do not contain them.

A folder of curves has one CSV file for each source and a ``sources.yaml``. There are two: this one, and the user's,
which `rdbench import` fills.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.errors import UsageError
from bench.names import did_you_mean

FOLDER = Path(__file__).parent
COLUMNS = ["source", "codec", "dataset", "metric", "bpp", "value", "averaging", "url", "licence", "note"]
POINT = ["codec", "dataset", "metric", "bpp", "value"]  # of a row of a source's CSV file
NEEDED = {"title", "url", "licence", "averaging"}


def user_folder() -> Path:
    """The folder of the user's own curves, there or not: $RDBENCH_PUBLISHED, else published/ in the working folder."""
    return Path(os.environ.get("RDBENCH_PUBLISHED") or "published")


def sources() -> dict[str, dict[str, Any]]:
    """The entries of both sources.yaml by source: title, url, licence, licence_file, original, averaging, note, codecs.

    Raises UsageError for a name that is in both.
    """
    return {name: about for _, name, about in _entries()}


def read_sources(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of ``folder``'s sources.yaml; none if there is no such file. Raises UsageError for a wrong one."""
    path = folder / "sources.yaml"
    if not path.is_file():
        return {}
    try:
        entries = yaml.safe_load(path.read_bytes()) or {}
        lacking = [name for name, about in entries.items() if not set(about) >= NEEDED]
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise UsageError(f"reading {path}: expected entries of published curves by name, got {error}") from error
    if lacking:
        raise UsageError(f"reading {path}: {', '.join(map(str, lacking))} needs {', '.join(sorted(NEEDED))}")
    return entries


def imported_curves() -> list[str]:
    """The user's curves as ``source/codec``, in name order."""
    folder = user_folder()
    curves = {name: set(read_points(folder / f"{name}.csv").codec) for name in read_sources(folder)}
    return sorted(f"{name}/{codec}" for name, codecs in curves.items() for codec in codecs)


def imported_files() -> list[str]:
    """The files of the user's curves, which figures are made from."""
    folder = user_folder()
    return [str(path) for path in sorted([*folder.glob("*.csv"), *folder.glob("sources.yaml")])]


def load_published() -> pd.DataFrame:
    """Every published point: COLUMNS, sorted by source, curve and rate.

    metric is psnr_rgb_db, ms_ssim (0..1), ms_ssim_db (dB averaged over images, or the source does not say which) or
    ms_ssim_db_of_mean (dB of the mean). Where a source has linear MS-SSIM, rows of the last kind are derived from it.
    """
    parts = [_read(folder / f"{name}.csv", name, about) for folder, name, about in _entries()]
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
        codecs = sorted(set(published[published.source == source].codec))
        known = codecs or sorted(set(published.source))
        near = did_you_mean(codec if codecs else source, known)
        raise UsageError(f"no published curve is called {name!r} (source/codec){near}; there are {', '.join(known)}")
    curve = curve[(curve.dataset == dataset) & (curve.metric == metric)]
    return curve.sort_values(["bpp", "value"], ignore_index=True)


def read_points(path: Path) -> pd.DataFrame:
    """The points in a source's CSV file, its columns as they stand. Raises UsageError if it is not such a file."""
    try:
        frame = pd.read_csv(path, float_precision="round_trip", dtype=dict.fromkeys(POINT[:3], str))
        right = np.isfinite(frame[["bpp", "value"]].to_numpy(float)).all() and frame[POINT].notna().all(axis=None)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"reading {path}: expected the columns {', '.join(POINT)}, got: {error}") from error
    if not right:
        raise UsageError(f"reading {path}: a row lacks one of {', '.join(POINT)}, or its number is not finite")
    return frame


def _entries() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Folder, name and entry of every source: this folder's, then the user's."""
    own, more = read_sources(FOLDER), {} if user_folder().resolve() == FOLDER else read_sources(user_folder())
    if both := sorted(set(own) & set(more)):
        raise UsageError(
            f"{user_folder() / 'sources.yaml'}: {', '.join(both)} is a source that comes with rdbench; rename yours"
        )
    yield from ((FOLDER, name, about) for name, about in own.items())
    yield from ((user_folder(), name, about) for name, about in more.items())


def _read(path: Path, source: str, about: dict[str, Any]) -> pd.DataFrame:
    frame = read_points(path)
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
