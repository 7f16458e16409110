"""Verdicts as a table, as text for a terminal and as JSON: what :func:`bench.claims.ledger.judge_run` gives."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.claims.ledger import UNDECIDED, count

COLUMNS = (
    "paper",
    "claim",
    "kind",
    "dataset",
    "papers_dataset",
    "where",
    "says",
    "verdict",
    "reason",
    "cause",
    "comparison",
    "value",
    "unit",
    "ci_low",
    "ci_high",
    "n_images",
    "tolerance",
    "comparison_verdict",
    "comparison_reason",
    "comparison_note",
    "run",
    "changes",
)


def as_table(result: dict[str, Any]) -> pd.DataFrame:
    """The result of :func:`judge_run` with a row for each comparison: COLUMNS."""
    rows = []
    for claim in result["claims"]:
        about = {key: claim[key] for key in COLUMNS if key in claim and key != "run"} | {"claim": claim["name"]}
        for part in claim["parts"]:
            numbers = {key: part[key] for key in ("value", "unit", "ci_low", "ci_high", "n_images", "run")}
            judged = {"comparison": part["test"], "comparison_verdict": part["verdict"]}
            notes = {"comparison_reason": part["reason"], "comparison_note": part["note"]}
            rows.append(about | numbers | judged | notes)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def as_text(result: dict[str, Any]) -> str:
    """The result of :func:`judge_run` for a terminal, by paper and dataset."""
    out = io.StringIO()
    for paper, facts in result["papers"].items():
        for dataset in result["datasets"]:
            claims = [it for it in result["claims"] if (it["paper"], it["dataset"]) == (paper, dataset)]
            out.write(f"{facts['title']} (arXiv {facts['arxiv']}) on {dataset}: {summary(claims)}\n")
            if claims and not claims[0]["papers_dataset"]:
                out.write(f"  the paper's own sets are {', '.join(facts['datasets'])}\n")
            for claim in claims:
                about = f"{claim['name']} ({claim['kind']}; {claim['where']})"
                out.write(f"\n  {claim['verdict'].upper()}  {about}\n    {claim['says']}\n")
                for part in claim["parts"]:
                    out.write("".join(f"    {line}\n" for line in (_tested(part), part["note"]) if line))
                if claim["verdict"] == UNDECIDED:
                    out.write(f"    {claim['reason']}\n")
                for control in claim["controls"]:
                    out.write(f"    control: {_tested(control)}\n")
                if claim["cause"]:
                    out.write(f"    measured reason: {claim['cause']}\n")
                if claim["run"]:
                    out.write(f"    to run: {claim['run']}\n")
            out.write("\n")
    out.write(f"all: {summary(result['claims'])}\n")
    return out.getvalue()


def _tested(part: dict[str, Any]) -> str:
    return f"{part['test']}: " + (f"{measured(part)} {over(part)}" if measured(part) else part["reason"])


def summary(claims: Iterable[dict[str, Any]]) -> str:
    """`3 reproduced, 1 undecided`: how many claims have which verdict, without those by construction."""
    return ", ".join(f"{number} {verdict}" for verdict, number in count(claims).items() if number) or "no claims"


def measured(part: dict[str, Any]) -> str:
    """The number of a comparison with unit and interval; empty if there is none."""
    if part["value"] is None:
        return ""
    number = f"{part['value']:.4g}" + (f" {part['unit']}" if part["unit"] not in ("", "ratio") else "")
    if part["ci_low"] is None or not part["n_images"]:
        return number
    return f"{number} [{part['ci_low']:.4g}, {part['ci_high']:.4g}]"


def over(part: dict[str, Any]) -> str:
    """What a measured number is a mean over."""
    count = part["n_images"]
    return f"over {count} image{'s' * (count > 1)}" if count else "(the same for every image)"


QUANTITIES = {  # of bench.claims.quantities, in a few words
    "bd_rate": "BD-rate",
    "mean_gain": "mean gain",
    "least_gain": "smallest gain",
    "least_step": "smallest step",
    "at_point": "value",
    "total": "total",
    "loss": "loss",
    "study_mean": "mean",
    "fact": "value",
}


def quantity_in_words(test: str) -> str:
    """What a comparison measures: ``BD-rate``, ``smallest gain``; of several quantities ``difference`` or ``ratio``."""
    names = [name for name in re.findall(r"(\w+)\(", test) if name in QUANTITIES]
    if len(names) == 1:
        return QUANTITIES[names[0]]
    return "ratio" if "/" in re.sub(r"'[^']*'", "", test) else "difference"


def to_json(result: dict[str, Any]) -> str:
    """The result of :func:`judge_run` as JSON: equal records, equal bytes."""
    return json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
