"""RGB to scaled YCbCr planes and back, in float32 without rounding: BT.601, full range (JFIF's equations).

Each component is scaled by the L2 norm of its column in the YCbCr -> RGB matrix, so that one unit of any coefficient
causes about the same squared error in RGB, and one list can serve all three.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SCALE_Y = np.float32(3**0.5)
SCALE_CB = np.float32((0.344136**2 + 1.772**2) ** 0.5)
SCALE_CR = np.float32((1.402**2 + 0.714136**2) ** 0.5)


@njit(cache=True)
def from_rgb(image, flat, shape):
    """Fills the three planes of ``flat`` (float32) from ``image`` (uint8, H x W x 3)."""
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            at = shape.margin + i * shape.stride + j
            r, g, b = np.float32(image[i, j, 0]), np.float32(image[i, j, 1]), np.float32(image[i, j, 2])
            y = np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b
            flat[at] = (y - np.float32(128)) * SCALE_Y
            flat[at + shape.size] = (b - y) * (SCALE_CB / np.float32(1.772))
            flat[at + 2 * shape.size] = (r - y) * (SCALE_CR / np.float32(1.402))


@njit(cache=True)
def to_rgb(flat, shape, image):
    """Fills ``image`` (uint8, H x W x 3), rounded and clipped, from the three planes of ``flat`` (float32)."""
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            at = shape.margin + i * shape.stride + j
            y = flat[at] / SCALE_Y + np.float32(128)
            cb, cr = flat[at + shape.size] / SCALE_CB, flat[at + 2 * shape.size] / SCALE_CR
            image[i, j, 0] = _sample(y + np.float32(1.402) * cr)
            image[i, j, 1] = _sample(y - np.float32(0.344136) * cb - np.float32(0.714136) * cr)
            image[i, j, 2] = _sample(y + np.float32(1.772) * cb)


@njit
def _sample(value):
    return np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))
