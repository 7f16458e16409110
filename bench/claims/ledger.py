"""The claims of claims.yaml, each with the verdict that a run's measurements give it.

A verdict follows from the number, its 95 % interval over images and the claim's tolerance, and from nothing else. A
strict comparison (``<`` or ``>`` a bound: "better", "above") is judged by its interval against the bound:

reproduced         the whole interval keeps the bound: the effect is there on more than these images
not reproduced     the whole interval misses the bound
undecided          the interval includes the bound: not significant on these images; or there is no interval

A comparison of parity (between two bounds, or ``<=`` or ``>=`` one) is judged with the tolerance added to the bounds:
reproduced if the whole interval lies inside, not reproduced if it lies outside. Numbers that are the same for every
image, and BD-rates against published curves, are exact. A BD-rate whose interpolation methods differ by more than the
claim's tolerance is undecided: the number depends on the method.

not testable here  the run lacks something, or the curves have too little in common; a command says what to run

A claim of several comparisons is not reproduced if one of them is not, reproduced if all are. Its ``kind`` is headline
(what the paper stands for), detail, or by construction: what any working implementation meets, which is checked, and
counts in no summary.

Controls measure the reason of a claim that is not reproduced, or undecided: comparisons that tell its possible causes
apart, such as one of the network that a method stands on without the method. Each says what follows if it is met or
missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UsageError
from bench.files import root_file

SPECIFICATION = root_file("claims.yaml")
VERDICTS = REPRODUCED, UNDECIDED, NOT_REPRODUCED, NOT_TESTABLE = (
    "reproduced",
    "undecided",
    "not reproduced",
    "not testable here",
)
KINDS = HEADLINE, DETAIL, BY_CONSTRUCTION = "headline", "detail", "by construction"
_COPIED = ("name", "paper", "kind", "where", "says", "tolerance", "changes")
_FIELDS = {"name", "paper", "kind", "where", "says", "test", "tolerance", "changes"}
_CONTROL_FIELDS = {"test", "tolerance", "if_met", "if_missed"}


@dataclass(frozen=True)
class Control:
    """A comparison that tells causes of a verdict apart. if_met, if_missed: the cause that follows, "" for none."""

    test: Any  # a bench.claims.expressions.Comparison
    tolerance: float
    if_met: str
    if_missed: str


@dataclass(frozen=True)
class Claim:
    """One entry of claims.yaml. tests: its comparisons; tolerance: in their unit, >= 0."""

    name: str
    paper: str
    kind: str
    where: str
    says: str
    test: str
    tolerance: float
    changes: str
    tests: tuple[Any, ...]  # of bench.claims.expressions.Comparison, imported when claims are read
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """claims.yaml. papers: name -> title, arxiv, datasets (those its results are on)."""

    papers: dict[str, dict[str, Any]]
    claims: tuple[Claim, ...]


def read_claims(path: str | Path = SPECIFICATION) -> Ledger:
    """The ledger in ``path``. Raises UsageError that names the claim for a wrong field, test or tolerance."""
    from bench.claims.expressions import parse

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        papers, entries = content["papers"], content["claims"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(f"reading claims from {path}: expected `papers` and `claims`, got {error!r}") from error
    claims: list[Claim] = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, claim {number} ({entry.get('name', 'without a name') if isinstance(entry, dict) else entry})"
        if not isinstance(entry, dict) or set(entry) - {"controls"} != _FIELDS:
            got = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
            raise UsageError(f"{where}: expected the fields {', '.join(sorted(_FIELDS))}, got {got}")
        texts = {field: entry[field] for field in sorted(_FIELDS - {"tolerance"})}
        if wrong := [field for field, text in texts.items() if not isinstance(text, str) or not text.strip()]:
            raise UsageError(f"{where}: {', '.join(wrong)} has to be a text")
        if entry["paper"] not in papers:
            raise UsageError(f"{where}: no paper is called {entry['paper']!r}; there are {', '.join(papers)}")
        if entry["kind"] not in KINDS:
            raise UsageError(f"{where}: kind is one of {', '.join(KINDS)}, not {entry['kind']!r}")
        if entry["name"] in {claim.name for claim in claims}:
            raise UsageError(f"{where}: an earlier claim has this name")
        tolerance = _tolerance(entry, where)
        try:
            tests = parse(entry["test"])
            controls = tuple(_control(control, where) for control in entry.get("controls", ()))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        claims.append(Claim(**{**entry, "tolerance": tolerance, "tests": tests, "controls": controls}))
    return Ledger(papers, tuple(claims))


def _tolerance(entry: dict[str, Any], where: str) -> float:
    tolerance = entry["tolerance"]
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < float("inf"):
        raise UsageError(f"{where}: the tolerance has to be a number of 0 or more, got {tolerance!r}")
    return float(tolerance)


def _control(entry: Any, where: str) -> Control:
    from bench.claims.expressions import parse

    fields = set(entry) if isinstance(entry, dict) else set()
    if not {"test", "tolerance"} < fields <= _CONTROL_FIELDS:
        raise UsageError(f"{where}: a control has a test, a tolerance, and if_met or if_missed, got {sorted(fields)}")
    test, *more = parse(entry["test"])
    if more:
        raise UsageError(f"{where}: a control is one comparison, got {entry['test']!r}")
    return Control(test, _tolerance(entry, where), entry.get("if_met", ""), entry.get("if_missed", ""))


def claimed_codecs(path: str | Path = SPECIFICATION) -> set[str]:
    """The codecs that some claim is about: what a run has to measure for all verdicts."""
    return {name for claim in read_claims(path).claims for test in claim.tests for name in test.curves()}


def judge_run(folder: Path, path: str | Path = SPECIFICATION) -> dict[str, Any]:
    """Every claim on every dataset of the run in ``folder``.

    {papers, datasets, counts (verdict -> number, without those by construction), claims: [{name, paper, kind, where,
    says, dataset, papers_dataset (is it one of the paper's own?), test, tolerance, changes, verdict, reason, run,
    parts, controls, cause}]}. A part is one comparison: test, value, unit, ci_low, ci_high, n_images, names (of curves
    and studies), verdict, reason, note (what a reader should know of the number, or ""), run (a command, or ""), lacks
    (what a test needs that the run does not have: `codec`, a codec's measurements; `data`, anything else; or "").
    A control is such a part with the ``cause`` that follows from it; the claim's has all of them. Claims that are
    reproduced or not testable have no controls. Raises UsageError without records.
    """
    from bench import records
    from bench.claims.evidence import evidence

    records_path = folder / "records.parquet"
    if not records_path.is_file():
        raise UsageError(f"judging claims: {records_path} is missing; a run writes it: snakemake --cores all")
    ledger, frame = read_claims(path), records.read(records_path)
    datasets = sorted(set(frame.dataset))
    parts = {dataset: evidence(folder, dataset, frame) for dataset in datasets}
    judged = [
        judge(claim, parts[dataset]) | {"papers_dataset": dataset in ledger.papers[claim.paper]["datasets"]}
        for claim in ledger.claims
        for dataset in datasets
    ]
    return {"papers": ledger.papers, "datasets": datasets, "counts": count(judged), "claims": judged}


def count(claims: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many of the judged claims have each verdict of VERDICTS, without those by construction."""
    counts = Counter(claim["verdict"] for claim in claims if claim["kind"] != BY_CONSTRUCTION)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def judge(claim: Claim, data: Any) -> dict[str, Any]:
    """One claim on one dataset (:class:`bench.claims.evidence.Evidence`); see :func:`judge_run`."""
    try:
        codecs = set().union(*(test.curves() for test in claim.tests))
        parts = [_judge_part(test, claim.tolerance, data, codecs) for test in claim.tests]
    except UsageError as error:
        raise UsageError(f"judging claim {claim.name} on {data.dataset}: {error}") from error
    if len(units := {part["unit"] for part in parts if part["unit"] is not None}) > 1:
        raise UsageError(f"claim {claim.name}: one tolerance cannot hold in {' and '.join(sorted(units))}; split it")
    verdicts = {part["verdict"] for part in parts}
    verdict = next(it for it in (NOT_REPRODUCED, NOT_TESTABLE, UNDECIDED, REPRODUCED) if it in verdicts)
    wanting = claim.controls if verdict in (NOT_REPRODUCED, UNDECIDED) else ()
    controls = [_judge_control(control, data) for control in wanting]
    return {
        **{field: getattr(claim, field) for field in _COPIED},
        "test": " ".join(claim.test.split()),
        "dataset": data.dataset,
        "verdict": verdict,
        "reason": _reason(verdict, parts),
        "run": "; ".join(dict.fromkeys(part["run"] for part in parts if part["run"])),
        "parts": parts,
        "controls": controls,
        "cause": "; ".join(dict.fromkeys(control["cause"] for control in controls if control["cause"])),
    }


def _judge_control(control: Control, data: Any) -> dict[str, Any]:
    part = _judge_part(control.test, control.tolerance, data, set(control.test.curves()))
    causes = {REPRODUCED: control.if_met, NOT_REPRODUCED: control.if_missed}
    return part | {"cause": causes.get(part["verdict"], "")}


def _judge_part(test: Any, tolerance: float, data: Any, codecs: set[str]) -> dict[str, Any]:
    from bench.errors import Missing

    empty: dict[str, Any] = dict.fromkeys(("value", "unit", "ci_low", "ci_high"))
    part = empty | {"test": test.text, "n_images": 0, "names": [], "note": "", "run": "", "lacks": ""}
    try:
        quantity = test.evaluate(data)
    except Missing as missing:
        run = data.command(codecs) if missing.codec else missing.run
        lacks = "codec" if missing.codec else "data"
        return part | {"verdict": NOT_TESTABLE, "reason": str(missing), "run": run, "lacks": lacks}
    low, high = quantity.interval or (None, None)
    verdict, reason = verdict_of(test, quantity.value, quantity.interval, tolerance)
    if quantity.spread > tolerance and verdict != UNDECIDED:
        verdict, reason = UNDECIDED, "interpolation-dependent: the methods differ by more than the tolerance"
    return part | {
        "value": quantity.value,
        "unit": quantity.unit,
        "ci_low": low,
        "ci_high": high,
        "n_images": len(quantity.images),
        "names": list(quantity.names),
        "verdict": verdict,
        "reason": reason,
        "note": quantity.note,
    }


def verdict_of(test: Any, value: float, interval: tuple[float, float] | None, tolerance: float) -> tuple[str, str]:
    """The verdict on one comparison (:class:`bench.claims.expressions.Comparison`), and for `undecided` the reason."""
    strict = test.is_strict
    slack = 0.0 if strict else tolerance
    if interval is None:
        if test.misses(value, value, slack):
            return NOT_REPRODUCED, ""
        return UNDECIDED, "there is no interval: a single image or training, or many resamples without a value"
    if all(test.holds(end, slack) for end in interval):
        return REPRODUCED, ""
    if test.misses(*interval, slack):
        return NOT_REPRODUCED, ""
    bound = f"includes {test.bounds[0][1]:g}" if strict else "lies partly outside the bounds and the tolerance"
    return UNDECIDED, f"not significant on these images: the 95 % interval {bound}"


def _reason(verdict: str, parts: list[dict[str, Any]]) -> str:
    if verdict == NOT_TESTABLE:
        return "; ".join(dict.fromkeys(part["reason"] for part in parts if part["verdict"] == NOT_TESTABLE))
    if len(parts) == 1:
        return parts[0]["reason"]
    if verdict == REPRODUCED:
        return ""
    met = sum(part["verdict"] == REPRODUCED for part in parts)
    why = dict.fromkeys(part["reason"] for part in parts if part["verdict"] == verdict and part["reason"])
    return "; ".join((f"{met} of {len(parts)} comparisons are met", *why))
