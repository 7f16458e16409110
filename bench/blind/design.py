"""What a blind test asks: which bitstreams of a run stand next to each other, in which questions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.run.equal_rates import nearest_row

OFF_RATE = 0.1  # a rate further off than this, as a share of the wanted one, is said
MOST_QUESTIONS = 2000
TRAP_PSNR_DB = 30.0  # a trap's compressed picture has at most this, so that its difference can be seen
SHARE = 10  # one question in so many is a trap, and one a repeat


@dataclass(frozen=True)
class Condition:
    """One picture that may be judged: a reconstruction, or with codec "" the original itself.

    bitstream: relative to the run's folder; wanted_bpp: the rate it was chosen for, None for an original and in a trap.
    """

    dataset: str
    image: str
    codec: str
    point: str
    wanted_bpp: float | None
    bpp: float | None
    reconstruction_sha256: str
    bitstream: str
    bitstream_sha256: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Question:
    """Which of two pictures (indices of conditions) differs more from the original. kind: "pair", "trap" or "repeat".

    In a trap the second picture is the compressed one, the first the original. A repeat has its question's pictures.
    """

    kind: str
    pictures: tuple[int, int]


def choose(
    measured: pd.DataFrame,
    matched: pd.DataFrame | None,
    codecs: Sequence[str],
    images: Sequence[str],
    rates_bpp: Sequence[float],
) -> tuple[list[Condition], list[str]]:
    """Of every image the original, then each codec's bitstream nearest to each rate; and sentences on what is off.

    measured: the run's rows with a measurement, of one dataset; matched: rows of bench.run.equal_rates.WANTED. A
    bitstream that is nearest to two rates stands for the nearer one. Raises UsageError for a codec or an image that
    the run has not measured, and for a name given twice.
    """
    conditions: list[Condition] = []
    notes: list[str] = []
    for what, wanted in (("codec", codecs), ("image", images)):
        if missing := [name for name in wanted if name not in set(measured[what])]:
            there = ", ".join(sorted(set(measured[what]))) or "none"
            raise UsageError(f"choosing pictures: the run has no {what} {', '.join(missing)}; it has {there}")
        if len(set(wanted)) < len(wanted):
            raise UsageError(f"choosing pictures: a {what} is named twice in {' '.join(wanted)}; name each once")
    for image in images:
        own = measured[measured.image == image]
        first = own.iloc[0]
        conditions.append(Condition(first.dataset, image, "", "", None, None, first.image_sha256, "", ""))
        for codec in codecs:
            found: dict[str, tuple[float, Any, float]] = {}
            for bpp in rates_bpp:
                row = nearest_row(own[own.codec == codec], matched, bpp)
                if row is None:
                    raise UsageError(f"choosing pictures: {codec} has no measurement on {image}; leave one of them out")
                off = abs(math.log(row.bpp / bpp))
                before = found.get(row.reconstruction_sha256)
                if before:
                    notes.append(f"{codec} on {image}: one bitstream is nearest to {before[2]:g} and {bpp:g} bpp")
                if not before or off < before[0]:
                    found[row.reconstruction_sha256] = off, row, bpp
            for off, row, bpp in found.values():
                if off > math.log1p(OFF_RATE):
                    notes.append(f"{codec} on {image}: the nearest to {bpp:g} bpp has {row.bpp:.3g}")
                conditions.append(of_row(row, bpp))
    return conditions, notes


def of_row(row: Any, wanted_bpp: float | None) -> Condition:
    """A row of the records as a condition."""
    return Condition(
        str(row.dataset),
        str(row.image),
        str(row.codec),
        str(row.point),
        wanted_bpp,
        float(row.bpp),
        str(row.reconstruction_sha256),
        Path(row.bitstream).as_posix(),
        str(row.bitstream_sha256),
    )


def trap_conditions(measured: pd.DataFrame, codecs: Sequence[str], images: Sequence[str]) -> list[Condition]:
    """Of every image the chosen codecs' reconstruction of the lowest PSNR, if that is at most TRAP_PSNR_DB."""
    rows = measured[measured.codec.isin(codecs) & (measured.psnr_rgb_db <= TRAP_PSNR_DB)]
    by_image = {image: part.loc[part.psnr_rgb_db.idxmin()] for image, part in rows.groupby("image")}
    return [of_row(by_image[image], None) for image in images if image in by_image]


