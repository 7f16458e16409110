"""Elementary functions with bit-identical results on every machine: only float64 sums and products in a fixed order.

NumPy's own differ in the last place between processors and releases, which occasionally changes an integer count.
Shapes are kept; errors are a few units in the last place.
"""

from __future__ import annotations

import numpy as np

_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # a multiple of 2^-32, and the remainder
_EXP_TERMS, _ATANH_TERMS = 14, 17  # of the power series, for |x| <= ln(2) / 2 and 1/3


def exp(x: np.ndarray) -> np.ndarray:
    """e^x: 2^n times a power series in the remainder of x. x is clipped to -740..700."""
    x = np.clip(x, -740.0, 700.0)
    n = np.rint(x * 1.4426950408889634)
    rest = (x - n * _LN2_HIGH) - n * _LN2_LOW
    value = np.ones_like(rest)
    for k in range(_EXP_TERMS, 0, -1):
        value = 1.0 + value * rest / k
    return np.ldexp(value, n.astype(np.int32))


def expit(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x), accurate for small values too."""
    small = exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def tanh(x: np.ndarray) -> np.ndarray:
    """The hyperbolic tangent, to an absolute error of about 2^-52."""
    small = exp(-2.0 * np.abs(x))
    return np.sign(x) * (1.0 - small) / (1.0 + small)


def softplus(x: np.ndarray) -> np.ndarray:
    """ln(1 + e^x), by ln(1 + t) = 2 artanh(t / (2 + t))."""
    small = exp(-np.abs(x))
    s = small / (2.0 + small)
    series = np.zeros_like(s)
    for k in range(_ATANH_TERMS, -1, -1):
        series = 1.0 / (2 * k + 1) + series * s * s
    return np.maximum(x, 0.0) + 2.0 * s * series
