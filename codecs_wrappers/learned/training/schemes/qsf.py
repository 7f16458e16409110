"""Quantization scaling factors (Chen and Ma 2020): one per channel and rate weight, trained on a frozen network.

The latent is coded as round(factor (y - mean)) with scale factor sigma. The network gets no gradient: latents are
computed once, and a step runs only the synthesis transform.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.entropy.gaussian import SIGMA_MIN
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data import latents as cached
from codecs_wrappers.learned.training.data.crops import Crops, to_float
from codecs_wrappers.learned.training.data.latents import Latents
from codecs_wrappers.learned.training.judging.validation import Score, mean_of, score_points
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.starts.weights import first_source
from codecs_wrappers.learned.training.steps.likelihoods import SMALLEST_LIKELIHOOD

LARGE_SCALE = 0.5  # in steps: above it the rounding error is roughly uniform
SHARPNESS = 12.0  # of the soft rounding whose slope replaces that of rounding
SEARCH_BATCHES = 4  # batches of crops for the search of the first factors
SEARCH_STEPS = 4  # per octave
SEARCH_RANGE = 12  # steps up and down


@dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
    """``batch`` crops are divided among the rate weights; each minimises its own rate-distortion loss."""

    rate_weights: tuple[float, ...]  # lambda_c of each set of factors, increasing
    cached_crops: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("cached_crops")
        weights = self.rate_weights
        if not (weights and all(weight > 0 for weight in weights) and list(weights) == sorted(set(weights))):
            raise UsageError(f"training {self.name}: expected increasing rate_weights above 0, got {list(weights)}")
        if self.batch % len(weights):
            raise UsageError(
                f"training {self.name}: batch must be a multiple of the {len(weights)} rate weights, it is {self.batch}"
            )


class Factors(nn.Module):
    """The logarithms of the factors, (rate weights, M)."""

    def __init__(self, factors: Tensor):
        super().__init__()
        self.log_factors = nn.Parameter(factors.log())

    def forward(self) -> Tensor:
        return self.log_factors.exp()


class QsfLearner(Learner):
    """Training and validation both use rounding; the loss is the geometric mean of the rate weights' losses."""

    Config = Config

    def build(self) -> Network:
        """Constant factors per rate weight, proportional to its square root (high-resolution theory)."""
        self.source = first_source(self.config, self.beside, built=())
        self.base = cached.load_frozen(self.source, self.device)
        self.base_rate_weight = float(self.source.metadata()["rate_weight"])
        self.weights = torch.tensor(self.config.rate_weights, device=self.device)
        factors = (self.weights / self.base_rate_weight).sqrt()
        return Factors(factors[:, None].repeat(1, self.base.M))

    @cached_property
    def latents(self) -> Latents:
        """From a separate random generator, so that a resumed training has the same ones."""
        crops = Crops(self.images, self.config.crop, self.config.seed, self.device)
        return cached.cache(self.base, crops, self.config.cached_crops)

    def first_weights(self) -> dict[str, Any]:
        """Each channel's best factor on its own, as if the synthesis were linear and orthogonal with gains."""
        latents = self.latents[: self.config.batch * SEARCH_BATCHES]
        found = []
        for weight, factors in zip(self.config.rate_weights, self.model().detach(), strict=True):
            gains = synthesis_gains(self.base, quantize(latents, factors[None])[0])
            found.append(search(latents, factors, weight * 255**2 * gains))
        with torch.no_grad():
            self.model.log_factors.copy_(torch.stack(found).log())
        return {**self.source.facts(), "rate_weight": self.base_rate_weight}

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        config, rates = self.config, len(self.config.rate_weights)
        index = torch.randint(config.cached_crops, (config.batch,), generator=self.crops.generator)
        batch = self.latents[index.to(self.device)]
        x = to_float(batch.x)
        factors = self.model().repeat_interleave(config.batch // rates, 0)
        y_hat, bits = quantize(batch, factors)
        x_hat = networks.run(self.base.g_s, y_hat.contiguous(memory_format=torch.channels_last), self.precision)
        mse = (x_hat - x).square().mean((1, 2, 3)).view(rates, -1).mean(1)  # of each rate weight
        bpp = bits.view(rates, -1).mean(1) / config.crop**2
        loss = self.weights * 255**2 * mse + bpp
        return loss.log().mean().exp(), bpp.mean(), mse.mean()

    def score(self, model: Network, images: Sequence[Tensor]) -> Score:
        def code(x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
            latents = cached.analyse(self.base, x)
            for factors in model():
                y_hat, bits = quantize(latents, factors[None])
                yield networks.run(self.base.g_s, y_hat), bits

        points = score_points(model, code, images, self.config.rate_weights)
        losses = [point.loss for point in points]
        return replace(mean_of(points), loss=math.exp(sum(map(math.log, losses)) / len(losses)))

    def identity(self) -> dict[str, Any]:
        base = {"name": self.source.model or str(self.source.path), "sha256": self.source.facts()["sha256"]}
        return {"base": base, "rate_weights": list(self.config.rate_weights)}

    def manifest_facts(self) -> dict[str, Any]:
        return {"architecture": {"family": "qsf", "M": self.base.M}, **self.identity()}

    def as_shipped(self, model: Network) -> Network:
        """Factors made non-decreasing over the rate weights, so that the rate increases on every image."""
        return Factors(model().cummax(0).values)

    def tensors(self, shipped: Network) -> Mapping[str, Tensor]:
        """factors: float32 (rate weights, M), the lowest rate first."""
        return {"factors": shipped().float()}


class _Round(torch.autograd.Function):
    """Rounding with a given slope as its derivative."""

    @staticmethod
    def forward(context: Any, value: Tensor, slope: Tensor) -> Tensor:
        context.save_for_backward(slope)
        return value.round()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = context.saved_tensors
        return gradient * slope, None


def _soft_slope(value: Tensor) -> Tensor:
    """The derivative of soft rounding (Agustsson and Theis 2020): large near a bin's edge, 1 on average over a bin."""
    from_edge = value - value.floor() - 0.5
    return SHARPNESS * (1 - (SHARPNESS * from_edge).tanh().square()) / (2 * math.tanh(SHARPNESS / 2))


def _bits(symbols: Tensor, scales: Tensor) -> Tensor:
    """Ideal length of each symbol under a zero-mean Gaussian with these scales, in steps."""
    symbols, scales = symbols.abs(), scales.clamp(min=SIGMA_MIN)
    upper, lower = (torch.special.ndtr((edge - symbols) / scales) for edge in (0.5, -0.5))
    return -(upper - lower).clamp(min=SMALLEST_LIKELIHOOD).log2()


def quantize(latents: Latents, factors: Tensor) -> tuple[Tensor, Tensor]:
    """(y_hat, bits): the reconstructed latent of ``factors`` (B or 1, M), and the ideal length of y and z, (B,).

    Their gradients match those of the mean rate and squared error to within a tenth. For the error, a symbol counts as
    constant where the scale is small, since at a bin's edge both neighbours have the same error; where it is large, the
    symbol follows the value, so that the error is proportional to the step. For the rate, symbols change at the edges.
    """
    factors = factors[:, :, None, None]
    values, scales = (latents.y - latents.means) * factors, latents.scales * factors
    with torch.no_grad():
        error_slope, rate_slope = (scales > LARGE_SCALE).to(values.dtype), _soft_slope(values)
    y_hat = _Round.apply(values, error_slope) / factors + latents.means
    bits = _bits(_Round.apply(values, rate_slope), scales).sum((1, 2, 3))
    return y_hat, bits + latents.z_bits


def synthesis_gains(model: networks.MeanScaleHyperprior, y_hat: Tensor) -> Tensor:
    """(M,): the output energy (samples in 0..1) per unit of energy in each channel of y_hat, to first order.

    The diagonal of the Jacobian's Gram matrix by Hutchinson's estimator, with one random sign per output sample.
    """
    y_hat = y_hat.contiguous(memory_format=torch.channels_last).requires_grad_()
    x_hat = networks.run(model.g_s, y_hat)
    signs = torch.randint(0, 2, x_hat.shape, device=x_hat.device).to(x_hat.dtype) * 2 - 1
    (gradient,) = torch.autograd.grad(x_hat, y_hat, signs)
    return gradient.square().mean((0, 2, 3))


def search(latents: Latents, factors: Tensor, error_weights: Tensor) -> Tensor:
    """(M,): the factor of each channel, near ``factors``, that minimises error_weight / 3 * squared error + bits."""
    costs = []
    candidates = [factors * 2 ** (exponent / SEARCH_STEPS) for exponent in range(-SEARCH_RANGE, SEARCH_RANGE + 1)]
    for candidate in candidates:
        candidate = candidate[None, :, None, None]
        values = (latents.y - latents.means) * candidate
        symbols = values.round()
        error = ((symbols - values) / candidate).square()
        bits = _bits(symbols, latents.scales * candidate)
        costs.append((error_weights[:, None, None] / 3 * error + bits).sum((0, 2, 3)))
    return torch.stack(candidates).gather(0, torch.stack(costs).argmin(0, keepdim=True))[0]


LEARNER = QsfLearner
