"""A run's folder, read: what `results/<config>/` holds, with null for what is not there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records
from bench.errors import UsageError
from bench.figures.spec import SPECIFICATION, read_specification
from bench.files import sha256_file
from bench.rd.variable_rate import summary
from bench.run.contents import joined, times_of, variable_rates_of


@dataclass(frozen=True)
class Run:
    """Everything the report is made of. Tables that the run did not make are None; JSON files are as they stand."""

    folder: Path
    records: pd.DataFrame
    bd: pd.DataFrame | None
    timing: pd.DataFrame | None
    variable_rate: pd.DataFrame | None  # a row per codec and dataset: bench.rd.variable_rate.COLUMNS
    matched: pd.DataFrame | None  # rows of bench.run.equal_rates.WANTED
    validation: pd.DataFrame | None
    claims: dict[str, Any] | None
    environment: dict[str, Any]
    manifests: dict[str, dict[str, Any]]
    statuses: dict[str, dict[str, Any]]
    figures: list[dict[str, Any]]
    specification: dict[str, Any]  # figures.yaml: figures, styles, datasets' titles and remarks, what the page shows
    records_sha256: str

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def measured(self) -> pd.DataFrame:
        return records.measured(self.records)

    @cached_property
    def datasets(self) -> list[str]:
        """Every dataset of the run, measured or not: in the order of figures.yaml's titles, then by name."""
        order = list(self.specification["datasets"])
        names = set(self.records.dataset) | set(self.manifests)
        return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))

    @cached_property
    def measured_datasets(self) -> list[str]:
        present = set(self.measured.dataset)
        return [name for name in self.datasets if name in present]

    def title_of(self, dataset: str) -> str:
        return self.specification["datasets"].get(dataset, dataset)

    def remark_on(self, dataset: str) -> str:
        """What a reader has to know of a dataset before any number on it, or ""."""
        return self.specification["remarks"].get(dataset, "")

    def label_of(self, codec: str) -> str:
        return self.statuses.get(codec, {}).get("label") or codec

    def role_of(self, codec: str) -> str:
        """codec, lossless, validation or control. A codec that could not even be loaded counts as a codec."""
        roles = self.records.loc[self.records.codec == codec, "role"].dropna()
        return roles.iloc[0] if len(roles) else self.statuses.get(codec, {}).get("role", "codec")

    @cached_property
    def codecs(self) -> list[str]:
        """Every codec that has a measurement, by role, controls last."""
        order = {"codec": 0, "validation": 1, "lossless": 2, "control": 3}
        return sorted(set(self.measured.codec), key=lambda name: (order.get(self.role_of(name), 0), name))


def read_run(folder: Path, figures_yaml: Path = SPECIFICATION) -> Run:
    """The run in ``folder``. Raises UsageError if it holds no records."""
    path = folder / "records.parquet"
    if not path.is_file():
        raise UsageError(
            f"building a report: {path} is missing; a run writes it: snakemake --cores all (or rdbench collect)"
        )
    figures, matched = folder / "figures" / "index.json", folder / "matched.parquet"
    specification = read_specification(figures_yaml) if figures_yaml.is_file() else None
    return Run(
        folder=folder,
        records=records.read(path),
        bd=_csv(folder / "bd.csv"),
        timing=_timing(folder),
        variable_rate=_variable_rate(folder),
        matched=pd.read_parquet(matched) if matched.is_file() else None,
        validation=_csv(folder / "validation.csv"),
        claims=_json(folder / "claims.json"),
        environment=_json(folder / "environment.json") or {},
        manifests=_jsons(p for p in (folder / "datasets").glob("*.json") if not p.name.endswith(".source.json")),
        statuses=_jsons((folder / "status").glob("*.json")),
        figures=_json(figures) or [],
        specification={"figures": [], "styles": {}, "datasets": {}, "player": [], "remarks": {}, "page": {}}
        | (specification or {}),
        records_sha256=sha256_file(path),
    )


def _csv(path: Path) -> pd.DataFrame | None:
    """The table in ``path`` with text columns free of nulls; None if there is no such file."""
    if not path.is_file():
        return None
    frame = records.plain_texts(pd.read_csv(path, float_precision="round_trip"))
    texts = {"overlap_note", "reason", "note", "unit", "codec", "anchor", "dataset", "metric", "check", "published"}
    for column in texts & set(frame.columns):
        frame[column] = frame[column].fillna("").astype(str)
    return frame


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _jsons(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    return {path.stem: _json(path) for path in sorted(paths)}


def _variable_rate(folder: Path) -> pd.DataFrame | None:
    rows = joined(variable_rates_of(folder))
    return None if rows is None else summary(rows)


def _timing(folder: Path) -> pd.DataFrame | None:
    """Times in one file, or in one per dataset and codec as the Snakefile's jobs write them."""
    whole = folder / "timing.parquet"
    return joined([whole] if whole.is_file() else times_of(folder))
