"""Binary decisions in and out of bytes: raw bits, or an adaptive binary range coder whose every prefix decodes.

The range coder is that of LZMA (carry by a cached byte; G. Martin, "Range encoding", 1979) without its first byte,
which is always 0. A decoder that has run out of bytes keeps the interval of all values that the missing ones could
give, and continues as long as all of them lead to the same decision: it returns exactly what a prefix determines.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MODE, LOW, RANGE, CACHE, PENDING, POSITION, LIMIT = range(7)
CODE, UNKNOWN = LOW, CACHE  # the decoder's names for two of them
REGISTERS = 7

ENCODING, ARITHMETIC = 1, 2  # MODE is their sum: one compiled function serves encoder and decoder

STOP = np.int64(-1)  # what `decide` returns when the budget is spent or the prefix determines no more
RAW = np.int64(-1)  # the context of a decision coded as one plain bit (signs)

ONE = 1 << 16  # probabilities are integers in 1/65536
FLOOR = 48
FAST, SLOW, COUNT = range(3)  # columns of a model: two estimates of the probability of a 0, and the number of uses
FAST_SHIFT, SLOW_SHIFT = 4, 7


def new_models(contexts: int) -> np.ndarray:
    """One adaptive model per context (int32, contexts x 3), all at probability one half."""
    models = np.zeros((contexts, 3), np.int32)
    models[:, :2] = ONE // 2
    return models


@njit
def start(data, mode, limit):
    """The registers (int64) at the start. ``limit``: bytes of ``data`` to write at most, or that there are to read."""
    registers = np.zeros(REGISTERS, np.int64)
    registers[MODE] = mode
    registers[LIMIT] = limit
    registers[RANGE] = (1 << 32) - 1
    if mode & ENCODING:
        registers[CACHE] = -1  # the byte of LZMA that is not written
    elif mode & ARITHMETIC:
        for _ in range(4):
            _read_byte(registers, data)
        registers[CODE] = min(registers[CODE], registers[RANGE] - 1)  # no encoder makes the one value above
    return registers


@njit
def decide(registers, data, models, context, bit):
    """Codes ``bit`` (encoder), or returns the bit that was coded (decoder); STOP when there is no more room."""
    mode = registers[MODE]
    if mode == ENCODING:
        return _put_bit(registers, data, bit)
    if mode == 0:
        return _get_bit(registers, data)
    if context == RAW:
        bound = registers[RANGE] >> 1
    else:
        bound = (registers[RANGE] * ((models[context, FAST] + models[context, SLOW]) >> 1)) >> 16
    if mode & ENCODING:
        if registers[POSITION] >= registers[LIMIT] + 8:
            return STOP
    elif registers[CODE] + registers[UNKNOWN] < bound:
        bit = 0
    elif registers[CODE] >= bound:
        bit = 1
    else:
        return STOP
    if bit:
        registers[LOW] += bound if mode & ENCODING else -bound
        registers[RANGE] -= bound
    else:
        registers[RANGE] = bound
    while registers[RANGE] < 1 << 24:
        registers[RANGE] <<= 8
        if mode & ENCODING:
            _shift_low(registers, data)
        else:
            _read_byte(registers, data)
    if context != RAW:
        _adapt(models, context, bit)
    return bit


@njit
def finish(registers, data):
    """Writes what is still in the registers; returns the bytes of the stream."""
    if registers[MODE] & ARITHMETIC:
        for _ in range(5):
            _shift_low(registers, data)
        return min(registers[POSITION], registers[LIMIT])
    return min((registers[POSITION] + 7) >> 3, registers[LIMIT])


@njit
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


@njit
def _put_bit(registers, data, bit):
    at = registers[POSITION]
    if at >= 8 * registers[LIMIT]:
        return STOP
    if bit:
        data[at >> 3] |= 128 >> (at & 7)
    registers[POSITION] = at + 1
    return bit


@njit
def _get_bit(registers, data):
    at = registers[POSITION]
    if at >= 8 * registers[LIMIT]:
        return STOP
    registers[POSITION] = at + 1
    return (np.int64(data[at >> 3]) >> (7 - (at & 7))) & 1


@njit
def _shift_low(registers, data):
    """Moves the top byte of LOW out; bytes 255 wait, because a carry may still turn them over."""
    low = registers[LOW]
    if low < 0xFF000000 or low > 0xFFFFFFFF:
        carry = low >> 32
        if registers[CACHE] >= 0:
            _write_byte(registers, data, registers[CACHE] + carry)
        for _ in range(registers[PENDING]):
            _write_byte(registers, data, 255 + carry)
        registers[PENDING] = 0
        registers[CACHE] = (low >> 24) & 255
    else:
        registers[PENDING] += 1
    registers[LOW] = (low & 0x00FFFFFF) << 8


@njit
def _write_byte(registers, data, byte):
    if registers[POSITION] < len(data):
        data[registers[POSITION]] = byte & 255
    registers[POSITION] += 1


@njit
def _read_byte(registers, data):
    """Takes the next byte into CODE; past the end, CODE is the least and CODE + UNKNOWN the greatest it can be."""
    registers[CODE] <<= 8
    registers[UNKNOWN] <<= 8
    if registers[POSITION] < registers[LIMIT]:
        registers[CODE] |= data[registers[POSITION]]
    else:
        registers[UNKNOWN] = min(registers[UNKNOWN] | 255, registers[RANGE] - 1 - registers[CODE])
    registers[POSITION] += 1
