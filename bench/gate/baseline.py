"""Baselines: the results of an accepted run, kept small, with which the gate compares later runs.

Two files in git make one baseline: a CSV table with a row for each image and operating point, and next to it a JSON
file of the same name that says for each codec which versions produced those rows, and why they were accepted. Hashes in
the table are the first 16 of 64 hexadecimal digits, and numbers have six digits, so that ten codecs on five images take
about 100 kB and a change is readable in a diff. A run that measured extra metrics gives a column for each.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records
from bench.errors import UsageError
from bench.files import to_json, write_atomically

Key = tuple[str, str]  # dataset, codec

KEY = ["image", "point"]
HASHES = ["image_sha256", "bitstream_sha256", "reconstruction_sha256"]
METRICS = {"psnr_rgb_db": "PSNR", "ms_ssim_db": "MS-SSIM"}
COLUMNS = [
    "dataset",
    "codec",
    "image",
    "image_sha256",
    "point",
    "point_index",
    "bytes",
    "bpp",
    *METRICS,
    "bitstream_sha256",
    "reconstruction_sha256",
]
HASH_DIGITS = 16
_TEXTS = dict.fromkeys(("dataset", "codec", "image", "point", *HASHES), str)
_NULLS = {name: [""] for name in (*METRICS, *records.EXTRA_METRICS)}


@dataclass(frozen=True)
class Origin:
    """What produced the rows of one codec: versions, hashes, and whether its bits are the same on every machine.

    exact: equal versions promise equal bits. Not so for a codec with weights, whose sums a processor may round
    otherwise, nor for one that was declared inexact.
    """

    codec_version: str
    weights_sha256: str
    metric_versions: dict[str, str]
    code_sha256: str
    exact: bool
    reason: str = ""

    def versions(self) -> dict[str, Any]:
        """What has to be equal for equal bits to be promised, by the name a message gives it."""
        return {"codec version": self.codec_version, "weights": self.weights_sha256}


@dataclass
class Baseline:
    """rows: COLUMNS and those of extra metrics, sorted; origins: of every dataset and codec that has rows."""

    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    origins: dict[Key, Origin] = field(default_factory=dict)

    def of(self, key: Key) -> pd.DataFrame:
        """The rows of one codec on one dataset; none if it has no baseline."""
        return self.rows[(self.rows.dataset == key[0]) & (self.rows.codec == key[1])]


def origin_of(rows: pd.DataFrame, exact: bool = True, reason: str = "") -> Origin:
    """What produced the measured rows of one codec. Several versions are joined in one text."""
    versions = [json.loads(text) for text in rows.metric_versions.dropna().unique()]
    weights = _joined(rows.weights_sha256)
    metrics = [*METRICS, *(name for name in records.EXTRA_METRICS if any(name in each for each in versions))]
    return Origin(
        codec_version=_joined(rows.codec_version),
        weights_sha256=weights,
        metric_versions={name: _joined(pd.Series([v.get(name) for v in versions], dtype=object)) for name in metrics},
        code_sha256=_joined(rows.code_sha256),
        exact=exact and not weights,
        reason=reason,
    )


def small(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of ``rows`` that a baseline keeps, hashes cut to its length."""
    return rows[_columns_of(rows)].assign(**{name: rows[name].str[:HASH_DIGITS] for name in HASHES})


def _columns_of(rows: pd.DataFrame) -> list[str]:
    return [*COLUMNS, *(name for name in records.EXTRA_METRICS if name in rows and rows[name].notna().any())]


def read(path: Path) -> Baseline:
    """The baseline in ``path`` and the JSON file next to it. Raises UsageError if there is none or it is damaged."""
    if not path.is_file() or not _beside(path).is_file():
        raise UsageError(
            f"reading a baseline: expected {path} and {_beside(path).name} next to it; write them from a run: "
            f"rdbench baseline update --folder results/... --baseline {path} --reason '...'"
        )
    try:
        rows = pd.read_csv(path, dtype=_TEXTS, keep_default_na=False, na_values=_NULLS)
        rows = records.plain_texts(rows)
        stored = json.loads(_beside(path).read_bytes())
        origins = {(data, codec): Origin(**entry) for data, each in stored.items() for codec, entry in each.items()}
        if list(rows.columns) != [*COLUMNS, *(name for name in records.EXTRA_METRICS if name in rows)]:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}, and extra metrics behind them")
        if set(origins) != set(zip(rows.dataset, rows.codec, strict=True)):
            raise ValueError(f"{_beside(path).name} and the table do not name the same codecs")
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"baseline {path} cannot be read: {error}; restore it from git, or write a new one") from None
    return Baseline(rows, origins)


