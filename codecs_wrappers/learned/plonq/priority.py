"""Ordering by gain, the expected error reduction per expected bit; and the reconstruction of coarse bins.

Everything is a function of an element's parent bin, which encoder and decoder both know, and of integer tables: the
masses of the bins and their reconstruction points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from codecs_wrappers.learned.plonq.levels import Levels, Stage, stages

STEPS = 16  # of priority per octave of gain per bit
HALF = 1 << 15  # the priority of a gain of one squared quantization step per bit
BLEND_UNIT = 16  # of the way from a bin's conditional mean to its middle


@lru_cache(maxsize=32)
def priorities(levels: Levels) -> tuple[np.ndarray, ...]:
    """For each level, uint16 by parent: the logarithm of the expected error reduction per expected bit.

    Parents are the nodes of the previous level, or scale indices for the first; one with nothing to code has 0.
    """
    found = []
    before: Stage | None = None
    for stage in stages(levels):
        count = len(stage.tables.size)
        shown = np.zeros(count) if before is None else before.centroid.astype(float)
        child_of = stage.parent.astype(np.int64)
        mass = stage.mass.astype(float)
        whole = np.bincount(child_of, mass, minlength=count)
        part = mass / whole[child_of]
        gain = np.bincount(child_of, part * np.square(stage.centroid - shown[child_of]), minlength=count)
        bits = np.bincount(child_of, -part * np.log2(part), minlength=count)
        coded = stage.is_coded & (bits > 0) & (gain > 0)
        ratio = np.divide(gain, bits, out=np.ones(count), where=coded)
        rank = np.clip(np.rint(STEPS * np.log2(ratio)) + HALF, 1, 2**16 - 1)
        found.append(_read_only(np.where(coded, rank, 0).astype(np.uint16)))
        before = stage
    return tuple(found)


def by_gain(priority: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """The elements in order of decreasing priority of their parents, ties in index order. parents: int32, flat."""
    return np.argsort(np.uint16(0xFFFF) - priority[parents], kind="stable")  # a radix sort


@lru_cache(maxsize=64)
def reconstructions(levels: Levels, blend: int) -> tuple[np.ndarray, ...]:
    """For each level, int32 by node: its reconstruction, ``blend`` / BLEND_UNIT of the way from its mean to its middle.

    A residual's distribution has longer tails than the Gaussian of its scale, so the mean over a coarse bin lies
    between the Gaussian's mean and the bin's middle.
    """
    return tuple(
        _read_only(((BLEND_UNIT - blend) * stage.centroid + blend * stage.midpoint + BLEND_UNIT // 2) // BLEND_UNIT)
        for stage in stages(levels)
    )


def digest_of(tables: Sequence[np.ndarray]) -> bytes:
    """The bytes of the tables, for the digest in a bitstream."""
    return b"".join(table.tobytes() for table in tables)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False  # cached, so shared
    return values
