"""Nested quantization (PLONQ, section 3): levels whose bins subdivide those of the previous level, as integer tables.

A :class:`Level` of step m and centre c has its decision thresholds at ±(c/2 + j m), j >= 0, in units of the finest
step. Each lies halfway between two integers, so a coarse bin is a set of neighbouring integers, and coarse symbols come
from the finest one, k = round(y - mean), by integer arithmetic. The bins of all levels form a tree; refining an element
by one level means choosing among the children of its bin.

Probabilities are sums of the finest level's integer counts, so an element's code lengths over all levels add up to its
code length under plain rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.special import erfcx

from bench.errors import UsageError
from codecs_wrappers.learned.entropy.gaussian import SCALES, gaussian_tables
from codecs_wrappers.learned.entropy.tables import PRECISION, Tables
from codecs_wrappers.learned.hyperprior.coding import MEAN_UNIT


@dataclass(frozen=True)
class Level:
    """A dead-zone quantizer: the centre bin is ``centre`` wide (odd), every other bin ``step``."""

    step: int
    centre: int

    def __post_init__(self) -> None:
        if self.step < 1 or self.centre < 1 or self.centre % 2 == 0:
            raise UsageError(
                f"a quantization level: expected a positive step and an odd, positive centre bin (its thresholds lie "
                f"halfway between integers), got step {self.step} and centre {self.centre}"
            )

    def bins(self, k: np.ndarray) -> np.ndarray:
        """The bin of each integer k: 0 for the centre, signed, counted outwards. Same dtype and shape as k."""
        outside = np.abs(k) - (self.centre - 1) // 2
        return np.sign(k) * np.where(outside > 0, (outside + self.step - 1) // self.step, 0).astype(k.dtype)

    def __str__(self) -> str:
        return f"({self.step}, {self.centre})"


Levels = tuple[Level, ...]  # coarsest first
FINEST = Level(1, 1)  # plain rounding


def levels_of(*pairs: tuple[int, int]) -> Levels:
    """Levels from (step, centre), coarsest first: ``levels_of((4, 7), (1, 1))``. UsageError if they do not nest."""
    levels = tuple(Level(*pair) for pair in pairs)
    check_nested(levels)
    return levels


def check_nested(levels: Sequence[Level]) -> None:
    """Raises UsageError for the first pair of levels whose bins do not nest, or if the last is not plain rounding.

    (m', c') nests in (m, c) if m' = p m and c'/2 = c/2 + q m for integers p >= 1, q >= 0.
    """
    if not levels or levels[-1] != FINEST:
        raise UsageError(
            f"nested levels {' '.join(map(str, levels)) or '(none)'}: the last must be (1, 1), plain rounding, so that "
            "the whole stream has the base model's quality"
        )
    for coarse, fine in pairwise(levels):
        apart = (coarse.centre - fine.centre) // 2  # both odd
        if coarse == fine or coarse.step % fine.step or apart < 0 or apart % fine.step:
            raise UsageError(
                f"level {coarse} does not nest in level {fine}: expected a step that is a multiple of {fine.step} and "
                f"a centre bin of {fine.centre} plus a multiple of {2 * fine.step}, and one of them larger"
            )


@dataclass(frozen=True, eq=False)
class Stage:
    """The bins of one level, for all scale indices, numbered consecutively as nodes of a tree.

    Nodes are the bins of scale index 0, most negative first, then those of index 1, and so on; a bin holds only
    integers within the Gaussian table of its scale index. Parents are the nodes of the previous level; at the first
    level they are the scale indices. The last node of every level represents outliers: integers outside the table of
    their scale index, which are coded completely at the first level. Arrays are int32.

    parent: by node. child: by parent, its first node. mass: by node, the sum of the finest level's counts.
    centroid, midpoint: by node, its reconstruction relative to the mean, in 1/MEAN_UNIT; for a bin of one integer, that
    integer. tables: by parent, its nodes counted from 0. A table of size 1 is not coded. The escape of the first
    level's tables counts integers outwards from the ends of the Gaussian table.
    """

    parent: np.ndarray
    child: np.ndarray
    mass: np.ndarray
    centroid: np.ndarray
    midpoint: np.ndarray
    tables: Tables
    is_coded: np.ndarray  # bool, by parent: whether its table has a choice to code

    @property
    def outlier(self) -> int:
        """The node that represents outliers."""
        return len(self.parent) - 1


@lru_cache(maxsize=32)
def stages(levels: Levels) -> tuple[Stage, ...]:
    """The stages of nested levels, coarsest first, from the counts of plain rounding's tables.

    Raises UsageError if the levels do not nest.
    """
    check_nested(levels)
    finest = gaussian_tables()
    index, k, count = _finest_integers(finest)
    sigma = np.append(SCALES, 1.0)
    # A table's counts had 1 added to each mass; without it, the first level's masses are exact sums.
    escape, added = np.append(_count(finest, finest.start + finest.size) - 1.0, np.nan), 1
    parent_of = index  # the node of each finest integer in the previous level
    made = []
    for level in levels:
        changes = (np.diff(index, prepend=-1) != 0) | (np.diff(level.bins(k), prepend=0) != 0)
        begins = np.flatnonzero(changes)
        low, high = k[begins], k[np.append(begins[1:], len(k)) - 1]
        parent, mass = parent_of[begins], np.add.reduceat(count, begins)
        size = np.bincount(parent)
        tables = Tables.from_flat(mass.astype(float) - added, size, np.zeros_like(size), escape)
        made.append(
            Stage(
                _int32(parent),
                _int32(np.cumsum(size) - size),
                _int32(mass),
                _int32(np.rint(MEAN_UNIT * _centroid(low, high, sigma[index[begins]]))),
                _int32(MEAN_UNIT * (low + high) // 2),
                tables,
                tables.size + tables.escape > 1,
            )
        )
        parent_of = np.cumsum(changes) - 1
        escape, added = np.full(len(begins), np.nan), 0
    return tuple(made)


def nodes(tree: Sequence[Stage], index: np.ndarray, k: np.ndarray) -> list[np.ndarray]:
    """The node (int32) of each integer k at each level, coarsest first. index: the scale index of each."""
    finest = gaussian_tables()
    place = k - finest.minimum[index]
    begins = np.cumsum(finest.size, dtype=np.int32) - finest.size
    node = np.where((place >= 0) & (place < finest.size[index]), begins[index] + place, tree[-1].outlier)
    path = [node.astype(np.int32)]
    for stage in tree[:0:-1]:
        path.append(stage.parent[path[-1]])
    return path[::-1]


def outlier_symbol(first: Stage, index: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The first level's symbol (int32) of integers outside their table: as far outside its bins as k is outside it."""
    least, greatest = _ends(index)
    return np.where(k < least, k - least, k - greatest - 1 + first.tables.size[index])


