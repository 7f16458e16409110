"""Transforms with features of equal size: the same function, but easier to optimise.

A linear start's features are as large as their share of the picture: the mean of a block is hundreds of times its
finest detail. Adam changes all weights by about the same amount, so one step of the weight between the two changes the
detail by a multiple of itself, and a GDN's denominators are dominated by the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codecs_wrappers.learned.hyperprior.library import GDN, MeanScaleHyperprior
from codecs_wrappers.learned.hyperprior.networks import Network

GAMMA_FLOOR = 1e-5  # a gamma of 0 has no gradient in GDN's parametrisation


@torch.no_grad()
def normalise_features(model: MeanScaleHyperprior, crops: Sequence[Tensor]) -> MeanScaleHyperprior:
    """``model`` with every hidden feature of both transforms scaled to a root mean square of 1 on ``crops``.

    crops: batches (B, 3, H, W) in 0..1. The function stays the same except for the floor of gamma.
    """
    x = torch.cat(list(crops))
    y = model.g_a(x)
    _normalise(model.g_a, x)
    _normalise(model.g_s, y.round())
    return model


def _normalise(layers: nn.Sequential, x: Tensor) -> None:
    for index, layer in enumerate(layers):
        x = layer(x)
        if index + 1 == len(layers) or not isinstance(layers[index + 1], GDN):
            continue
        size = x.square().mean((0, 2, 3)).sqrt().clamp(min=1e-6)
        gdn: Network = layers[index + 1]
        following = layers[index + 2]
        _by_output(layer, 1 / size)
        gamma = gdn.gamma_reparam(gdn.gamma) * size.square()
        gdn.gamma.copy_(gdn.gamma_reparam.init(gamma.clamp(min=GAMMA_FLOOR)))
        _by_input(following, size)
        x = x / size[:, None, None]


def _by_output(layer: Network, factor: Tensor) -> None:
    shape = (1, -1, 1, 1) if isinstance(layer, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    layer.weight.mul_(factor.view(shape))
    layer.bias.mul_(factor)


def _by_input(layer: Network, factor: Tensor) -> None:
    shape = (-1, 1, 1, 1) if isinstance(layer, nn.ConvTranspose2d) else (1, -1, 1, 1)
    layer.weight.mul_(factor.view(shape))


@torch.no_grad()
def latent_scales(model: MeanScaleHyperprior, crops: Sequence[Tensor]) -> dict[str, Tensor]:
    """Factors for the optimiser's steps of the weights that write or read the latent, by name.

    The latent's channels are in quantization steps, so their sizes cannot be equalised; the optimiser's steps can.
    """
    y = model.g_a(torch.cat(list(crops)))
    size = y.square().mean((0, 2, 3)).sqrt().clamp(0.1, 100)
    deviation = y.std((0, 2, 3)).clamp(0.1, 100)
    twice = torch.cat([deviation, deviation])
    last = len(model.h_s) - 1
    return {
        "g_a.6.weight": deviation.view(-1, 1, 1, 1),
        "g_a.6.bias": deviation,
        "g_s.0.weight": (1 / size).view(-1, 1, 1, 1),
        "h_a.0.weight": (1 / size).view(1, -1, 1, 1),
        f"h_s.{last}.weight": twice.view(-1, 1, 1, 1),
        f"h_s.{last}.bias": twice,
    }
