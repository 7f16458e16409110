"""The answers of a blind test, read from what its page lets participants download, and who of them looked."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.blind.design import Condition
from bench.blind.page import FORMAT
from bench.errors import UsageError
from bench.files import why_unreadable
from bench.records import plain_texts

COLUMNS = ("study", "participant", "order", "question", "left", "right", "answer", "seconds", "mode")
VALUES = {"left": 1.0, "right": 0.0, "not sure": 0.5}  # that the left picture differs more
MODES = ("flicker", "by hand")
PASS = 0.75  # share of the traps that a participant must get right


@dataclass
class Answers:
    """table: a row per answer that counts, see :func:`read_answers`; faults: a sentence on each row left out."""

    table: pd.DataFrame
    faults: list[str] = field(default_factory=list)


def read_key(path: Path) -> dict[str, Any]:
    """A key that :func:`bench.blind.page.make_page` wrote. Raises UsageError for any other file."""
    try:
        key = json.loads(path.read_bytes())
        if key["format"] != FORMAT or not all(key[part] for part in ("study", "conditions", "questions")):
            raise ValueError(f"format {key['format']!r}")
        for condition in key["conditions"]:
            Condition(**{name: condition[name] for name in Condition.__annotations__})
        for question in key["questions"]:
            one, two, _ = question["names"]
            named = {
                question["id"],
                question["kind"],
                one,
                two,
                *(key["conditions"][it]["codec"] for it in question["pictures"]),
            }
            if not all(isinstance(it, str) for it in named):
                raise ValueError("a question's names are not texts")
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UsageError(
            f"reading {path}: expected the .key.json that `rdbench study-page` wrote next to the page; "
            f"{why_unreadable(error)}"
        ) from error
    return dict(key)


def read_answers(paths: Sequence[Path], key: Mapping[str, Any]) -> Answers:
    """The answers in CSV files of the page: participant, question, kind, first and second (indices of the key's
    conditions), value (1 where the first differs more, 0.5, 0), left_value (the same of the left one), seconds, mode.

    A row that is broken, names no picture of the study or answers a question again is left out with a sentence. Raises
    UsageError for a file that is not such a CSV, or belongs to another study, and where no answer is left.
    """
    questions = {question["id"]: question for question in key["questions"]}
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    seen: set[tuple[str, str]] = set()
    for path in paths:
        for number, cells in _rows(path):
            where = f"{path}, line {number}"
            fault = _fault(cells, questions, key["study"])
            if fault == "study":
                raise UsageError(
                    f"reading {where}: an answer of study {_short(cells['study'])}, and the key is of study "
                    f"{key['study']}; give the key that belongs to these answers"
                )
            if not fault and (cells["participant"], cells["question"]) in seen:
                fault = f"participant {_short(cells['participant'])} has answered this question before"
            if fault:
                faults.append(f"{where}: {fault}; left out")
                continue
            seen.add((cells["participant"], cells["question"]))
            rows.append(_answer(cells, questions[cells["question"]]))
    if not rows:
        hint = f"; {faults[0]}" if faults else ""
        raise UsageError(f"reading answers: none of {', '.join(map(str, paths))} has an answer that counts{hint}")
    return Answers(pd.DataFrame(rows), faults)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, cells) of every row; a row with too few or too many cells has none. Raises UsageError for no such file."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""))
        table = [(lines.line_num, line) for line in lines if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"reading {path}: expected the CSV that the study's page downloads, got {error}") from error
    if not table:
        raise UsageError(f"reading {path}: the file is empty; expected the CSV that the study's page downloads")
    names = table[0][1]
    if len(set(names)) < len(names):
        raise UsageError(f"reading {path}: two columns have the same name; give the file as the page downloaded it")
    if missing := [name for name in COLUMNS if name not in names]:
        raise UsageError(
            f"reading {path}: expected the CSV that the study's page downloads, got one without the column "
            f"{', '.join(missing)}"
        )
    cells = [dict(zip(names, line, strict=True)) if len(line) == len(names) else {} for _, line in table[1:]]
    frame = plain_texts(pd.DataFrame(cells, columns=names, dtype=object))
    plain = frame.where(frame.notna(), None).to_dict("records")
    return [(number, {} if not it else row) for (number, _), it, row in zip(table[1:], cells, plain, strict=True)]


def _fault(cells: Mapping[str, str], questions: Mapping[str, Any], study: str) -> str:
    """What is wrong with a row, "study" for one of another study, or ""."""
    if not cells:
        return "the row has not as many cells as the header"
    if cells["study"] != study:
        return "study"
    if cells["question"] not in questions:
        return f"the study has no question {_short(cells['question'])}"
    names = questions[cells["question"]]["names"][:2]
    if sorted([cells["left"], cells["right"]]) != sorted(names):
        return f"{_short(cells['left'])} and {_short(cells['right'])} are not this question's pictures"
    if cells["answer"] not in VALUES:
        return f"expected left, right or not sure as answer, got {_short(cells['answer'])}"
    if cells["mode"] not in MODES:
        return f"expected {' or '.join(MODES)} as mode, got {_short(cells['mode'])}"
    if not cells["participant"]:
        return "no participant is named"
    try:
        seconds = float(cells["seconds"])
    except ValueError:
        seconds = math.nan
    return "" if 0 <= seconds < math.inf else f"expected seconds of 0 or more, got {_short(cells['seconds'])}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]} ...")


def _answer(cells: Mapping[str, str], question: Mapping[str, Any]) -> dict[str, Any]:
    value = VALUES[cells["answer"]]
    swapped = cells["left"] != question["names"][0]
    first, second = question["pictures"]
    return {
        "participant": cells["participant"],
        "question": question["id"],
        "kind": question["kind"],
        "first": first,
        "second": second,
        "value": 1 - value if swapped else value,
        "left_value": value,
        "seconds": float(cells["seconds"]),
        "mode": cells["mode"],
    }


def screen(table: pd.DataFrame, has_traps: bool, least: float = PASS) -> pd.DataFrame:
    """A row per participant: answers, traps, traps_right, repeats, repeats_same, left_share, seconds, reason.

    reason: why the participant's answers do not count, or "". A trap is right only if the compressed picture was
    named. repeats_same: how many repeats got the first answer again; left_share: of the answers that name a side;
    seconds: the median per answer.
    """
    rows = []
    for participant, own in table.groupby("participant", sort=True):
        traps = own[own.kind == "trap"]
        right = int((traps.value == 0).sum())  # the second picture is the compressed one
        first = own[own.kind == "pair"].groupby(["first", "second"]).value.first()
        again = own[own.kind == "repeat"].set_index(["first", "second"]).value
        both = again[again.index.isin(first.index)]
        reason = ""
        if has_traps and traps.empty:
            reason = "answered no trap"
        elif len(traps) and right < least * len(traps):
            reason = f"{right} of {len(traps)} traps right, {least:.0%} needed"
        named = own.left_value[own.left_value != 0.5]
        rows.append(
            {
                "participant": participant,
                "answers": len(own),
                "traps": len(traps),
                "traps_right": right,
                "repeats": len(both),
                "repeats_same": int((both.to_numpy() == first.reindex(both.index).to_numpy()).sum()),
                "left_share": float(named.mean()) if len(named) else None,
                "seconds": float(own.seconds.median()),
                "reason": reason,
            }
        )
    return pd.DataFrame(rows)
