"""Contexts of the arithmetic coder: what encoder and decoder both know about the probability of a decision.

``state`` (uint8, one per position) has in its low 5 bits how significant the eight neighbours are (2 for a horizontal
or vertical one, 1 for a diagonal one, twice that once it has been significant for a plane), then two bits for the same
of the parent, and OUTSIDE. Each function combines a few parts into one index; their sizes are in a comment.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from codecs_wrappers.native.spiht.shape import children

NEAR = 31
PARENT, PARENT_OLDER = np.int64(32), np.int64(64)

PIXEL, SET_A, SET_B, REFINE = 0, 108, 108 + 216, 108 + 216 + 80
CONTEXTS = REFINE + 6
NEAR_CLASS = np.array([0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7] + 20 * [8], np.uint8)
SUM_CLASS = np.array([0, 1, 2, 2, 3, 3, 3, 3] + 8 * [4] + 112 * [5], np.uint8)


@njit
def tell(state, shape, at, depth, flag):
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
        kids = children(shape, at, depth)
        if kids != at:
            state[kids] |= flag
            state[kids + 1] |= flag
            state[kids + shape.stride] |= flag
            state[kids + shape.stride + 1] |= flag


@njit
def pixel_context(state, chroma, born):  # 9 x 3 x 2 x 2
    parent = (state >> 5) & 3
    return PIXEL + ((int(born) * 2 + int(chroma)) * 3 + min(parent, 2)) * 9 + NEAR_CLASS[state & NEAR]


@njit
def set_a_context(state, shape, at, kids, chroma, born):  # 6 x 3 x 3 x 2 x 2
    below = kids + shape.stride
    near = (state[kids] & NEAR) + (state[kids + 1] & NEAR) + (state[below] & NEAR) + (state[below + 1] & NEAR)
    parent = min((np.int64(state[kids]) >> 5) & 3, 2)
    beside = min((np.int64(state[at]) & NEAR) + 3 >> 2, 2)
    return SET_A + (((born * 2 + chroma) * 3 + parent) * 3 + beside) * 6 + SUM_CLASS[near]


@njit
def set_b_context(state, shape, kids, chroma, born):  # 4 x 5 x 2 x 2
    near = significant = 0
    for child in range(4):
        kid = kids + (child & 1) + (child >> 1) * shape.stride
        near += state[kid] & NEAR
        significant += (np.int64(state[children(shape, kid, 0)]) & PARENT) // PARENT
    return SET_B + ((born * 2 + chroma) * 5 + significant) * 4 + min(SUM_CLASS[min(near, 127)], 3)


@njit
def refine_context(state, first):  # 3 x 2
    return REFINE + int(first) * 3 + min(np.int64(state & NEAR) >> 2, 2)