def questions(
    conditions: Sequence[Condition], traps: Sequence[Condition], count: int, seed: int, want_traps: bool = True
) -> list[Question]:
    """``count`` questions in an order that puts repeats far from their first showing; the same for the same seed.

    Indices count ``conditions``, then ``traps``. One question in SHARE is a trap (at least one), one a repeat. The
    others are spread over the images; the first of each image link all its pictures to the original. With more
    questions than pairs the pairs come again. Raises UsageError where the questions are too few for that.
    """
    if count > MOST_QUESTIONS:
        raise UsageError(f"choosing questions: expected at most {MOST_QUESTIONS}, which take hours, got {count}")
    rng = np.random.default_rng(seed)
    if want_traps and not traps:
        raise UsageError(
            f"choosing traps: no chosen codec has a reconstruction of {TRAP_PSNR_DB:g} dB PSNR or less; add a codec "
            "that goes lower, or ask for --no-traps"
        )
    trapped = max(1, count // SHARE) if want_traps else 0
    repeated = count // SHARE
    regular = count - trapped - repeated
    by_image: dict[str, list[int]] = {}
    for index, condition in enumerate(conditions):
        by_image.setdefault(condition.image, []).append(index)
    links, others = [], []
    for members in by_image.values():
        tree, rest = _tree(members, rng)
        links.append(tree)
        others.append(rest)
    least = sum(map(len, links))
    if regular < least:
        raise UsageError(
            f"choosing questions: {count} questions leave {regular} without traps and repeats, and {least} are needed "
            f"to link every picture to its original; ask more questions, or take fewer images, codecs or rates"
        )
    pairs = list(_spread(links))
    while len(pairs) < regular:
        pairs += list(_spread(others if len(pairs) == least and any(others) else [*links, *others]))
    asked = [Question("pair", pair) for pair in pairs[:regular]]
    originals = {condition.image: index for index, condition in enumerate(conditions) if not condition.codec}
    chosen = [int(number) for number in rng.permutation(np.resize(np.arange(len(traps)), trapped))]
    asked += [Question("trap", (originals[traps[number].image], len(conditions) + number)) for number in chosen]
    ordered = [asked[index] for index in rng.permutation(len(asked))]
    return _with_repeats(ordered, repeated, rng)


def _tree(members: Sequence[int], rng: np.random.Generator) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """All pairs of ``members`` in random order: those that link the members without a loop, and the rest."""
    group = {member: member for member in members}
    pairs = list(combinations(members, 2))
    tree: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for index in rng.permutation(len(pairs)):
        a, b = pairs[index]
        (rest if group[a] == group[b] else tree).append((a, b))
        group = {member: group[a] if root == group[b] else root for member, root in group.items()}
    return tree, rest


def _spread(lists: Sequence[Sequence[tuple[int, int]]]) -> Iterator[tuple[int, int]]:
    """One of each list in turn."""
    for turn in zip_longest(*lists):
        yield from (pair for pair in turn if pair is not None)


def _with_repeats(ordered: list[Question], count: int, rng: np.random.Generator) -> list[Question]:
    """``ordered`` with ``count`` of its pairs again, each about half the list away from its first showing."""
    pairs = [index for index, question in enumerate(ordered) if question.kind == "pair"]
    again = sorted(rng.permutation(pairs)[:count], reverse=True)
    found: list[tuple[float, Question]] = [(float(index), question) for index, question in enumerate(ordered)]
    for index in again:
        place = (index + len(ordered) / 2) % len(ordered) - 0.5
        found.append((place, Question("repeat", ordered[index].pictures)))
    return [question for _, question in sorted(found, key=lambda pair: pair[0])]
