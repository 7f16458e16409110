"""The cost of levels that do not nest (PLONQ, section 3): ideal code lengths of a latent refined level by level.

After k levels an element is known to lie in the intersection I_k of its bins. Refining it from level k - 1 to k takes
-log2 P(I_k) / P(I_(k-1)) bits, so all levels together take -log2 P(I_K). With nested levels I_K is the finest bin;
otherwise it is smaller, and takes more bits than the finest level alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.codec import Image
from codecs_wrappers.learned.codelength import LIKELIHOOD_MIN
from codecs_wrappers.learned.entropy.gaussian import SIGMA_MIN, SIGMA_UNIT, bin_mass
from codecs_wrappers.learned.hyperprior.coding import analysis, mean_values
from codecs_wrappers.learned.plonq.coding import LEVELS

if TYPE_CHECKING:
    from codecs_wrappers.learned.hyperprior.model import Model

GRIDS: dict[str, list[tuple[int, int]]] = {  # (step, centre bin) of each level, coarsest first
    "nested": [(level.step, level.centre) for level in LEVELS],
    "not nested (uniform steps 8, 4, 2, 1)": [(8, 8), (4, 4), (2, 2), (1, 1)],
    "finest alone": [(1, 1)],
}


def nesting(model: Model, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the ideal rate of y over all levels of a grid, in bit/pixel of ``image`` (uint8, H x W x 3)."""
    y, _, means, sigma = analysis(model, image)
    residual = (y - mean_values(means)).astype(np.float64)
    scale = np.maximum(sigma / SIGMA_UNIT, SIGMA_MIN)
    for name, levels in GRIDS.items():
        yield {"levels": name, "bpp": ideal_bits(residual, scale, levels) / image[..., 0].size}


def ideal_bits(residual: np.ndarray, sigma: np.ndarray, levels: Sequence[tuple[int, int]]) -> float:
    """-log2 of the probability under N(0, sigma) of the intersection of each value's bins at all levels, summed."""
    ends = [bin_of(residual, step, centre) for step, centre in levels]
    lower = np.max([low for low, _ in ends], axis=0)
    upper = np.min([high for _, high in ends], axis=0)
    return float(-np.log2(np.maximum(bin_mass(lower / sigma, upper / sigma), LIKELIHOOD_MIN)).sum())


def bin_of(x: np.ndarray, step: float, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper) ends of each value's bin: the centre bin is ``centre`` wide, every other bin ``step``."""
    number = np.floor((np.abs(x) - centre / 2) / step)  # counted outwards; negative in the centre bin
    near = np.where(number < 0, -centre / 2, centre / 2 + number * step)
    far = centre / 2 + np.maximum(number + 1, 0) * step
    return np.where(x < 0, -far, near), np.where(x < 0, -near, far)