def write(baseline: Baseline, path: Path) -> None:
    """Both files of a baseline; equal baselines give equal bytes."""
    rows = baseline.rows.sort_values(["dataset", "codec", "image", "point_index"])[_columns_of(baseline.rows)]
    nested: dict[str, dict[str, Any]] = {}
    for (dataset, codec), origin in baseline.origins.items():
        nested.setdefault(dataset, {})[codec] = asdict(origin)
    write_atomically(path, records.to_csv(rows, float_format="%.6g"))
    write_atomically(_beside(path), to_json(nested))


def update(
    frame: pd.DataFrame,
    path: Path,
    reason: str,
    codecs: Collection[str] = (),
    *,
    inexact: Collection[str] = (),
    remove: Collection[str] = (),
) -> dict[Key, str]:
    """Makes the measurements in ``frame`` (records) the baseline in ``path``; reports what was done for each codec.

    codecs: these only, all if empty; inexact: their bits depend on the machine, so tolerances take the place of hashes,
    from now on; remove: codecs to forget. A codec of the baseline that is not in the run is kept. Raises UsageError
    for a change without a reason, for a codec that is not there, and for one that failed in the run.
    """
    stored = read(path) if path.is_file() else Baseline()
    _check_names(frame, stored, {*codecs, *inexact}, remove)
    wanted = frame[frame.codec.isin(codecs)] if codecs else frame
    _check_worked(wanted)
    rows, done = {key: stored.of(key) for key in stored.origins}, dict.fromkeys(stored.origins, "kept")
    origins = dict(stored.origins)
    for key, measured in records.measured(wanted).groupby(["dataset", "codec"]):
        exact = key[1] not in inexact and (
            key not in origins or origins[key].exact or bool(origins[key].weights_sha256)
        )
        origin, taken = origin_of(measured, exact, reason.strip()), small(measured)
        if key in origins and _same(taken, rows[key]) and replace(origin, reason=origins[key].reason) == origins[key]:
            done[key] = "unchanged"
            continue
        done[key] = "updated" if key in origins else "added"
        rows[key], origins[key] = taken, origin
    for key in [key for key in rows if key[1] in remove]:
        del rows[key], origins[key]
        done[key] = "removed"
    changes = set(done.values()) - {"kept", "unchanged"}
    if changes and not any(letter.isalnum() for letter in reason):  # the '...' of a printed command is none
        raise UsageError("a baseline needs a reason: what changed, and why that is right")
    table = pd.concat(rows.values(), ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS)
    write(Baseline(table, origins), path)
    return dict(sorted(done.items()))


def _check_names(frame: pd.DataFrame, stored: Baseline, named: set[str], remove: Collection[str]) -> None:
    measured = set(records.measured(frame).codec)
    if missing := sorted(named - measured):
        there = ", ".join(sorted(measured)) or "none"
        raise UsageError(f"no measurements of {', '.join(missing)}; the run has {there}")
    if missing := sorted(set(remove) - {codec for _, codec in stored.origins}):
        raise UsageError(f"the baseline has no {', '.join(missing)} to remove")


def _check_worked(wanted: pd.DataFrame) -> None:
    failed = wanted[wanted.status == "failed"]
    if len(failed):
        row = failed.iloc[0]
        raise UsageError(
            f"{row.codec} failed on {row.dataset} in this run ({row.reason}): a baseline is made of what worked; "
            "repair it, or name the others with --codecs"
        )


def _same(taken: pd.DataFrame, stored: pd.DataFrame) -> bool:
    """Whether the two hold the same bits of the same pieces; the numbers follow from them and from their versions."""
    columns = [*KEY, *HASHES]
    return set(taken[columns].itertuples(index=False)) == set(stored[columns].itertuples(index=False))


def _joined(values: pd.Series) -> str:
    return ", ".join(sorted({str(value) for value in values.dropna()}))


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")
