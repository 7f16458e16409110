"""Tables of the factorised prior: CompressAI's EntropyBottleneck, its density evaluated in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.errors import UsageError
from codecs_wrappers.learned.entropy.elementary import expit, softplus, tanh
from codecs_wrappers.learned.entropy.tables import Tables

_TAIL = 2.0**-20  # probability mass that may lie outside a table on each side
_FARTHEST = 1 << 11  # symbols of a table on each side of the median, at most

State = Mapping[str, np.ndarray]


def factorised_tables(state: State) -> tuple[Tables, np.ndarray]:
    """(tables, one per channel over round(z - median), with an escape; medians, float64 (C,)).

    state: float64 arrays named as in the state dict of CompressAI's EntropyBottleneck (matrices.0, biases.0,
    factors.0, ..., quantiles). Raises UsageError for one that is missing or not finite.
    """
    _check(state)
    medians = np.asarray(state["quantiles"], np.float64)[:, 0, 1]
    reach = 16
    while True:
        logits = cumulative_logits(state, medians[:, None] + np.arange(-reach, reach + 2) - 0.5)  # (C, 2 reach + 2)
        if reach >= _FARTHEST or expit(np.maximum(logits[:, 0], -logits[:, -1])).max() < _TAIL:
            break
        reach *= 2
    below, above = expit(logits), expit(-logits)  # the masses below and above each threshold
    pmf = np.where(logits[:, :-1] > 0, above[:, :-1] - above[:, 1:], below[:, 1:] - below[:, :-1])
    pmf = np.maximum(pmf, 0.0)  # rounding can make a flat distribution function decrease
    # The narrowest range that leaves at most _TAIL outside on each side; it always holds the median's bin.
    first = np.minimum((below <= _TAIL).sum(1) - 1, reach).clip(0)
    last = np.maximum(2 * reach + 2 - (above <= _TAIL).sum(1), reach + 1).clip(max=2 * reach + 1)
    channels = range(len(medians))
    tables = Tables.from_pmfs(
        [pmf[c, first[c] : last[c]] for c in channels],
        [int(first[c]) - reach for c in channels],
        [float(below[c, first[c]] + above[c, last[c]]) for c in channels],
    )
    return tables, medians


def _check(state: State) -> None:
    """Raises UsageError for the first tensor that is missing or not finite."""
    layers = range(_layers(state))
    names = [*(f"{kind}.{i}" for kind in ("matrices", "biases", "factors") for i in layers), "quantiles"]
    for name in names:
        if name not in state and name != f"factors.{len(layers) - 1}":
            raise UsageError(
                f"building the factorised prior's tables: expected tensor {name!r}, found only {sorted(state)}"
            )
        if not np.isfinite(state.get(name, 0.0)).all():
            raise UsageError(
                f"building the factorised prior's tables: tensor {name!r} holds values that are not finite"
            )


def _layers(state: State) -> int:
    return sum(name.startswith("matrices.") for name in state)


def cumulative_logits(state: State, x: np.ndarray) -> np.ndarray:
    """ln(P / (1 - P)) of each channel's distribution function P at x, both float64 (C, n) (Ballé et al. 2018, 6.1)."""
    values = x[:, None]  # (C, width of the layer, n)
    for i in range(_layers(state)):
        matrix = softplus(np.asarray(state[f"matrices.{i}"], np.float64))  # (C, width, width before)
        total = np.asarray(state[f"biases.{i}"], np.float64)
        for k in range(values.shape[1]):  # not a matrix product, whose order of summation differs between machines
            total = total + matrix[:, :, k, None] * values[:, k, None]
        values = total
        if f"factors.{i}" in state:  # all layers but the last
            values = values + tanh(np.asarray(state[f"factors.{i}"], np.float64)) * tanh(values)
    return values[:, 0]
