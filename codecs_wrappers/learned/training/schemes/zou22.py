"""The CNN of Zou et al. 2022 for one rate: window attention, slices of channels, latent residual prediction.

It starts from a mean-scale hyperprior of the same widths: convolutions and GDN of the transforms are taken over,
attention starts nearly closed, and the channel-wise entropy model first learns alone, on cached latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.stanh import wacnn
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.schemes import mean_scale
from codecs_wrappers.learned.training.starts.weights import first_source
from codecs_wrappers.learned.training.steps.optimisers import optimiser

TRANSFORMS = ("g_a.", "g_s.")
ANALYSIS, SYNTHESIS = (0, 1, 2, 3, 5, 6, 7), (1, 2, 3, 4, 6, 7, 8)  # the places of a mean-scale transform's layers
CLOSED = -6.0  # input of a sigmoid: attention passes 0.25 %, and can learn
ERROR_BITS = 8.66  # 6 / ln 2: bits per unit of squared error in the latent if a step of 1 is optimal


@dataclass(frozen=True, kw_only=True)
class Config(mean_scale.Config):
    """As for a mean-scale hyperprior; "model:NAME" may name one with the same N and M to start the transforms from."""

    start_from: tuple[str, ...] = ("default",)
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalise:
            raise UsageError(f"training {self.name}: the scheme zou22 does not support normalise")


class Zou22Learner(mean_scale.MeanScaleLearner):
    """Noise for the rate; rounding with the straight-through gradient for the synthesis."""

    Config = Config

    def untrained(self) -> Network:
        return wacnn.build(self.config.architecture)

    def first_weights(self) -> dict[str, Any]:
        source = first_source(self.config, self.beside, running=True)
        if source.path is None:
            return source.facts()
        state, config = source.weights(), self.config
        if any(name.startswith("lrp_transforms.") for name in state):
            self.first_stage = 0
            networks.load_weights(self.model, state, str(source.path))
            return source.facts()
        trained = {**(configs.read(source.model) if source.model else {}), **source.metadata()}
        widths = {key: config.architecture[key] for key in ("N", "M")}
        base = networks.load_weights(networks.build({"family": "mean_scale", **widths}), state, str(source.path))
        trained_for = float(trained.get("rate_weight", config.rate_weight))
        networks.rescale_latent(base, networks.latent_step(trained_for) / networks.latent_step(config.rate_weight))
        take_transforms(self.model, base)
        return {**source.facts(), "rate_weight": trained_for}

    def branch(self, state: Mapping[str, Any], trunk: Any, where: str) -> dict[str, Any]:
        if trunk.rate_weight != self.config.rate_weight:
            raise UsageError(
                f"branching off {trunk.name}: the scheme zou22 can only branch at the trunk's own rate weight"
            )
        return super().branch(state, trunk, where)

    def forward(self, model: Network, x: Tensor) -> tuple[Tensor, Tensor]:
        precision = self.precision if model.training else None
        y = networks.run(model.g_a, x, precision)
        y_hat, bits = self._code(model, y, precision)
        return networks.run(model.g_s, y_hat, precision), bits

    def _code(self, model: Network, y: Tensor, precision: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """(y_hat, bits): the decoded latent, and the ideal length of y and z, (B,)."""
        z_hat, likelihoods = model.entropy_bottleneck(networks.run(model.h_a, y, precision))
        bits = -likelihoods.log2().sum((1, 2, 3))
        parts = []
        half = precision is not None and y.device.type == "cpu"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            for part in model.slices(z_hat):
                values, means = y[:, part.channels], part.means.float()
                _, likelihoods = model.gaussian_conditional(values, part.scales.float(), means=means)
                bits = bits - likelihoods.log2().sum((1, 2, 3))
                part.y_hat = values + ((values - means).round() + means - values).detach()
                parts.append(part)
        return torch.cat([part.y_hat.float() for part in parts], 1), bits

    def _rate_loss(self) -> tuple[Tensor, Tensor, Tensor]:
        """The entropy model alone, on cached latents: their rate, and the error after residual prediction."""
        y = self.cached_latents(self.config.hyperprior_batch or self.config.batch)
        y_hat, bits = self._code(self.model, y, self.precision)
        pixels = len(y) * y.shape[2] * y.shape[3] * networks.LATENT_STRIDE**2
        bpp = bits.sum() / pixels
        return bpp + ERROR_BITS * (y_hat - y).square().sum() / pixels, bpp, torch.full_like(bpp, float("nan"))

    def optimiser_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The transforms' weights have an eigenbasis; the many small layers of the entropy model have none."""
        transforms = {id(p) for name, p in self.model.named_parameters() if name.startswith(TRANSFORMS)}
        groups = [
            {"params": [p for p in parameters if id(p) in transforms]},
            {"params": [p for p in parameters if id(p) not in transforms], "turned": False},
        ]
        return optimiser(self.config, groups, self.device)


@torch.no_grad()
def take_transforms(model: wacnn.WACNN, base: networks.MeanScaleHyperprior) -> None:
    """Load the transforms of ``base`` into ``model``, with attention nearly closed: the same function to within 1 %."""
    ours: Network
    theirs: Network
    for ours, theirs, places in ((model.g_a, base.g_a, ANALYSIS), (model.g_s, base.g_s, SYNTHESIS)):
        for place, layer in zip(places, theirs, strict=True):
            ours[place].load_state_dict(layer.state_dict())
        for layer in ours:
            if isinstance(layer, wacnn.GatedWindowAttention):
                last: Network = layer.conv_b[-1]
                last.weight.zero_()
                last.bias.fill_(CLOSED)


LEARNER = Zou22Learner
