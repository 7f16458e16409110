"""Coding with a mean-scale hyperprior and a pair of STanH quantizers: integer tables over levels, real bytes.

The symbol of an element is the number of its level, counted from the middle one. Its table depends on the scale index
for y, on the channel for z; both come from the levels (or thresholds) that the bitstream names, and are built once.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from bench.codec import Image
from bench.errors import UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.bitstream import Header
from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder
from codecs_wrappers.learned.entropy.factorised import cumulative_logits
from codecs_wrappers.learned.entropy.gaussian import SCALES, bin_mass, scale_index
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperdecoder import ACTIVATION_UNIT
from codecs_wrappers.learned.meanscale import channels_of, mean_values

if TYPE_CHECKING:
    from codecs_wrappers.learned.model import Model
    from codecs_wrappers.learned.weights import Weights

LEVEL_UNIT = ACTIVATION_UNIT  # levels are integers in 1/1024: the grid of the exact hyper-decoder


@dataclass(frozen=True, eq=False)
class Quantizer:
    """The hard form of a STanH layer. levels: float64 (L,), multiples of 1/LEVEL_UNIT; thresholds: float64 (L - 1,)."""

    levels: np.ndarray
    thresholds: np.ndarray
    bins: str = "levels"

    @property
    def middle(self) -> int:
        """The level whose symbol is 0."""
        return len(self.levels) // 2

    def symbols(self, x: np.ndarray) -> np.ndarray:
        """int32, shape of x: the level of each value, counted from the middle one; a tie falls to the lower level."""
        flat = np.searchsorted(self.thresholds.astype(x.dtype), x.ravel())
        return (flat - self.middle).astype(np.int32).reshape(x.shape)

    def values(self, symbols: np.ndarray) -> np.ndarray:
        """float64, shape of symbols: their levels."""
        return self.levels[symbols + self.middle]

    def inner_edges(self) -> np.ndarray:
        """float64 (L - 1,): where one level's bin of the entropy model ends and the next one's begins."""
        return (self.levels[1:] + self.levels[:-1]) / 2 if self.bins == "levels" else self.thresholds

    def blend(self, other: Quantizer, fraction: float) -> Quantizer:
        """(1 - fraction) of this and fraction of ``other``, which has as many levels; a copy."""
        levels, thresholds = (
            (1 - fraction) * mine + fraction * its
            for mine, its in ((self.levels, other.levels), (self.thresholds, other.thresholds))
        )
        return Quantizer(_on_grid(levels), thresholds, self.bins)
