"""The CNN of Zou et al. 2022 for one rate: window attention, ten slices, latent residual prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned import networks, wacnn
from codecs_wrappers.learned.training.optimisers import optimiser
from codecs_wrappers.learned.training.schemes import mean_scale
from codecs_wrappers.learned.training.start import first_source

TRANSFORMS = ("g_a.", "g_s.")


@dataclass(frozen=True, kw_only=True)
class Config(mean_scale.Config):
    """As a mean-scale hyperprior's; the start is CompressAI's initialisation or another of these networks."""

    start_from: tuple[str, ...] = ("default",)
    optimiser: str = "soap"


class Zou22Learner(mean_scale.MeanScaleLearner):
    """Noise prices the latent, rounding with the gradient passed through reaches the synthesis, as the authors have it.

    ``precision`` and ``quantisation`` are not used; there is no staged start.
    """

    Config = Config

    def untrained(self) -> nn.Module:
        if self.config.hyperprior_steps or self.config.normalise:
            raise UsageError(f"training {self.config.name}: the scheme zou22 has no hyperprior_steps and no normalise")
        return wacnn.build(self.config.architecture)

    def first_weights(self) -> dict[str, Any]:
        source = first_source(self.config, self.beside)
        if source.path is not None:
            networks.load_weights(self.model, source.weights(), str(source.path))
        return source.facts()

    def forward(self, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        y = model.g_a(x)
        z_hat, likelihoods = model.entropy_bottleneck(model.h_a(y))
        bits = -likelihoods.log2().sum((1, 2, 3))
        parts = []
        for part in model.slices(z_hat):
            values = y[:, part.channels]
            _, likelihoods = model.gaussian_conditional(values, part.scales, means=part.means)
            bits = bits - likelihoods.log2().sum((1, 2, 3))
            part.y_hat = values + ((values - part.means).round() + part.means - values).detach()
            parts.append(part)
        return model.g_s(torch.cat([part.y_hat for part in parts], 1)), bits

    def optimiser_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The transforms' weights have a basis, the many small layers of the entropy model go without."""
        transforms = {id(p) for name, p in self.model.named_parameters() if name.startswith(TRANSFORMS)}
        groups = [
            {"params": [p for p in parameters if id(p) in transforms]},
            {"params": [p for p in parameters if id(p) not in transforms], "turned": False},
        ]
        return optimiser(self.config, groups, self.device)


LEARNER = Zou22Learner
