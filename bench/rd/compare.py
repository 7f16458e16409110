"""BD tables of whole runs: every codec against every anchor, on every dataset and metric."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench import records
from bench.data.datasets import FOLDER
from bench.errors import UsageError
from bench.rd import bd_table

log = logging.getLogger(__name__)


def compare_all(
    frame: pd.DataFrame,
    datasets: Sequence[str],
    anchors: Sequence[str],
    metrics: Sequence[str],
    codecs: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The rows of :func:`bench.rd.bd_table.compare` for every dataset, metric and anchor, in that order.

    codecs: None for every codec with measurements except controls and lossless ones. If they are given, a codec
    or anchor without measurements raises a UsageError; otherwise an anchor that did not run is left out and logged.
    """
    tables = []
    for dataset in datasets:
        measured = records.measured(frame[frame.dataset == dataset])
        present = list(measured.codec.unique())
        named = [*anchors, *codecs] if codecs else []
        if missing := [name for name in named if name not in present]:
            there = ", ".join(present) or f"none; the run has the datasets {', '.join(frame.dataset.unique())}"
            raise UsageError(f"no measurements of {', '.join(missing)} on {dataset}; measured there: {there}")
        tests = list(codecs or measured[~measured.role.isin(("control", "lossless"))].codec.unique())
        for metric in metrics:
            for anchor in anchors:
                if anchor not in present:
                    log.info("anchor %s did not run on %s", anchor, dataset)
                    continue
                others = [codec for codec in tests if codec != anchor]
                tables.append(bd_table.compare(frame, anchor, others, metric, dataset))
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=bd_table.COLUMNS)


def find_run(dataset: str, results: Path = Path("results")) -> tuple[Path, str]:
    """The newest run folder with records of ``dataset``, and the dataset's name in that run.

    Raises UsageError, saying how to make one, if there is no such run.
    """
    for path in sorted(results.glob("*/records.parquet"), key=lambda path: -path.stat().st_mtime):
        name = name_in_run(dataset, path.parent)
        try:
            names = set(pd.read_parquet(path, columns=["dataset"]).dataset)
        except (OSError, ValueError, KeyError):  # another run's file is damaged, or no table of records
            continue
        if name in names:
            return path.parent, name
    raise UsageError(
        f"no run under {results.resolve()} has dataset {dataset!r}; make one with: "
        f"snakemake --cores all --config datasets='[{dataset}]'"
    )


def name_in_run(dataset: str, run: Path) -> str:
    """A dataset's name in a run: for folder:PATH, that of the set made from the folder, if there is one."""
    if not dataset.startswith(FOLDER):
        return dataset
    folder = str(Path(dataset.removeprefix(FOLDER)).expanduser().resolve())
    for path in sorted((run / "datasets" / "sources").glob("*.json")):
        if json.loads(path.read_bytes()).get("folder") == folder:
            return path.stem
    from bench.data.slugs import slug

    return slug(dataset)  # the name that `rdbench run` uses, which keeps no sources


def as_text(table: pd.DataFrame) -> str:
    """The table for a terminal: one line per codec, metric and averaging, PCHIP first."""
    if table.empty:
        return "nothing to compare\n"
    lines = []
    for (dataset, metric, anchor), part in table.groupby(["dataset", "metric", "anchor"], sort=False):
        lines.append(f"BD-rate against {anchor} on {dataset}, {metric} (negative: fewer bits at equal quality)")
        lines.append(
            f"{'codec':20} {'averaging':15} {'method':7} {'BD-rate':>9} {'95 % interval':>20} {'overlap':>8} images"
        )
        for row in part.itertuples():
            value = f"{row.bd_rate_percent:+8.2f} %" if pd.notna(row.bd_rate_percent) else f"none: {row.reason}"
            interval = f"{row.ci_low:+.2f} .. {row.ci_high:+.2f}" if pd.notna(row.ci_low) else ""
            overlap = f"{row.overlap:8.2f}" if pd.notna(row.overlap) else " " * 8
            line = f"{row.codec:20} {row.averaging:15} {row.method:7} {value:>9} {interval:>20} {overlap}"
            lines.append(f"{line} {row.n_images:4d}  {row.overlap_note or ''}".rstrip())
    return "\n".join(lines) + "\n"
