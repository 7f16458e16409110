"""Integer probability tables for the range coder: any number of them in flat arrays, each with its own symbols.

Encoder and decoder must agree on every count, so a table consists of integers from the start, and
:meth:`Tables.digest` identifies them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from bench.errors import UsageError

# Bits: the counts of a table sum to 2^PRECISION. It is compiled into kernels.py: delete its cache after a change.
PRECISION = 24
MAX_SYMBOLS = 1 << 16  # of one table: a count of one per symbol must not distort it


@dataclass(frozen=True, eq=False)
class Tables:
    """T tables; table t covers the symbols ``minimum[t] .. minimum[t] + size[t] - 1`` and, with an escape, all others.

    minimum, size, start: int32 (T,). escape: bool (T,). cumulative: int32, flat; those of table t start at
    ``start[t]``: 0, the first count, ..., 2^PRECISION. The escape's count is the last. Arrays are read-only.
    """

    minimum: np.ndarray
    size: np.ndarray
    escape: np.ndarray
    start: np.ndarray
    cumulative: np.ndarray

    @classmethod
    def from_pmfs(
        cls,
        pmfs: Sequence[np.ndarray],
        minimums: Sequence[int],
        escape: Sequence[float | None] | None = None,
    ) -> Tables:
        """One table per pmf (float64, with any positive sum); its first symbol is ``minimums[t]``.

        escape: by table, the probability mass of all symbols outside it, or None for no escape; None: no table has one.
        Every symbol and escape gets a count of at least 1. Raises UsageError for masses that are not probabilities.
        """
        if not len(pmfs) == len(minimums) == (len(pmfs) if escape is None else len(escape)):
            raise ValueError(f"{len(pmfs)} pmfs, {len(minimums)} minimums and escapes: expected as many of each")
        outside = np.full(len(pmfs), np.nan)
        if escape is not None:
            outside[:] = [np.nan if mass is None else mass for mass in escape]
        flat = np.concatenate([*pmfs, np.zeros(0)]).astype(np.float64)
        return cls.from_flat(flat, np.array([len(pmf) for pmf in pmfs], np.int64), np.asarray(minimums), outside)

    @classmethod
    def from_flat(cls, mass: np.ndarray, size: np.ndarray, minimum: np.ndarray, escape: np.ndarray) -> Tables:
        """As :meth:`from_pmfs`, for very many tables: the pmfs concatenated, NaN in ``escape`` for none.

        mass: float64 (sum of size,). size, minimum: integers (T,). escape: float64 (T,).
        """
        size, has_escape = np.asarray(size, np.int64), ~np.isnan(escape)
        symbols = size + has_escape
        if len(size) and not 1 <= size.min() <= symbols.max() <= MAX_SYMBOLS:
            raise UsageError(f"building tables: expected 1..{MAX_SYMBOLS} symbols each, got {size.min()}..{size.max()}")
        if len(mass) != size.sum() or len(minimum) != len(size) or len(escape) != len(size):
            raise ValueError(f"{len(size)} tables of {size.sum()} symbols, but {len(mass)} masses were given")
        if len(size) and (minimum.min() < -(1 << 31) or (minimum + size).max() > 1 << 31):
            raise ValueError("building tables: their symbols must be integers of 32 bits")
        start = np.concatenate([[0], np.cumsum(symbols + 1)])
        cumulative = np.zeros(start[-1], np.int32)
        wrong = _accumulate(np.ascontiguousarray(mass, np.float64), size, escape, start, cumulative)
        if wrong >= 0:
            raise UsageError(
                f"building table {wrong} of {len(size)}: expected finite masses >= 0 with a positive sum; "
                "are the weights behind it those of a trained model?"
            )
        arrays = minimum.astype(np.int32), size.astype(np.int32), has_escape, start[:-1].astype(np.int32), cumulative
        for array in arrays:
            array.flags.writeable = False
        return cls(*arrays)

    def __len__(self) -> int:
        return len(self.size)

    def counts(self, table: int) -> np.ndarray:
        """The counts of one table (int32), the escape's last; they sum to 2^PRECISION."""
        start = self.start[table]
        return np.diff(self.cumulative[start : start + self.size[table] + self.escape[table] + 1])

    def digest(self) -> bytes:
        """sha256 of everything that decides how a symbol is coded."""
        digest = hashlib.sha256(f"range coder tables, {PRECISION} bits, {len(self)}".encode())
        for array in (self.minimum, self.size, self.escape, self.cumulative):
            digest.update(array.astype("<i4").tobytes())
        return digest.digest()

    def ideal_bits(self, symbols: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The code length in bits (float64) of each symbol in table ``which``: -log2 of its share, plus any escape.

        symbols, which: integers of one shape. Infinite for a symbol outside a table without escape.
        """
        symbols, which = np.broadcast_arrays(np.asarray(symbols, np.int64), which)
        place = symbols - self.minimum[which]
        outside = (place < 0) | (place >= self.size[which])
        at = self.start[which] + np.where(outside, self.size[which], place)
        count = np.where(outside & ~self.escape[which], 0, self._count_at(at))
        excess = np.where(place < 0, -place, place - self.size[which] + 1)  # >= 1 outside
        with np.errstate(divide="ignore"):
            bits = PRECISION - np.log2(count)
        return bits + np.where(outside, 2 * np.frexp(np.maximum(excess, 1))[1], 0)

    def _count_at(self, at: np.ndarray) -> np.ndarray:
        last = len(self.cumulative) - 1
        return self.cumulative[np.minimum(at + 1, last)] - self.cumulative[at]


@numba.njit(cache=True)
def _accumulate(mass, size, escape, start, cumulative):  # pragma: no cover
    """Fill ``cumulative``; the first table whose masses are no probabilities, or -1.

    The cumulative masses are rounded, not the masses: no error adds up, and one pass in a fixed order gives the same
    integers everywhere.
    """
    first = 0
    for t in range(size.shape[0]):
        n = size[t]
        total = 0.0
        for i in range(first, first + n):
            if not 0.0 <= mass[i] < np.inf:
                return t
            total += mass[i]
        symbols = start[t + 1] - start[t] - 1
        if symbols > n:
            if not 0.0 <= escape[t] < np.inf:
                return t
            total += escape[t]
        if not 0.0 < total < np.inf:
            return t
        rest = (1 << PRECISION) - symbols  # beyond the count of 1 that each symbol has
        below = 0.0
        for i in range(n):
            below += mass[first + i]
            cumulative[start[t] + i + 1] = int(below / total * rest + 0.5) + i + 1
        cumulative[start[t] + symbols] = 1 << PRECISION
        first += n
    return -1
