"""What figures are drawn from, read once in each process that draws: the specification and a run's tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records
from bench.figures.context import Context
from bench.figures.spec import anchors_of, codecs_of, read_specification
from bench.figures.style import styles
from bench.rd.published import load_published
from bench.run.contents import joined, studies_of, times_of, variable_rates_of


@cache
def read_source(
    folder: Path, figures_yaml: Path, parts: tuple[Path, ...] | None, datasets: tuple[str, ...], matched: Path
) -> tuple[dict[str, Any], Context]:
    """The specification and what it is drawn from, read once in each process that draws."""
    specification = read_specification(figures_yaml)
    if parts is None:
        frame = records.read(folder / "records.parquet")
    else:
        frame = records.read(*parts) if parts else records.table([])
    compared = folder / "bd.csv"
    studied = studies_of(folder)
    labels = {path.stem: json.loads(path.read_text()).get("label", "") for path in (folder / "status").glob("*.json")}
    claimed = {name for spec in specification["figures"] for name in claimed_curves(spec)}
    named = {name for spec in specification["figures"] for name in (*(codecs_of(spec) or ()), *anchors_of(spec))}
    use_compared = parts is None and compared.is_file()
    context = Context(
        records=frame,
        timing=joined(times_of(folder)),
        variable_rate=joined(variable_rates_of(folder)),
        compared=records.plain_texts(pd.read_csv(compared, float_precision="round_trip")) if use_compared else None,
        published=load_published(),
        folder=folder,
        studies={(path.stem, path.parent.name): json.loads(path.read_bytes()) for path in studied},
        styles=styles(set(frame.codec) | named | claimed, specification["styles"], labels),
        names=specification["datasets"],
        bold=tuple(specification["page"].get("bold", ())),
        known=frozenset(specification["styles"]),
        remarks=specification["remarks"],
        datasets=tuple(sorted({*datasets, *frame.dataset})),
        matched=pd.read_parquet(matched) if matched.is_file() else None,
    )
    return specification, context


def claimed_curves(spec: Mapping[str, Any]) -> list[str]:
    """The published curves that a figure names, in all its panels."""
    return [name for part in (spec, *spec.get("panels", ())) for name in part.get("claimed", ())]
