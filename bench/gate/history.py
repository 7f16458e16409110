"""The gate's memory: what each commit gave, codec by codec, one JSON object a line, and what got worse on the way.

An entry of kind ``codec`` has BD-rate with interval against an anchor of the same run (PSNR, mean of the images), the
images with the highest BD-rates, sums over all bitstreams, and times where the run measured them. One of kind
``benchmark`` has a test of pytest-benchmark. A commit's entry replaces an earlier one of the same commit and name.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import UsageError
from bench.files import write_atomically
from bench.rd.bd_table import bd_rate, compare
from bench.rd.curves import curve_table
from bench.run.contents import joined, times_of

WORST = 5  # images that an entry names
MORE_RATE = 0.5  # percentage points of BD-rate: more is a regression
SLOWER, OF_THE_LAST = 1.25, 5  # times the median of so many earlier times on the same machine
Entry = dict[str, Any]


def read(path: Path) -> list[Entry]:
    """The entries, oldest first; none if there is no file. Raises UsageError that names the invalid line."""
    if path.is_dir():
        raise UsageError(f"reading {path}: expected a file, got a folder")
    entries = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [], 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not _is_entry(entry):
            raise UsageError(
                f"reading {path}, line {number}: expected a JSON object with kind and commit, and times of at least 0; "
                "remove the line"
            )
        entries.append(entry)
    return entries


# What is compared from one entry to the next: its title, and factor, unit and digits for people.
MEASURES = {
    "bd_rate_percent": ("BD-rate", 1, "%", 2),
    "encode_s_per_mpixel": ("encoding", 1, "s/MP", 3),
    "decode_s_per_mpixel": ("decoding", 1, "s/MP", 3),
    "median_s": ("median", 1000, "ms", 3),
}
TIMES = tuple(name for name in MEASURES if name != "bd_rate_percent")


def _is_entry(entry: Any) -> bool:
    """Whether a line's entry can be drawn and compared."""
    if not isinstance(entry, dict) or not isinstance(entry.get("commit"), str) or entry.get("kind") not in KINDS:
        return False
    numbers = {name: entry[name] for name in (*MEASURES, "ci_low", "ci_high") if entry.get(name) is not None}
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers.values()):
        return False
    worst = entry.get("worst") or []
    rows = isinstance(worst, list) and all(
        isinstance(row, dict) and {"image", "bd_rate_percent"} <= set(row) for row in worst
    )
    times = all(numbers.get(name, 0) >= 0 for name in TIMES)
    return rows and times and all(math.isfinite(value) for value in numbers.values())


KINDS = {"codec": ("dataset", "codec"), "benchmark": ("name",)}  # what tells entries of one commit apart


def name_of(entry: Entry) -> tuple[str, ...]:
    """Which series an entry belongs to: its kind, and dataset and codec or the benchmark's name."""
    return (entry["kind"], *(str(entry.get(key, "")) for key in KINDS[entry["kind"]]))


def add(path: Path, new: Iterable[Entry]) -> int:
    """Adds entries to a file, in place of those of the same commit and name; returns how many it has then."""
    new = list(new)
    replaced = {(entry["commit"], name_of(entry)) for entry in new}
    kept = [entry for entry in read(path) if (entry["commit"], name_of(entry)) not in replaced]
    entries = [*kept, *new]
    lines = (json.dumps(entry, sort_keys=True, ensure_ascii=False, allow_nan=False) for entry in entries)
    write_atomically(path, "".join(f"{line}\n" for line in lines))
    return len(entries)


