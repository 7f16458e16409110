"""NLPD: the distance of two normalised Laplacian pyramids. 0 for identical, smaller is better.

Source: Laparra, Ballé, Berardino, Simoncelli, "Perceptual image quality assessment using a normalized Laplacian
pyramid", Human Vision and Electronic Imaging 2016, with the weights its authors published. Of the ports that are about,
this is the one that JPEG AI uses (PyPI package `IQA_pytorch`): six levels, reflected edges, linear expansion between
levels. The authors' own Matlab code pads otherwise and has a low-pass level at the top; its numbers are others.

Of the luma of BT.709, full range, not rounded, scaled to 0..1. The sixth level needs a short side of 65 px. One pass
over the whole image, no tiling.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numba import njit

from bench.codec import Image
from bench.metrics.filters import filtered
from bench.metrics.metric import FAST_SUMS, Metric, luma

_TAPS = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
# Of each level: what is added to the neighbours' mean, and the weights of the neighbours above, left, right and below.
_LEVELS = np.array(
    [
        [0.0248, 0.1011, 0.1493, 0.1460, 0.1015],
        [0.0185, 0.0757, 0.1986, 0.1846, 0.0837],
        [0.0179, 0.0477, 0.2138, 0.2243, 0.0467],
        [0.0191, 0.0, 0.2503, 0.2616, 0.0],
        [0.0220, 0.0, 0.2598, 0.2552, 0.0],
        [0.2782, 0.0, 0.2215, 0.0717, 0.0],
    ]
)


class _Nlpd(Metric):
    columns = ("nlpd",)
    smallest_side = 65
    of_identical = {"nlpd": 0.0}

    def version(self) -> str:
        return "1"

    def prepare(self, original: Image) -> list[np.ndarray]:
        """Six planes, each half as large as the last."""
        plane = luma(original) / 255
        found = []
        for level in _LEVELS:
            small = filtered(np.pad(plane, 2, mode="reflect"), _TAPS, 2)
            wide = filtered(np.pad(_twice(small), 2, mode="reflect"), _TAPS)
            found.append(_normalised(plane, wide, level))
            plane = small
        return found

    def values(
        self, prepared: list[np.ndarray], reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        other = self.prepare(reconstruction)
        distances = [np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(prepared, other, strict=True)]
        return {"nlpd": float(np.mean(distances))}


METRIC = _Nlpd()


@njit(cache=True, nogil=True)
def _twice(plane: np.ndarray) -> np.ndarray:
    """Twice the rows and columns, linear between the samples, the corners kept (torch's align_corners)."""
    height, width = plane.shape
    found = np.empty((2 * height, 2 * width))
    for i in range(2 * height):
        y = i * (height - 1) / (2 * height - 1)
        top = min(int(y), height - 2) if height > 1 else 0
        down = y - top
        above, below = plane[top], plane[min(top + 1, height - 1)]
        for j in range(2 * width):
            x = j * (width - 1) / (2 * width - 1)
            left = min(int(x), width - 2) if width > 1 else 0
            across = x - left
            right = min(left + 1, width - 1)
            upper = above[left] + across * (above[right] - above[left])
            lower = below[left] + across * (below[right] - below[left])
            found[i, j] = upper + down * (lower - upper)
    return found


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _normalised(plane: np.ndarray, wide: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The band ``plane`` - ``wide`` over the weighted sizes of its four neighbours. ``wide`` may have a line more."""
    height, width = plane.shape
    band = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            band[i, j] = plane[i, j] - wide[i, j]
    found = np.empty((height, width))
    for i in range(height):
        above, below = (i - 1 if i else 1), (i + 1 if i + 1 < height else height - 2)
        for j in range(width):
            left, right = (j - 1 if j else 1), (j + 1 if j + 1 < width else width - 2)
            near = level[1] * abs(band[above, j]) + level[2] * abs(band[i, left])
            near += level[3] * abs(band[i, right]) + level[4] * abs(band[below, j])
            found[i, j] = band[i, j] / (level[0] + near)
    return found
