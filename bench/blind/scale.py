"""A scale of visible difference in JND from answers on pairs: Thurstone's Case V by maximum likelihood.

A picture's value is its difference from the original, whose value is 0. Of two pictures a participant takes i for more
different than j with probability Phi(q (d_i - d_j)), where q = Phi^-1(0.75): at a difference of 1 JND three of four
answers name the more different one. "Not sure" is half an answer each way.

The maximum is finite only where no group of pictures won or lost all its comparisons with the others (Ford 1957). Where
one did, every pair across such groups gets one more answer, "not sure": half an answer added on both sides, the
log-linear rule (Hautus 1995). Nothing is added anywhere else, so there the estimate is the plain maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.rd.bootstrap import image_counts, interval

Z_75 = 0.6744897501960817  # Phi^-1(0.75)
DRAWS = 1_000
SEED = 20_250_101
LONGEST_STEP_JND = 2.0
CLOSE_JND = 1e-10  # a step so short is the last
MOST_STEPS, MOST_HALVINGS = 100, 30


@dataclass(frozen=True)
class Comparisons:
    """Answers on pairs of pictures, which are numbered from 0, the original.

    first, second: int, the pictures; value: float, 1 where the first differs more, 0.5 not sure, 0 where the second
    does; unit: int, what is resampled: the participant, or with one participant the pair.
    """

    pictures: int
    first: np.ndarray
    second: np.ndarray
    value: np.ndarray
    unit: np.ndarray

    def wins(self, weights: np.ndarray | None = None) -> np.ndarray:
        """wins[i, j]: how often i was taken for more different than j, with ``weights`` by unit."""
        weight = np.ones(len(self.value)) if weights is None else weights[self.unit].astype(float)
        found = np.zeros((self.pictures, self.pictures))
        np.add.at(found, (self.first, self.second), weight * self.value)
        np.add.at(found, (self.second, self.first), weight * (1 - self.value))
        return found


@dataclass(frozen=True)
class Scale:
    """jnd: float, by picture, NaN for one that no answer links to the original; low, high: its interval, NaN for none.

    helped: whether an answer was added, because a group of pictures won or lost all its comparisons.
    """

    jnd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    helped: bool


def scale(answers: Comparisons, units: int, draws: int = DRAWS, seed: int = SEED) -> Scale:
    """The scale of the answers with 95 % percentile intervals from ``draws`` resamplings of the ``units``."""
    (jnd,), (helped,) = fit(answers.wins()[None])
    low, high = np.full(len(jnd), np.nan), np.full(len(jnd), np.nan)
    if units > 1:
        drawn, _ = fit(np.array([answers.wins(weights) for weights in image_counts(units, draws, seed)]))
        for index in np.flatnonzero(np.isfinite(jnd)):
            ends = interval(drawn[:, index])
            low[index], high[index] = (np.nan if end is None else end for end in ends)
    low[0] = high[0] = np.nan  # the original is 0 by definition
    return Scale(jnd, low, high, bool(helped))


def fit(wins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most likely values in JND (float, draws x pictures; the first is 0), and in which draws answers were added.

    wins: float, draws x pictures x pictures, see :meth:`Comparisons.wins`. A picture that no answer links to the first
    is NaN. Newton's method with halved steps; the likelihood is concave.
    """
    reached = _reachable(wins > 0)
    together = reached & reached.transpose(0, 2, 1)  # in one group: each has won against the other, if by others
    met = wins + wins.transpose(0, 2, 1) > 0
    across = met & ~together
    linked = _reachable(met)[:, 0]
    across &= linked[:, :, None]
    weight = wins + 0.5 * across
    free = linked.copy()
    free[:, 0] = False
    values = np.zeros(linked.shape)
    loss = _loss(values, weight)
    for _ in range(MOST_STEPS):
        step = _newton_step(values, weight, free)
        scale_of = np.minimum(1, LONGEST_STEP_JND / np.maximum(np.abs(step).max(1), 1e-300))
        for _ in range(MOST_HALVINGS):
            tried = values + step * scale_of[:, None]
            new = _loss(tried, weight)
            worse = new > loss + 1e-12 * np.abs(loss)
            if not worse.any():
                break
            scale_of[worse] /= 2
        values, loss = np.where(worse[:, None], values, tried), np.where(worse, loss, new)
        if np.abs(step).max(initial=0) < CLOSE_JND:
            break
    return np.where(linked, values, np.nan), across.any((1, 2))


def _reachable(edges: np.ndarray) -> np.ndarray:
    """Which picture a path of ``edges`` (bool, draws x pictures x pictures) leads to from which, itself included."""
    found = edges | np.eye(edges.shape[1], dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(edges.shape[1]))))):
        found = found @ found
    return found


def _differences(values: np.ndarray) -> np.ndarray:
    return Z_75 * (values[:, :, None] - values[:, None, :])


def _loss(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Minus the log-likelihood, by draw."""
    from scipy.special import log_ndtr

    return -(weight * log_ndtr(_differences(values))).sum((1, 2))


def _newton_step(values: np.ndarray, weight: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Newton's step of the ``free`` values (float, draws x pictures)."""
    from scipy.special import log_ndtr

    x = _differences(values)
    hazard = np.exp(-x * x / 2 - log_ndtr(x)) / np.sqrt(2 * np.pi)  # phi / Phi
    slope = Z_75 * weight * hazard
    gradient = slope.sum(2) - slope.sum(1)  # of the log-likelihood
    bend = Z_75**2 * weight * hazard * (x + hazard)
    bend = bend + bend.transpose(0, 2, 1)
    hessian = np.eye(x.shape[1]) * bend.sum(2)[:, :, None] - bend  # of the loss
    both = free[:, :, None] & free[:, None, :]
    hessian = np.where(both, hessian, np.eye(x.shape[1]))
    return np.linalg.solve(hessian, np.where(free, gradient, 0)[:, :, None])[:, :, 0]
