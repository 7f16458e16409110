"""A range coder: first in, first out, and every prefix of its bytes decodes as far as they decide.

After G. N. N. Martin, "Range encoding" (1979), with carries. The whole stream is one number in [0, 1), written from its
most significant byte; each symbol narrows the interval it lies in, in proportion to its count. ``span``, the interval's
width, is kept in (2^48, 2^56] units, so dividing it into 2^24 parts loses less than 1e-7 bit a symbol. The last symbol
of a table takes what the division leaves over: the parts cover the interval, and every string of bytes is a stream.

A value outside its table follows the escape symbol as its side (one bit) and its distance in Exp-Golomb code, each bit
halving the interval.
"""

from __future__ import annotations

import numba
import numpy as np

from bench.errors import BitstreamError
from codecs_wrappers.learned.entropy.tables import PRECISION, Tables

_WINDOW = 56  # bits of the number that the coder works on
_LEAST = 1 << 48  # the span is widened, by one byte, as soon as it is not above this
_MASK = (1 << _WINDOW) - 1
_MAX_SYMBOL_BYTES = 4 + 9  # a table's symbol, and an escaped value's side and 65 bits
_GOLOMB_LIMIT = 32  # bits of the largest distance from a table, for symbols of 32 bits


class RangeEncoder:
    """Codes symbols in the order they come; :meth:`finish` gives the bytes."""

    def __init__(self) -> None:
        self._out = np.empty(1 << 16, np.uint8)
        self._state = np.array([0, 1 << _WINDOW, 0], np.int64)  # low, span, bytes written

    def encode(self, symbols: np.ndarray, which: np.ndarray, tables: Tables) -> None:
        """Append ``symbols`` (integers of 32 bits), each coded by the table of ``tables`` that ``which`` names.

        Raises ValueError, and appends nothing, for a table that is not there or a symbol outside one without escape.
        """
        symbols, which = _int32(symbols), _int32(which)
        if symbols.shape != which.shape:
            raise ValueError(f"{symbols.size} symbols, but {which.size} tables were named for them")
        _check_tables(which, tables)
        misfit = _first_misfit(symbols, which, tables.minimum, tables.size, tables.escape)
        if misfit >= 0:
            t = which[misfit]
            raise ValueError(
                f"symbol {symbols[misfit]} (number {misfit}) lies outside its table {t}, which covers "
                f"{tables.minimum[t]}..{tables.minimum[t] + tables.size[t] - 1} and has no escape"
            )
        written = self._state[2]
        needed = written + symbols.size * _MAX_SYMBOL_BYTES
        if needed > len(self._out):
            out = np.empty(max(needed, 2 * len(self._out)), np.uint8)  # memory is taken as it is written
            out[:written] = self._out[:written]
            self._out = out
        _encode(
            symbols, which, tables.minimum, tables.size, tables.start, tables.escape, tables.cumulative,
            self._state, self._out,
        )  # fmt: skip

    def finish(self) -> bytes:
        """All bytes. Their last one or two are the fewest that decide every symbol, whatever follows them."""
        low, span, written = (int(value) for value in self._state)
        tail, size = _tail(low, span)
        if tail >> _WINDOW:
            _carry(self._out, written)
        return self._out[:written].tobytes() + (tail & _MASK).to_bytes(_WINDOW // 8, "big")[:size]


class RangeDecoder:
    """Gives back the symbols of a :class:`RangeEncoder`'s bytes, or of a prefix of them."""

    def __init__(self, data: bytes, prefix: bool = False) -> None:
        """prefix: ``data`` may end early; then those symbols are decoded that it decides whatever would follow."""
        self._data = np.frombuffer(data, np.uint8)
        self._prefix = prefix
        head = _WINDOW // 8
        code = int.from_bytes(data[:head].ljust(head, b"\0"), "big")
        unknown = (1 << 8 * max(0, head - len(data))) - 1  # the bytes to come add 0..unknown to the code
        self._state = np.array([code, 1 << _WINDOW, unknown, head], np.int64)  # code, span, unknown, bytes read
        self._ended = False

    def decode(self, which: np.ndarray, tables: Tables) -> np.ndarray:
        """The next symbols, int32 (n,), one for each table of ``tables`` that ``which`` (integers (n,)) names.

        Of a prefix they may be fewer: those that the bytes decide; then every later call gives none.
        Raises BitstreamError where a whole stream ends too early, or holds a value that no encoder writes.
        """
        which = _int32(which)
        _check_tables(which, tables)
        symbols = np.empty(0 if self._ended else which.size, np.int32)
        decoded, sound = _decode(
            symbols, which, tables.minimum, tables.size, tables.start, tables.escape, tables.cumulative,
            self._state, self._data,
        )  # fmt: skip
        if not sound:
            raise BitstreamError(f"symbol {decoded} of {which.size} is coded as a value beyond 32 bits: corrupt")
        self._ended = self._ended or decoded < which.size
        if self._ended and not self._prefix:
            raise BitstreamError(
                f"the range coder's {len(self._data)} bytes end after {decoded} of {which.size} symbols"
            )
        return symbols[:decoded]

    def finish(self) -> None:
        """Raises BitstreamError unless the bytes end just as an encoder ends them after the symbols decoded so far.

        With it, no two streams decode to the same symbols: a change of any byte changes a symbol or is found here.
        """
        code, span, _, read = (int(value) for value in self._state)
        head = _WINDOW // 8
        window = self._data[max(0, read - head) : read].tobytes().ljust(head, b"\0")
        number = int.from_bytes(window, "big")
        tail, size = _tail((number - code) & _MASK, span)
        expected = read - head + size
        if self._ended or len(self._data) != expected or number != tail & _MASK:
            raise BitstreamError(
                f"the range coder's {len(self._data)} bytes do not end as its encoder would end them (after {expected} "
                "bytes): bytes are missing, left over, or corrupt"
            )


def _tail(low: int, span: int) -> tuple[int, int]:
    """The number in [low, low + span) that needs the fewest bytes whatever follows them, and how many (0..2)."""
    for size in range(_WINDOW // 8 + 1):
        rest = _WINDOW - 8 * size
        number = -(-low >> rest) << rest
        if number + (1 << rest) <= low + span:
            return number, size
    raise ValueError(f"a span of {span} is empty")


def _int32(values: np.ndarray) -> np.ndarray:
    """Contiguous, one-dimensional int32. Raises ValueError for what is not one-dimensional, whole, and of 32 bits."""
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
        raise ValueError(f"there are {len(tables)} tables, numbers {which.min()}..{which.max()} were asked for")


@numba.njit(cache=True)
def _first_misfit(symbols, which, minimum, size, escape):  # pragma: no cover
    """The first symbol outside a table without escape, or -1."""
    for i in range(symbols.shape[0]):
        t = which[i]
        place = symbols[i] - minimum[t]
        if (place < 0 or place >= size[t]) and not escape[t]:
            return i
    return -1


@numba.njit(cache=True)
def _carry(out, written):  # pragma: no cover
    """Add one to the number written so far. It stays below 1, so some byte is not 255."""
    written -= 1
    while out[written] == 255:
        out[written] = 0
        written -= 1
    out[written] += 1


@numba.njit(cache=True, inline="always")
def _put(low, span, written, out):  # pragma: no cover
    """Write bytes until the span is wide again; (low, span, written)."""
    if low > _MASK:
        low &= _MASK
        _carry(out, written)
    while span <= _LEAST:
        out[written] = low >> (_WINDOW - 8)
        written += 1
        low = (low << 8) & _MASK
        span <<= 8
    return low, span, written


@numba.njit(cache=True)
def _put_bit(bit, low, span, written, out):  # pragma: no cover
    half = span >> 1
    if bit:
        return _put(low + half, span - half, written, out)
    return _put(low, half, written, out)


@numba.njit(cache=True)
def _put_outside(place, n, low, span, written, out):  # pragma: no cover
    """Side and distance of a symbol ``place`` after the minimum of a table of n symbols, in Exp-Golomb code."""
    distance = -place if place < 0 else place - n + 1  # >= 1
    low, span, written = _put_bit(place < 0, low, span, written, out)
    bits = 0
    while distance >> (bits + 1):
        low, span, written = _put_bit(True, low, span, written, out)
        bits += 1
    low, span, written = _put_bit(False, low, span, written, out)
    for shift in range(bits - 1, -1, -1):
        low, span, written = _put_bit((distance >> shift) & 1 == 1, low, span, written, out)
    return low, span, written


@numba.njit(cache=True)
def _encode(symbols, which, minimum, size, start, escape, cumulative, state, out):  # pragma: no cover
    low, span, written = state[0], state[1], state[2]
    for i in range(symbols.shape[0]):
        t = which[i]
        n = np.int64(size[t])
        place = np.int64(symbols[i]) - minimum[t]
        outside = place < 0 or place >= n
        symbol = n if outside else place
        at = start[t] + symbol
        unit = span >> PRECISION
        below = unit * cumulative[at]
        low += below
        span = span - below if symbol + 1 == n + escape[t] else unit * cumulative[at + 1] - below
        low, span, written = _put(low, span, written, out)
        if outside:
            low, span, written = _put_outside(place, n, low, span, written, out)
    state[0], state[1], state[2] = low, span, written


@numba.njit(cache=True, inline="always")
def _get(code, span, unknown, read, data):  # pragma: no cover
    """Read bytes until the span is wide again; (code, span, unknown, read)."""
    while span <= _LEAST:
        code <<= 8
        unknown <<= 8
        if read < data.shape[0]:
            code |= data[read]
        else:
            unknown |= 255
        read += 1
        span <<= 8
    return code, span, unknown, read


@numba.njit(cache=True)
def _get_bit(code, span, unknown, read, data):  # pragma: no cover
    """(bit, or -1 where the bytes do not decide it; code, span, unknown, read)."""
    half = span >> 1
    if code >= half:
        code, span, unknown, read = _get(code - half, span - half, unknown, read, data)
        return 1, code, span, unknown, read
    if code + unknown >= half:
        return -1, code, span, unknown, read
    code, span, unknown, read = _get(code, half, unknown, read, data)
    return 0, code, span, unknown, read


@numba.njit(cache=True)
def _get_outside(n, code, span, unknown, read, data):  # pragma: no cover
    """(place, whether it is decided, whether it is sound; code, span, unknown, read)."""
    below, code, span, unknown, read = _get_bit(code, span, unknown, read, data)
    if below < 0:
        return 0, False, True, code, span, unknown, read
    bits = 0
    while True:
        more, code, span, unknown, read = _get_bit(code, span, unknown, read, data)
        if more < 0:
            return 0, False, True, code, span, unknown, read
        if more == 0:
            break
        bits += 1
        if bits > _GOLOMB_LIMIT:
            return 0, True, False, code, span, unknown, read
    distance = 1
    for _ in range(bits):
        bit, code, span, unknown, read = _get_bit(code, span, unknown, read, data)
        if bit < 0:
            return 0, False, True, code, span, unknown, read
        distance = distance << 1 | bit
    return -distance if below == 1 else distance + n - 1, True, True, code, span, unknown, read


@numba.njit(cache=True)
def _decode(symbols, which, minimum, size, start, escape, cumulative, state, data):  # pragma: no cover
    """Fill ``symbols`` until one is undecided; (how many, whether the next one is sound). A symbol's state is kept
    only once it is decided."""
    code, span, unknown, read = state[0], state[1], state[2], state[3]
    done, sound = 0, True
    for i in range(symbols.shape[0]):
        t = which[i]
        n = np.int64(size[t])
        first = start[t]
        unit = span >> PRECISION
        symbol, count = np.int64(0), n + escape[t]
        left = count
        while left > 1:
            half = left >> 1
            if unit * cumulative[first + symbol + half] <= code:
                symbol += half
            left -= half
        below = unit * cumulative[first + symbol]
        above = span if symbol + 1 == count else unit * cumulative[first + symbol + 1]
        if code + unknown >= above:
            break
        code, span, unknown, read = _get(code - below, above - below, unknown, read, data)
        if symbol == n:
            symbol, decided, sound, code, span, unknown, read = _get_outside(n, code, span, unknown, read, data)
            if not decided or not sound:
                break
        symbol += minimum[t]
        if symbol < -(1 << 31) or symbol >= 1 << 31:
            sound = False
            break
        symbols[i] = symbol
        done = i + 1
    state[0], state[1], state[2], state[3] = code, span, unknown, read
    return done, sound
