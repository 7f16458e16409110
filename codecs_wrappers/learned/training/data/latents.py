"""Latents of crops under a frozen network, computed once, for schemes that do not train the network."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data.crops import Crops, to_float
from codecs_wrappers.learned.training.starts.weights import Source


@dataclass(frozen=True)
class Latents:
    """B images with their latents under a mean-scale hyperprior, z rounded.

    x: uint8 or float in 0..1 (B, 3, H, W). y, means, scales: float32 (B, M, H/16, W/16). z_bits: (B,), ideal length.
    """

    x: Tensor
    y: Tensor
    means: Tensor
    scales: Tensor
    z_bits: Tensor

    def __getitem__(self, index: Tensor | slice) -> Latents:
        return Latents(*(getattr(self, f.name)[index] for f in fields(self)))


def load_frozen(source: Source, device: torch.device) -> networks.MeanScaleHyperprior:
    """The frozen network of a source whose architecture is in its metadata or its model's file, in eval mode."""
    architecture = source.metadata().get("architecture") or configs.read(source.model or "")["architecture"]
    model = networks.load_weights(networks.build(architecture), source.weights(), str(source.path))
    return model.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()


@torch.no_grad()
def analyse(model: networks.MeanScaleHyperprior, x: Tensor) -> Latents:
    """The latents of x, (B, 3, H, W) in 0..1 with H, W multiples of 64."""
    y = networks.run(model.g_a, x)
    means, scales, z_bits = networks.hyperprior(model, y)
    return Latents(x, y, means, scales, z_bits)


def cache(model: networks.MeanScaleHyperprior, crops: Crops, count: int, batch: int = 16) -> Latents:
    """The latents of ``count`` random crops, each analysed separately, as in training; x stays uint8."""
    parts = []
    for begin in range(0, count, batch):
        x = crops.batch(min(batch, count - begin))
        latents = analyse(model, to_float(x))
        parts.append([x, latents.y, latents.means, latents.scales, latents.z_bits])
    return Latents(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
