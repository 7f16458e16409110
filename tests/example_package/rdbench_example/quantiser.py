"""A uniform quantiser of 8-bit samples."""

from __future__ import annotations

import numpy as np


def indices(samples: np.ndarray, step: int) -> np.ndarray:
    """uint8 of any shape -> the numbers of their bins of width ``step``, 1..255, as uint8."""
    return samples // step


def middles(numbers: np.ndarray, step: int) -> np.ndarray:
    """The middles of those bins, uint8, 0..255."""
    return np.minimum(numbers.astype(int) * step + step // 2, 255).astype(np.uint8)
