"""The networks behind LPIPS and DISTS, AlexNet's and VGG16's convolutions: their features of two images.

float32, one pair at a time, each image whole: a value put together of tiles would be another number. The two images go
through the network together, layer by layer, so that no more than two layers' activations are held: about 1.3 GB for
a megapixel with VGG16, 0.1 GB with AlexNet. Everything runs on the processor, with torch's own threads; torch
is imported when the first pair is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.codec import Image

if TYPE_CHECKING:
    from torch import Tensor

    Pool = Callable[[Tensor], Tensor]

ALEXNET_SMALLEST, ALEXNET_MOST = 31, 2**24  # short side that leaves every layer a sample; pixels
VGG16_SMALLEST, VGG16_MOST = 16, 2**22
DIGITS = 6  # of a metric's value: the order of a network's sums, which the number of threads decides, shows beyond them

# Convolutions before each pooling; LPIPS and DISTS compare what comes out of the last of each group.
_VGG16_GROUPS = ((0, 1), (2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12))
# Stride and padding; AlexNet pools after the first two, and every layer's output is compared.
_ALEXNET = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))


def tensor(image: Image) -> Tensor:
    """1 x 3 x H x W, float32, 0..1, from uint8 H x W x 3."""
    import torch

    return torch.from_numpy(np.array(image.transpose(2, 0, 1)[None])).float() / 255


def alexnet(weights: Mapping[str, Tensor], pair: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """The outputs of AlexNet's five convolutions for two inputs, 64, 192, 384, 256 and 256 channels."""
    from torch.nn.functional import max_pool2d

    for layer, (stride, padding) in enumerate(_ALEXNET):
        if layer in (1, 2):
            pair = _each(pair, lambda x: max_pool2d(x, 3, 2))
        pair = _convolved(weights, layer, pair, stride, padding)
        yield pair


def vgg16(
    weights: Mapping[str, Tensor], pair: tuple[Tensor, Tensor], pool: Pool | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The outputs of VGG16's five groups of convolutions for two inputs, 64, 128, 256, 512 and 512 channels.

    pool: between the groups; the maximum of 2 x 2 if absent.
    """
    from torch.nn.functional import max_pool2d

    for group, layers in enumerate(_VGG16_GROUPS):
        if group:
            pair = _each(pair, pool or (lambda x: max_pool2d(x, 2, 2)))
        for layer in layers:
            pair = _convolved(weights, layer, pair, 1, 1)
        yield pair


def _convolved(
    weights: Mapping[str, Tensor], layer: int, pair: tuple[Tensor, Tensor], stride: int, padding: int
) -> tuple[Tensor, Tensor]:
    from torch.nn.functional import conv2d

    kernel, bias = weights[f"conv{layer}.weight"], weights[f"conv{layer}.bias"]
    return _each(pair, lambda x: conv2d(x, kernel, bias, stride, padding).relu_())


def _each(pair: tuple[Tensor, Tensor], change: Pool) -> tuple[Tensor, Tensor]:
    return change(pair[0]), change(pair[1])
