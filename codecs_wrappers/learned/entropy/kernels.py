"""The range coder's loops, compiled. coder.py explains low, span, code and unknown."""

from __future__ import annotations

import numba
import numpy as np

from codecs_wrappers.learned.entropy.tables import PRECISION

WINDOW = 56  # bits of the number that the coder works on
MASK = (1 << WINDOW) - 1
LEAST = 1 << 48  # a span that is not above it is widened by a byte
GOLOMB_LIMIT = 31  # bits after the leading one of the largest distance from a table, for symbols of 32 bits


@numba.njit(cache=True)
def first_misfit(symbols, which, minimum, size, escape):  # pragma: no cover
    """The first symbol outside a table without escape, or -1."""
    for i in range(symbols.shape[0]):
        t = which[i]
        place = symbols[i] - minimum[t]
        if (place < 0 or place >= size[t]) and not escape[t]:
            return i
    return -1


@numba.njit(cache=True)
def carry(out, written):  # pragma: no cover
    """Add one to the number written so far. It stays below 1, so some byte is not 255."""
    written -= 1
    while out[written] == 255:
        out[written] = 0
        written -= 1
    out[written] += 1


@numba.njit(cache=True)
def _put(low, span, written, out):  # pragma: no cover
    """Write bytes until the span is wide again; (low, span, written)."""
    if low > MASK:
        low &= MASK
        carry(out, written)
    while span <= LEAST:
        out[written] = low >> (WINDOW - 8)
        written += 1
        low = (low << 8) & MASK
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
def encode(symbols, which, minimum, size, start, escape, cumulative, state, out):  # pragma: no cover
    """Append ``symbols``, all of them inside their tables or with an escape, to ``out``."""
    low, span, written = state[0], state[1], state[2]
    for i in range(symbols.shape[0]):
        t = which[i]
        n = np.int64(size[t])
        place = np.int64(symbols[i]) - minimum[t]
        outside = place < 0 or place >= n
        part = n if outside else place
        at = start[t] + part
        unit = span >> PRECISION
        below = unit * cumulative[at]
        low += below
        span = span - below if part + 1 == n + escape[t] else unit * cumulative[at + 1] - below
        low, span, written = _put(low, span, written, out)
        if outside:
            low, span, written = _put_outside(place, n, low, span, written, out)
    state[0], state[1], state[2] = low, span, written


@numba.njit(cache=True)
def _get(code, span, unknown, read, data):  # pragma: no cover
    """Read bytes until the span is wide again; (code, span, unknown, read)."""
    while span <= LEAST:
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
    """(place, or 0 where the bytes do not decide it; code, span, unknown, read)."""
    before, code, span, unknown, read = _get_bit(code, span, unknown, read, data)
    bits, more = -1, np.int64(1)
    while more == 1 and before >= 0 and bits <= GOLOMB_LIMIT:
        more, code, span, unknown, read = _get_bit(code, span, unknown, read, data)
        bits += 1
    if before < 0 or more < 0:
        return np.int64(0), code, span, unknown, read
    distance = np.int64(1)
    for _ in range(bits):
        bit, code, span, unknown, read = _get_bit(code, span, unknown, read, data)
        if bit < 0:
            return np.int64(0), code, span, unknown, read
        distance = distance << 1 | bit
    return -distance if before == 1 else distance + n - 1, code, span, unknown, read


@numba.njit(cache=True)
def decode(symbols, which, minimum, size, start, escape, cumulative, state, data):  # pragma: no cover
    """Fill ``symbols`` up to the first that the bytes do not decide, or whose value no encoder writes.

    (how many were filled; whether the one after them is no such value). After less than all, ``state`` is of no use.
    """
    code, span, unknown, read = state[0], state[1], state[2], state[3]
    done, sound = 0, True
    for i in range(symbols.shape[0]):
        t = which[i]
        n = np.int64(size[t])
        first = start[t]
        unit = span >> PRECISION
        place, parts = np.int64(0), n + escape[t]
        left = parts
        while left > 1:
            half = left >> 1
            if unit * cumulative[first + place + half] <= code:
                place += half
            left -= half
        below = unit * cumulative[first + place]
        above = span if place + 1 == parts else unit * cumulative[first + place + 1]
        if code + unknown >= above:
            break
        code, span, unknown, read = _get(code - below, above - below, unknown, read, data)
        if place == n:
            place, code, span, unknown, read = _get_outside(n, code, span, unknown, read, data)
            if place == 0:
                break
        symbol = place + minimum[t]
        if symbol < -(1 << 31) or symbol >= 1 << 31:
            sound = False
            break
        symbols[i] = symbol
        done = i + 1
    state[0], state[1], state[2], state[3] = code, span, unknown, read
    return done, sound
