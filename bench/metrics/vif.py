"""VIF in the pixel domain (VIFp): how much of the original's information the reconstruction keeps. 1 for identical.

Source: Sheikh and Bovik, "Image information and visual quality", IEEE TIP 15(2), 2006, in the authors' version in the
pixel domain (vifp_mscale.m), which JPEG AI uses: four scales, windows of 17, 9, 5 and 3 taps, visual noise of
variance 2. Of the luma of BT.709, full range and not rounded. More contrast than the original has may exceed 1.

The first window and three halvings need a short side of 41 px. One pass over the whole image, no tiling.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numba import njit

from bench.codec import Image
from bench.metrics.filters import filtered, gaussian
from bench.metrics.metric import Metric, NoValue, luma

_NOISE = 2.0
_SMALL = 1e-8
_WINDOWS = [gaussian(taps, taps / 5) for taps in (17, 9, 5, 3)]

Scales = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


class _Vif(Metric):
    columns = ("vif",)
    smallest_side = 41
    of_identical = {"vif": 1.0}

    def version(self) -> str:
        return "1"

    def prepare(self, original: Image) -> Scales:
        """For each scale the plane, its local mean and its local variance."""
        scales: Scales = []
        plane = luma(original)
        for window in _WINDOWS:
            if scales:
                plane = filtered(plane, window, 2)
            mean = filtered(plane, window)
            scales.append((plane, mean, np.maximum(filtered(plane * plane, window) - mean * mean, 0)))
        return scales

    def values(
        self, prepared: Scales, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        kept = there = 0.0
        plane = luma(reconstruction)
        for scale, (window, (original, mean, variance)) in enumerate(zip(_WINDOWS, prepared, strict=True)):
            if scale:
                plane = filtered(plane, window, 2)
            other_mean = filtered(plane, window)
            other = filtered(plane * plane, window)
            both = filtered(plane * original, window)
            scale_kept, scale_there = _information(mean, variance, other_mean, other, both)
            kept, there = kept + scale_kept, there + scale_there
        if there <= _SMALL:
            raise NoValue("the original is flat and has no information to keep")
        return {"vif": (kept + _SMALL) / (there + _SMALL)}


METRIC = _Vif()


@njit(cache=True, nogil=True)
def _information(
    mean: np.ndarray, variance: np.ndarray, other_mean: np.ndarray, other_square: np.ndarray, product: np.ndarray
) -> tuple[float, float]:
    """Sums over one scale of log10(1 + signal / noise): of the reconstruction and of the original."""
    kept = there = 0.0
    for i in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            original = variance[i, j]
            other = max(other_square[i, j] - other_mean[i, j] ** 2, 0.0)
            both = product[i, j] - mean[i, j] * other_mean[i, j]
            gain = both / (original + _SMALL)
            rest = other - gain * both
            if original < _SMALL:
                gain, rest, original = 0.0, other, 0.0
            if other < _SMALL:
                gain, rest = 0.0, 0.0
            if gain < 0:
                gain, rest = 0.0, other
            rest = max(rest, _SMALL)
            kept += math.log10(1 + gain * gain * original / (rest + _NOISE))
            there += math.log10(1 + original / _NOISE)
    return kept, there
