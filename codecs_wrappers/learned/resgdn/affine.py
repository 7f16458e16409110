"""ResGDN's quantizer: each channel of a code map in 2^b levels between its minimum and maximum.

The affine quantizer of Krishnamoorthi (arXiv 1806.08342, section 2.1) with a zero point, so that zero is represented
exactly: x_hat = scale (q - zero_point), q in 0..2^b - 1. Training rounds stochastically (ResGDN, section 2.2), which is
unbiased; the codec rounds to the nearest level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import UsageError

BITS = range(1, 9)  # of a level's index


@dataclass(frozen=True)
class Affine:
    """The quantizer of every channel: scale > 0 and zero_point (an integer in 0..2^bits - 1), float32 (B, C, 1, 1)."""

    scale: Tensor
    zero_point: Tensor
    bits: int

    @property
    def highest(self) -> int:
        """The highest level."""
        return (1 << self.bits) - 1


def affine_of(x: Tensor, bits: int) -> Affine:
    """The quantizer whose levels span the values of each channel of ``x`` (B, C, H, W) and zero.

    A channel that is all zero gets scale 1. Raises UsageError for bits outside 1..8.
    """
    if bits not in BITS:
        raise UsageError(f"quantizing a code map: expected {BITS[0]} to {BITS[-1]} bits, got {bits}")
    highest = (1 << bits) - 1
    low, high = x.amin((2, 3), keepdim=True).clamp(max=0), x.amax((2, 3), keepdim=True).clamp(min=0)
    scale = (high - low) / highest
    scale = torch.where(scale > 0, scale, 1)
    return Affine(scale, (-low / scale).detach().round().clamp(0, highest), bits)


def quantize(x: Tensor, affine: Affine, generator: torch.Generator | None = None) -> Tensor:
    """The level of each value, integers in 0..2^bits - 1 as float32: the nearest level.

    With a ``generator``, one of the two neighbouring levels at random, unbiased except at the ends of the range.
    """
    levels = x / affine.scale
    if generator is None:
        levels = levels.round()
    else:
        levels = (levels + torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)).floor()
    return (levels + affine.zero_point).clamp(0, affine.highest)


def dequantize(levels: Tensor, affine: Affine) -> Tensor:
    """The values that levels stand for."""
    return affine.scale * (levels - affine.zero_point)


def fake_quantize(x: Tensor, bits: int, generator: torch.Generator | None = None) -> Tensor:
    """``x`` quantized and dequantized; its gradient treats rounding as the identity (straight-through estimator).

    The scale keeps its gradient: an error is a number of steps, so a wider range makes it larger. If the error were
    treated as a constant, training would widen the range without limit to drown it out.
    """
    affine = affine_of(x, bits)
    quantizer = Affine(affine.scale.detach(), affine.zero_point.detach(), bits)
    error = (dequantize(quantize(x.detach(), quantizer, generator), quantizer) - x.detach()) / quantizer.scale
    return x + affine.scale * error
