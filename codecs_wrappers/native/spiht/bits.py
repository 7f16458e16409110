"""Binary decisions in and out of bytes: raw bits, or an adaptive binary range coder whose every prefix decodes.

The range coder is that of LZMA (carry by a cached byte; G. Martin, "Range encoding", 1979) without its first byte,
which is always 0. A decoder that has run out of bytes keeps the interval of all values the missing ones could give
and goes on as long as every one of them gives the same decision: it returns all that a prefix determines, nothing else.

Its registers are an int64 array, so that one compiled function serves encoder and decoder:
"""

from __future__ import annotations

import numpy as np
from numba import njit

MODE, LOW, RANGE, CACHE, PENDING, POSITION, LIMIT = range(7)
CODE, UNKNOWN = LOW, CACHE  # the decoder's use of two of them
REGISTERS = 7

ENCODING, ARITHMETIC = 1, 2  # MODE is their sum

STOP = -1  # what `decide` returns when the budget is spent or the prefix determines no more
RAW = -1  # context of a decision that is coded as one plain bit (signs)

ONE = 1 << 16  # probabilities are integers in 1/65536
FLOOR = 48
FAST, SLOW, COUNT = range(3)  # columns of a model: two estimates of the probability of a 0, and how often it was used
FAST_SHIFT, SLOW_SHIFT = 4, 7


def new_models(contexts: int) -> np.ndarray:
    """Adaptive models (int32, contexts x 3), all at probability one half."""
    models = np.zeros((contexts, 3), np.int32)
    models[:, :2] = ONE // 2
    return models


@njit(cache=True)
def start(coder, data, encoding, arithmetic, limit):
    """Sets the registers up. ``limit``: bytes of ``data`` to write at most, or that there are to read."""
    coder[:] = 0
    coder[MODE] = ENCODING * encoding + ARITHMETIC * arithmetic
    coder[LIMIT] = limit
    coder[RANGE] = (1 << 32) - 1
    if encoding:
        coder[CACHE] = -1  # the byte of LZMA that is not written
    elif arithmetic:
        for _ in range(4):
            _read_byte(coder, data)
        coder[CODE] = min(coder[CODE], coder[RANGE] - 1)  # no encoder makes the one value above


@njit(cache=True)
def decide(coder, data, models, context, bit):
    """Codes ``bit`` (encoder), or returns the bit that was coded (decoder); STOP when there is no more room."""
    mode = coder[MODE]
    if mode == ENCODING:
        return _put_bit(coder, data, bit)
    if mode == 0:
        return _get_bit(coder, data)
    if context == RAW:
        bound = coder[RANGE] >> 1
    else:
        bound = (coder[RANGE] * ((models[context, FAST] + models[context, SLOW]) >> 1)) >> 16
    if mode & ENCODING:
        if coder[POSITION] >= coder[LIMIT] + 8:
            return STOP
    elif coder[CODE] + coder[UNKNOWN] < bound:
        bit = 0
    elif coder[CODE] >= bound:
        bit = 1
    else:
        return STOP
    if bit:
        coder[LOW] += bound if mode & ENCODING else -bound
        coder[RANGE] -= bound
    else:
        coder[RANGE] = bound
    while coder[RANGE] < 1 << 24:
        coder[RANGE] <<= 8
        if mode & ENCODING:
            _shift_low(coder, data)
        else:
            _read_byte(coder, data)
    if context != RAW:
        _adapt(models, context, bit)
    return bit


@njit(cache=True)
def finish(coder, data):
    """Writes what is still in the registers; returns the bytes of the stream."""
    if coder[MODE] & ARITHMETIC:
        for _ in range(5):
            _shift_low(coder, data)
        return min(coder[POSITION], coder[LIMIT])
    return min((coder[POSITION] + 7) >> 3, coder[LIMIT])


@njit(cache=True)
def _adapt(models, context, bit):
    target = FLOOR if bit else ONE - FLOOR
    to_fast, to_slow = target - models[context, FAST], target - models[context, SLOW]
    count = models[context, COUNT]
    if count < 1 << SLOW_SHIFT:  # young: the estimate is nearly the mean of what came
        models[context, COUNT] = count + 1
        models[context, FAST] += to_fast // min(count + 2, 1 << FAST_SHIFT)
        models[context, SLOW] += to_slow // (count + 2)
    else:
        models[context, FAST] += to_fast >> FAST_SHIFT
        models[context, SLOW] += to_slow >> SLOW_SHIFT


@njit(cache=True)
def _put_bit(coder, data, bit):
    at = coder[POSITION]
    if at >= 8 * coder[LIMIT]:
        return STOP
    if bit:
        data[at >> 3] |= 128 >> (at & 7)
    coder[POSITION] = at + 1
    return bit


@njit(cache=True)
def _get_bit(coder, data):
    at = coder[POSITION]
    if at >= 8 * coder[LIMIT]:
        return STOP
    coder[POSITION] = at + 1
    return (np.int64(data[at >> 3]) >> (7 - (at & 7))) & 1


@njit(cache=True)
def _shift_low(coder, data):
    """Moves the top byte of LOW out; bytes 255 wait, because a carry may still turn them over."""
    low = coder[LOW]
    if low < 0xFF000000 or low > 0xFFFFFFFF:
        carry = low >> 32
        if coder[CACHE] >= 0:
            _write_byte(coder, data, coder[CACHE] + carry)
        for _ in range(coder[PENDING]):
            _write_byte(coder, data, 255 + carry)
        coder[PENDING] = 0
        coder[CACHE] = (low >> 24) & 255
    else:
        coder[PENDING] += 1
    coder[LOW] = (low & 0x00FFFFFF) << 8


@njit(cache=True)
def _write_byte(coder, data, byte):
    if coder[POSITION] < len(data):
        data[coder[POSITION]] = byte & 255
    coder[POSITION] += 1


@njit(cache=True)
def _read_byte(coder, data):
    """Takes the next byte into CODE; past the end, CODE is the least and CODE + UNKNOWN the greatest it can be."""
    coder[CODE] <<= 8
    coder[UNKNOWN] <<= 8
    if coder[POSITION] < coder[LIMIT]:
        coder[CODE] |= data[coder[POSITION]]
    else:
        coder[UNKNOWN] = min(coder[UNKNOWN] | 255, coder[RANGE] - 1 - coder[CODE])
    coder[POSITION] += 1
