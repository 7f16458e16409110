"""The run's message in words: what training the learned codecs had, and what became of each paper's headline claims.

Every number comes from the run: hours and devices from the weights' training facts, the level from the records and the
published curves, verdicts from claims.json.
"""

from __future__ import annotations

from typing import Any

from bench.claims.ledger import NOT_TESTABLE, count
from bench.rd.bd_table import bd_rate
from bench.rd.curves import averaged_curve
from bench.rd.published import load_published, published_curve
from bench.report import trained
from bench.report.claims import MARKS as VERDICTS
from bench.report.run import Run

METRIC = "psnr_rgb_db"
LEVEL_PERCENT = 5.0  # more rate than the published network of the same kind: up to this it is at its level


def training_sentences(run: Run, papers: dict[str, Any]) -> list[str]:
    """How long and where the networks of the run's codecs were trained, against the papers, and at what level they are.

    papers: of the claims, whose `training` says what the papers' own trainings take. One sentence says so if no codec
    of the run has trained weights.
    """
    weights = trained.weights(run)
    if not weights:
        return ["No codec of this run has trained weights."]
    known = [row for row in weights if row["hours"] is not None]
    sentences = []
    if known:
        hours = sum(row["hours"] for row in known)
        devices = list(dict.fromkeys(row["device"] for row in known if row["device"]))
        where = f" ({'; '.join(devices)})" if devices else ""
        sentences.append(
            f"The learned codecs' networks were trained for {duration(hours)} in all{where}{_papers(papers)}."
        )
    published = [row["name"] for row in weights if row["hours"] is None]
    if published:
        sentences.append(
            f"{len(published)} of the weights are not this project's own, and their training is not known."
        )
    return [*sentences, *level(run)]


def fewer_points(run: Run) -> str:
    """That a run measured fewer operating points than some of its codecs have; empty if it measured all."""
    declared = {codec: len(status.get("points", ())) for codec, status in run.statuses.items()}
    measured = run.measured.groupby("codec").point_index.nunique()
    fewer = [int(count) for codec, count in measured.items() if count < declared.get(codec, 0)]
    if not fewer:
        return ""
    return (
        f"At most {max(fewer)} operating points of each codec were measured (points: 0 in the configuration takes all)."
    )


def level(run: Run) -> list[str]:
    """Whether the networks reach the published ones of the same architecture, where a curve of these is known."""
    published, found = load_published(), []
    for dataset in run.measured_datasets:
        for codec, name in run.specification["page"].get("published_level", {}).items():
            curve = averaged_curve(run.measured, dataset, codec, METRIC)
            target = published_curve(name, dataset, METRIC, published)
            if curve.empty or target.empty:
                continue
            result = bd_rate(target.bpp, target.value, curve.bpp, curve.value)
            if result.value is None:
                continue
            verdict = "are at" if result.value <= LEVEL_PERCENT else "are not at"
            more = f"{abs(result.value):.0f} % {'more' if result.value > 0 else 'less'}"
            found.append(
                f"They {verdict} the published level: {run.label_of(codec).partition(' (')[0]} needs {more} rate than "
                f"the same architecture as published (BD-rate in PSNR on {run.title_of(dataset)})."
            )
    names = set(run.specification["page"].get("published_level", {}).values())
    about = (published.source + "/" + published.codec).isin(names) & (published.metric == METRIC)
    places = sorted(set(published[about].dataset) & set(run.specification["datasets"]))
    if found or not places:
        return found
    elsewhere = " and ".join(map(run.title_of, places))
    return [
        f"How far they are from published networks cannot be said here: published curves exist only for {elsewhere}."
    ]


def duration(hours: float) -> str:
    """``45 minutes``, ``6.5 hours``, ``3.2 days``: two digits that matter."""
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    if hours < 48:
        return f"{hours:.1f} hours"
    return f"{hours / 24:.1f} days"


def _papers(papers: dict[str, Any]) -> str:
    days = [paper["training"]["gpu_days"] for paper in papers.values() if "training" in paper]
    if not days:
        return ""
    low, high = min(days), max(days)
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"; the papers' own trainings take {span} GPU days (estimated for an A100)"


def headline_claims(claims: dict[str, Any], dataset: str) -> list[dict[str, Any]]:
    """Each paper's headline claims on ``dataset``.

    {title, id, summary, claims: [{id, says, verdict, mark, number, plain}], untested}. summary: how many of all its
    claims got which verdict; untested: how many headline claims this run cannot test.
    """
    papers = []
    for paper in next((it["papers"] for it in claims["datasets"] if it["name"] == dataset), []):
        rows = paper["headlines"]
        tested = [claim for claim in rows if claim["verdict"] != NOT_TESTABLE]
        counts = count(paper["all"])
        papers.append(
            {
                "title": paper["title"].partition(":")[0],
                "id": f"claims-{dataset}-{paper['name']}",
                "summary": ", ".join(f"{counts[it]} {it}" for it in VERDICTS if counts[it] and it != NOT_TESTABLE)
                + f" of {sum(counts.values())} claims",
                "claims": [
                    {
                        "id": f"claim-{dataset}-{claim['name']}",
                        "says": claim["short"],
                        "verdict": claim["verdict"],
                        "mark": claim["mark"],
                        "number": claim["number"],
                        "plain": claim["plain"],
                    }
                    for claim in tested
                ],
                "untested": len(rows) - len(tested),
            }
        )
    return papers
