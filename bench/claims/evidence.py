"""What a run holds that a claim can be judged by: curves of the records, tables of the studies.

A curve's name is a codec of the records; STUDY/SERIES, of a study with the columns bpp, psnr_rgb_db and target_bpp,
whose first column names the series; or SOURCE/CURVE of bench/rd/published.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records
from bench.errors import Missing
from bench.rd.curves import CurveTable, curve_table
from bench.rd.published import load_published, published_curve
from bench.run.contents import studies_of


@dataclass(frozen=True, eq=False)
class Evidence:
    """The part of a run that is about one dataset. studies: by name, as bench.studies writes them.

    kept: what has been calculated of it, by what it is.
    """

    folder: Path
    dataset: str
    records: pd.DataFrame
    studies: dict[str, dict[str, Any]]
    kept: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def table(self, name: str, metric: str) -> CurveTable:
        """Rate and metric of a measured curve. Raises Missing with the reason why there is none."""
        key = ("table", name, metric)
        if key not in self.kept:
            self.kept[key] = self._table(name, metric)
        return self.kept[key]

    def _table(self, name: str, metric: str) -> CurveTable:
        study, _, series = name.partition("/")
        if series:
            return curve_table(self._study_curves(study, series), self.dataset, name, metric)
        rows = self.records[self.records.codec == name]
        if rows.empty:
            raise Missing(f"codec {name} is not in the run", codec=True)
        table = curve_table(rows, self.dataset, name, metric)
        if not table.images:
            failed = rows[rows.status != "ok"]
            if failed.empty:
                notes = "".join(f": {note}" for note in rows.metric_notes.dropna()[:1])
                raise Missing(f"codec {name} has no {metric} of a whole image{notes}")
            why = f"{failed.status.iloc[0]}: {failed.reason.iloc[0]}"
            raise Missing(f"codec {name} was {why} (fix this first, then run the command below)", codec=True)
        return table

    def frame(self, *names: str) -> pd.DataFrame:
        """The records of the named curves, those of studies in the records' columns."""
        parts = [
            self._study_curves(*name.split("/", 1)) if "/" in name else self.records[self.records.codec == name]
            for name in names
        ]
        return pd.concat(parts, ignore_index=True)

    def is_published(self, name: str) -> bool:
        """Is the name of a curve one of bench/rd/published?"""
        source, _, curve = name.partition("/")
        return bool(curve) and source in set(self._published.source)

    def published(self, name: str, metric: str) -> pd.DataFrame:
        """bpp and value of a published curve. Raises Missing if it is on other datasets only."""
        curve = published_curve(name, self.dataset, metric, self._published)
        if curve.empty:
            source, _, codec = name.partition("/")
            known = self._published[(self._published.source == source) & (self._published.codec == codec)]
            places = sorted(set(known[known.metric == metric].dataset))
            where = f"it is on {', '.join(places)}" if places else "on no dataset"
            run = f"snakemake --cores all --config datasets='[{','.join(places)}]'" if places else ""
            raise Missing(f"{name} was not published in {metric} on {self.dataset}; {where}", run)
        return curve

    def rows(self, study: str, column: str, filters: dict[str, str | float]) -> pd.DataFrame:
        """The rows of a study whose columns match the filters, with ``image`` and ``column``; Missing if none.

        A filter is a text with * and ? or a number; ``number`` N is the N-th different value of the first column.
        """
        frame, filters = self._study(study), dict(filters)
        if "number" in filters:
            first, number = frame.columns[1], int(filters.pop("number"))
            values = list(dict.fromkeys(frame[first]))
            filters[first] = values[number] if number < len(values) else f"no. {number}"
        for key in (*filters, column):
            if key not in frame:
                reason = f"study {study} has no column {key!r}, it has {', '.join(frame)}"
                raise Missing(reason, self._run_study(study))
        for key, wanted in filters.items():
            frame = frame[[_matches(value, wanted) for value in frame[key]]]
        frame = frame[frame[column].notna()]
        if frame.empty:
            asked = " and ".join(f"{key} is {wanted!r}" for key, wanted in filters.items())
            raise Missing(f"study {study} has no {column} where {asked or 'it was run'}", self._run_study(study))
        return frame[["image", column]]

    def command(self, codecs: set[str]) -> str:
        """A run of the named codecs on this dataset, in a folder of its own."""
        named = ",".join(sorted(codecs))
        return f"snakemake --cores all --config datasets='[{self.dataset}]' codecs='[{named}]' name=claim"

    @cached_property
    def _published(self) -> pd.DataFrame:
        return load_published()

    def _study(self, study: str) -> pd.DataFrame:
        if study not in self.studies:
            from bench.studies import studies  # imports every wrapper: only where the reason depends on it

            if study not in studies():
                raise Missing(f"{study} is neither a study nor published: bench/rd/published has no {study}.csv")
            raise Missing(f"study {study} was not run on {self.dataset}", self._run_study(study))
        found = self.studies[study]
        if found["status"] != "ok" or not found["rows"]:
            raise Missing(f"study {study}: {found['reason'] or 'it returned no rows'}", self._run_study(study))
        return pd.DataFrame(found["rows"], columns=found["columns"])

    def _run_study(self, study: str) -> str:
        out = self.folder / "studies" / self.dataset / f"{study}.json"
        return f"rdbench study {study} --dataset {self.dataset} --out {shlex.quote(str(out))}"

    def _study_curves(self, study: str, series: str) -> pd.DataFrame:
        frame = self._study(study)
        if absent := {"bpp", "psnr_rgb_db", "target_bpp"} - set(frame):
            reason = f"study {study} holds no curves: it has no column {', '.join(sorted(absent))}"
            raise Missing(reason, self._run_study(study))
        first = frame.columns[1]
        if series not in set(frame[first]):
            raise Missing(
                f"study {study} has no {first} {series!r}; it has {', '.join(map(str, frame[first].unique()))}"
            )
        # A rate that some image's bitstream does not reach would leave out that image: leave out the rate.
        whole = frame.groupby("target_bpp").size() == frame.groupby(["image", first]).ngroups
        frame = frame[frame.target_bpp.map(whole) & (frame[first] == series)]
        places = {rate: index for index, rate in enumerate(sorted(set(frame.target_bpp)))}
        return records.table(
            {
                "dataset": self.dataset,
                "codec": f"{study}/{series}",
                "status": "ok",
                "saturated": False,
                "image": row.image,
                "bpp": row.bpp,
                "psnr_rgb_db": row.psnr_rgb_db,
                "point": f"bpp{row.target_bpp:g}",
                "point_index": places[row.target_bpp],
            }
            for row in frame.itertuples()
        )


def evidence(folder: Path, dataset: str, frame: pd.DataFrame) -> Evidence:
    """What the run in ``folder`` holds about ``dataset``; frame: its records."""
    return Evidence(
        folder,
        dataset,
        frame[frame.dataset == dataset],
        {path.stem: json.loads(path.read_bytes()) for path in studies_of(folder) if path.parent.name == dataset},
    )


def _matches(value: Any, wanted: str | float) -> bool:
    return fnmatchcase(str(value), wanted) if isinstance(wanted, str) else value == wanted
