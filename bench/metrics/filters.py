"""Separable filters of float64 planes, without padding, as several metrics need them."""

from __future__ import annotations

import numpy as np
from numba import njit

from bench.metrics.metric import FAST_SUMS


def gaussian(taps: int, sigma: float) -> np.ndarray:
    """A Gaussian window of ``taps`` samples, odd, whose sum is 1."""
    window = np.exp(-((np.arange(taps) - (taps - 1) / 2) ** 2) / (2 * sigma**2))
    return window / window.sum()


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def filtered(plane: np.ndarray, taps: np.ndarray, step: int = 1) -> np.ndarray:
    """``plane`` (float64 H x W) filtered with ``taps`` along both sides, at every place where they fit whole.

    Only every ``step``-th row and column of the result is computed: (H - taps) // step + 1 rows, W alike. As in the
    networks' convolutions the taps are not turned round.
    """
    size = taps.size
    height, width = plane.shape
    found = np.empty(((height - size) // step + 1, (width - size) // step + 1))
    line = np.empty(width)
    for i in range(found.shape[0]):
        line[:] = 0.0
        for k in range(size):
            row, tap = plane[i * step + k], taps[k]
            for j in range(width):
                line[j] += tap * row[j]
        out = found[i]
        if step == 1:
            out[:] = 0.0
            for k in range(size):
                tap, shifted = taps[k], line[k:]
                for j in range(out.size):
                    out[j] += tap * shifted[j]
        else:
            for j in range(out.size):
                total = 0.0
                for k in range(size):
                    total += taps[k] * line[j * step + k]
                out[j] = total
    return found
