"""Curves in the user's folder: put there from a file, and found again as figures, pages and exports need them.

The folder (bench.rd.published.user_folder) is laid out like bench/rd/published: NAME.csv for each source, and
sources.yaml, which says where they are from and how they were averaged. A row has a column more than there: the
point's place in the file it came from. Lists that are not metrics (times) are kept under their own name, so that the
file can be written again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.errors import UsageError
from bench.exchange.curves import METRICS, Curves
from bench.files import sha256_file, write_atomically
from bench.names import did_you_mean
from bench.rd.published import FOLDER, POINT, read_points, read_sources, user_folder
from bench.records import to_csv

# What `--averaging` takes -> how figures and pages say it.
AVERAGINGS = {
    "mean-of-psnrs": "mean bpp and mean value over images at each operating point",
    "psnr-of-mean-mse": "mean bpp over images at each operating point, PSNR of their mean squared error",
    "unknown": "not stated by the source",
}
ASKED = {
    "title": ("--source", "whose curve it is: a paper, a repository, a person"),
    "url": ("--url", "the address where it can be looked up"),
    "dataset": ("--dataset", "the image set, by its name in datasets.yaml or in your runs"),
    "averaging": ("--averaging", f"how it was averaged over the images, one of {', '.join(AVERAGINGS)}"),
}


def facts_of(files: Sequence[tuple[Path, Curves]], given: dict[str, str]) -> dict[str, str]:
    """title, url, dataset and averaging of an import: as given, else as all its files say.

    Raises UsageError that names the options for what neither says.
    """
    found, lacking = {}, []
    for key, (option, meaning) in ASKED.items():
        said = {curves.facts.get(key, "") for _, curves in files}
        value = given.get(key) or (said.pop() if len(said) == 1 else "")
        if value:
            found[key] = value
        else:
            lacking.append(f"{option} ({meaning})")
    if lacking:
        names = ", ".join(path.name for path, _ in files)
        raise UsageError(f"importing {names}: the file does not say it, so say it with {'; '.join(lacking)}")
    if found["averaging"] not in AVERAGINGS:
        raise UsageError(f"--averaging: expected one of {', '.join(AVERAGINGS)}, got {found['averaging']!r}")
    if not re.match(r"https?://\S+$", found["url"]):
        raise UsageError(f"--url: expected an address that begins with https:// or http://, got {found['url']!r}")
    return found


def import_files(
    name: str,
    files: Sequence[tuple[Path, Curves]],
    facts: dict[str, str],
    codec: str = "",
    licence: str = "not stated",
    note: str = "",
    replace: bool = False,
) -> pd.DataFrame:
    """Puts curves into the user's folder as source ``name``; returns their rows: POINT's columns, and point.

    codec: of a file with one curve, instead of the name in the file. replace: an earlier import of this name may go.
    Raises UsageError for a name that is taken, and for two curves of one name.
    """
    folder = user_folder()
    if re.search(r"[^A-Za-z0-9._-]", name) or name.startswith("."):
        raise UsageError(f"--name: use letters, digits and ._- only, got {name!r}")
    if name in read_sources(FOLDER):
        raise UsageError(f"--name: {name} is a source that comes with rdbench; choose another name")
    known = read_sources(folder)
    if name in known and not replace:
        raise UsageError(f"--name: {folder} has a source {name}; --replace replaces it, another --name keeps both")
    parts, codecs = [], {}
    for path, curves in files:
        points = curves.points.assign(codec=[_codec(it, codec, curves, path) for it in curves.points.codec])
        for own in dict.fromkeys(points.codec):
            if own in codecs:
                raise UsageError(f"importing {path.name}: an earlier file has a curve called {own}; say --codec")
            about = {"file": path.name, "sha256": sha256_file(path), "format": curves.format}
            codecs[own] = {"from": about | ({"layout": curves.layout} if curves.layout else {})}
        parts.append(points.assign(dataset=facts["dataset"]))
    frame = pd.concat(parts, ignore_index=True)[[*POINT, "point"]]
    frame = frame.sort_values(["dataset", "metric", "codec", "bpp", "point"], ignore_index=True)
    entry: dict[str, Any] = {"title": facts["title"], "url": facts["url"], "licence": licence, "licence_file": ""}
    entry |= {"averaging": AVERAGINGS[facts["averaging"]], "note": note}
    entry |= {"original": ", ".join(path.name for path, _ in files), "codecs": codecs}
    write_atomically(folder / f"{name}.csv", to_csv(frame))
    text = yaml.safe_dump({**known, name: entry}, sort_keys=False, allow_unicode=True, width=120)
    write_atomically(folder / "sources.yaml", "# Curves that `rdbench import` took in; docs/exchange.md.\n" + text)
    return frame


def _codec(of_point: str, given: str, curves: Curves, path: Path) -> str:
    """A curve's name: what the file calls it, or the user, or the file's own name; letters, digits and ._- only."""
    base = given or curves.facts.get("codec", "") or path.stem
    several = curves.points.codec.nunique() > 1
    name = of_point if of_point and not of_point.startswith("_") and not given else base + (of_point if several else "")
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "curve"


def stored(name: str, dataset: str = "") -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of the curve ``source/codec`` as its folder has them, in its file's order, and the source's entry.

    dataset: may be left out if the curve is of one. Raises UsageError for a name or dataset that it does not have.
    """
    source, _, codec = name.partition("/")
    folder = next((it for it in (FOLDER, user_folder()) if source in read_sources(it)), None)
    if folder is None:
        there = [*read_sources(FOLDER), *read_sources(user_folder())]
        near = did_you_mean(source, there)
        raise UsageError(f"no source of curves is called {source!r}{near}; there are {', '.join(there)}")
    frame = read_points(folder / f"{source}.csv")
    rows = frame[frame.codec == codec]
    if rows.empty:
        there = sorted(set(frame.codec))
        near = did_you_mean(codec, there)
        raise UsageError(f"{source} has no curve called {codec!r}{near}; there are {', '.join(there)}")
    datasets = sorted(set(rows.dataset))
    if not dataset and len(datasets) > 1:
        raise UsageError(f"{name} is of several datasets: choose one with --dataset ({', '.join(datasets)})")
    rows = rows[rows.dataset == (dataset or datasets[0])]
    if rows.empty:
        raise UsageError(f"{name} has no points on {dataset}; it has some on {', '.join(datasets)}")
    order = ["point"] if "point" in rows else ["bpp", "value"]
    return rows.sort_values(order, kind="stable", ignore_index=True), read_sources(folder)[source]


def drawn(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of metrics that figures know."""
    return frame[frame.metric.isin(METRICS.values())]
