"""The annealing of STanH's inverse temperature in training: soft at first, practically hard at the end.

``gap_stoc``, the default of the authors' code, and ``gap`` follow the gap between the soft and the hard form; the
others follow the budget. The authors' code defines the shapes of those; their constants are unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from codecs_wrappers.learned.stanh.layer import STanH

LEAST = 1.0  # beta of the softest form
TEETH = 4  # of the triangle wave over a whole budget


def anneal(kind: str, layer: STanH, gap: float, factor: float, progress: float, last: float) -> None:
    """Set the ``beta`` of ``layer`` for the next step.

    gap: |MSE of the soft form - MSE of the hard form| in the last step; factor: of the gap by which beta grows.
    progress: 0..1 of the budget; last: the largest beta of the schedules that follow it.
    """
    grown = layer.beta_max + factor * gap
    if kind in ("gap_stoc", "gap"):
        layer.beta_max.copy_(grown)
    layer.beta.copy_(torch.as_tensor(KINDS[kind](float(layer.beta_max), progress, last)))


def _uniform(highest: float) -> float:
    return LEAST + (highest - LEAST) * float(torch.rand(()))


KINDS: dict[str, Callable[[float, float, float], float]] = {
    "gap_stoc": lambda highest, progress, last: _uniform(highest),
    "gap": lambda highest, progress, last: highest,
    "linear": lambda first, progress, last: first + (last - first) * progress,
    "plateau": lambda first, progress, last: min(last, first * 10 ** int(4 * progress)),
    "triangle": lambda first, progress, last: first + (last - first) * (1 - abs(2 * (TEETH * progress % 1) - 1)),
    "random": lambda first, progress, last: _uniform(last),
}
