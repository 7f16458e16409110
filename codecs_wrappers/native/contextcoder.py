"""A lossless coder for small noisy maps of 1 to 8 bits: binary decisions, mixed predictions, arithmetic coding.

A symbol is coded from its most significant bit down. Each bit's probability is mixed (logistic mixing as in Mahoney's
PAQ: weights learnt while coding, in the domain ln(p / (1 - p))) from

* five logistic densities, centred on predictions from the neighbourhood: the median-adaptive predictor of LOCO-I, a
  fixed average, and three least-squares predictors that forget at different speeds; their widths are the mean error so
  far at the same local activity;
* three counters of what followed in a context: the map, the prediction with the activity, and the two nearest symbols.

The decoder repeats every step, so each must give the same number on every machine: exponentials and logarithms come
from tables rounded to a grid far coarser than the differences between libraries, and the rest is IEEE 754 double
arithmetic in a fixed order (without fastmath, numba neither reorders nor fuses operations).
"""

from __future__ import annotations

import numba
import numpy as np

_SCALES = np.round(0.12 * 1.25 ** np.arange(32), 6)  # widths of the logistic densities, in steps of the symbols
_GRID = 8  # density centres per step
_REACH = 300 * _GRID  # tables span this far from the centre, beyond 256 + a half
_ONE = 1 << 24  # a probability of 1 in the table of densities
_LEVELS = 4096  # of a probability in the domain of mixing
_FINE = 64  # levels of ln(p / (1 - p)) per unit in the table back to probabilities
_FEATURES = 12  # of the least-squares predictors
_EXPERTS, _CONTEXTS, _ACTIVITIES = 5, 3, 8
_FORGETTING = np.array([1.0, 0.998, 0.98])
_RIDGE = 0.02  # pull of the least-squares weights towards a third of each of the two nearest symbols
_LEARNING_RATE = 0.02
_COUNT_LIMIT = 30.0  # counters forget what is older


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logistic distribution functions (_SCALES x offsets, of _ONE), ln(p / (1 - p)), and its inverse."""
    offsets = np.arange(-_REACH, _REACH + 1) / _GRID
    distribution = 1 / (1 + np.exp(-np.clip(offsets / _SCALES[:, None], -40, 40)))
    odds = (np.arange(_LEVELS) + 0.5) / (_LEVELS - 0.5 - np.arange(_LEVELS))
    inverse = 1 / (1 + np.exp(-np.arange(-12 * _FINE, 12 * _FINE + 1) / _FINE))
    return (
        np.rint(distribution * _ONE).astype(np.int64),
        np.rint(np.log(odds) * 2**20) / 2**20,
        np.rint(inverse * 2**20) / 2**20,
    )


def encode(maps: np.ndarray, bits: int) -> bytes:
    """The code of ``maps`` (uint8, C x H x W, values below 2^bits), without a header."""
    return _run(maps.copy(), bits, np.zeros(0, np.uint8), False).tobytes()


def decode(data: bytes, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    """The maps (uint8, C x H x W) of this shape. Any data decodes to something; the caller has to check it."""
    maps = np.zeros(shape, np.uint8)
    _run(maps, bits, np.frombuffer(data, np.uint8).copy(), True)
    return maps


def _run(maps: np.ndarray, bits: int, data: np.ndarray, decoding: bool) -> np.ndarray:
    # A bit costs at most 12 bits, or 32 while the coder's interval is at its narrowest; 8 bytes for the end.
    out = np.zeros(0 if decoding else maps.size * bits * 4 + 8, np.uint8)
    size = _code(maps, bits, data, out, decoding, *_tables(), _SCALES, _FORGETTING)
    return out[:size]


@numba.njit(cache=True)
def _neighbours(plane, below, y, x, half, f):  # pragma: no cover
    """Fill ``f`` with neighbours of (y, x), centred, a nearer one for a missing one. below: previous map or empty."""
    width = plane.shape[1]
    west = plane[y, x - 1] - half if x > 0 else (plane[y - 1, x] - half if y > 0 else 0.0)
    north = plane[y - 1, x] - half if y > 0 else west
    f[0], f[1] = west, north
    f[2] = plane[y - 1, x - 1] - half if x > 0 and y > 0 else north
    f[3] = plane[y - 1, x + 1] - half if x < width - 1 and y > 0 else north
    f[4] = plane[y, x - 2] - half if x > 1 else west
    f[5] = plane[y - 2, x] - half if y > 1 else north
    f[6] = plane[y - 2, x + 1] - half if y > 1 and x < width - 1 else f[5]
    f[7] = plane[y - 2, x - 1] - half if y > 1 and x > 0 else f[5]
    if below.shape[0]:
        f[8] = below[y, x] - half
        f[9] = below[y, x - 1] - half if x > 0 else f[8]
        f[10] = below[y - 1, x] - half if y > 0 else f[8]
    else:
        f[8] = f[9] = f[10] = 0.0
    f[11] = (half + 0.5) / 4  # a constant of about the symbols' size


@numba.njit(cache=True)
def _predict(f, weights, half, centres):  # pragma: no cover
    """Fill ``centres`` with the predictions of the five experts, on the scale of the symbols."""
    high, low = max(f[0], f[1]), min(f[0], f[1])
    if f[2] >= high:
        median = low
    elif f[2] <= low:
        median = high
    else:
        median = f[0] + f[1] - f[2]
    centres[0] = median + half
    centres[1] = (f[0] + f[1]) * 0.375 + (f[2] + f[3]) * 0.125 + half
    for k in range(weights.shape[0]):
        total = 0.0
        for i in range(_FEATURES):
            total += weights[k, i] * f[i]
        centres[2 + k] = min(max(total + half, 0.0), 2 * half)


@numba.njit(cache=True)
def _learn(f, target, levels, covariance, correlation, weights, forgetting, solve):  # pragma: no cover
    """Take one more symbol into the least-squares predictors; move their weights by two rounds of Gauss-Seidel."""
    ridge = _RIDGE * levels * levels
    for k in range(weights.shape[0]):
        for i in range(_FEATURES):
            if k == 0 and 8 <= i < 11:
                continue  # the first predictor does not look at the previous map
            for j in range(_FEATURES):
                covariance[k, i, j] = covariance[k, i, j] * forgetting[k] + f[i] * f[j]
            correlation[k, i] = correlation[k, i] * forgetting[k] + f[i] * target
        if solve:
            for _ in range(2):
                for i in range(_FEATURES):
                    rest = correlation[k, i] + (0.35 * ridge if i < 2 else 0.0)
                    for j in range(_FEATURES):
                        if j != i:
                            rest -= covariance[k, i, j] * weights[k, j]
                    weights[k, i] = rest / (covariance[k, i, i] + ridge)


@numba.njit(cache=True)
def _code(maps, bits, data, out, decoding, distribution, stretch, squash, scales, forgetting):  # pragma: no cover
    """Code ``maps`` into ``out``, or fill ``maps`` from ``data``; the number of bytes written."""
    channels, height, width = maps.shape
    levels = 1 << bits
    half = (levels - 1) / 2.0
    coarse8, coarse16 = min(levels, 8), min(levels, 16)
    covariance = np.zeros((3, _FEATURES, _FEATURES))
    correlation, least_squares = np.zeros((3, _FEATURES)), np.zeros((3, _FEATURES))
    error, seen = np.empty((_EXPERTS, _ACTIVITIES)), np.ones((_EXPERTS, _ACTIVITIES))
    for a in range(_ACTIVITIES):
        error[:, a] = levels / 64.0 * (a + 1)
    chance, count = np.full((_CONTEXTS, 128, levels), 0.5), np.zeros((_CONTEXTS, 128, levels))
    inputs = _EXPERTS + _CONTEXTS + 1
    mixing = np.full((8, _ACTIVITIES, inputs), 0.1)
    mixing[:, :, :_EXPERTS] = 0.3
    mixing[:, :, inputs - 1] = 0.0
    signal, features, centres = np.empty(inputs), np.empty(_FEATURES), np.empty(_EXPERTS)
    width_of, place = np.empty(_EXPERTS, np.int64), np.empty(_EXPERTS, np.int64)
    context = np.empty(_CONTEXTS, np.int64)
    nothing = maps[0, :0]

    low, high, code, at, size = np.int64(0), np.int64(0xFFFFFFFF), np.int64(0), 0, 0
    for _ in range(4):
        code = code << 8 | (np.int64(data[at]) if at < data.shape[0] else 0)
        at += 1
    for c in range(channels):
        below = maps[c - 1] if c > 0 else nothing
        for y in range(height):
            for x in range(width):
                _neighbours(maps[c], below, y, x, half, features)
                _predict(features, least_squares, half, centres)
                w, n, nw, ne, ww, nn = features[0], features[1], features[2], features[3], features[4], features[5]
                activity = abs(w - nw) + abs(n - nw) + abs(n - ne) + abs(w - ww) + abs(n - nn)
                a = 0
                while a < _ACTIVITIES - 1 and activity > levels / 64.0 * (2 + a * a * 1.2):
                    a += 1
                for k in range(_EXPERTS):
                    typical = error[k, a] / seen[k, a] / 1.386  # E|x| = 2 ln 2 times a logistic density's scale
                    i = 0
                    while i < scales.shape[0] - 1 and scales[i] < typical:
                        i += 1
                    width_of[k] = i
                    place[k] = int(centres[k] * _GRID + 0.5 + 8192) - 8192
                context[0] = min(c, 127)
                context[1] = int(centres[2] * coarse16 / levels) * _ACTIVITIES + a
                context[2] = int((w + half) * coarse8 / levels) * 8 + int((n + half) * coarse8 / levels)

                symbol, bottom, top, node = np.int64(maps[c, y, x]), 0, levels, 1
                for b in range(bits):
                    middle = (bottom + top) >> 1
                    for k in range(_EXPERTS):
                        of = distribution[width_of[k]]
                        start = _REACH - _GRID // 2 - place[k]
                        under = of[start + _GRID * bottom] if bottom > 0 else 0
                        over = of[start + _GRID * top] if top < levels else _ONE
                        share = (over - of[start + _GRID * middle] + 64.0) / (over - under + 128.0)
                        signal[k] = stretch[int(share * (_LEVELS - 0.01))]
                    for k in range(_CONTEXTS):
                        signal[_EXPERTS + k] = stretch[int(chance[k, context[k], node] * (_LEVELS - 0.01))]
                    signal[inputs - 1] = 0.3
                    weights = mixing[b, a]
                    total = 0.0
                    for i in range(inputs):
                        total += weights[i] * signal[i]
                    index = int(min(max(total * _FINE + 12 * _FINE, 0.0), 24 * _FINE) + 0.5)
                    p = min(max(squash[index], 1 / 4096), 1 - 1 / 4096)

                    split = low + ((high - low) >> 16) * int(p * 65536)  # the lower part is a 1
                    if decoding:
                        bit = 1 if code <= split else 0
                    else:
                        bit = 1 if symbol >= middle else 0
                    if bit:
                        high, bottom = split, middle
                    else:
                        low, top = split + 1, middle
                    while (low ^ high) & 0xFF000000 == 0:
                        if decoding:
                            code = (code << 8 & 0xFFFFFFFF) | (np.int64(data[at]) if at < data.shape[0] else 0)
                            at += 1
                        else:
                            out[size] = high >> 24
                            size += 1
                        low, high = low << 8 & 0xFFFFFFFF, (high << 8 & 0xFFFFFFFF) | 255

                    miss = bit - p
                    for i in range(inputs):
                        weights[i] += miss * _LEARNING_RATE * signal[i]
                    for k in range(_CONTEXTS):
                        times = count[k, context[k], node]
                        chance[k, context[k], node] += (bit - chance[k, context[k], node]) / (times + 1.5)
                        if times < _COUNT_LIMIT:
                            count[k, context[k], node] = times + 1
                    node = node * 2 + bit

                maps[c, y, x] = bottom
                for k in range(_EXPERTS):
                    error[k, a] += abs(bottom - centres[k])
                    seen[k, a] += 1
                    if seen[k, a] > 255:
                        error[k, a] *= 0.5
                        seen[k, a] *= 0.5
                solve = x & 3 == 3 or x == width - 1
                _learn(features, bottom - half, levels, covariance, correlation, least_squares, forgetting, solve)
    if not decoding:  # the shortest number between low and high; the decoder reads zeros behind it
        for shift in (24, 16, 8, 0):
            end = (low + (1 << shift) - 1) >> shift << shift
            if end <= high:
                break
        for position in range(24, shift - 1, -8):
            out[size] = end >> position & 255
            size += 1
        while size and out[size - 1] == 0:
            size -= 1
    return size
