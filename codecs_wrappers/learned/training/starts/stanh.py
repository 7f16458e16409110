"""The start of a STanH derivation: the anchor's levels scaled to the derivation's rate, with a dead zone.

A derivation that starts from its anchor's levels barely moves: at low rates a uniform quantizer with a dead zone, two
numbers, outperforms its thousand trained scalars. So both numbers are fitted first, by the rate-distortion loss on
latents of crops that are not trained on, once for the anchor's levels and once for uniform ones; training starts from
the better fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

DEAD_ZONES = tuple(
    0.05 * step for step in range(8)
)  # fractions of the distance between two levels, outwards from the middle
FACTORS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35)  # times the square root of the ratio of the rate weights
WHOLE = 0.5  # fraction of the levels that are scaled; the outer ones are stretched to keep the range


@dataclass(frozen=True)
class Start:
    """Levels (L,) and thresholds (L - 1,) of y, the two numbers behind them, and their loss on the fitted latents."""

    levels: Tensor
    thresholds: Tensor
    step: float
    dead_zone: float
    loss: float


def scale_levels(levels: Tensor, step: float) -> Tensor:
    """``levels`` (L,) times ``step``; if ``step`` is below 1 the outer half is stretched so that nothing is clipped."""
    middle = levels[len(levels) // 2]
    distance = (levels - middle).abs()
    largest = distance.max()
    inner = WHOLE * largest
    outer = step * inner + (distance - inner) * (largest - step * inner) / (largest - inner)
    near = torch.where(distance <= inner, step * distance, outer) if step < 1 else step * distance
    return middle + (levels - middle).sign() * near


def with_dead_zone(levels: Tensor, dead_zone: float) -> Tensor:
    """Thresholds (L - 1,): between neighbouring levels, ``dead_zone`` of their distance outside the midpoint."""
    lower, upper = levels[:-1], levels[1:]
    outwards = torch.where(torch.arange(len(lower), device=levels.device) < len(levels) // 2, -1.0, 1.0)
    return (lower + upper) / 2 + dead_zone * outwards * (upper - lower)


def fit(levels: Tensor, thresholds: Tensor, ratio: float, loss: Callable[[Tensor, Tensor], float]) -> Start:
    """The best start for a rate weight that is ``ratio`` times lower than the anchor's, over step and dead zone.

    levels (L,), thresholds (L - 1,): the anchor's; they are the start if nothing is better. loss: of both on
    held-out latents. Uniform levels are tried as well.
    """
    unchanged = Start(levels, thresholds, 1.0, 0.0, loss(levels, thresholds))
    uniform = torch.arange(len(levels), device=levels.device, dtype=levels.dtype) - len(levels) // 2
    found = (_search(shape, ratio, loss) for shape in (levels, uniform))
    return min((unchanged, _start(uniform, 1.0, 0.0, loss), *found), key=lambda start: start.loss)


def _search(shape: Tensor, ratio: float, loss: Callable[[Tensor, Tensor], float]) -> Start:
    """Dead zone first, then the step, then the dead zone again."""

    def best(candidates: Iterable[tuple[float, float]]) -> Start:
        return min((_start(shape, *numbers, loss) for numbers in candidates), key=lambda start: start.loss)

    step = math.sqrt(ratio)
    found = best((step, zone) for zone in DEAD_ZONES)
    found = best((size, found.dead_zone) for size in (1.0, *(step * factor for factor in FACTORS)))
    return best((found.step, zone) for zone in DEAD_ZONES)


def _start(shape: Tensor, step: float, dead_zone: float, loss: Callable[[Tensor, Tensor], float]) -> Start:
    levels = scale_levels(shape, step)
    thresholds = with_dead_zone(levels, dead_zone)
    return Start(levels, thresholds, step, dead_zone, loss(levels, thresholds))
