"""A range coder: first in, first out; every prefix of its bytes decodes as far as it determines symbols.

After G. N. N. Martin, "Range encoding" (1979), with carries. The whole stream is one number in [0, 1), written from its
most significant byte; each symbol narrows the interval it lies in, in proportion to its count. ``span``, the interval's
width, is kept in (2^48, 2^56] units, so dividing it into 2^24 parts loses less than 1e-7 bit per symbol. The last
symbol of a table takes the remainder of the division: the parts cover the interval, and every string of bytes is a
stream.

A value outside its table is coded after the escape symbol as its side (one bit) and its distance in Exp-Golomb code;
each bit halves the interval.
"""

from __future__ import annotations

import math

import numpy as np

from bench.errors import BitstreamError
from codecs_wrappers.learned.entropy import kernels
from codecs_wrappers.learned.entropy.kernels import MASK, WINDOW
from codecs_wrappers.learned.entropy.tables import Tables

_HEAD = WINDOW // 8  # bytes
_MAX_SYMBOL_BYTES = 3 + 8 + 1  # a count of 1, an escaped value's side and 63 bits, and bytes not yet written


class RangeEncoder:
    """Codes symbols in the order given; :meth:`finish` returns the bytes."""

    def __init__(self) -> None:
        self._out = np.empty(1 << 16, np.uint8)
        self._state = np.array([0, 1 << WINDOW, 0], np.int64)  # low, span, bytes written

    def encode(self, symbols: np.ndarray, which: np.ndarray, tables: Tables) -> None:
        """Append ``symbols`` (32-bit integers), each coded with the table of ``tables`` that ``which`` names.

        Raises ValueError, and appends nothing, for a missing table or a symbol outside a table without escape.
        """
        symbols, which = _int32(symbols), _int32(which)
        if symbols.shape != which.shape:
            raise ValueError(f"{symbols.size} symbols, but {which.size} table numbers")
        _check_tables(which, tables)
        misfit = kernels.first_misfit(symbols, which, tables.minimum, tables.size, tables.escape)
        if misfit >= 0:
            t = which[misfit]
            raise ValueError(
                f"symbol {symbols[misfit]} (number {misfit}) lies outside its table {t}, which covers "
                f"{tables.minimum[t]}..{tables.minimum[t] + tables.size[t] - 1} and has no escape"
            )
        written = self._state[2]
        needed = written + symbols.size * _MAX_SYMBOL_BYTES
        if needed > len(self._out):
            out = np.empty(max(needed, 2 * len(self._out)), np.uint8)  # the system allocates memory as it is written
            out[:written] = self._out[:written]
            self._out = out
        kernels.encode(
            symbols, which, tables.minimum, tables.size, tables.start, tables.escape, tables.cumulative,
            self._state, self._out,
        )  # fmt: skip

    @property
    def bits(self) -> float:
        """The length so far, not rounded up to bytes: where in the stream the next symbol begins."""
        _, span, written = (int(value) for value in self._state)
        return 8 * written + WINDOW - math.log2(span)

    def finish(self) -> bytes:
        """All bytes. The last one or two are the fewest that determine every symbol, whatever follows them."""
        low, span, written = (int(value) for value in self._state)
        tail, size = _tail(low, span)
        out = self._out[:written].copy()
        if tail >> WINDOW:
            kernels.carry(out, written)
        return out.tobytes() + (tail & MASK).to_bytes(_HEAD, "big")[:size]


class RangeDecoder:
    """Returns the symbols of a :class:`RangeEncoder`'s bytes, or of a prefix of them."""

    def __init__(self, data: bytes, prefix: bool = False) -> None:
        """prefix: ``data`` may end early; then only the symbols that it determines, whatever follows, are decoded."""
        self._data = np.frombuffer(data, np.uint8)
        self._prefix = prefix
        code = int.from_bytes(data[:_HEAD].ljust(_HEAD, b"\0"), "big")
        unknown = (1 << 8 * max(0, _HEAD - len(data))) - 1  # the bytes to come add 0..unknown to the code
        self._state = np.array([code, 1 << WINDOW, unknown, _HEAD], np.int64)  # code, span, unknown, bytes read
        self._ended = False

    def decode(self, which: np.ndarray, tables: Tables) -> np.ndarray:
        """The next symbols, int32 (n,), one for each table of ``tables`` that ``which`` (integers (n,)) names.

        From a prefix they may be fewer, those that the bytes determine; then every later call returns none.
        Raises BitstreamError if a whole stream ends too early or contains a value that no encoder writes.
        """
        which = _int32(which)
        _check_tables(which, tables)
        symbols = np.empty(0 if self._ended else which.size, np.int32)
        decoded, sound = kernels.decode(
            symbols, which, tables.minimum, tables.size, tables.start, tables.escape, tables.cumulative,
            self._state, self._data,
        )  # fmt: skip
        if not sound:
            raise BitstreamError(
                f"symbol {decoded} of {which.size} is coded as a value beyond 32 bits; the stream is corrupt"
            )
        self._ended = self._ended or decoded < which.size
        if self._ended and not self._prefix:
            raise BitstreamError(
                f"the range coder's {len(self._data)} bytes end after {decoded} of {which.size} symbols"
            )
        return symbols[:decoded]

    def finish(self) -> None:
        """Raises BitstreamError unless the bytes end exactly as an encoder ends them after the symbols decoded so far.

        With this check no two streams decode to the same symbols: any changed byte changes a symbol or is found here.
        """
        code, span, _, read = (int(value) for value in self._state)
        number = int.from_bytes(self._data[read - _HEAD : read].tobytes().ljust(_HEAD, b"\0"), "big")
        tail, size = _tail((number - code) & MASK, span)
        expected = read - _HEAD + size
        if self._ended or len(self._data) != expected or number != tail & MASK:
            raise BitstreamError(
                f"the range coder's {len(self._data)} bytes do not end as an encoder would end them (after {expected} "
                "bytes): bytes are missing, left over, or corrupt"
            )


def _tail(low: int, span: int) -> tuple[int, int]:
    """The number in [low, low + span) that needs the fewest bytes, whatever follows them, and how many (0..2)."""
    for size in range(_HEAD + 1):
        rest = WINDOW - 8 * size
        number = -(-low >> rest) << rest
        if number + (1 << rest) <= low + span:
            return number, size
    raise ValueError(f"a span of {span} is empty")


def _int32(values: np.ndarray) -> np.ndarray:
    """``values`` as contiguous int32. Raises ValueError unless they are one-dimensional integers of 32 bits."""
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"expected a one-dimensional array of integers, got {values.dtype} of shape {values.shape}")
    if not np.can_cast(values.dtype, np.int32) and values.size:
        least, most = int(values.min()), int(values.max())
        if least < -(1 << 31) or most >= 1 << 31:
            raise ValueError(f"expected integers of 32 bits, got {least}..{most}")
    return np.ascontiguousarray(values, np.int32)


def _check_tables(which: np.ndarray, tables: Tables) -> None:
    if which.size and not 0 <= which.min() <= which.max() < len(tables):
        raise ValueError(f"expected table numbers 0..{len(tables) - 1}, got {which.min()}..{which.max()}")
