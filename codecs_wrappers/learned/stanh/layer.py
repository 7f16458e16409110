"""STanH: a quantizer whose levels and decision thresholds are learned (Presta et al., arXiv 2410.00557).

With levels c_0 < ... < c_{L-1} and thresholds b_0 < ... < b_{L-2}, the hard form, used for coding, maps x to c_k, where
k counts the thresholds below x. The soft form, used in training, replaces each step by a hyperbolic tangent:

    soft(x) = (c_0 + c_{L-1}) / 2 + sum_i (w_i / 2) tanh(beta (x - b_i)),    w_i = c_{i+1} - c_i,

and approaches the hard form as the inverse temperature beta grows. The paper's sum has no constant term, so every
weight moves every level; ``pinned=False`` trains that form. Levels and thresholds are independent.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.errors import UsageError

BINS = ("levels", "thresholds")
OUTER = 1e6  # replaces infinity where a gradient passes


class STanH(nn.Module):
    """A scalar quantizer of L = 2 extent + 1 levels, with 2 (L - 1) scalars; it starts as rounding clipped to +-extent.

    The steps between levels and between thresholds are exponentials of the parameters, so neither can cross, and the
    optimiser's steps scale them. pinned: the middle level is fixed, at 0 or where :meth:`take` put it (otherwise the
    levels are centred on half the sum of the weights, as in the paper). bins: the edges of the entropy model's bins,
    halfway between ``levels`` (as in the authors' code) or at the ``thresholds``.

    beta, beta_max: the inverse temperature in training mode, and the annealing's state.
    """

    middle: Tensor
    beta: Tensor
    beta_max: Tensor

    def __init__(self, extent: int, bins: str = "levels", pinned: bool = True, beta: float = 10.0):
        super().__init__()
        if extent < 1 or bins not in BINS:
            raise UsageError(
                f"building STanH: expected extent >= 1 and bins {' or '.join(BINS)}, got {extent} and {bins!r}"
            )
        self.extent, self.bins, self.pinned = extent, bins, pinned
        self.log_weights = nn.Parameter(torch.zeros(2 * extent))
        self.log_gaps = nn.Parameter(torch.zeros(2 * extent - 1))
        self.offset = nn.Parameter(torch.zeros(1))  # of the middle of the thresholds
        self.register_buffer("middle", torch.zeros(1))
        self.register_buffer("beta", torch.tensor(beta))
        self.register_buffer("beta_max", torch.tensor(beta))

    @property
    def levels(self) -> Tensor:
        """(L,), ascending."""
        weights = self.log_weights.exp()
        sums = torch.cat([weights.new_zeros(1), weights.cumsum(0)])
        return sums - sums[self.extent] + self.middle if self.pinned else sums - sums[-1] / 2

    @property
    def thresholds(self) -> Tensor:
        """(L - 1,), ascending."""
        gaps = self.log_gaps.exp()
        sums = torch.cat([gaps.new_zeros(1), gaps.cumsum(0)])
        return sums - (sums[self.extent - 1] + sums[self.extent]) / 2 + self.offset

    @property
    def edges(self) -> Tensor:
        """(L + 1,): the bins of the entropy model, edges[k] .. edges[k + 1] for level k; the outer ones are open."""
        levels = self.levels
        inner = (levels[1:] + levels[:-1]) / 2 if self.bins == "levels" else self.thresholds
        outer = levels.new_full((1,), OUTER)
        return torch.cat([-outer, inner, outer])

    def index(self, x: Tensor) -> Tensor:
        """int64, shape of x: the level of each value; a value on a threshold gets the lower level."""
        return torch.bucketize(x.detach().contiguous(), self.thresholds.detach())

    def hard(self, x: Tensor) -> Tensor:
        """The level of each value."""
        return self.levels[self.index(x)]

    def soft(self, x: Tensor, beta: float | None = None) -> Tensor:
        """The differentiable form at ``beta`` (by default the layer's own)."""
        return _SumOfSteps.apply(x, self.levels, self.thresholds, float(self.beta if beta is None else beta))

    def forward(self, x: Tensor) -> Tensor:
        """Soft in training mode, hard in evaluation."""
        return self.soft(x) if self.training else self.hard(x)

    def bin(self, x: Tensor, quantized: Tensor) -> tuple[Tensor, Tensor]:
        """(lower, upper): the interval whose probability is the likelihood of ``quantized``, the layer's output for x.

        The bin of x's level, shifted by as much as a soft value differs from that level.
        """
        index, edges = self.index(x), self.edges
        moved = quantized - self.levels[index]
        return moved + edges[index], moved + edges[index + 1]

    @torch.no_grad()
    def gap(self, x: Tensor, soft: Tensor) -> float:
        """|MSE of ``soft`` - MSE of the hard form| on x: how far training is from coding."""
        soft_error, hard_error = ((form - x).square().mean() for form in (soft, self.hard(x)))
        return float((soft_error - hard_error).abs())

    @torch.no_grad()
    def take(self, levels: Tensor, thresholds: Tensor) -> None:
        """Set the levels (L,) and thresholds (L - 1,), which must pass :func:`check`."""
        check(levels, thresholds, "STanH")
        if len(levels) != len(self.levels):
            raise UsageError(f"setting a quantizer: expected {len(self.levels)} levels, got {len(levels)}")
        self.middle.copy_(levels[self.extent])
        self.log_weights.copy_(levels.diff().log())
        self.log_gaps.copy_(thresholds.diff().log())
        self.offset.fill_((thresholds[self.extent - 1] + thresholds[self.extent]) / 2)


def check(levels: Any, thresholds: Any, name: str) -> None:
    """Raises UsageError unless levels (L odd, L >= 3) and thresholds (L - 1) are finite and strictly ascending.

    Takes tensors or arrays; ``name`` begins the error messages.
    """
    count = len(levels)
    if count < 3 or count % 2 == 0 or len(thresholds) != count - 1:
        raise UsageError(
            f"{name}: expected an odd number L >= 3 of levels and L - 1 thresholds, got {count} and {len(thresholds)}"
        )
    for kind, values in (("levels", levels), ("thresholds", thresholds)):
        numbers = [float(value) for value in values]
        if not all(map(math.isfinite, numbers)):
            raise UsageError(f"{name}: its {kind} are not all finite numbers; train it again")
        for k, (here, following) in enumerate(itertools.pairwise(numbers)):
            if not here < following:
                raise UsageError(
                    f"{name}: its {kind} cross: number {k} is {here:g} and number {k + 1} is {following:g}, expected "
                    "ascending values; train it again"
                )


def extent_for(largest: float) -> int:
    """The smallest extent at which no latent of magnitude up to ``largest`` is clipped."""
    return max(1, math.ceil(largest - 0.5))


class _SumOfSteps(torch.autograd.Function):
    """soft(x) from levels and thresholds, exact to the dtype's precision, evaluating only the thresholds near x.

    Far from its threshold a step is 0 or 1 to the last bit, so each value starts at the level below the thresholds
    within reach and adds only those.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: Tensor, thresholds: Tensor, beta: float) -> Tensor:
        reach = -0.5 * math.log(torch.finfo(x.dtype).eps) / beta
        after = torch.searchsorted(thresholds, thresholds + 2 * reach, right=True)
        ctx.width = int((after - torch.arange(len(thresholds), device=x.device)).max())
        first = torch.bucketize((x - reach).contiguous(), thresholds).clamp_(max=len(thresholds) - ctx.width)
        ctx.save_for_backward(x, levels, thresholds, first)
        ctx.beta = beta
        out = levels[first]
        for i in (first + j for j in range(ctx.width)):
            out += levels.diff()[i] * torch.sigmoid(2 * beta * (x - thresholds[i]))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, levels, thresholds, first = ctx.saved_tensors
        weights = levels.diff()
        for_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        for_levels, for_thresholds = torch.zeros_like(levels), torch.zeros_like(thresholds)
        rest = gradient
        for i in (first + j for j in range(ctx.width)):
            step = torch.sigmoid(2 * ctx.beta * (x - thresholds[i]))
            passed = gradient * step
            _scatter(for_levels, i, rest - passed)
            rest = passed
            slope = passed.addcmul(passed, step, value=-1).mul_(2 * ctx.beta).mul_(weights[i])
            _scatter(for_thresholds, i, slope, -1)
            if for_x is not None:
                for_x += slope
        _scatter(for_levels, first + ctx.width, rest)
        return for_x, for_levels, for_thresholds, None


def _scatter(sums: Tensor, index: Tensor, values: Tensor, factor: float = 1.0) -> None:
    """sums[index] += factor * values, in float64 within the call."""
    sums += factor * torch.bincount(index.flatten(), values.flatten().double(), minlength=len(sums)).to(sums.dtype)
