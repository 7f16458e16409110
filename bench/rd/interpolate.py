"""Integrals of curves through rate-distortion points, in batches: PCHIP, the cubic polynomial, Akima."""

from __future__ import annotations

import numpy as np

FEWEST_POINTS = {"pchip": 2, "cubic": 4, "akima": 2}


def integral(x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray, method: str) -> np.ndarray:
    """Integral from ``low`` to ``high`` (B) of the curves through x, y (B x N, x increasing in each row): B values.

    pchip: Fritsch-Carlson, as in the JVET sheet and SciPy. cubic: the least-squares polynomial of degree 3 of VCEG-M33.
    akima: Akima 1970; a straight line through two points.
    """
    if method == "cubic":
        return _cubic_integral(x, y, low, high)
    slopes = {"pchip": pchip_slopes, "akima": akima_slopes}[method]
    return _hermite_integral(x, y, slopes(x, y), low, high)


def pchip_values(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The monotone cubic through x, y (N, x increasing) at the abscissae ``at`` (G), which lie within x: G values.

    Or of B curves at once, each at its own abscissae: x, y (B x N), at (B x G), values (B x G).
    """
    shape = at.shape
    x, y, at = np.atleast_2d(x), np.atleast_2d(y), np.atleast_2d(at)
    slopes = pchip_slopes(x, y)
    left = sum((inner[:, None] <= at for inner in x.T[1:-1]), np.zeros(at.shape, int))

    def pick(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.take_along_axis(rows, index, axis=1)

    step = pick(x, left + 1) - pick(x, left)
    t = (at - pick(x, left)) / step
    values = (
        pick(y, left) * (1 + 2 * t) * (1 - t) ** 2
        + pick(y, left + 1) * t**2 * (3 - 2 * t)
        + step * pick(slopes, left) * t * (1 - t) ** 2
        - step * pick(slopes, left + 1) * t**2 * (1 - t)
    )
    return values.reshape(shape)


def pchip_slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slopes at the points of the monotone cubic through x, y (B x N, N >= 2, x increasing): B x N.

    Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984), with the three-point rule at the ends (Moler,
    "Numerical Computing with MATLAB", 2004, section 3.4).
    """
    step = np.diff(x, axis=1)
    secant = np.diff(y, axis=1) / step
    if x.shape[1] == 2:
        return np.repeat(secant, 2, axis=1)
    before, after = secant[:, :-1], secant[:, 1:]
    weight_before = 2 * step[:, 1:] + step[:, :-1]
    weight_after = step[:, 1:] + 2 * step[:, :-1]
    slopes = np.zeros_like(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        harmonic = (weight_before + weight_after) / (weight_before / before + weight_after / after)
    slopes[:, 1:-1] = np.where(before * after > 0, harmonic, 0.0)
    slopes[:, 0] = _end_slope(step[:, 0], step[:, 1], secant[:, 0], secant[:, 1])
    slopes[:, -1] = _end_slope(step[:, -1], step[:, -2], secant[:, -1], secant[:, -2])
    return slopes


def _end_slope(step: np.ndarray, next_step: np.ndarray, secant: np.ndarray, next_secant: np.ndarray) -> np.ndarray:
    slope = ((2 * step + next_step) * secant - step * next_secant) / (step + next_step)
    turns = np.sign(secant) != np.sign(next_secant)
    slope = np.where(turns & (np.abs(slope) > 3 * np.abs(secant)), 3 * secant, slope)
    return np.where(np.sign(slope) == np.sign(secant), slope, 0.0)


def akima_slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slopes at the points of Akima's cubic through x, y (B x N, N >= 2, x increasing): B x N.

    Source: Akima, J. ACM 17 (1970), equations (1), (8) and (9); as in SciPy, changes of the secant that add up to less
    than 1e-9 of the largest such sum count as none.
    """
    secant = np.diff(y, axis=1) / np.diff(x, axis=1)
    if x.shape[1] == 2:
        return np.repeat(secant, 2, axis=1)
    count = x.shape[1] - 1
    around = np.empty((len(x), count + 4))  # two more on each side, on a parabola through the ends
    around[:, 2:-2] = secant
    around[:, 1], around[:, -2] = 2 * secant[:, 0] - secant[:, 1], 2 * secant[:, -1] - secant[:, -2]
    around[:, 0], around[:, -1] = 2 * around[:, 1] - secant[:, 0], 2 * around[:, -2] - secant[:, -1]
    change = np.abs(np.diff(around, axis=1))
    before, after = change[:, :-2], change[:, 2:]
    total = before + after
    turns = total > 1e-9 * total.max(axis=1, keepdims=True)
    weighted = after * around[:, 1:-2] + before * around[:, 2:-1]
    return np.divide(weighted, total, out=(around[:, 3:] + around[:, :-3]) / 2, where=turns)


def _hermite_integral(
    x: np.ndarray, y: np.ndarray, slopes: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    step = np.diff(x, axis=1)
    start = np.clip((low[:, None] - x[:, :-1]) / step, 0, 1)
    stop = np.clip((high[:, None] - x[:, :-1]) / step, 0, 1)

    def antiderivative(t: np.ndarray) -> np.ndarray:
        t2, t3, t4 = t**2, t**3, t**4
        return (
            y[:, :-1] * (t4 / 2 - t3 + t)
            + y[:, 1:] * (t3 - t4 / 2)
            + step * slopes[:, :-1] * (t4 / 4 - 2 * t3 / 3 + t2 / 2)
            + step * slopes[:, 1:] * (t4 / 4 - t3 / 3)
        )

    return (step * (antiderivative(stop) - antiderivative(start))).sum(axis=1)


def cubic_turns(x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether the least-squares cubic through x, y (B x N, both increasing) falls somewhere from ``low`` to ``high``
    (B).

    A polynomial that falls between rising points does not describe the curve: it may be off by any amount there. Slopes
    down to -1e-9 of the steepest one count as level, because of rounding.
    """
    coefficients, middle, half = _cubic(x, y)
    _, b, c, d = coefficients
    start, stop = (low - middle) / half, (high - middle) / half
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.nan_to_num(-c / (3 * d), nan=0.0, posinf=0.0, neginf=0.0)  # of the slope b + 2ct + 3dt^2
    at = np.stack([start, stop, np.clip(vertex, start, stop)])
    slopes = b + at * (2 * c + at * 3 * d)
    return slopes.min(axis=0) < -1e-9 * np.abs(slopes).max(axis=0)


def _cubic_integral(x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    (a, b, c, d), middle, half = _cubic(x, y)

    def antiderivative(t: np.ndarray) -> np.ndarray:
        return t * (a + t * (b / 2 + t * (c / 3 + t * d / 4)))

    return half * (antiderivative((high - middle) / half) - antiderivative((low - middle) / half))


def _cubic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The least-squares cubics through x, y (B x N): coefficients (4 x B) over (x - middle) / half, which is -1..1 and
    keeps the powers far apart; middle; half."""
    middle, half = (x[:, -1:] + x[:, :1]) / 2, (x[:, -1:] - x[:, :1]) / 2
    t = (x - middle) / half
    q, r = np.linalg.qr(np.stack([np.ones_like(t), t, t * t, t * t * t], axis=2))
    return np.linalg.solve(r, q.swapaxes(1, 2) @ y[..., None])[..., 0].T, middle[:, 0], half[:, 0]
