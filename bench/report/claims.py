"""The page's table of claims: claims.json by dataset and paper, each number with links to what it stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from bench.claims.ledger import NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, UNDECIDED, count
from bench.claims.tables import measured, over, summary
from bench.files import write_if_changed
from bench.rd.published import load_published
from bench.report.run import Run
from bench.report.tables import records_link

MARKS = {REPRODUCED: "good", UNDECIDED: "amber", NOT_REPRODUCED: "withheld", NOT_TESTABLE: "none"}
FILES = ("claims.json", "claims.csv")


def claim_tables(run: Run, target: Path) -> dict[str, Any]:
    """{files, datasets: [{name, title, summary, papers: [{title, arxiv, note, summary, claims}]}]}.

    ``files`` are claims.json and claims.csv, copied beside the page in ``target`` with the studies that claims stand
    on. No dataset if the run has no verdicts.
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
    papers = []
    for name, about in run.claims["papers"].items():
        claims = [it for it in run.claims["claims"] if (it["paper"], it["dataset"]) == (name, dataset)]
        rows = [
            claim
            | {
                "mark": MARKS[claim["verdict"]],
                "parts": [
                    part
                    | {"measured": measured(part), "over": over(part), "mark": MARKS[part["verdict"]]}
                    | {"links": [(it, _link(run, target, dataset, it, urls)) for it in part["names"]]}
                    for part in claim["parts"]
                ],
            }
            for claim in claims
        ]
        own = [run.title_of(it) for it in about["datasets"]]
        note = "" if dataset in about["datasets"] else f"The paper's own results are on {', '.join(own)}."
        papers.append({**about, "name": name, "note": note, "summary": summary(claims), "claims": rows})
    everything = [it for it in run.claims["claims"] if it["dataset"] == dataset]
    return {"name": dataset, "title": run.title_of(dataset), "summary": summary(everything), "papers": papers}


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