def outlier_value(first: Stage, index: np.ndarray, symbol: np.ndarray) -> np.ndarray:
    """The integer (int32) for a symbol of :func:`outlier_symbol`."""
    least, greatest = _ends(index)
    return np.where(symbol < 0, symbol + least, symbol - first.tables.size[index] + greatest + 1)


def _ends(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest integer (int32) of the Gaussian table of each scale index."""
    finest = gaussian_tables()
    return finest.minimum[index], finest.minimum[index] + finest.size[index] - 1


def _finest_integers(finest: Tables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scale index, integer, count) of every entry of the Gaussian tables, and a last entry for outliers."""
    index = np.repeat(np.arange(len(finest)), finest.size)
    place = np.arange(len(index)) - np.repeat(np.cumsum(finest.size) - finest.size, finest.size)
    k, count = finest.minimum[index] + place, _count(finest, finest.start[index] + place)
    return np.append(index, len(finest)), np.append(k, 0), np.append(count, 1 << PRECISION)


def _count(tables: Tables, at: np.ndarray) -> np.ndarray:
    return (tables.cumulative[at + 1] - tables.cumulative[at]).astype(np.int64)


def _centroid(low: np.ndarray, high: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """E[x | low - 1/2 < x < high + 1/2] of x ~ N(0, sigma), accurate in the tails too; low itself where low == high.

    A bin holds integers of one sign, or is symmetric.
    """
    near = (np.minimum(np.abs(low), np.abs(high)) - 0.5) / sigma
    far = (np.maximum(np.abs(low), np.abs(high)) + 0.5) / sigma
    decay = np.exp((near - far) * (near + far) / 2)  # of the density from the near to the far threshold
    ratio = np.sqrt(np.pi / 2) * (erfcx(near / np.sqrt(2)) - decay * erfcx(far / np.sqrt(2)))
    mean = np.sign(low + high) * sigma * (1 - decay) / ratio
    return np.where(low == high, low, mean)


def _int32(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.int32)
    values.flags.writeable = False  # cached, so shared
    return values
