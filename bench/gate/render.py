"""The verdicts of the gate for a terminal, a pull request, and a CI system's test view."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from bench.gate.judge import Verdict
from bench.gate.worst import Worst, cell
from bench.gate.worst import as_markdown as worst_as_markdown

ORDER = ("failed", "new", "changed", "same")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def as_text(verdicts: Sequence[Verdict]) -> str:
    """A line for each verdict, failures first."""
    return "".join(f"{v.verdict:8} {v.codec:20} {v.dataset:10} {v.detail}\n" for v in _sorted(verdicts))


def headline(verdicts: Sequence[Verdict]) -> str:
    """How many there are of each verdict: "1 failed, 12 same"."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    return ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name]) or "nothing to compare"


def advice(verdicts: Sequence[Verdict], folder: Path, baseline: Path) -> list[tuple[str, str]]:
    """What to do about failures, changes and new codecs: a command, and what it is for. None where all are the same.

    A codec that did not run cannot be accepted, only repaired or forgotten; nor can one with other files than measured.
    """
    place = f"--folder {shlex.quote(str(folder))} --baseline {shlex.quote(str(baseline))}"
    unlike = [verdict for verdict in verdicts if verdict.verdict != "same"]
    gone = _codecs(verdict for verdict in unlike if "run" in verdict.breached)
    other = [verdict for verdict in unlike if not {"run", "file"} & set(verdict.breached)]
    compared, accepted = _codecs(v for v in other if v.verdict != "new"), _codecs(other)
    commands = []
    if compared:
        commands.append((f"rdbench gate {place} --codecs {compared} --rows", "shows every difference"))
    if accepted:
        update = f"rdbench baseline update {place} --codecs {accepted} --reason '...'"
        commands.append((update, "accepts them, if they are meant; commit both files it writes"))
    if gone:
        commands.append(("rdbench list", "says which codecs can run here, and why the others cannot"))
        update = f"rdbench baseline update {place} --remove {gone} --reason '...'"
        commands.append((update, "removes those that are no longer to be measured"))
    if any("file" in verdict.breached for verdict in verdicts):
        records = shlex.quote(str(folder / "records.parquet"))
        commands.append((f"snakemake --cores all --forceall {records}", "puts the bitstreams back"))
    return commands


def as_markdown(
    verdicts: Sequence[Verdict],
    folder: Path,
    baseline: Path,
    worst: Worst,
    crops: Mapping[tuple[str, str, str], str] | None = None,
) -> str:
    """For a pull request: the headline, tables of what is not the same and of the worst images, commands to go on.

    crops: addresses of pictures of the worst images, see bench.gate.worst.as_markdown.
    """
    lines = [f"### rdbench gate: {headline(verdicts)}", ""]
    unlike = [verdict for verdict in _sorted(verdicts) if verdict.verdict != "same"]
    if unlike:
        lines += ["| verdict | codec | dataset | what was found |", "|---|---|---|---|"]
        lines += [f"| {_bold(v.verdict)} | {v.codec} | {v.dataset} | {cell(v.detail)} |" for v in unlike]
        lines += ["", *worst_as_markdown(worst, crops)]
    if same := _codecs(verdict for verdict in verdicts if verdict.verdict == "same"):
        lines += [f"The same bitstreams and reconstructions: {same.replace(' ', ', ')}.", ""]
    if commands := advice(verdicts, folder, baseline):
        lines += ["What to do:", "", "```sh", *(f"{command}   # {what}" for command, what in commands), "```", ""]
    return "\n".join(lines)


def as_junit(verdicts: Sequence[Verdict], folder: Path, baseline: Path) -> bytes:
    """JUnit XML: a suite per dataset, a case per codec; `new` is a skipped case, as nothing was compared."""
    failures = sum(verdict.verdict == "failed" for verdict in verdicts)
    totals = {"tests": str(len(verdicts)), "failures": str(failures), "errors": "0"}
    top = ElementTree.Element("testsuites", {"name": "rdbench gate", **totals})
    for dataset in sorted({verdict.dataset for verdict in verdicts}):
        cases = [verdict for verdict in verdicts if verdict.dataset == dataset]
        counts = Counter(verdict.verdict for verdict in cases)
        numbers = {"tests": len(cases), "failures": counts["failed"], "errors": 0, "skipped": counts["new"]}
        suite = ElementTree.SubElement(top, "testsuite", {"name": dataset, **{k: str(n) for k, n in numbers.items()}})
        for verdict in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=f"gate.{dataset}", name=verdict.codec)
            detail = _NOT_XML.sub("?", verdict.detail)
            if verdict.verdict == "failed":
                failure = ElementTree.SubElement(case, "failure", message=detail, type=" ".join(verdict.breached))
                failure.text = "\n".join(
                    f"{command}   # {what}" for command, what in advice([verdict], folder, baseline)
                )
            elif verdict.verdict == "new":
                ElementTree.SubElement(case, "skipped", message=detail)
            else:
                ElementTree.SubElement(case, "system-out").text = f"{verdict.verdict}: {detail}"
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)


def rows_as_text(pairs: pd.DataFrame) -> str:
    """The rows of :func:`bench.gate.judge.differences` that differ, a line each: bytes and PSNR before and now."""
    unlike = pairs[~pairs.found | pairs.other_bitstream | pairs.other_reconstruction]
    lines = [f"{'image':24} {'point':12} {'bytes':>19} {'change':>9} {'PSNR (RGB), dB':>19} {'change':>9}  differs\n"]
    for row in unlike.itertuples():
        size, psnr = (
            f"{row.bytes_before:.0f} -> {row.bytes:.0f}",
            f"{row.psnr_rgb_db_before:.3f} -> {row.psnr_rgb_db:.3f}",
        )
        numbers = f"{size:>19} {row.bytes_percent:+8.3f}% {psnr:>19} {row.psnr_db_change:+9.4f}"
        what = [name for name in ("image", "bitstream", "reconstruction") if getattr(row, f"other_{name}")]
        told = f"{numbers}  {', '.join(what)}" if row.found else "is missing"
        lines.append(f"{row.image:24} {row.point:12} {told}\n")
    return "".join(lines)


def _sorted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda verdict: ORDER.index(verdict.verdict))


def _codecs(verdicts: Iterable[Verdict]) -> str:
    return " ".join(dict.fromkeys(verdict.codec for verdict in verdicts))


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "failed" else verdict
