"""SPIHT's set partitioning: the lists LIP, LIS and LSP, one function for encoder and decoder.

Source: A. Said and W. A. Pearlman, "A new, fast, and efficient image codec based on set partitioning in hierarchical
trees", IEEE Trans. CSVT 6(3), 1996, algorithm II. What is added to it:

* one set of lists over the three components, which start together with the roots of all three;
* positions that a picture of odd size does not fill are known to be zero and cost nothing;
* a set found significant whose four children are not must have its significance further down: that is not coded,
  nor is the last of four children of which one must be significant.

A coefficient is an int32: magnitude << 1 | sign. A position is its index in the three planes stored one after another;
relative to its plane, the children of position k are 2k, 2k + 1, and the two one row below. List entries are int64 or
uint32 with the position in the low 29 bits and small attributes above.

``state`` (uint8) serves the contexts of the arithmetic coder. It holds what encoder and decoder both know: in the low
5 bits how significant the eight neighbours are, then two bits for the parent, and OUTSIDE for a position not filled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from codecs_wrappers.native.spiht.bits import ARITHMETIC, ENCODING, MODE, RAW, STOP, decide

NEAR = 31
PARENT, PARENT_OLDER, OUTSIDE = 32, 64, 128
POSITION_BITS = 29
POSITION = (1 << POSITION_BITS) - 1
DEPTH_MASK = 7
TYPE_B, CERTAIN = 1 << 32, 1 << 33

# Contexts of the arithmetic coder, by what is decided; the parts of each are counted in the function that forms it.
COEFFICIENT, SET_A, SET_B, REFINE = 0, 108, 108 + 216, 108 + 216 + 80
CONTEXTS = REFINE + 12
NEAR_CLASS = np.array([0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7] + 20 * [8], np.uint8)
SUM_CLASS = np.array([0, 1, 2, 2, 3, 3, 3, 3] + 8 * [4] + 112 * [5], np.uint8)


class Shape(NamedTuple):
    """How three planes of one size lie one after another in flat arrays, after and before a margin of one row."""

    margin: int  # entries before the first plane, so that every position has eight neighbours
    size: int  # of a plane: rows x stride
    stride: int  # entries in a row
    low_rows: int  # of the low-pass band
    low_columns: int
    levels: int


class Lists(NamedTuple):
    """The three lists and what they speak about."""

    lip: np.ndarray  # uint32, list of insignificant pixels: position, depth (levels below it) above POSITION_BITS
    lis: np.ndarray  # int64, list of insignificant sets: the same of the root, TYPE_B (grandchildren on), CERTAIN
    lsp: np.ndarray  # uint32, list of significant pixels, as LIP
    count: np.ndarray  # int64, entries in LIP, LIS, LSP, then: LSP entries before this plane, and refined in it
    packed: np.ndarray  # int32, coefficients; the decoder writes them
    descendants: np.ndarray  # uint8, bits of the greatest magnitude below a position; the decoder's is empty
    state: np.ndarray  # uint8


LIP, LIS, LSP, OLD, REFINED = range(5)


@njit(cache=True)
def code_planes(coder, data, models, lists, shape, planes):
    """Codes bit-planes from the highest down until there is no more room; returns the plane it stopped in, or 0."""
    _fill_lists(lists, shape)
    older = 0
    for plane in range(planes - 1, -1, -1):
        lists.count[OLD] = lists.count[LSP]
        lists.count[REFINED] = 0
        if (
            _sort_pixels(coder, data, models, lists, shape, plane) == STOP
            or _sort_sets(coder, data, models, lists, shape, plane) == STOP
            or _refine(coder, data, models, lists, shape, plane, older) == STOP
        ):
            return plane
        older = lists.count[OLD]
    return 0


@njit(cache=True)
def _fill_lists(lists, shape):
    for component in range(3):
        for i in range(shape.low_rows):
            for j in range(shape.low_columns):
                at = shape.margin + component * shape.size + i * shape.stride + j
                if not lists.state[at] & OUTSIDE:
                    lists.lip[lists.count[LIP]] = at | shape.levels << POSITION_BITS
                    lists.count[LIP] += 1
                if shape.levels and (i & 1 or j & 1):
                    lists.lis[lists.count[LIS]] = at | shape.levels << POSITION_BITS
                    lists.count[LIS] += 1


@njit(cache=True)
def _sort_pixels(coder, data, models, lists, shape, plane):
    """Sorting pass, part one: which pixels of the LIP have become significant."""
    kept = 0
    for read in range(lists.count[LIP]):
        entry = np.int64(lists.lip[read])
        at = entry & POSITION
        context = _pixel_context(lists.state[at], at >= shape.margin + shape.size, 0)
        bit = decide(coder, data, models, context, (np.int64(lists.packed[at]) >> (plane + 1)) & 1)
        if bit == STOP:
            return STOP
        if bit:
            if _accept(coder, data, models, lists, shape, entry, plane) == STOP:
                return STOP
        else:
            lists.lip[kept] = entry
            kept += 1
    lists.count[LIP] = kept
    return 0


@njit(cache=True)
def _sort_sets(coder, data, models, lists, shape, plane):
    """Sorting pass, part two: which sets of the LIS have become significant, and what they fall into."""
    kept, read, end = 0, 0, lists.count[LIS]
    known = end  # entries from here on are born in this pass
    encoding = coder[MODE] & ENCODING
    while read < end:
        entry = lists.lis[read]
        read += 1
        at, depth = entry & POSITION, (entry >> POSITION_BITS) & DEPTH_MASK
        kids = _children(shape, at, depth)
        chroma, born = int(at >= shape.margin + shape.size), int(read > known)
        if entry & TYPE_B:
            bit = 1
            if not entry & CERTAIN:
                if encoding:
                    bit = int(_greatest(lists.descendants, shape, kids) > plane)
                context = RAW
                if coder[MODE] & ARITHMETIC:
                    context = _set_b_context(lists.state, shape, kids, chroma, born)
                bit = decide(coder, data, models, context, bit)
                if bit == STOP:
                    return STOP
            if bit:
                for child in range(4):
                    kid = kids + (child & 1) + (child >> 1) * shape.stride
                    if _filled(lists.state, shape, kid, depth - 1):
                        lists.lis[end] = kid | (depth - 1) << POSITION_BITS
                        end += 1
            else:
                lists.lis[kept] = entry
                kept += 1
            continue
        bit = int(lists.descendants[at] > plane) if encoding else 0
        context = RAW
        if coder[MODE] & ARITHMETIC:
            context = _set_a_context(lists.state, shape, at, kids, chroma, born)
        bit = decide(coder, data, models, context, bit)
        if bit == STOP:
            return STOP
        if not bit:
            lists.lis[kept] = entry
            kept += 1
            continue
        found = _split(coder, data, models, lists, shape, kids, depth, plane)
        if found == STOP:
            return STOP
        if depth > 1:
            lists.lis[end] = entry | TYPE_B | (0 if found else CERTAIN)
            end += 1
    lists.count[LIS] = kept
    return 0


@njit(cache=True)
def _split(coder, data, models, lists, shape, kids, depth, plane):
    """Codes the four children of a set that became significant; returns how many of them are, or STOP."""
    found = 0
    chroma = kids >= shape.margin + shape.size
    last = 3
    while last > 0 and lists.state[kids + (last & 1) + (last >> 1) * shape.stride] & OUTSIDE:
        last -= 1
    for child in range(last + 1):
        kid = kids + (child & 1) + (child >> 1) * shape.stride
        if lists.state[kid] & OUTSIDE:
            continue
        entry = kid | (depth - 1) << POSITION_BITS
        bit = 1
        if depth > 1 or found or child < last:  # or else it must be this one
            context = _pixel_context(lists.state[kid], chroma, 1)
            bit = decide(coder, data, models, context, (np.int64(lists.packed[kid]) >> (plane + 1)) & 1)
            if bit == STOP:
                return STOP
        if bit:
            if _accept(coder, data, models, lists, shape, entry, plane) == STOP:
                return STOP
            found += 1
        else:
            lists.lip[lists.count[LIP]] = entry
            lists.count[LIP] += 1
    return found


@njit(cache=True)
def _accept(coder, data, models, lists, shape, entry, plane):
    """Codes the sign of a pixel that became significant and puts it into the LSP."""
    at = entry & POSITION
    sign = decide(coder, data, models, RAW, np.int64(lists.packed[at]) & 1)
    if sign == STOP:
        return STOP
    if not coder[MODE] & ENCODING:
        lists.packed[at] = 2 << plane | sign
    lists.lsp[lists.count[LSP]] = entry
    lists.count[LSP] += 1
    if coder[MODE] & ARITHMETIC:
        _tell(lists.state, shape, at, entry >> POSITION_BITS, PARENT)
    return 0


@njit(cache=True)
def _refine(coder, data, models, lists, shape, plane, older):
    """Refinement pass: the next bit of every pixel that was significant before this plane."""
    for read in range(lists.count[OLD]):
        entry = np.int64(lists.lsp[read])
        at = entry & POSITION
        context = RAW
        if coder[MODE] & ARITHMETIC:
            first = int(read >= older)
            context = REFINE + first * 3 + min(int(lists.state[at] & NEAR) >> 2, 2)
        bit = decide(coder, data, models, context, (np.int64(lists.packed[at]) >> (plane + 1)) & 1)
        if bit == STOP:
            return STOP
        if not coder[MODE] & ENCODING:
            lists.packed[at] |= bit << (plane + 1)
        lists.count[REFINED] = read + 1
        if coder[MODE] & ARITHMETIC and read >= older:
            _tell(lists.state, shape, at, entry >> POSITION_BITS, PARENT_OLDER)
    return 0


@njit(cache=True)
def _tell(state, shape, at, depth, flag):
    """Lets neighbours and children know that a pixel is significant; called again when it is for a second plane."""
    up, down = at - shape.stride, at + shape.stride
    state[at - 1] += 2
    state[at + 1] += 2
    state[up] += 2
    state[down] += 2
    state[up - 1] += 1
    state[up + 1] += 1
    state[down - 1] += 1
    state[down + 1] += 1
    if depth:
        kids = _children(shape, at, depth)
        if kids != at:
            state[kids] |= flag
            state[kids + 1] |= flag
            state[kids + shape.stride] |= flag
            state[kids + shape.stride + 1] |= flag


@njit(cache=True)
def _children(shape, at, depth):
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


@njit(cache=True)
def _filled(state, shape, at, depth):
    """Whether any position below ``at`` lies inside the picture."""
    for below in range(depth, 0, -1):
        at = _children(shape, at, below)
        if not state[at] & OUTSIDE:
            return True
    return False


@njit(cache=True)
def _greatest(descendants, shape, kids):
    below = shape.stride + kids
    return max(max(descendants[kids], descendants[kids + 1]), max(descendants[below], descendants[below + 1]))


@njit(cache=True)
def _pixel_context(state, chroma, born):  # 9 x 3 x 2 x 2
    parent = (state >> 5) & 3
    return COEFFICIENT + ((int(born) * 2 + int(chroma)) * 3 + min(parent, 2)) * 9 + NEAR_CLASS[state & NEAR]


@njit(cache=True)
def _set_a_context(state, shape, at, kids, chroma, born):  # 6 x 3 x 3 x 2 x 2
    below = kids + shape.stride
    near = (state[kids] & NEAR) + (state[kids + 1] & NEAR) + (state[below] & NEAR) + (state[below + 1] & NEAR)
    parent = min((np.int64(state[kids]) >> 5) & 3, 2)
    beside = min((np.int64(state[at]) & NEAR) + 3 >> 2, 2)
    return SET_A + (((born * 2 + chroma) * 3 + parent) * 3 + beside) * 6 + SUM_CLASS[near]


@njit(cache=True)
def _set_b_context(state, shape, kids, chroma, born):  # 4 x 5 x 2 x 2
    near = significant = 0
    for child in range(4):
        kid = kids + (child & 1) + (child >> 1) * shape.stride
        near += state[kid] & NEAR
        significant += (np.int64(state[_children(shape, kid, 0)]) & PARENT) // PARENT
    return SET_B + ((born * 2 + chroma) * 5 + significant) * 4 + min(SUM_CLASS[min(near, 127)], 3)
