"""SPIHT's set partitioning with the lists LIP, LIS and LSP; one function serves encoder and decoder.

Source: A. Said and W. A. Pearlman, "A new, fast, and efficient image codec based on set partitioning in hierarchical
trees", IEEE Trans. CSVT 6(3), 1996, algorithm II, with these additions:

* one set of lists for the three components, which starts with the roots of all three;
* positions outside a picture of odd size are known to be zero and cost nothing;
* if a set is significant but none of its four children is, its significance must be further down, which is not coded;
  nor is the last of four children if one of them must be significant and the others are not;
* with arithmetic coding, refinement bits are range-coded too, and each decision separately in a context from its
  neighbourhood; the paper codes the significance of four children together and everything else as plain bits.

A coefficient is an int32: magnitude << 1 | sign. A position is its index in the three planes stored one after another;
relative to its plane, the children of position k are 2k, 2k + 1, and the two one row below. List entries are int64 or
uint32 with the position in the low 29 bits and small attributes above.

Magnitudes and thresholds are integers, and the decoder knows everything the encoder's decisions depend on, so the two
cannot differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from codecs_wrappers.native.spiht.bits import ARITHMETIC, ENCODING, MODE, RAW, STOP, decide
from codecs_wrappers.native.spiht.contexts import (
    PARENT,
    PARENT_OLDER,
    pixel_context,
    refine_context,
    set_a_context,
    set_b_context,
    tell,
)
from codecs_wrappers.native.spiht.shape import OUTSIDE, Shape, children, filled

POSITION_BITS = 29
POSITION = (1 << POSITION_BITS) - 1
DEPTH_MASK = 7
TYPE_B, CERTAIN = 1 << 32, 1 << 33


class Lists(NamedTuple):
    """The three lists and the data they refer to."""

    lip: np.ndarray  # uint32, list of insignificant pixels: position, depth (levels below it) above POSITION_BITS
    lis: np.ndarray  # int64, list of insignificant sets: the same of the root, TYPE_B (grandchildren on), CERTAIN
    lsp: np.ndarray  # uint32, list of significant pixels, as LIP
    # int64, entries in LIP, LIS, LSP; of LSP, those before this plane, before the last, refined
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count, which nothing calls
    packed: np.ndarray  # int32, coefficients; the decoder writes them
    descendants: np.ndarray  # uint8, bits of the largest magnitude below a position; empty in the decoder
    state: np.ndarray  # uint8, see contexts.py


LIP, LIS, LSP, OLD, OLDER, REFINED = range(6)  # of ``count``


def new_lists(packed: np.ndarray, descendants: np.ndarray, state: np.ndarray, shape: Shape) -> Lists:
    """Lists with the roots of all components, and room for everything that can follow.

    That is each pixel once, and each set once as type A and once as type B, whatever the bits are.
    """
    pixels, sets = 3 * shape.size, 3 * shape.size // 2
    lists = Lists(
        lip=np.empty(pixels, np.uint32),
        lis=np.empty(sets, np.int64),
        lsp=np.empty(pixels, np.uint32),
        count=np.zeros(6, np.int64),
        packed=packed,
        descendants=descendants,
        state=state,
    )
    rows, columns = (np.arange(count, dtype=np.uint32) for count in (shape.low_rows, shape.low_columns))
    first = np.add.outer(rows * np.uint32(shape.stride), columns)  # a component at a time: without levels it is all
    heads = np.bitwise_or.outer(rows % 2, columns % 2) != 0
    for origin in shape.origins():
        roots = first + np.uint32(origin | shape.levels << POSITION_BITS)
        plane = state[origin : origin + shape.size].reshape(-1, shape.stride)
        inside = roots[plane[: len(rows), : len(columns)] & OUTSIDE == 0]
        above = roots[heads] if shape.levels else roots[:0, 0]
        for entries, which, start in ((lists.lip, LIP, inside), (lists.lis, LIS, above)):
            entries[lists.count[which] : lists.count[which] + len(start)] = start
            lists.count[which] += len(start)
    return lists


@njit
def code_planes(registers, data, models, lists, shape, planes):
    """Codes bit-planes from the highest down until there is no more room; returns the plane it stopped in, or 0."""
    for plane in range(planes - 1, -1, -1):
        lists.count[OLDER], lists.count[OLD] = lists.count[OLD], lists.count[LSP]
        lists.count[REFINED] = 0
        if (
            _sort_pixels(registers, data, models, lists, shape, plane) == STOP
            or _sort_sets(registers, data, models, lists, shape, plane) == STOP
            or _refine(registers, data, models, lists, shape, plane) == STOP
        ):
            return plane
    return 0


@njit
def _sort_pixels(registers, data, models, lists, shape, plane):
    """Sorting pass, part one: which pixels of the LIP have become significant."""
    kept = 0
    for read in range(lists.count[LIP]):
        entry = np.int64(lists.lip[read])
        at = entry & POSITION
        context = pixel_context(lists.state[at], at >= shape.margin + shape.size, 0)
        bit = decide(registers, data, models, context, (np.int64(lists.packed[at]) >> (plane + 1)) & 1)
        if bit == STOP:
            return STOP
        if bit:
            if _accept(registers, data, models, lists, shape, entry, plane) == STOP:
                return STOP
        else:
            lists.lip[kept] = entry
            kept += 1
    lists.count[LIP] = kept
    return 0


@njit
def _sort_sets(registers, data, models, lists, shape, plane):
    """Sorting pass, part two: which sets of the LIS have become significant, and what they fall into."""
    kept, read, end = 0, 0, lists.count[LIS]
    known = end  # entries from here on are born in this pass
    while read < end:
        entry = lists.lis[read]
        read += 1
        at, depth = entry & POSITION, (entry >> POSITION_BITS) & DEPTH_MASK
        kids = children(shape, at, depth)
        bit = 1
        if not entry & CERTAIN:
            bit = _decide_set(
                registers, data, models, lists.state, lists.descendants, shape, entry, kids, plane, int(read > known)
            )
        if bit == STOP:
            return STOP
        if not bit:
            lists.lis[kept] = entry
            kept += 1
        elif entry & TYPE_B:
            for child in range(4):
                kid = kids + (child & 1) + (child >> 1) * shape.stride
                if filled(lists.state, shape, kid, depth - 1):
                    lists.lis[end] = kid | (depth - 1) << POSITION_BITS
                    end += 1
        else:
            found = _split(registers, data, models, lists, shape, kids, depth, plane)
            if found == STOP:
                return STOP
            if depth > 1:
                lists.lis[end] = entry | TYPE_B | (0 if found else CERTAIN)
                end += 1
    lists.count[LIS] = kept
    return 0


@njit
def _decide_set(registers, data, models, state, descendants, shape, entry, kids, plane, born):
    """Codes whether a set is significant: all descendants (type A), or those after the children (type B)."""
    at = entry & POSITION
    chroma = int(at >= shape.margin + shape.size)
    mode = registers[MODE]
    bit, context = 0, RAW
    if entry & TYPE_B:
        if mode & ENCODING:
            bit = int(_greatest(descendants, shape, kids) > plane)
        if mode & ARITHMETIC:
            context = set_b_context(state, shape, kids, chroma, born)
    else:
        if mode & ENCODING:
            bit = int(descendants[at] > plane)
        if mode & ARITHMETIC:
            context = set_a_context(state, shape, at, kids, chroma, born)
    return decide(registers, data, models, context, bit)


@njit
def _split(registers, data, models, lists, shape, kids, depth, plane):
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
            context = pixel_context(lists.state[kid], chroma, 1)
            bit = decide(registers, data, models, context, (np.int64(lists.packed[kid]) >> (plane + 1)) & 1)
            if bit == STOP:
                return STOP
        if bit:
            if _accept(registers, data, models, lists, shape, entry, plane) == STOP:
                return STOP
            found += 1
        else:
            lists.lip[lists.count[LIP]] = entry
            lists.count[LIP] += 1
    return found


@njit
def _accept(registers, data, models, lists, shape, entry, plane):
    """Codes the sign of a pixel that became significant and puts it into the LSP."""
    at = entry & POSITION
    sign = decide(registers, data, models, RAW, np.int64(lists.packed[at]) & 1)
    if sign == STOP:
        return STOP
    if not registers[MODE] & ENCODING:
        lists.packed[at] = 2 << plane | sign
    lists.lsp[lists.count[LSP]] = entry
    lists.count[LSP] += 1
    if registers[MODE] & ARITHMETIC:
        tell(lists.state, shape, at, entry >> POSITION_BITS, PARENT)
    return 0


@njit
def _refine(registers, data, models, lists, shape, plane):
    """Refinement pass: the next bit of every pixel that was significant before this plane."""
    for read in range(lists.count[OLD]):
        entry = np.int64(lists.lsp[read])
        at = entry & POSITION
        context = RAW
        if registers[MODE] & ARITHMETIC:
            context = refine_context(lists.state[at], read >= lists.count[OLDER])
        bit = decide(registers, data, models, context, (np.int64(lists.packed[at]) >> (plane + 1)) & 1)
        if bit == STOP:
            return STOP
        if not registers[MODE] & ENCODING:
            lists.packed[at] |= bit << (plane + 1)
        lists.count[REFINED] = read + 1
        if registers[MODE] & ARITHMETIC and read >= lists.count[OLDER]:
            tell(lists.state, shape, at, entry >> POSITION_BITS, PARENT_OLDER)
    return 0


@njit
def _greatest(descendants, shape, kids):
    below = shape.stride + kids
    return max(max(descendants[kids], descendants[kids + 1]), max(descendants[below], descendants[below + 1]))


@njit(cache=True)
def reconstruct(packed, lsp, count, plane, fixed_point):
    """Replaces known magnitudes by the middle of the interval they lie in (float32, in place).

    The pixels refined in ``plane`` and those found in it are known to that plane, the others to the one above.
    """
    values = packed.view(np.float32)
    for read in range(count[LSP]):
        at = np.int64(lsp[read]) & POSITION
        coded = packed[at]
        known = plane if read < count[REFINED] or read >= count[OLD] else plane + 1
        middle = (np.float32(coded >> 1) + np.float32(0.5) * np.float32(1 << known)) / fixed_point
        values[at] = -middle if coded & 1 else middle
