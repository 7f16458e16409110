"""The page's claims: claims.json by dataset and paper, each number with links to its sources.

A claim that the run cannot test is not among them; the page says how many there are and why.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from bench.claims.ledger import BY_CONSTRUCTION, HEADLINE, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, UNDECIDED, count
from bench.claims.tables import measured, over, quantity_in_words, summary
from bench.files import write_if_changed
from bench.rd.published import load_published
from bench.report.run import Run
from bench.report.tables import records_link

MARKS = {REPRODUCED: "good", UNDECIDED: "amber", NOT_REPRODUCED: "withheld", NOT_TESTABLE: "none"}
FILES = ("claims.json", "claims.csv")


def claim_tables(run: Run, target: Path) -> dict[str, Any]:
    """{files, datasets: [{name, title, summary, untested, papers: [{title, arxiv, note, summary, claims, sure}]}]}.

    claims: those of a paper that were tested, without the ones by construction, which are in ``sure``; untested: of all
    papers those that this run cannot test. ``files`` are claims.json and claims.csv, copied next to the page in
    ``target`` with the studies that claims rest on. No dataset if the run has no verdicts.
    """
    if run.claims is None:
        return {"files": [], "datasets": []}
    for name in FILES:
        if (run.folder / name).is_file():
            write_if_changed(target / "claims" / name, (run.folder / name).read_bytes())
    urls = _published_urls()
    return {
        "files": [f"claims/{name}" for name in FILES if (run.folder / name).is_file()],
        "datasets": [_of_dataset(run, target, dataset, urls) for dataset in run.datasets],
    }


def verdicts(run: Run) -> dict[str, int]:
    """How many claims got each verdict, over all datasets of the run, without those by construction."""
    return {verdict: number for verdict, number in count((run.claims or {"claims": []})["claims"]).items() if number}


def _of_dataset(run: Run, target: Path, dataset: str, urls: dict[str, str]) -> dict[str, Any]:
    assert run.claims is not None
    papers, untested = [], []
    for name, about in run.claims["papers"].items():
        claims = [it for it in run.claims["claims"] if (it["paper"], it["dataset"]) == (name, dataset)]
        rows = [_row(run, target, dataset, claim, urls) for claim in claims]
        untested += [row for row in rows if row["verdict"] == NOT_TESTABLE]
        tested = [row for row in rows if row["verdict"] != NOT_TESTABLE]
        own = [run.title_of(it) for it in about["datasets"]]
        note = "" if dataset in about["datasets"] else f"The paper's own results are on {', '.join(own)}."
        papers.append(
            {
                **about,
                "name": name,
                "note": note,
                "summary": summary(claims),
                "claims": [row for row in tested if row["kind"] != BY_CONSTRUCTION],
                "sure": [row for row in tested if row["kind"] == BY_CONSTRUCTION],
                "headlines": [row for row in rows if row["kind"] == HEADLINE],
                "all": claims,
            }
        )
    everything = [it for it in run.claims["claims"] if it["dataset"] == dataset]
    return {
        "name": dataset,
        "title": run.title_of(dataset),
        "summary": summary(everything),
        "papers": papers,
        "untested": untested,
        "untested_sure": sum(row["kind"] == BY_CONSTRUCTION for row in untested),
        "without_codec": sum(any(part.get("lacks") == "codec" for part in row["parts"]) for row in untested),
    }


def _row(run: Run, target: Path, dataset: str, claim: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    """A claim with its mark, its sentence without remarks in brackets, and the number that decided it."""

    def shown(part: dict[str, Any]) -> dict[str, Any]:
        links = [(name, _link(run, target, dataset, name, urls)) for name in part["names"]]
        texts = {"measured": measured(part), "over": over(part), "mark": MARKS[part["verdict"]]}
        return part | texts | {"links": links}

    parts, controls = (list(map(shown, claim.get(key, ()))) for key in ("parts", "controls"))
    decisive = [part for part in parts if part["verdict"] == claim["verdict"] and part["measured"]]
    plain, number = _number(run, decisive[0], len(parts) > 1) if decisive else ("", "")
    short = re.sub(r" \([^()]*(\([^()]*\)[^()]*)*\)", "", claim["says"])
    texts = {"short": short, "plain": plain, "number": number}
    return claim | {"mark": MARKS[claim["verdict"]], "parts": parts, "controls": controls} | texts


def _number(run: Run, part: dict[str, Any], several: bool) -> tuple[str, str]:
    """(``+12.3 %``, ``BD-rate +12.3 % [+10.1, +14.0]``); of ``several`` comparisons it says what against."""
    unit = "" if part["unit"] in ("", "ratio") else f" {part['unit']}"

    def text(value: float) -> str:
        shown = f"{value:+.1f}" if part["unit"] == "%" else f"{value:+.2f}" if part["unit"] == "dB" else f"{value:.3g}"
        return shown.replace("-", "−")

    against = (
        f" against {run.label_of(part['names'][1]).rpartition('/')[2]}" if several and len(part["names"]) == 2 else ""
    )
    plain = f"{text(part['value'])}{unit}"
    words = f"{quantity_in_words(part['test'])}{against} {plain}"
    if part["ci_low"] is None or not part["n_images"] or part["ci_low"] == part["ci_high"]:
        return plain, words
    return plain, f"{words} [{text(part['ci_low'])}, {text(part['ci_high'])}]"


def _link(run: Run, target: Path, dataset: str, name: str, urls: dict[str, str]) -> str:
    """Where the numbers of a codec, a study or a published curve are."""
    if name in urls:
        return urls[name]
    study = name.partition("/")[0]
    path = run.folder / "studies" / dataset / f"{study}.json"
    if path.is_file():
        copy = f"claims/{dataset}.{study}.json"
        write_if_changed(target / copy, path.read_bytes())
        return quote(copy)
    return records_link(dataset=dataset, codec=name)


def _published_urls() -> dict[str, str]:
    curves: pd.DataFrame = load_published()[["source", "codec", "url"]].drop_duplicates()
    return {f"{row.source}/{row.codec}": row.url for row in curves.itertuples()}
