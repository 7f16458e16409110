"""One network per rate: the mean-scale hyperprior of Minnen et al. 2018 without its context model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data.crops import Crops, to_float
from codecs_wrappers.learned.training.judging.validation import DISTORTIONS, Score, distortion, score
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.starts.linear import linear_start
from codecs_wrappers.learned.training.starts.weights import first_source
from codecs_wrappers.learned.training.starts.widths import fold, narrow_hyper_decoder, resize, saving
from codecs_wrappers.learned.training.steps.conditioning import latent_scales, normalise_features
from codecs_wrappers.learned.training.steps.optimisers import optimiser

QUANTISATIONS = ("noise", "mixed")
BATCHES = 8  # of crops for the principal components


@dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
    """loss = rate_weight distortion + bpp; start_from also takes "linear"."""

    architecture: Mapping[str, Any]
    rate_weight: float  # lambda_c
    distortion: str = "mse"  # 255^2 MSE, or "ms_ssim": 1 - MS-SSIM
    start_from: tuple[str, ...] = ("linear",)
    hyperprior_steps: int = 0  # steps of the hyperprior alone, on cached latents, before joint training: after a linear
    # start, or if channels were dropped
    hyperprior_lr: float = 5e-4
    hyperprior_batch: int = 0  # 0: batch
    hyperprior_crop: int = 512  # at most; a 16 x 16 crop of the latent has a z of only 4 x 4, mostly border
    normalise: bool = (
        True  # normalise the first weights' features and the steps next to the latent (steps/conditioning.py)
    )
    quantisation: str = "mixed"  # in training: "noise", or "mixed" (networks.rate)
    optimiser: str = "soap"
    lr: float = 2e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("rate_weight", "hyperprior_lr", "hyperprior_crop")
        self.require_known(quantisation=QUANTISATIONS, distortion=DISTORTIONS)
        if self.hyperprior_crop % networks.STRIDE:
            raise UsageError(
                f"training {self.name}: hyperprior_crop must be a multiple of {networks.STRIDE}, it is "
                f"{self.hyperprior_crop}"
            )
        if not isinstance(self.architecture, Mapping):
            raise UsageError(f"training {self.name}: architecture must name family, N and M, got {self.architecture!r}")


class MeanScaleLearner(Learner):
    """Quantized according to ``quantisation``; validated with rounding; shipped in fp16 as a CompressAI state dict."""

    Config = Config

    def build(self) -> Network:
        self._latents: Crops | None = None
        self.first_stage = self.config.hyperprior_steps  # steps
        return self.untrained()

    def untrained(self) -> Network:
        """The network as its class initialises it."""
        return networks.build(self.config.architecture)

    def first_weights(self) -> dict[str, Any]:
        """From the first available source, adapted to this model's widths and rate weight."""
        config = self.config
        source = first_source(config, self.beside, built=("linear", "default"), running=True)
        if source.path is None:
            if source.kind == "linear":
                crops = [to_float(self.crops.batch(config.batch)).cpu() for _ in range(BATCHES)]
                linear_start(self.model, crops, config.rate_weight)
                self._normalise()
            return source.facts()
        trained = {**(configs.read(source.model) if source.model else {}), **source.metadata()}
        self.take(source.weights(), trained, str(source.path))
        return {**source.facts(), "rate_weight": float(trained.get("rate_weight", config.rate_weight))}

    def take(self, state: Mapping[str, Tensor], trained: Mapping[str, Any], where: str, normalise: bool = True) -> None:
        """Load the weights ``state`` of a network with ``trained`` architecture, rate weight and distortion.

        The latent of another rate weight is rescaled to the step that suits the new one. If there are more channels
        than the model has, those are kept without which its loss would rise the most; the others become constants.
        """
        config = self.config
        self.first_stage = 0
        widths = {key: (trained.get("architecture") or config.architecture)[key] for key in ("N", "M")}
        own = {key: config.architecture[key] for key in widths}
        if widths == own:
            networks.load_weights(self.model, state, where)
            self._rescale(self.model, trained)
        else:
            source = networks.build({"family": "mean_scale", **widths}).to(self.device)
            networks.load_weights(source, state, where)
            self._rescale(source, trained)
            order = None
            if widths["M"] > own["M"]:  # the hyperprior loses features too
                self.first_stage = config.hyperprior_steps
                order = self._most_useful_first(source)
                fold(source, order[own["M"] :], self._some_crops()[0])
                narrow_hyper_decoder(source, torch.cat(self._some_crops()), own["M"])
            resize(self.model, source.state_dict(), None if order is None else order.tolist())
        if normalise:
            self._normalise()

    def _rescale(self, model: Network, trained: Mapping[str, Any]) -> None:
        """Give the latent the step that suits this rate weight."""
        trained_for = float(trained.get("rate_weight", self.config.rate_weight))
        factor = networks.latent_step(trained_for) / networks.latent_step(self.config.rate_weight)
        if abs(factor - 1) > 0.01 and trained.get("distortion", "mse") == self.config.distortion:
            networks.rescale_latent(model, factor)

    def _most_useful_first(self, model: Network) -> Tensor:
        """The latent's channels, (M,), those first without which this training's loss would rise the most."""
        x, config = self._some_crops()[0], self.config

        def lost(x_hat: Tensor) -> Tensor:
            mse = 255**2 * (x_hat - x).square().mean()
            return config.rate_weight * distortion(config.distortion, mse, x_hat, x)

        return saving(model, x, lost).argsort(descending=True)

    def branch(self, state: Mapping[str, Any], trunk: Any, where: str) -> dict[str, Any]:
        """With the same rate and widths, continue unchanged; otherwise start from the trunk's first average.

        Features stay as the trunk's optimiser knows them: its statistics are taken over, too.
        """
        same = all(getattr(trunk, key) == getattr(self.config, key) for key in ("architecture", "rate_weight"))
        if same:
            return super().branch(state, trunk, where)
        trained = {key: getattr(trunk, key) for key in ("architecture", "rate_weight", "distortion")}
        self.take(state["averages"][0], trained, where, normalise=False)
        self.is_new = False
        self.begin()
        self.take_statistics(state)
        return {"from": f"trunk {trunk.name}", "steps": state["step"], "rate_weight": trunk.rate_weight}

    def _normalise(self) -> None:
        if self.config.normalise:
            normalise_features(self.model, self._some_crops()[:2])

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._rate_loss() if self._in_first_stage else self._rate_distortion_loss()

    def forward(self, model: Network, x: Tensor) -> tuple[Tensor, Tensor]:
        """(x_hat, bits) of x (B, 3, H, W) in 0..1; bits (B,)."""
        return networks.forward(model, x, self.precision if model.training else None, self._mixed)

    def score(self, model: Network, images: Sequence[Tensor]) -> Score:
        return score(model, images, self.config.rate_weight, self.config.distortion, self.forward)

    def identity(self) -> dict[str, Any]:
        facts = {"architecture": dict(self.config.architecture), "rate_weight": self.config.rate_weight}
        return facts if self.config.distortion == "mse" else {**facts, "distortion": self.config.distortion}

    def manifest_facts(self) -> dict[str, Any]:
        return {**self.identity(), "hyperprior_steps": self.config.hyperprior_steps}

    def as_shipped(self, model: Network) -> Network:
        """Quantiles of z solved exactly, trained tensors rounded to fp16.

        Constants stay fp32, since a likelihood bound of 1e-9 is zero in fp16.
        """
        model.update(force=True, update_quantiles=True)
        shipped = self.untrained().to(self.device)
        return networks.load_weights(shipped, _trained_in_fp16(model)).eval()

    def tensors(self, shipped: Network) -> Mapping[str, Tensor]:
        return {**shipped.state_dict(), **_trained_in_fp16(shipped)}

    def stage(self) -> tuple[float, int]:
        if self._in_first_stage:
            return self.config.hyperprior_lr, 0
        return self.config.lr, self.first_stage

    def state(self) -> dict[str, Any]:
        return {**super().state(), "first_stage": self.first_stage}

    def restore(self, state: Mapping[str, Any], where: str) -> None:
        self.first_stage = state.get("first_stage", 0)
        super().restore(state, where)

    def optimiser_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The configured one; the hyperprior's wide layers learn well without an eigenbasis, which is expensive."""
        hyper = {id(p) for layers in (self.model.h_a, self.model.h_s) for p in layers.parameters()}
        groups = [
            {"params": [p for p in parameters if id(p) not in hyper]},
            {"params": [p for p in parameters if id(p) in hyper], "turned": False},
        ]
        scales = {}
        if self.config.normalise and self.config.optimiser == "soap":
            named = dict(self.model.named_parameters())
            found = latent_scales(self.model, self._some_crops()[:2])
            scales = {named[name]: scale for name, scale in found.items()}
        return optimiser(self.config, groups, self.device, scales)

    def _some_crops(self) -> list[Tensor]:
        """Batches of crops, always the same ones, whatever was drawn before."""
        crops = Crops(self.images, self.config.crop, self.config.seed, self.device)
        return [to_float(crops.batch(self.config.batch)) for _ in range(BATCHES)]

    @property
    def _mixed(self) -> bool:
        return self.config.quantisation == "mixed"

    @property
    def _in_first_stage(self) -> bool:
        return self.step < self.first_stage

    def _rate_distortion_loss(self) -> tuple[Tensor, Tensor, Tensor]:
        self._latents = None
        x = to_float(self.crops.batch(self.batch))
        x_hat, bits = self.forward(self.model, x)
        mse = (x_hat - x).square().mean()
        bpp = bits.mean() / self.config.crop**2
        lost = distortion(self.config.distortion, 255**2 * mse, x_hat, x)
        return self.config.rate_weight * lost + bpp, bpp, mse

    def _rate_loss(self) -> tuple[Tensor, Tensor, Tensor]:
        """The first stage: only the hyperprior learns, on cached latents of the current analysis transform."""
        y = self.cached_latents(self.config.hyperprior_batch or self.config.batch)
        bits = networks.rate(self.model, y, self.precision, self._mixed)[1].mean()
        bpp = bits / (networks.LATENT_STRIDE**2 * y.shape[2] * y.shape[3])
        return bpp, bpp, torch.full_like(bpp, math.nan)

    def cached_latents(self, count: int) -> Tensor:
        """Latents (count, M, h, w) of random crops under the current analysis transform, from a cache."""
        if self._latents is None:
            self._latents = self._cache_latents()
        return self._latents.batch(count, flips=False).float().contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _cache_latents(self) -> Crops:
        stride = networks.LATENT_STRIDE
        maps = []
        for image in self.images:
            height, width = (side - side % stride for side in image.shape[1:])
            y = self.model.g_a(to_float(image[None, :, :height, :width].to(self.device)))
            maps.append(y[0].half())  # relative error 5e-4: below the quantization noise
        largest = max(min(m.shape[1:]) for m in maps)
        crop = min(self.config.hyperprior_crop // stride, largest - largest % 4)  # z is a quarter of y's side
        latents = Crops(maps, crop, self.config.seed, self.device)
        latents.generator = self.crops.generator  # one random generator to save
        return latents


def _trained_in_fp16(model: Network) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in model.state_dict().items() if not networks.is_derived(name)}


LEARNER = MeanScaleLearner
