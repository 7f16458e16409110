"""The CDF 9/7 wavelet by lifting, in place, with whole-sample symmetric extension.

Source: Daubechies and Sweldens, "Factoring wavelet transforms into lifting steps", 1998; the constants are those of
ITU-T T.800, table F.4. Low-pass gain sqrt(2), so that all bands are nearly orthonormal and a coefficient's error is
nearly that in the picture. float32 throughout, a fixed order of operations, no fastmath: the same pixels every time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from codecs_wrappers.native.spiht.shape import Shape

ALPHA = np.float32(-1.586134342059924)
BETA = np.float32(-0.052980118572961)
GAMMA = np.float32(0.882911075530934)
DELTA = np.float32(0.443506852043971)
LOW_GAIN = np.float32(1.149604398860241)
HIGH_GAIN = np.float32(1 / 1.149604398860241)
LINES = 16  # lines transformed side by side: one or two vector registers, and a strip stays in the cache


def forward(flat: np.ndarray, shape: Shape, height: int, width: int) -> None:
    """Replaces the samples of each plane's first height x width positions (float32) by their coefficients.

    Each band goes to its corner of the padded plane (shape.py); positions without coefficient are zero.
    """
    for origin in shape.origins():
        for level in range(shape.levels):
            rows, columns = shape.rows >> level, shape.stride >> level
            h, w = -(-height >> level), -(-width >> level)
            _analyse(flat, origin, 1, w, columns // 2, shape.stride, h)
            _analyse(flat, origin, shape.stride, h, rows // 2, 1, columns)


def inverse(flat: np.ndarray, shape: Shape, height: int, width: int) -> None:
    """Undoes :func:`forward`."""
    for origin in shape.origins():
        for level in reversed(range(shape.levels)):
            rows, columns = shape.rows >> level, shape.stride >> level
            h, w = -(-height >> level), -(-width >> level)
            _synthesise(flat, origin, shape.stride, h, rows // 2, 1, columns)
            _synthesise(flat, origin, 1, w, columns // 2, shape.stride, h)


@njit(cache=True)
def _analyse(flat, origin, along, n, half, across, count):
    """Transforms the n samples ``along`` apart on each of ``count`` lines; the high band begins at the half-th."""
    low = np.empty(((n + 1) // 2, LINES), np.float32)
    high = np.empty((n // 2, LINES), np.float32)
    if n < 2:
        return
    for first in range(0, count, LINES):
        some = min(LINES, count - first)
        base = origin + first * across
        for i in range(n // 2):
            for c in range(some):
                low[i, c] = flat[base + 2 * i * along + c * across]
                high[i, c] = flat[base + (2 * i + 1) * along + c * across]
        if n % 2:
            for c in range(some):
                low[n // 2, c] = flat[base + (n - 1) * along + c * across]
        _lift_high(low, high, ALPHA)
        _lift_low(low, high, BETA)
        _lift_high(low, high, GAMMA)
        _lift_low(low, high, DELTA)
        for i in range(len(low)):
            for c in range(some):
                flat[base + i * along + c * across] = low[i, c] * LOW_GAIN
        for i in range(len(low), half):  # samples lay here that have moved
            for c in range(some):
                flat[base + i * along + c * across] = 0
        for i in range(len(high)):
            for c in range(some):
                flat[base + (half + i) * along + c * across] = high[i, c] * HIGH_GAIN


@njit(cache=True)
def _synthesise(flat, origin, along, n, half, across, count):
    """Undoes :func:`_analyse`."""
    low = np.empty(((n + 1) // 2, LINES), np.float32)
    high = np.empty((n // 2, LINES), np.float32)
    if n < 2:
        return
    for first in range(0, count, LINES):
        some = min(LINES, count - first)
        base = origin + first * across
        for i in range(len(low)):
            for c in range(some):
                low[i, c] = flat[base + i * along + c * across] * HIGH_GAIN
        for i in range(len(high)):
            for c in range(some):
                high[i, c] = flat[base + (half + i) * along + c * across] * LOW_GAIN
        _lift_low(low, high, -DELTA)
        _lift_high(low, high, -GAMMA)
        _lift_low(low, high, -BETA)
        _lift_high(low, high, -ALPHA)
        for i in range(n // 2):
            for c in range(some):
                flat[base + 2 * i * along + c * across] = low[i, c]
                flat[base + (2 * i + 1) * along + c * across] = high[i, c]
        if n % 2:
            for c in range(some):
                flat[base + (n - 1) * along + c * across] = low[n // 2, c]


@njit
def _lift_high(low, high, factor):  # past the end the last low sample is mirrored onto itself (even n)
    last = len(low) - 1
    for i in range(len(high)):
        right = min(i + 1, last)
        for c in range(LINES):
            high[i, c] += factor * (low[i, c] + low[right, c])


@njit
def _lift_low(low, high, factor):
    last = len(high) - 1
    for i in range(len(low)):
        left, right = max(i - 1, 0), min(i, last)
        for c in range(LINES):
            low[i, c] += factor * (high[left, c] + high[right, c])


@njit(cache=True)
def quantise(values, packed, fixed_point):
    """Coefficients (float32) as integers, truncated toward zero; ``packed`` may be the same memory."""
    for at in range(len(values)):
        value = values[at]
        packed[at] = np.int32(abs(value) * fixed_point) << 1 | (value < 0)
