"""Which files in a run's folder belong to the latest run, and not to an earlier one of the same name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import to_json, write_if_changed

if TYPE_CHECKING:
    import pandas as pd

FILE = "contents.json"
Pairs = Iterable[tuple[str, str]]


def write_contents(folder: Path, studied: Pairs, timed: Pairs, variable: Pairs = ()) -> None:
    """Lists the run's (study, dataset) pairs and the (codec, dataset) pairs that are timed, and that are measured under
    the variable-rate condition; readers ignore all others.
    """
    found = {"studies": sorted(studied), "timed": sorted(timed), "variable": sorted(variable)}
    write_if_changed(folder / FILE, to_json(found))


def studies_of(folder: Path) -> list[Path]:
    """The files of the run's studies, studies/<dataset>/<study>.json; all files if the folder has no list."""
    return _select(folder, "studies", "*/*.json")


def times_of(folder: Path) -> list[Path]:
    """The files of the run's times, timing/<dataset>/<codec>.parquet; all files if the folder has no list."""
    return _select(folder, "timed", "*/*.parquet", "timing")


def variable_rates_of(folder: Path) -> list[Path]:
    """The files of the variable-rate condition, variable_rate/<dataset>/<codec>.parquet, as :func:`times_of`."""
    return _select(folder, "variable", "*/*.parquet", "variable_rate")


def joined(paths: Iterable[Path]) -> pd.DataFrame | None:
    """The tables of several Parquet files as one, without empty ones; None where nothing is left."""
    import pandas as pd

    tables = [table for table in map(pd.read_parquet, paths) if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else None


def _select(folder: Path, key: str, pattern: str, below: str = "studies") -> list[Path]:
    found = sorted((folder / below).glob(pattern))
    path = folder / FILE
    if not path.is_file():
        return found
    wanted = {tuple(pair) for pair in json.loads(path.read_bytes()).get(key, [])}
    return [file for file in found if (file.stem, file.parent.name) in wanted]
