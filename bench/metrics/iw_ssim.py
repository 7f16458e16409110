"""IW-SSIM: SSIM of a Laplacian pyramid, each place weighted by the information it holds. 1 for identical.

Source: Wang and Li, "Information content weighting for perceptual image quality assessment", IEEE TIP 20(5), 2011, and
the authors' iwssim.m: five levels with the weights of MS-SSIM, blocks of 3 x 3 with their parent in the next level,
visual noise of variance 0.4. Of the luma of BT.709, full range and not rounded.

Five levels of an 11-tap window need a short side of 161 px. An original that is flat or nearly so at some level has no
value: the covariance of its blocks cannot be inverted. One pass over the whole image, no tiling.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from bench.codec import Image
from bench.metrics.filters import filtered, gaussian
from bench.metrics.metric import FAST_SUMS, Metric, NoValue, luma

_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_WINDOW = gaussian(11, 1.5)
_BINOMIAL = np.array([1.0, 4, 6, 4, 1]) / 16 * math.sqrt(2)
_BLOCK = 3
_BOX = np.full(_BLOCK, 1 / _BLOCK)
_NOISE = 0.4
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SMALL = 2.0**-52
_SINGULAR = 1e-13  # least over greatest eigenvalue, below which rounding decides the inverse
_BORDER = len(_WINDOW) // 2 - _BLOCK // 2  # by how much fewer places the window has on each side than the block

Level = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


class _IwSsim(Metric):
    columns = ("iw_ssim",)
    smallest_side = 161
    of_identical = {"iw_ssim": 1.0}

    def version(self) -> str:
        return "1"

    def prepare(self, original: Image) -> list[Level]:
        """Of each level the plane, and of all but the last the information of each block and the eigenvalues."""
        planes = _pyramid(luma(original))
        levels: list[Level] = []
        for level, plane in enumerate(planes):
            if level == len(planes) - 1:
                levels.append((plane, None, None))
                continue
            parent = planes[level + 1] if level < len(planes) - 2 else None
            levels.append((plane, *_information(plane, parent, level)))
        return levels

    def values(
        self, prepared: list[Level], reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        terms = []
        for (plane, information, eigenvalues), other in zip(prepared, _pyramid(luma(reconstruction)), strict=True):
            similarity, contrast = _ssim(plane, other)
            if information is None or eigenvalues is None:
                terms.append(similarity.mean())
                continue
            variance, other_variance, covariance, _, _ = _moments(plane, other, _BOX)
            weight = _weights(variance, other_variance, covariance, information, eigenvalues)
            weight = weight[_BORDER:-_BORDER, _BORDER:-_BORDER]
            if weight.sum() == 0:
                raise NoValue("no block of a level holds information")
            terms.append((contrast * weight).sum() / weight.sum())
        return {"iw_ssim": float(np.prod(np.abs(terms) ** (_WEIGHTS / _WEIGHTS.sum())))}


METRIC = _IwSsim()


def _pyramid(plane: np.ndarray) -> list[np.ndarray]:
    """Four bands and the low pass under them, each half as large as the last."""
    found = []
    for _ in range(len(_WEIGHTS) - 1):
        small = filtered(np.pad(plane, 2, mode="reflect"), _BINOMIAL, 2)
        spread = np.zeros((2 * small.shape[0], 2 * small.shape[1]))
        spread[::2, ::2] = small
        wide = filtered(np.pad(spread, 2, mode="reflect"), _BINOMIAL)
        found.append(plane - wide[: plane.shape[0], : plane.shape[1]])
        plane = small
    return [*found, plane]


def _moments(plane: np.ndarray, other: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, ...]:
    """Variance of each, their covariance, and the means, in a window at every place where it fits whole."""
    mean, other_mean = filtered(plane, window), filtered(other, window)
    variance = np.maximum(filtered(plane * plane, window) - mean * mean, 0)
    other_variance = np.maximum(filtered(other * other, window) - other_mean * other_mean, 0)
    return variance, other_variance, filtered(plane * other, window) - mean * other_mean, mean, other_mean


def _ssim(plane: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maps of SSIM and of its contrast-structure term."""
    variance, other_variance, covariance, mean, other_mean = _moments(plane, other, _WINDOW)
    contrast = (2 * covariance + _C2) / (variance + other_variance + _C2)
    return (2 * mean * other_mean + _C1) / (mean * mean + other_mean * other_mean + _C1) * contrast, contrast


def _information(plane: np.ndarray, parent: np.ndarray | None, level: int) -> tuple[np.ndarray, np.ndarray]:
    """How unlikely each block of the original is under the level's own covariance (h - 2 x w - 2), and the eigenvalues.

    Raises NoValue where the covariance cannot be inverted.
    """
    blocks = sliding_window_view(plane, (_BLOCK, _BLOCK))
    shape = blocks.shape[:2]
    vectors = blocks.reshape(-1, _BLOCK**2)
    if parent is not None:
        large = _doubled(_doubled(parent).T).T[1 : 1 + shape[0], 1 : 1 + shape[1]]
        vectors = np.column_stack([vectors, large.reshape(-1)])
    eigenvalues, axes = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    if not eigenvalues[0] > _SINGULAR * eigenvalues[-1]:
        raise NoValue(f"level {level + 1} of the original is flat or nearly so")
    turned = vectors @ (axes / np.sqrt(eigenvalues))
    return (turned * turned).sum(axis=1).reshape(shape) / vectors.shape[1], eigenvalues


def _doubled(plane: np.ndarray) -> np.ndarray:
    """Twice the rows, as imenlarge2 of iwssim.m has them: every second of 4 n - 3 rows, and one beyond each end."""
    rows = len(plane)
    at = np.array([0, *range(1, 4 * rows - 4, 2), 4 * rows - 4])
    place = np.maximum((at + 0.5) * rows / (4 * rows - 3) - 0.5, 0)
    before = np.minimum(place.astype(int), rows - 1)
    after = np.minimum(before + 1, rows - 1)
    found = plane[before] + (place - before)[:, None] * (plane[after] - plane[before])
    found[0], found[-1] = 2 * found[0] - found[1], 2 * found[-1] - found[-2]
    return found


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _weights(
    variance: np.ndarray,
    other_variance: np.ndarray,
    covariance: np.ndarray,
    information: np.ndarray,
    eigenvalues: np.ndarray,
) -> np.ndarray:
    """The mutual information, in bits, between each block of the two images and what is seen of them."""
    found = np.empty(variance.shape)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            original, other, both = variance[i, j], other_variance[i, j], covariance[i, j]
            gain = both / (original + _SMALL)
            rest = other - gain * both
            if original < _SMALL:
                gain, rest = 0.0, other
            if other < _SMALL:
                gain, rest = 0.0, 0.0
            scale = (rest + (1 + gain * gain) * _NOISE) * information[i, j]
            bits, product = 0.0, 1.0
            for k in range(eigenvalues.size):
                product *= 1 + (scale * eigenvalues[k] + _NOISE * rest) / (_NOISE * _NOISE)
                if k % 5 == 4:  # one logarithm for five factors, which cannot overflow
                    bits += math.log2(product)
                    product = 1.0
            bits += math.log2(product)
            found[i, j] = bits if bits >= _SMALL else 0.0
    return found
