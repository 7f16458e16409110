"""Networks under quantizers other than rounding: their latents, and the entropy parameters of y in parts.

A mean-scale hyperprior has one part; Zou et al.'s CNN has ten, its slices, each predicted from earlier ones.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench.codec import Image
from codecs_wrappers.learned import device as devices
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.entropy.factorised import State
from codecs_wrappers.learned.entropy.gaussian import SIGMA_UNIT
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.coding import mean_values
from codecs_wrappers.learned.hyperprior.hyperdecoder import LARGEST_MEAN, LARGEST_SIGMA, MEAN_UNIT
from codecs_wrappers.learned.hyperprior.model import Model
from codecs_wrappers.learned.hyperprior.networks import LATENT_STRIDE, STRIDE
from codecs_wrappers.learned.stanh.wacnn import Slice, build

Shape = tuple[int, int, int]
OWN = "network."  # prefix of a network's tensors in a file that also holds quantizers


@dataclass(eq=False)
class Part:
    """The entropy parameters of some channels of y, and the channels themselves once they are known.

    means: int32 in 1/MEAN_UNIT; sigma: int64 in 1/SIGMA_UNIT; y_hat: float32; all (channels, h, w).
    """

    channels: slice
    means: np.ndarray
    sigma: np.ndarray
    y_hat: np.ndarray


class Backbone(Protocol):
    """A network whose latents are quantized; id: the first 4 bytes of its weights' sha256."""

    name: str
    id: bytes

    def __hash__(self) -> int:
        """By identity: tables are cached per backbone."""

    def latents(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        """y: float32 (M, h, w); z: float64 (N, h/4, w/4), relative to the medians."""

    def parts(self, z_hat: np.ndarray) -> Iterator[Part]:
        """The parts of y in coding order. The caller sets ``y_hat`` of each before taking the next.

        z_hat: float64, relative to the medians. After the last part, every ``y_hat`` is ready for synthesis.
        """

    def synthesise(self, y_hat: np.ndarray, height: int, width: int) -> Image:
        """The image of a latent, float32 (M, h, w)."""

    def latent_shapes(self, height: int, width: int) -> tuple[Shape, Shape]:
        """The shapes of y and z."""

    def prior(self) -> tuple[State, np.ndarray]:
        """The factorised prior's tensors in float64, and the medians (N,)."""


class MeanScaleBackbone:
    """A mean-scale hyperprior: one part, with parameters in exact integers."""

    def __init__(self, model: Model):
        self.model, self.name, self.id = model, model.name, model.id
        self.latents, self.synthesise, self.latent_shapes = model.latents, model.synthesise, model.latent_shapes

    def parts(self, z_hat: np.ndarray) -> Iterator[Part]:
        means, sigma = self.model.hyper(z_hat)
        yield Part(slice(None), means, sigma, mean_values(means))

    def prior(self) -> tuple[State, np.ndarray]:
        return _state(self.model.network.entropy_bottleneck), self.model.medians


class WacnnBackbone:
    """Zou et al.'s CNN: ten parts. Their parameters come from networks in float64 on the CPU, rounded to integers.

    This arithmetic is not exact, but a difference of 1e-12 between two machines changes one integer in 10^10, and the
    bitstream's checksum then detects it.
    """

    def __init__(self, loaded: weights.Weights, device: torch.device):
        self.name, self.id, self.device = loaded.name, bytes.fromhex(loaded.sha256)[:4], device
        network = networks.load_weights(build(loaded.entry["architecture"]), loaded.state, loaded.name)
        self.predictor = copy.deepcopy(network).double().eval().requires_grad_(False)
        self.predictor.g_a = self.predictor.g_s = self.predictor.h_a = torch.nn.Sequential()  # not needed in float64
        self.network = network.eval().requires_grad_(False).to(device)
        self.medians = self.predictor.entropy_bottleneck.quantiles[:, 0, 1].numpy()

    @torch.inference_mode()
    def latents(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        padding = [(0, -side % STRIDE) for side in image.shape[:2]]
        pixels = torch.from_numpy(np.pad(image, [*padding, (0, 0)], mode="edge")).to(self.device)
        y = self.network.g_a(pixels.permute(2, 0, 1)[None].float() / 255)
        z = self.network.h_a(y)[0].cpu().numpy()
        return y[0].cpu().numpy(), z - self.medians[:, None, None]

    @torch.inference_mode()
    def parts(self, z_hat: np.ndarray) -> Iterator[Part]:
        z = torch.from_numpy(z_hat + self.medians[:, None, None])[None]
        before: tuple[Part, Slice] | None = None
        for predicted in self.predictor.slices(z):
            _take_over(before)
            means = _integers(predicted.means, MEAN_UNIT, -LARGEST_MEAN, LARGEST_MEAN).astype(np.int32)
            sigma = _integers(predicted.scales, SIGMA_UNIT, 0, LARGEST_SIGMA)
            part = Part(predicted.channels, means, sigma, mean_values(means))
            yield part
            predicted.y_hat = torch.from_numpy(part.y_hat).double()[None]
            before = part, predicted
        _take_over(before)

    @torch.inference_mode()
    def synthesise(self, y_hat: np.ndarray, height: int, width: int) -> Image:
        x = self.network.g_s(torch.from_numpy(y_hat)[None].to(self.device))[0]
        pixels = x.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0)
        return pixels.cpu().numpy()[:height, :width]

    def latent_shapes(self, height: int, width: int) -> tuple[Shape, Shape]:
        rows, columns, ratio = -(-height // STRIDE), -(-width // STRIDE), STRIDE // LATENT_STRIDE
        return (self.network.M, ratio * rows, ratio * columns), (self.network.N, rows, columns)

    def prior(self) -> tuple[State, np.ndarray]:
        return _state(self.predictor.entropy_bottleneck), self.medians


def load_backbone(entry: str, device: str = "auto") -> Backbone:
    """The backbone of a manifest entry on ``device`` (cached). Raises as ``Model.load`` does."""
    return _load(entry, weights.sha256(entry), str(devices.resolve(device)))


@functools.lru_cache(maxsize=8)
def _load(entry: str, sha256: str, device: str) -> Backbone:
    loaded = load_network(entry)
    if loaded.entry["architecture"]["family"] == "wacnn":
        return WacnnBackbone(loaded, torch.device(device))
    return MeanScaleBackbone(Model(loaded, device))


def load_network(entry: str) -> weights.Weights:
    """The weights of an entry's network, extracted from the common file if it was trained together with quantizers."""
    loaded = weights.load(entry)
    own = loaded.entry["architecture"].get("network")
    if not own:
        return loaded
    state = {name.removeprefix(OWN): value for name, value in loaded.state.items() if name.startswith(OWN)}
    return replace(loaded, state=state, entry={**loaded.entry, "architecture": own})


def _state(prior: torch.nn.Module) -> State:
    return {name: tensor.double().cpu().numpy() for name, tensor in prior.state_dict().items()}


def _take_over(done: tuple[Part, Slice] | None) -> None:
    """Give a part its latent including the predicted residual."""
    if done:
        part, predicted = done
        part.y_hat = predicted.y_hat[0].float().numpy()


def _integers(values: Tensor, unit: int, low: int, high: int) -> np.ndarray:
    """int64: (1, C, h, w) clipped to low..high and rounded to 1/unit, without the first axis."""
    return (values[0].clamp(low, high) * unit).round().long().numpy()
