"""The layout of three components' coefficients in flat arrays, and the tree of descendants.

All three planes are padded to one size that can be halved evenly; each wavelet band is at the corner it would have in a
picture of that size. So, relative to its plane, the children of position k are 2k, 2k + 1 and the two one row below,
whatever the picture's size; positions outside the picture are marked OUTSIDE and known to be zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

OUTSIDE = 128  # a bit of the coder's state, in addition to those of contexts.py


class Shape(NamedTuple):
    """The layout of three planes of one size in flat arrays: consecutive, with a margin of one row before and after."""

    margin: int  # entries before the first plane, so that every position has eight neighbours
    size: int  # of a plane: rows x stride
    stride: int  # entries in a row
    low_rows: int  # of the low-pass band
    low_columns: int
    levels: int

    @property
    def rows(self) -> int:
        """Rows of a plane."""
        return self.size // self.stride

    @property
    def entries(self) -> int:
        """Entries of a flat array over the three planes and their margins."""
        return 3 * self.size + 2 * self.margin

    def origins(self) -> tuple[int, int, int]:
        """The first entry of each plane."""
        return self.margin, self.margin + self.size, self.margin + 2 * self.size


def shape_of(height: int, width: int, levels: int) -> Shape:
    """Planes padded so that every position outside the low-pass band has four complete children at each level."""
    low_rows, low_columns = -(-height >> levels), -(-width >> levels)
    if levels:
        low_rows, low_columns = low_rows + low_rows % 2, low_columns + low_columns % 2
    rows, stride = low_rows << levels, low_columns << levels
    return Shape(stride + 1, rows * stride, stride, low_rows, low_columns, levels)


def empty_state(shape: Shape, height: int, width: int) -> np.ndarray:
    """The coder's state before the first decision: OUTSIDE where a picture of this size has no coefficient."""
    one = np.zeros((shape.rows, shape.stride), np.uint8)
    for level in range(shape.levels):
        h, w = -(-height >> level), -(-width >> level)
        rows, columns = shape.rows >> (level + 1), shape.stride >> (level + 1)
        one[h - h // 2 : rows, columns : 2 * columns] = OUTSIDE
        one[rows + h // 2 : 2 * rows, : 2 * columns] = OUTSIDE
        one[rows : 2 * rows, w - w // 2 : columns] = OUTSIDE
        one[: 2 * rows, columns + w // 2 : 2 * columns] = OUTSIDE
    one[-(-height >> shape.levels) : shape.low_rows, : shape.low_columns] = OUTSIDE
    one[: shape.low_rows, -(-width >> shape.levels) : shape.low_columns] = OUTSIDE
    state = np.zeros(shape.entries, np.uint8)
    state[shape.margin : -shape.margin].reshape(3, shape.rows, shape.stride)[:] = one
    return state


@njit
def children(shape, at, depth):
    """Position of the first child; a root in the low-pass band with even row and column has none: itself."""
    origin = shape.margin
    if at >= origin + shape.size:
        origin += shape.size
        if at >= origin + shape.size:
            origin += shape.size
    if depth < shape.levels:
        return 2 * at - origin
    i, j = (at - origin) // shape.stride, (at - origin) % shape.stride
    row = i + shape.low_rows if i & 1 else i
    column = j + shape.low_columns if j & 1 else j
    if row == i and column == j:
        return at
    return origin + (row - (i & 1)) * shape.stride + column - (j & 1)


@njit
def filled(state, shape, at, depth):
    """Whether any position below ``at`` lies inside the picture."""
    for below in range(depth, 0, -1):
        at = children(shape, at, below)
        if not state[at] & OUTSIDE:
            return True
    return False


@njit(cache=True)
def greatest_below(packed, shape, descendants):
    """Fills in, for each position, the bits of the greatest magnitude below it; returns the bits of the greatest."""
    half_rows, half_columns = (shape.size // shape.stride) // 2, shape.stride // 2
    for index in range(3):
        origin = shape.margin + index * shape.size
        for i in range(half_rows - 1, -1, -1) if shape.levels else range(0):
            for j in range(half_columns - 1, -1, -1):
                at = origin + i * shape.stride + j
                low = i < shape.low_rows and j < shape.low_columns
                kids = children(shape, at, shape.levels if low else 0)
                if kids == at:
                    continue
                below = kids + shape.stride
                magnitudes = (packed[kids] | packed[kids + 1] | packed[below] | packed[below + 1]) >> 1
                deepest = _bits(magnitudes)
                if shape.levels > 1 if low else 2 * i < half_rows and 2 * j < half_columns:
                    deepest = max(deepest, descendants[kids], descendants[kids + 1])
                    deepest = max(deepest, descendants[below], descendants[below + 1])
                descendants[at] = deepest
    every = 0
    for at in range(shape.margin, shape.margin + 3 * shape.size):
        every |= packed[at]
    return _bits(every >> 1)


@njit
def _bits(value):
    bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits
