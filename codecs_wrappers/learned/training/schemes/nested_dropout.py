"""Nested dropout (Rippel et al. 2014): a mean-scale hyperprior whose channels are ordered by importance.

A trained model's channels are sorted by importance, and training continues with the latent cut after a random number of
channels: the remaining ones are at their means and cost no rate, so a decoder can stop anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.training.data.crops import to_float
from codecs_wrappers.learned.training.judging.validation import Score, distortion, mean_of, score_points
from codecs_wrappers.learned.training.schemes import mean_scale
from codecs_wrappers.learned.training.starts.widths import importance


@dataclass(frozen=True, kw_only=True)
class Config(mean_scale.Config):
    judged_cuts: int = 8  # evenly spaced over the channels, the last at all of them

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("judged_cuts")


class NestedDropoutLearner(mean_scale.MeanScaleLearner):
    """The number of channels kept is uniform over 1..M for each crop (PLONQ's authors state no distribution)."""

    Config = Config

    def first_weights(self) -> dict[str, Any]:
        facts = super().first_weights()
        order = importance(self.model, to_float(self.crops.batch(self.config.batch))).argsort(descending=True)
        networks.permute_latent(self.model, order)
        return facts

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        x = to_float(self.crops.batch(self.batch))
        kept = torch.randint(1, self.model.M + 1, (len(x),), generator=self.crops.generator).to(self.device)
        y_hat, bits = cut_latent(self.model, networks.run(self.model.g_a, x, self.precision), kept, self.precision)
        x_hat = networks.run(self.model.g_s, y_hat, self.precision)
        mse = (x_hat - x).square().mean()
        bpp = bits.mean() / config.crop**2
        lost = distortion(config.distortion, 255**2 * mse, x_hat, x)
        return config.rate_weight * lost + bpp, bpp, mse

    def score(self, model: Network, images: Sequence[Tensor]) -> Score:
        """The mean over evenly spaced cuts, weighted as in training."""
        cuts = [model.M * (cut + 1) // self.config.judged_cuts for cut in range(self.config.judged_cuts)]

        def code(x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
            y = networks.run(model.g_a, x)
            for cut in cuts:
                y_hat, bits = cut_latent(model, y, torch.tensor([cut], device=y.device))
                yield networks.run(model.g_s, y_hat), bits

        return mean_of(score_points(model, code, images, [self.config.rate_weight] * len(cuts), self.config.distortion))


def cut_latent(
    model: networks.MeanScaleHyperprior, y: Tensor, kept: Tensor, precision: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """(y_hat, bits): the first ``kept`` (B,) channels of each sample quantized, the others at their means and free."""
    means, scales, z_bits = networks.hyperprior(model, y, precision)
    y_hat, likelihoods = model.gaussian_conditional(y, scales, means=means)
    is_kept = (torch.arange(y.shape[1], device=y.device) < kept[:, None])[:, :, None, None]
    bits = z_bits - (likelihoods.log2() * is_kept).sum((1, 2, 3))
    return torch.where(is_kept, y_hat, means), bits


LEARNER = NestedDropoutLearner
