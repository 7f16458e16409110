"""A pair of STanH layers on a network: the latent it gives of crops, its ideal length, and the soft form's gap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.stanh import wacnn
from codecs_wrappers.learned.stanh.layer import STanH
from codecs_wrappers.learned.training.data.crops import Crops, to_float
from codecs_wrappers.learned.training.steps.likelihoods import factorised_likelihoods, gaussian_likelihoods


@dataclass(frozen=True)
class Analysed:
    """What a frozen network makes of crops. x: uint8 (B, 3, H, W); y: (B, M, H/16, W/16); z: (B, N, H/64, W/64)."""

    x: Tensor
    y: Tensor
    z: Tensor


class Quantizers(nn.Module):
    """The STanH layers of y and z, and the network if it is trained along with them."""

    def __init__(self, y: STanH, z: STanH, network: Network | None = None):
        super().__init__()
        self.y, self.z = y, z
        if network is not None:
            self.network = network

    def aux_loss(self) -> Tensor:
        return self.network.aux_loss()


@torch.no_grad()
def analyse_crops(network: Network, crops: Crops, count: int, batch: int = 16) -> Analysed:
    """What ``network`` makes of ``count`` random crops."""
    parts = []
    for begin in range(0, count, batch):
        x = crops.batch(min(batch, count - begin))
        y = network.g_a(to_float(x))
        parts.append((x, y, network.h_a(y)))
    return Analysed(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def code(
    model: Quantizers, network: Network, y: Tensor, z: Tensor, centred: bool, precision: torch.dtype | None
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """(y_hat, bits, gaps): the quantized latent, the ideal length of y and z (B,), and the gap of each layer.

    network: whose latents y and z are. centred: y is quantized minus its mean. gaps: by layer, "y" and "z", of
    :meth:`STanH.gap`; none in evaluation.
    """
    medians = medians_of(network)
    z = z - medians
    z_hat = model.z(z)
    z_edges = (edge + medians for edge in model.z.bin(z, z_hat))
    bits = -factorised_likelihoods(network.entropy_bottleneck, *z_edges).log2().sum((1, 2, 3))
    gaps, parts = [], []
    for part in slices_of(network, z_hat + medians, precision):
        shift = part.means if centred else torch.zeros_like(part.means)
        values = y[:, part.channels] - shift
        quantized = model.y(values)
        edges = (edge + shift - part.means for edge in model.y.bin(values, quantized))
        bits = bits - gaussian_likelihoods(part.scales, *edges).log2().sum((1, 2, 3))
        part.y_hat = quantized + shift
        parts.append(part)
        if model.training:
            gaps.append(model.y.gap(values, quantized))
    y_hat = torch.cat([part.y_hat for part in parts], 1).contiguous(memory_format=torch.channels_last)
    return y_hat, bits, {"y": sum(gaps) / len(gaps), "z": model.z.gap(z, z_hat)} if model.training else {}


def slices_of(network: Network, z_hat: Tensor, precision: torch.dtype | None = None) -> Iterator[wacnn.Slice]:
    """The parts of y in coding order, as :meth:`wacnn.WACNN.slices`; a mean-scale hyperprior has one."""
    if isinstance(network, wacnn.WACNN):
        yield from network.slices(z_hat)
    else:
        scales, means = networks.run(network.h_s, z_hat, precision).chunk(2, 1)
        yield wacnn.Slice(slice(None), means, scales, means)


def medians_of(network: Network) -> Tensor:
    """(N, 1, 1): the medians of z under the network's factorised prior."""
    return network.entropy_bottleneck.quantiles[:, 0, 1].detach()[:, None, None]
