"""STanH (Presta et al., arXiv 2410.00557): two quantizers trained on a network, for y and for z.

An anchor is a pre-trained network with both layers trained at its own rate weight; a derivation starts from an anchor's
layers and trains only them, at another rate weight. If the network is frozen its latents are computed once, and a step
runs only the entropy model and the synthesis transform.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.files import sha256
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.stanh import wacnn
from codecs_wrappers.learned.stanh.backbones import OWN, load_network
from codecs_wrappers.learned.stanh.coding import LEVEL_UNIT
from codecs_wrappers.learned.stanh.layer import BINS, STanH, extent_for
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data.crops import Crops, to_float
from codecs_wrappers.learned.training.judging.validation import DISTORTIONS, Score, distortion, score_points
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.starts import stanh
from codecs_wrappers.learned.training.starts.weights import first_source
from codecs_wrappers.learned.training.steps.annealing import KINDS, anneal
from codecs_wrappers.learned.training.steps.quantizers import (
    Analysed,
    Quantizers,
    analyse_crops,
    code,
    medians_of,
    slices_of,
)

TRAINABLE = ("quantizers", "all")
HELD_OUT_CROPS = 16  # on whose latents a derivation's first quantizer is fitted


@dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
    """start_from is "default" (rounding, for an anchor) or the anchor of this derivation."""

    base: str  # the network: an entry of the weights manifest
    rate_weight: float  # lambda_c
    distortion: str = "mse"  # or "ms_ssim": the distortion that lambda_c multiplies
    trainable: str = "quantizers"  # or "all": the network too, for an anchor
    bins: str = "levels"  # of the entropy model: see STanH
    pinned: bool = True  # see STanH
    centred: bool = True  # quantize y minus its mean in training too (False: as in the authors' code)
    annealing: str = "gap_stoc"
    beta: float = 10.0
    gap_factor: float = 15.0  # doubled whenever the learning rate is halved
    last_beta: float = 100.0  # of the annealings that follow the budget
    cached_crops: int = 256
    steps: int = 200
    batch: int = 2
    crop: int = 128
    lr: float = 0.03  # for the logarithms of the steps
    lr_last: float = 3e-4
    warm_up_steps: int = 10
    decay_from: float = 0.4
    averages: tuple[float, ...] = (0.95,)
    clip: float = math.inf
    validate_every: int = 100
    validation_images: int = 5
    log_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("rate_weight", "beta", "gap_factor", "last_beta", "cached_crops")
        self.require_known(trainable=TRAINABLE, bins=BINS, annealing=tuple(KINDS), distortion=DISTORTIONS)


class StanhLearner(Learner):
    """Quantizers soft in training, hard for validation and shipping."""

    Config = Config

    def build(self) -> Network:
        config = self.config
        self.source = first_source(config, self.beside, built=("default",))
        loaded = load_network(config.base)
        self.base_sha256 = weights.sha256(config.base)
        self.architecture = dict(loaded.entry["architecture"])
        base = networks.load_weights(wacnn.build(self.architecture), loaded.state, config.base)
        self.base = base.to(self.device, memory_format=torch.channels_last).requires_grad_(False).eval()
        self._gaps: dict[str, float] = {}
        self._judged: dict[str, tuple[Tensor, Tensor]] = {}
        whole = config.trainable == "all"
        if self.source.path:
            tensors = self.source.weights()
            extents = [len(tensors[f"{latent}.levels"]) // 2 for latent in "yz"]
        else:
            extents = [extent_for(largest) for largest in self._largest()]
        y, z = (STanH(extent, config.bins, config.pinned, config.beta) for extent in extents)
        return Quantizers(y, z, self.base.requires_grad_(whole) if whole else None)

    def first_weights(self) -> dict[str, Any]:
        """Rounding, or the anchor's quantizers with that of y fitted to this rate (``starts/stanh.py``)."""
        if self.source.path is None:
            return self.source.facts()
        tensors = self.source.weights()
        for name, layer in (("y", self.model.y), ("z", self.model.z)):
            layer.take(tensors[f"{name}.levels"].to(self.device), tensors[f"{name}.thresholds"].to(self.device))
        anchor = float(self.source.metadata().get("rate_weight", self.config.rate_weight))
        if math.isclose(anchor, self.config.rate_weight, rel_tol=0.01):
            return self.source.facts()
        start = self.fitted_start(anchor / self.config.rate_weight)
        self.model.y.take(start.levels, start.thresholds)
        return {**self.source.facts(), "step": round(start.step, 4), "dead_zone": round(start.dead_zone, 4)}

    def fitted_start(self, ratio: float) -> stanh.Start:
        """The start at a rate weight ``ratio`` times lower than that of the current quantizers."""
        held_out = self.analysed(HELD_OUT_CROPS, self.config.seed + 1)
        y = self.model.y
        levels, thresholds = y.levels.detach().clone(), y.thresholds.detach().clone()
        return stanh.fit(levels, thresholds, ratio, functools.partial(self.loss_of, latents=held_out))

    @torch.no_grad()
    def loss_of(self, levels: Tensor, thresholds: Tensor, latents: Analysed) -> float:
        """The rate-distortion loss of a hard quantizer of y on these latents, with the current one of z."""
        before = self.model.y.levels.clone(), self.model.y.thresholds.clone()
        self.model.eval()
        self.model.y.take(levels, thresholds)
        y_hat, bits = self._code(self.model, latents.y, latents.z)
        x, x_hat = to_float(latents.x), networks.run(self.base.g_s, y_hat)
        self.model.y.take(*before)
        self.model.train()
        mse = 255**2 * (x_hat.clamp(0, 1) - x).square().mean()
        lost = distortion(self.config.distortion, mse, x_hat.clamp(0, 1), x)
        return float(self.config.rate_weight * lost + bits.mean() / (x.shape[2] * x.shape[3]))

    @functools.cached_property
    def latents(self) -> Analysed:
        """Of cached crops from a separate random generator, so that a resumed training has the same ones."""
        return self.analysed(self.config.cached_crops, self.config.seed)

    def analysed(self, count: int, seed: int) -> Analysed:
        """Of ``count`` random crops."""
        return analyse_crops(self.base, Crops(self.images, self.config.crop, seed, self.device), count)

    @torch.no_grad()
    def _largest(self) -> tuple[float, float]:
        """The largest magnitudes that the layers of y and z have to represent in the cached crops."""
        largest, medians = 0.0, medians_of(self.base)
        z_hat = (self.latents.z - medians).round() + medians
        for y, z in zip(self.latents.y.split(16), z_hat.split(16), strict=True):
            for part in slices_of(self.base, z, self.precision):
                distance = y[:, part.channels] - part.means
                part.y_hat = distance.round() + part.means
                largest = max(largest, float(distance.abs().max()))
        return largest, float((self.latents.z - medians).abs().max())

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        if config.trainable == "all":
            x = to_float(self.crops.batch(config.batch))
            y = networks.run(self.model.network.g_a, x, self.precision)
            z = networks.run(self.model.network.h_a, y, self.precision)
        else:
            chosen = torch.randint(config.cached_crops, (config.batch,), generator=self.crops.generator)
            chosen = chosen.to(self.device)
            x, y, z = to_float(self.latents.x[chosen]), self.latents.y[chosen], self.latents.z[chosen]
        y_hat, bits = self._code(self.model, y, z)
        x_hat = networks.run(self._network(self.model).g_s, y_hat, self.precision)
        mse = (x_hat - x).square().mean()
        bpp = bits.mean() / config.crop**2
        lost = distortion(config.distortion, 255**2 * mse, x_hat, x)
        return config.rate_weight * lost + bpp, bpp, mse

    def advance(self, progress: float) -> Tensor:
        """One step, then the annealing of both layers."""
        config = self.config
        factor = config.gap_factor
        if self.step > config.warm_up_steps:
            factor *= config.lr / self.learning_rate(progress)
        values = super().advance(progress)
        for name, gap in self._gaps.items():
            anneal(config.annealing, getattr(self.model, name), gap, factor, progress, config.last_beta)
        return values

    def score(self, model: Network, images: Sequence[Tensor]) -> Score:
        network = self._network(model)

        def code_image(x: Tensor) -> list[tuple[Tensor, Tensor]]:
            y_hat, bits = self._code(model, *self._latents_of(network, x))
            return [(networks.run(network.g_s, y_hat), bits)]

        return score_points(model, code_image, images, [self.config.rate_weight], self.config.distortion)[0]

    def _latents_of(self, network: Network, x: Tensor) -> tuple[Tensor, Tensor]:
        """(y, z) of a whole image; computed once for a frozen network."""
        frozen = self.config.trainable != "all"
        key = sha256(x.cpu().contiguous().numpy().tobytes()) if frozen else ""
        if key not in self._judged:
            y = networks.run(network.g_a, x)
            latents = y, networks.run(network.h_a, y)
            if not frozen:
                return latents
            self._judged[key] = latents
        return self._judged[key]

    def _code(self, model: Quantizers, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """(y_hat, bits) as :func:`code`; the gaps of a step are kept for its annealing."""
        centred = self.config.centred or not model.training
        y_hat, bits, gaps = code(model, self._network(model), y, z, centred, self.precision)
        self._gaps = gaps if model.training else self._gaps
        return y_hat, bits

    def _network(self, model: Network) -> Network:
        return getattr(model, "network", self.base)

    def identity(self) -> dict[str, Any]:
        base = {"name": self.config.base, "sha256": self.base_sha256}
        facts = {"base": base, "rate_weight": self.config.rate_weight}
        return facts if self.config.distortion == "mse" else {**facts, "distortion": self.config.distortion}

    def manifest_facts(self) -> dict[str, Any]:
        """A pair on a frozen network names that as its base; a trained network is part of the model."""
        facts = self.identity()
        architecture = {"family": "stanh", "bins": self.config.bins}
        if self.config.trainable == "all":
            facts["started_from_network"] = facts.pop("base")
            architecture["network"] = self.architecture
        return {
            "architecture": architecture,
            **facts,
            "anchor": self.source.model or self.config.name,
            "trained_scalars": sum(parameter.numel() for parameter in self.parameters),
            "annealing": self.config.annealing,
        }

    def as_shipped(self, model: Network) -> Network:
        """Levels on the grid of 1/LEVEL_UNIT that the exact hyper-decoder uses, no two equal.

        A trained network is rounded to fp16 except for its constants, with the quantiles of z solved exactly.
        """
        layers = []
        for layer in (model.y, model.z):
            shipped = STanH(layer.extent, layer.bins).to(self.device)
            places = torch.arange(len(layer.levels), device=self.device)
            levels = ((layer.levels * LEVEL_UNIT).round() - places).cummax(0).values + places
            shipped.take(levels / LEVEL_UNIT, layer.thresholds)
            layers.append(shipped)
        network = getattr(model, "network", None)
        if network is not None:
            network.update(force=True, update_quantiles=True)
            state = {name: tensor.half() for name, tensor in network.state_dict().items()}
            network = networks.load_weights(wacnn.build(self.architecture).to(self.device), state)
        y, z = layers
        return Quantizers(y, z, network).eval()

    def tensors(self, shipped: Network) -> Mapping[str, Tensor]:
        """float32: y.levels (L,), y.thresholds (L - 1,), z.levels, z.thresholds; float16: a trained network.*."""
        found: dict[str, Tensor] = {}
        for name, layer in (("y", shipped.y), ("z", shipped.z)):
            levels = (layer.levels * LEVEL_UNIT).round() / LEVEL_UNIT
            found |= {f"{name}.levels": levels, f"{name}.thresholds": layer.thresholds}
        network = getattr(shipped, "network", None)
        trained = {} if network is None else network.state_dict(prefix=OWN)
        return {**found, **{name: tensor.half() for name, tensor in trained.items() if not networks.is_derived(name)}}


LEARNER = StanhLearner
