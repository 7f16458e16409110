"""Which known cause makes somebody's curve differ from ours, and how much of the gap is left once it is applied.

Our curve is computed again under each cause. The residual is the root mean square of the difference in quality at equal
rates. A cause explains the gap if it takes away at least EXPLAINED of what the gap has above the noise floor: FLOOR_DB,
which numbers rounded to two decimals need, or the error of interpolation where the two have no points in common under
that cause. Of causes that leave equally little, the simpler one is named: one without a fitted number before one with,
one cause before two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.exchange.causes import Cause
from bench.exchange.gap import Averaging, Cells, Curve, Gap, averagings, fitted_bytes, gap, interpolation_error_db

FLOOR_DB = 0.01
EXPLAINED = 0.75  # of the gap above the floor
SHOWN = 12  # causes in the terminal
NONE, EXPLAINS, UNEXPLAINED = "no gap", "explained", "unexplained"


@dataclass(frozen=True)
class Tried:
    """A cause, or two together, and the gap that is left. rank: of simplicity, 0 = one cause without a fitted number.

    floor_db: the noise floor under it. share: of the gap above that floor, what it takes away, at most 1; below 0 it
    makes the gap larger.
    """

    key: str
    words: str
    rank: int
    left: Gap
    floor_db: float
    share: float
    curve: Curve


@dataclass(frozen=True)
class Explanation:
    """verdict: NONE, EXPLAINS or UNEXPLAINED. tried: the named cause first, then by what they leave."""

    verdict: str
    sentence: str
    before: Gap
    floor_db: float
    tried: tuple[Tried, ...]


def explain(theirs: Curve, as_measured: Cells, causes: Sequence[Cause], floor_db: float = FLOOR_DB) -> Explanation:
    """Tries every cause, every averaging, a constant of bytes a file, and each cause with each averaging.

    theirs: bpp and quality in dB. Raises UsageError if the curves share less than half of a range of rates.
    """
    base = as_measured.finite()
    ways = averagings(base)
    ours = ways[0].curve(base)
    before = gap(theirs, ours)
    if before is None:
        raise UsageError(
            f"explaining: their rates ({theirs[0].min():.3g} to {theirs[0].max():.3g} bpp) and ours "
            f"({ours[0].min():.3g} to {ours[0].max():.3g}) have less than half of the shorter range in common"
        )
    found = []
    for cause in [Cause("", "", base), *causes]:
        cells = cause.cells.finite()
        if cells.bpp.shape[1] < 2:
            continue
        for way in ways:
            found += _tried(theirs, cause, cells, way, before, floor_db)
    return _judged(before, max(floor_db, interpolation_error_db(theirs, ours)), floor_db, found)


def _tried(theirs: Curve, cause: Cause, cells: Cells, way: Averaging, before: Gap, floor_db: float) -> list[Tried]:
    """A cause with an averaging; and where pixels are as measured, with a fitted constant of bytes as well."""
    found = []
    curve = way.curve(cells)
    words = "; and ".join(filter(None, (cause.words, way.words)))
    keys = [key for key in (cause.key, way.key if way.words else "") if key]
    if words:
        found.append(_one(theirs, "+".join(keys), words, 2 * (len(keys) - 1), curve, before, floor_db))
    if not cause.key:
        per_byte = 8 * float((1 / cells.pixels).mean())
        count = fitted_bytes(theirs, curve, per_byte)
        if count:
            fitted = f"{abs(count)} bytes {'more' if count > 0 else 'fewer'} in every file (fitted)"
            moved = (curve[0] + count * per_byte, curve[1])
            both = "; and ".join(filter(None, (fitted, words)))
            found.append(_one(theirs, "+".join(["bytes", *keys]), both, 1 + 2 * len(keys), moved, before, floor_db))
    return [it for it in found if it is not None]


def _one(theirs: Curve, key: str, words: str, rank: int, curve: Curve, before: Gap, floor_db: float) -> Tried | None:
    left = gap(theirs, curve)
    if left is None:
        return None
    own_floor = max(floor_db, interpolation_error_db(theirs, curve))
    above = before.rms_db - own_floor
    share = min((before.rms_db - left.rms_db) / above, 1.0) if above > 0 else 0.0
    return Tried(key, words, rank, left, own_floor, share, curve)


def _judged(before: Gap, noise_db: float, floor_db: float, found: Sequence[Tried]) -> Explanation:
    tried = sorted(found, key=lambda it: it.left.rms_db)
    if before.rms_db <= noise_db:
        said = f"no gap: the curves agree within the noise floor ({before.rms_db:.4f} dB of {noise_db:.4f} dB)"
        return Explanation(NONE, said, before, noise_db, tuple(tried))
    if not tried:
        return Explanation(UNEXPLAINED, "no known cause could be tried", before, noise_db, ())
    least = tried[0]
    apart = least.floor_db if least.floor_db > floor_db else floor_db / 2  # only interpolation blurs that much
    close = [it for it in tried if it.left.rms_db <= max(least.left.rms_db + apart, floor_db)]
    close = [it for it in close if it.share >= EXPLAINED] or close
    best = min(close, key=lambda it: (it.rank, it.left.rms_db))
    tried = [best, *(it for it in tried if it is not best)]
    part = f"{100 * best.share:.0f} % of the gap above the noise floor"
    numbers = f"from {before.rms_db:.3f} to {best.left.rms_db:.3f} dB"
    if best.share < EXPLAINED:
        taken = f"{100 * max(best.share, 0):.0f} %"
        said = f"no known cause explains it: the best, {best.words}, takes away {taken} ({numbers})"
        return Explanation(UNEXPLAINED, said, before, noise_db, tuple(tried))
    said = f"{best.words}: explains {part} ({numbers})"
    if equal := [it.words for it in close if it is not best and it.rank <= best.rank]:
        said += f"; these numbers cannot tell it from: {', or '.join(equal)}"
    return Explanation(EXPLAINS, said, before, noise_db, tuple(tried))


def as_rows(found: Explanation) -> list[dict[str, Any]]:
    """A row for each cause tried, with our curve under it."""
    return [
        {"cause": it.key, "words": it.words, "share": it.share, "rms_db": it.left.rms_db, "mean_db": it.left.mean_db}
        | {"bd_rate_percent": it.left.bd_rate_percent, "bpp": it.curve[0].tolist(), "value": it.curve[1].tolist()}
        for it in found.tried
    ]


def as_text(found: Explanation, head: str) -> str:
    """The gap, the causes that leave least, and the verdict, for a terminal. head: what is compared."""

    def rate(value: float | None) -> str:
        return "none" if value is None else f"{value:+.2f} %"

    before = found.before
    lines = [
        head,
        f"gap: {before.rms_db:.3f} dB rms at equal rate (mean {before.mean_db:+.3f} dB), BD-rate "
        f"{rate(before.bd_rate_percent)}; noise floor {found.floor_db:.3f} dB",
        f"{'left, dB':>9} {'BD-rate':>9} {'explains':>9}  cause",
    ]
    for it in found.tried[:SHOWN]:
        share = f"{100 * it.share:.0f} %" if it.share > 0 else "no"
        lines.append(f"{it.left.rms_db:9.3f} {rate(it.left.bd_rate_percent):>9} {share:>9}  {it.words}")
    if len(found.tried) > SHOWN:
        lines.append(f"{'':29}  and {len(found.tried) - SHOWN} more that leave more (--json has them)")
    return "\n".join([*lines, found.sentence]) + "\n"
