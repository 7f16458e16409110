"""Probabilities of a quantizer's bins under CompressAI's entropy models, for bins of any width."""

from __future__ import annotations

import torch
from torch import Tensor

from codecs_wrappers.learned.entropy.gaussian import SIGMA_MIN
from codecs_wrappers.learned.hyperprior.networks import Network

SMALLEST_LIKELIHOOD = 1e-9  # likewise


def gaussian_likelihoods(scales: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """P(lower < v < upper) of v ~ N(0, scales), bounded as in CompressAI."""
    scales = scales.clamp(min=SIGMA_MIN)
    flip = torch.where(lower + upper > 0, -1.0, 1.0)  # so that the smaller tail keeps its precision
    difference = torch.special.ndtr(flip * upper / scales) - torch.special.ndtr(flip * lower / scales)
    return difference.abs().clamp(min=SMALLEST_LIKELIHOOD)


def factorised_likelihoods(prior: Network, lower: Tensor, upper: Tensor) -> Tensor:
    """P(lower < z < upper), (B, N, h, w), of CompressAI's factorised prior, bounded as there."""

    def logits(x: Tensor) -> Tensor:
        channels = x.transpose(0, 1)  # (N, B, h, w)
        return prior._logits_cumulative(channels.flatten(1)[:, None], stop_gradient=False).view(channels.shape)

    below, above = logits(lower), logits(upper)
    flip = torch.where(below + above > 0, -1.0, 1.0)
    difference = torch.sigmoid(flip * above) - torch.sigmoid(flip * below)
    return difference.abs().clamp(min=SMALLEST_LIKELIHOOD).transpose(0, 1)