def commit_of(root: Path = Path()) -> dict[str, Any]:
    """``commit`` (12 digits, with ``+`` where files have changed since) and ``date`` (ISO 8601, of the commit).

    Raises UsageError outside a git checkout.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {
            "commit": git("rev-parse", "--short=12", "HEAD") + "+" * bool(changed),
            "date": git("show", "-s", "--format=%cI"),
        }
    except (OSError, subprocess.CalledProcessError):
        raise UsageError(f"{root.resolve()} is not a git checkout; name what was measured with --commit") from None


def of_run(folder: Path, frame: pd.DataFrame, anchor: str, about: dict[str, Any]) -> list[Entry]:
    """An entry for each codec measured in a run (records ``frame``), against ``anchor``; about: commit and date.

    Raises UsageError if the run has no measurement of the anchor.
    """
    measured = frame[(frame.status == "ok") & (frame.role != "control")]
    times = joined(times_of(folder))
    timed = pd.DataFrame(columns=["dataset", "codec", "status"]) if times is None else times
    entries = []
    for dataset, rows in measured.groupby("dataset"):
        codecs = sorted(set(rows.codec))
        if anchor not in codecs:
            raise UsageError(
                f"{folder} has no measurement of {anchor} on {dataset}; --anchor takes one of {', '.join(codecs)}"
            )
        table = compare(rows, anchor, codecs, "psnr_rgb_db", str(dataset))
        table = table[(table.averaging == "per_image") & (table.method == "pchip")].set_index("codec")
        for codec in codecs:
            own = rows[rows.codec == codec]
            entry = {"kind": "codec", **about, "dataset": dataset, "codec": codec, "anchor": anchor}
            entry |= {key: _number(table.loc[codec][key]) for key in ("bd_rate_percent", "ci_low", "ci_high")}
            entry |= {
                "bytes": int(own.bytes.sum()),
                "psnr_rgb_db": _number(own.psnr_rgb_db.replace(float("inf"), pd.NA).mean()),
            }
            entry |= {"code_sha256": str(own.code_sha256.iloc[0])[:16], "version": str(own.codec_version.iloc[0])}
            entry["worst"] = _worst(rows, str(dataset), anchor, codec)
            entries.append(entry | _times(timed[(timed.dataset == dataset) & (timed.codec == codec)]))
    return entries


def _worst(rows: pd.DataFrame, dataset: str, anchor: str, codec: str) -> list[dict[str, Any]]:
    """The images on which the codec needs most against the anchor."""
    ours, other = (curve_table(rows, dataset, name, "psnr_rgb_db") for name in (codec, anchor))
    found: dict[str, float] = {}
    for image in ours.images:
        if image in other.images:
            a, b = (table.image_curve(table.images.index(image)) for table in (other, ours))
            if (value := bd_rate(*a, *b).value) is not None:
                found[image] = round(value, 4)
    worst = sorted(found, key=lambda image: -found[image])[:WORST]
    return [{"image": image, "bd_rate_percent": found[image]} for image in worst]


def _times(times: pd.DataFrame) -> Entry:
    """Median seconds a megapixel of both sides, and the machine; nothing where nothing was timed."""
    ok = times[times.status == "ok"]
    if ok.empty:
        return {}
    ok = ok[ok.threads == ok.threads.min()]
    megapixels = ok.pixels / 1e6
    seconds = {
        f"{side}_s_per_mpixel": _number((ok[f"{side}_s_median"] / megapixels).median()) for side in ("encode", "decode")
    }
    return seconds | {"machine": str(ok.device.iloc[0])}


def of_benchmarks(path: Path, about: dict[str, Any]) -> list[Entry]:
    """An entry for each test of what `pytest --benchmark-json` wrote. Raises UsageError for another file."""
    try:
        found = json.loads(path.read_bytes())
        machine = found["machine_info"]["cpu"].get("brand_raw", found["machine_info"]["node"])
        return [
            {"kind": "benchmark", **about, "name": test["fullname"], "median_s": test["stats"]["median"]}
            | {"iqr_s": test["stats"]["iqr"], "machine": machine}
            for test in found["benchmarks"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"reading {path}: expected the JSON of `pytest --benchmark-json FILE` ({error!r})") from None


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 6)


def regressions(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """What got worse from one entry of a series to the next: series, commit, what, before, now.

    BD-rate by over MORE_RATE percentage points (against the same anchor), a time by over SLOWER times the median of the
    last OF_THE_LAST ones of the same machine.
    """
    found: list[dict[str, Any]] = []
    for name, series in by_series(entries).items():
        for number, entry in enumerate(series[1:], 1):
            before, at = series[number - 1], {"series": name, "commit": entry["commit"]}
            old, new = before.get("bd_rate_percent"), entry.get("bd_rate_percent")
            if old is not None and new is None:
                found.append(at | {"what": "bd_rate_percent", "before": old, "now": None})
            rise = 0.0 if old is None or new is None else new - old
            if rise > MORE_RATE and before.get("anchor") == entry.get("anchor"):
                found.append(at | {"what": "bd_rate_percent", "before": old, "now": new})
            for what in TIMES:
                earlier = [e[what] for e in series[:number] if e.get(what) and e.get("machine") == entry.get("machine")]
                if entry.get(what) and earlier:
                    usual = float(pd.Series(earlier[-OF_THE_LAST:]).median())
                    if entry[what] > SLOWER * usual:
                        found.append(at | {"what": what, "before": usual, "now": entry[what]})
    return found


def by_series(entries: Iterable[Entry]) -> dict[tuple[str, ...], list[Entry]]:
    """The entries of each series, oldest first."""
    found: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        found.setdefault(name_of(entry), []).append(entry)
    return found
