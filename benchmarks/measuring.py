"""Two sides of the same work, timed in turns, and the table that comes of it."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from bench.files import write_atomically

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


@dataclass(frozen=True)
class Case:
    """One piece of work, done here and by a peer.

    same: takes both results and says what of them is equal; raises ValueError where they did not do the same.
    more: what one of the two does beyond that, for the reader of the ratio.
    """

    name: str
    work: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    same: Callable[[Any, Any], str]
    packages: tuple[str, ...] = ()
    more: str = ""


@dataclass(frozen=True)
class Result:
    """Times in seconds, medians over the rounds; ratio: ours / theirs, of the medians; its range over the rounds."""

    case: str
    work: str
    peer: str
    status: str  # ok, failed (not the same work, or an error), skipped (a package is missing)
    ours_s: float | None = None
    theirs_s: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    rounds: int = 0
    same: str = ""
    more: str = ""
    reason: str = ""


def measure(case: Case, rounds: int) -> Result:
    """Both sides ``rounds`` times in turns, the other one first each time, after a call that is checked, not timed."""
    about: dict[str, Any] = {"case": case.name, "work": case.work, "peer": _peer(case), "more": case.more}
    try:
        same = case.same(case.ours(), case.theirs())
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(rounds):
            for side in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
                run = getattr(case, side)
                start = time.perf_counter()
                run()
                times[side].append(time.perf_counter() - start)
    except Exception as error:  # a peer raises what it likes, and the other cases go on
        return Result(**about, status="failed", reason=f"{type(error).__name__}: {error}")
    ratios = [ours / theirs for ours, theirs in zip(*times.values(), strict=True)]
    ours, theirs = (median(seconds) for seconds in times.values())
    numbers = {"ours_s": ours, "theirs_s": theirs, "ratio": ours / theirs, "rounds": rounds}
    return Result(**about, **numbers, status="ok", ratio_low=min(ratios), ratio_high=max(ratios), same=same)


def _peer(case: Case) -> str:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in case.packages]
    return f"{case.peer} ({', '.join(versions)})" if versions else case.peer


def as_csv(results: Sequence[Result]) -> str:
    """A row for each case."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Result)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(vars(result) for result in results)
    return out.getvalue()


def as_markdown(results: Sequence[Result], machine: dict[str, Any]) -> str:
    """The table with the machine named. A ratio under 1: this project is the faster one."""
    lines = [
        f"Measured on {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}, Python "
        f"{machine['python']}, {machine['torch_threads']} thread; commit {(machine['git_commit'] or 'unknown')[:12]}"
        f"{' with changes' if machine['git_dirty'] else ''}; load {machine['load_before']:.2f} before the first case "
        f"and {machine['load_after']:.2f} after the last.",
        "",
        "| work | peer | rdbench | peer | ratio (range) | the same in both |",
        "|---|---|--:|--:|--:|---|",
    ]
    for result in results:
        cells = [f"**{result.case}**: {result.work}", result.peer]
        if result.status == "ok":
            cells += [_seconds(result.ours_s), _seconds(result.theirs_s)]
            cells += [f"{result.ratio:.2f} ({result.ratio_low:.2f} to {result.ratio_high:.2f})"]
            cells += [result.same + (f". {result.more}" if result.more else "")]
        else:
            cells += ["", "", result.status, result.reason]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _seconds(value: float | None) -> str:
    assert value is not None
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.2f} ms"


def into_page(page: Path, table: str) -> None:
    """Puts the table between the two marks of a page. Raises ValueError where they are not."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} and {END} for the table to stand between")
    write_atomically(page, f"{before}{BEGIN}\n\n{table}\n{END}{after}")
