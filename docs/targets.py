"""The table of targets: docs/targets.yaml judged on a published report, with the language of claims.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.claims.evidence import Evidence
from bench.claims.expressions import Comparison, parse
from bench.errors import Missing

TARGETS = Path(__file__).with_name("targets.yaml")
SIGNS = {"<=": "≤", ">=": "≥", "<": "<", ">": ">"}


def evidence(report: Path, records: pd.DataFrame) -> Evidence:
    """A published report of one dataset: its records, and the studies that its claims need."""
    dataset = str(records.dataset.iloc[0])
    found = (json.loads(path.read_bytes()) for path in sorted((report / "claims").glob(f"{dataset}.*.json")))
    return Evidence(report, dataset, records, {study["study"]: study for study in found})


def table(data: Evidence) -> str:
    """Markdown: each target, what has to be reached and what is aimed at, the numbers with their 95 % intervals."""
    lines = ["| what | must | measured | aim | measured | reached |", "|---|---|---|---|---|---|"]
    for entry in yaml.safe_load(TARGETS.read_text(encoding="utf-8")):
        (must,), (aim,) = parse(entry["must"]), parse(entry["aim"])
        (needed, ok), (wished, better) = _measured(must, data), _measured(aim, data)
        if entry["aim"] == entry["must"]:
            bound, wished = "the same", ""
        else:
            bound = _bounds(aim)
        reached = "aim" if ok and better else "must" if ok else "no"
        cells = (entry["what"], _bounds(must), needed, bound, wished, reached)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _bounds(test: Comparison) -> str:
    if len(test.bounds) == 2:
        low, high = sorted(bound for _, bound in test.bounds)
        return f"{low:g} to {high:g}".replace("-", "−")
    ((sign, bound),) = test.bounds
    return f"{SIGNS[sign]} {bound:g}".replace("-", "−")


def _measured(test: Comparison, data: Evidence) -> tuple[str, bool]:
    """The number of a test with unit and interval, and whether it is within the bounds."""
    try:
        found: Any = test.evaluate(data)
    except Missing as missing:
        return str(missing), False
    unit = "" if found.unit in ("", "ratio") else f" {found.unit}"
    low, high = found.interval or (None, None)
    interval = "" if low is None else f" [{low:.3g}, {high:.3g}]"
    return f"{found.value:.3g}{unit}{interval}".replace("-", "−"), test.holds(found.value)
