"""From a picture to integer coefficients in three planes that share one scale, and back.

Colour: BT.601 full range, JFIF's equations, in float32 without rounding. Each component is scaled by the L2 norm of its
column in the YCbCr -> RGB matrix, so that one unit of any coefficient costs about the same squared error in RGB.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from codecs_wrappers.native.spiht import wavelet
from codecs_wrappers.native.spiht.lists import LSP, OLD, OUTSIDE, POSITION, REFINED, Shape

FIXED_POINT = np.float32(4)  # integer steps per unit of coefficient: the last bit-plane changes no 8-bit sample by 1
SCALE_Y = np.float32(3**0.5)
SCALE_CB = np.float32((0.344136**2 + 1.772**2) ** 0.5)
SCALE_CR = np.float32((1.402**2 + 0.714136**2) ** 0.5)


def shape_of(height: int, width: int, levels: int) -> Shape:
    """Planes padded so that every position but the low-pass band's has four whole children at each level."""
    low_rows, low_columns = -(-height >> levels), -(-width >> levels)
    if levels:
        low_rows, low_columns = low_rows + low_rows % 2, low_columns + low_columns % 2
    rows, stride = low_rows << levels, low_columns << levels
    return Shape(stride + 1, rows * stride, stride, low_rows, low_columns, levels)


def entries(shape: Shape) -> int:
    """Entries of a flat array over the three planes and their margins."""
    return 3 * shape.size + 2 * shape.margin


def component(flat: np.ndarray, shape: Shape, index: int) -> np.ndarray:
    """One plane of a flat array as rows x stride."""
    first = shape.margin + index * shape.size
    return flat[first : first + shape.size].reshape(-1, shape.stride)


def empty_state(shape: Shape, height: int, width: int) -> np.ndarray:
    """The coder's state before the first decision: OUTSIDE where a picture of this size has no coefficient."""
    state = np.zeros(entries(shape), np.uint8)
    one = component(state, shape, 0)
    for level in range(shape.levels):
        h, w = -(-height >> level), -(-width >> level)
        rows, columns = len(one) >> (level + 1), shape.stride >> (level + 1)
        one[rows + h // 2 : 2 * rows, : 2 * columns] = OUTSIDE
        one[: 2 * rows, columns + w // 2 : 2 * columns] = OUTSIDE
        one[h - h // 2 : rows, columns : 2 * columns] = OUTSIDE
        one[rows : 2 * rows, w - w // 2 : columns] = OUTSIDE
    low_h, low_w = -(-height >> shape.levels), -(-width >> shape.levels)
    one[low_h : shape.low_rows, : shape.low_columns] = OUTSIDE
    one[: shape.low_rows, low_w : shape.low_columns] = OUTSIDE
    for index in (1, 2):
        component(state, shape, index)[:] = one
    return state


def analyse(image: np.ndarray, shape: Shape) -> np.ndarray:
    """The coefficients of ``image`` (uint8, H x W x 3) as magnitude << 1 | sign (int32, flat)."""
    flat = np.zeros(entries(shape), np.float32)
    planes = [component(flat, shape, index) for index in range(3)]
    _from_rgb(image, *planes)
    for plane in planes:
        wavelet.forward(plane, *image.shape[:2], shape.levels)
    packed = flat.view(np.int32)
    _pack(flat, packed)
    return packed


def synthesise(packed: np.ndarray, shape: Shape, height: int, width: int) -> np.ndarray:
    """The picture (uint8, H x W x 3) of reconstructed coefficients (float32 bits in ``packed``, which is used up)."""
    flat = packed.view(np.float32)
    planes = [component(flat, shape, index) for index in range(3)]
    for plane in planes:
        wavelet.inverse(plane, height, width, shape.levels)
    image = np.empty((height, width, 3), np.uint8)
    _to_rgb(*planes, image)
    return image


@njit(cache=True)
def greatest_below(packed, shape, descendants):
    """Fills in, for each position, the bits of the greatest magnitude below it; returns the bits of the greatest."""
    top = 0
    half_rows, half_columns = (shape.size // shape.stride) // 2, shape.stride // 2
    for index in range(3):
        origin = shape.margin + index * shape.size
        for i in range(half_rows - 1, -1, -1) if shape.levels else range(0):
            for j in range(half_columns - 1, -1, -1):
                at = origin + i * shape.stride + j
                kids = origin + 2 * (i * shape.stride + j)
                if i < shape.low_rows and j < shape.low_columns:
                    if not (i & 1 or j & 1):
                        continue
                    row, column = i - (i & 1), j - (j & 1)
                    row += shape.low_rows * (i & 1)
                    column += shape.low_columns * (j & 1)
                    kids = origin + row * shape.stride + column
                below = kids + shape.stride
                magnitudes = (packed[kids] | packed[kids + 1] | packed[below] | packed[below + 1]) >> 1
                deepest = _bits(magnitudes)
                if kids < origin + half_rows * shape.stride and (kids - origin) % shape.stride < half_columns:
                    deepest = max(deepest, descendants[kids], descendants[kids + 1])
                    deepest = max(deepest, descendants[below], descendants[below + 1])
                descendants[at] = deepest
        every = 0
        for at in range(origin, origin + shape.size):
            every |= packed[at]
        top = max(top, _bits(every >> 1))
    return top


@njit(cache=True)
def reconstruct(packed, lsp, count, plane):
    """Replaces known magnitudes by the middle of the interval they lie in (float32, in place).

    The pixels refined in ``plane`` and those found in it are known to that plane, the others to the one above.
    """
    values = packed.view(np.float32)
    for read in range(count[LSP]):
        at = np.int64(lsp[read]) & POSITION
        coded = packed[at]
        known = plane if read < count[REFINED] or read >= count[OLD] else plane + 1
        middle = (np.float32(coded >> 1) + np.float32(0.5) * np.float32(1 << known)) / FIXED_POINT
        values[at] = -middle if coded & 1 else middle


@njit(cache=True)
def _bits(value):
    bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


@njit(cache=True)
def _pack(values, packed):
    for at in range(len(values)):
        value = values[at]
        packed[at] = np.int32(abs(value) * FIXED_POINT) << 1 | (value < 0)


@njit(cache=True)
def _from_rgb(image, y_plane, cb_plane, cr_plane):
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            r, g, b = np.float32(image[i, j, 0]), np.float32(image[i, j, 1]), np.float32(image[i, j, 2])
            y = np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b
            y_plane[i, j] = (y - np.float32(128)) * SCALE_Y
            cb_plane[i, j] = (b - y) * (SCALE_CB / np.float32(1.772))
            cr_plane[i, j] = (r - y) * (SCALE_CR / np.float32(1.402))


@njit(cache=True)
def _to_rgb(y_plane, cb_plane, cr_plane, image):
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            y = y_plane[i, j] / SCALE_Y + np.float32(128)
            cb, cr = cb_plane[i, j] / SCALE_CB, cr_plane[i, j] / SCALE_CR
            image[i, j, 0] = _sample(y + np.float32(1.402) * cr)
            image[i, j, 1] = _sample(y - np.float32(0.344136) * cb - np.float32(0.714136) * cr)
            image[i, j, 2] = _sample(y + np.float32(1.772) * cb)


@njit(cache=True)
def _sample(value):
    return np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))
