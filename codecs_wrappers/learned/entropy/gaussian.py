"""Zero-mean Gaussian tables keyed by a quantised scale, and the index of a scale by integer comparison."""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from scipy.special import ndtr

from bench.errors import UsageError
from codecs_wrappers.learned.entropy.tables import PRECISION, Tables

SIGMA_UNIT = 1 << 16  # integer sigmas are in units of 1/SIGMA_UNIT
SIGMA_MIN, SIGMA_MAX = 0.11, 256.0  # CompressAI's lower bound, and its largest scale
LEVELS = 256  # a power of two that fits uint8
SCALES = np.geomspace(SIGMA_MIN, SIGMA_MAX, LEVELS)  # sigma of each scale index

_THRESHOLDS = np.rint(np.sqrt(SCALES[1:] * SCALES[:-1]) * 2**32) / 2**16  # in 1/SIGMA_UNIT, between the scales


def scale_index(sigma: np.ndarray, step: float | np.ndarray = 1.0) -> np.ndarray:
    """The scale index (uint8, of sigma's shape) nearest to sigma / step on the logarithmic grid, by integer comparison.

    sigma: int64, in 1/SIGMA_UNIT; values outside the grid get its first or last index. step: one number, or one per
    channel (sigma's first axis), of shape (C,) or (C, 1, 1). Raises UsageError for a step that is not positive.
    """
    sigma, step = np.ascontiguousarray(sigma, np.int64), np.asarray(step, np.float64).ravel()
    if not (np.isfinite(step) & (step > 0)).all():
        raise UsageError(f"finding scale indices: expected positive, finite steps, got {step.min()}..{step.max()}")
    if step.size != 1 and step.size != len(sigma):
        raise ValueError(
            f"finding scale indices: expected one step or one per channel of {sigma.shape}, got {step.size}"
        )
    with np.errstate(over="ignore"):
        limits = np.ceil(np.minimum(step[:, None] * _THRESHOLDS, 2.0**62)).astype(np.int64)  # (C or 1, LEVELS - 1)
    indices = np.empty(sigma.shape, np.uint8)
    _search(sigma.reshape(step.size, -1), limits, indices.reshape(step.size, -1))
    return indices


@numba.njit(cache=True)
def _search(sigma, limits, indices):  # pragma: no cover
    """How many limits each sigma reaches, by binary search without a branch."""
    for c in range(sigma.shape[0]):
        limit = limits[c]
        for i in range(sigma.shape[1]):
            value, index, half = sigma[c, i], 0, LEVELS >> 1
            while half:
                index += half * (limit[index + half - 1] <= value)
                half >>= 1
            indices[c, i] = index


def bin_mass(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """P(lower < x < upper) of a standard Gaussian (float64), accurate in both tails; infinite bounds are allowed."""
    lower, upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    flip = lower > 0
    return ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower))


@cache
def gaussian_tables() -> Tables:
    """One table per scale index: round(x) of x ~ N(0, SCALES[index]), with an escape for the far tails."""
    pmfs, minimums, escapes = [], [], []
    for sigma in SCALES:
        reach = 1
        while (
            ndtr(-(reach + 0.5) / sigma) > 2.0**-PRECISION
        ):  # beyond it, a count of one each would cost more than escapes
            reach += 1 + int(sigma / 16)
        k = np.arange(-reach, reach + 1)
        pmfs.append(bin_mass((k - 0.5) / sigma, (k + 0.5) / sigma))
        minimums.append(-reach)
        escapes.append(2 * float(ndtr(-(reach + 0.5) / sigma)))
    return Tables.from_pmfs(pmfs, minimums, escapes)
