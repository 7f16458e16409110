"""The CDF 9/7 wavelet by lifting, in place, with whole-sample symmetric extension.

Source: Daubechies and Sweldens, "Factoring wavelet transforms into lifting steps", 1998; the constants are those of
ITU-T T.800, table F.4. Low-pass gain sqrt(2), so that all bands are nearly orthonormal and a coefficient's error is
nearly that of the picture. float32 throughout, one fixed order of operations, no fastmath: the same pixels every time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ALPHA = np.float32(-1.586134342059924)
BETA = np.float32(-0.052980118572961)
GAMMA = np.float32(0.882911075530934)
DELTA = np.float32(0.443506852043971)
LOW_GAIN = np.float32(1.149604398860241)
HIGH_GAIN = np.float32(1 / 1.149604398860241)
LINES = 16  # lines transformed side by side: one or two vector registers, and a strip stays in the cache


def forward(plane: np.ndarray, height: int, width: int, levels: int) -> None:
    """Replaces the samples in ``plane[:height, :width]`` (float32) by their coefficients.

    Each band lies at the corner it has in a picture of the plane's padded size, so that the children of (i, j) are
    (2i, 2j) and its three neighbours whatever the size; what no coefficient fills stays zero.
    """
    for level in range(levels):
        h, w = -(-height >> level), -(-width >> level)
        _analyse(plane.T, w, plane.shape[1] >> (level + 1), h)
        _analyse(plane, h, plane.shape[0] >> (level + 1), plane.shape[1] >> level)


def inverse(plane: np.ndarray, height: int, width: int, levels: int) -> None:
    """Undoes :func:`forward`."""
    for level in reversed(range(levels)):
        h, w = -(-height >> level), -(-width >> level)
        _synthesise(plane, h, plane.shape[0] >> (level + 1), plane.shape[1] >> level)
        _synthesise(plane.T, w, plane.shape[1] >> (level + 1), h)


@njit(cache=True)
def _analyse(lines, n, half, count):  # the n samples down each of count columns: low band to row 0, high band to half
    low = np.empty(((n + 1) // 2, LINES), np.float32)
    high = np.empty((n // 2, LINES), np.float32)
    if n < 2:
        return
    for first in range(0, count, LINES):
        some = min(LINES, count - first)
        for i in range(n // 2):
            for c in range(some):
                low[i, c] = lines[2 * i, first + c]
                high[i, c] = lines[2 * i + 1, first + c]
        if n % 2:
            for c in range(some):
                low[n // 2, c] = lines[n - 1, first + c]
        _lift_high(low, high, ALPHA)
        _lift_low(low, high, BETA)
        _lift_high(low, high, GAMMA)
        _lift_low(low, high, DELTA)
        for i in range(len(low)):
            for c in range(some):
                lines[i, first + c] = low[i, c] * LOW_GAIN
        for i in range(len(low), half):  # samples lay here that have moved
            for c in range(some):
                lines[i, first + c] = 0
        for i in range(len(high)):
            for c in range(some):
                lines[half + i, first + c] = high[i, c] * HIGH_GAIN


@njit(cache=True)
def _synthesise(lines, n, half, count):
    low = np.empty(((n + 1) // 2, LINES), np.float32)
    high = np.empty((n // 2, LINES), np.float32)
    if n < 2:
        return
    for first in range(0, count, LINES):
        some = min(LINES, count - first)
        for i in range(len(low)):
            for c in range(some):
                low[i, c] = lines[i, first + c] * HIGH_GAIN
        for i in range(len(high)):
            for c in range(some):
                high[i, c] = lines[half + i, first + c] * LOW_GAIN
        _lift_low(low, high, -DELTA)
        _lift_high(low, high, -GAMMA)
        _lift_low(low, high, -BETA)
        _lift_high(low, high, -ALPHA)
        for i in range(n // 2):
            for c in range(some):
                lines[2 * i, first + c] = low[i, c]
                lines[2 * i + 1, first + c] = high[i, c]
        if n % 2:
            for c in range(some):
                lines[n - 1, first + c] = low[n // 2, c]


@njit(cache=True)
def _lift_high(low, high, factor):  # past the end the last low sample is mirrored onto itself (even n)
    last = len(low) - 1
    for i in range(len(high)):
        right = min(i + 1, last)
        for c in range(LINES):
            high[i, c] += factor * (low[i, c] + low[right, c])


@njit(cache=True)
def _lift_low(low, high, factor):
    last = len(high) - 1
    for i in range(len(low)):
        left, right = max(i - 1, 0), min(i, last)
        for c in range(LINES):
            low[i, c] += factor * (high[left, c] + high[right, c])
