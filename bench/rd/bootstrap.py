"""Confidence intervals by resampling images: paired, because both codecs' curves come from the same draw."""

from __future__ import annotations

import numpy as np

DRAWS = 10_000
SEED = 20_250_101
LEVEL = 0.95
_FEWEST_VALID = 0.95  # of the draws; with fewer, the percentiles would be biased


def image_counts(images: int, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """How often each image is in each draw with replacement: int, draws x images; the same for the same seed."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=draws)


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float | None, float | None]:
    """Percentile interval of a statistic over the draws (NaN: no value); (None, None) if too few have a value."""
    valid = values[np.isfinite(values)]
    if len(valid) < _FEWEST_VALID * len(values) or not len(valid):
        return None, None
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
