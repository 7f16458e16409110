"""CompressAI's analysis and synthesis transforms, evaluated for coding: constants computed once, memory reused.

The layers are the library's, without what only training needs. GDN's reparametrised constants are computed once, and it
overwrites its input block by block; the last transposed convolution gives the four phases of the image. Inputs are
channels_last in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codecs_wrappers.learned.hyperprior.hyperdecoder import phases
from codecs_wrappers.learned.hyperprior.networks import GDN, Network

BLOCK = 4096  # pixels of 128 channels: GDN's working set stays in a CPU's cache


def analysis(layers: nn.Sequential) -> Callable[[Tensor], Tensor]:
    """g_a: (1, 3, H, W) in 0..1 to (1, M, H/16, W/16); H and W are multiples of 16."""
    return _chain([_evaluation(layer) for layer in layers])


def synthesis(layers: nn.Sequential) -> Callable[[Tensor], Tensor]:
    """g_s: (1, M, h, w) to samples rounded to uint8, (16 h, 16 w, 3)."""
    inner: list[Network]
    last: Network
    *inner, last = layers
    kernel = torch.from_numpy(phases(last.weight.cpu().numpy())).to(last.weight)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    bias = last.bias.repeat_interleave(4)

    def image(x: Tensor) -> Tensor:
        x = F.conv2d(x, kernel, bias, padding=1)  # (1, 12, 8 h, 8 w): the four phases of each colour
        _, _, height, width = x.shape
        samples = x.clamp_(0, 1).mul_(255).round_().to(torch.uint8)[0]
        return samples.reshape(3, 2, 2, height, width).permute(3, 1, 4, 2, 0).reshape(2 * height, 2 * width, 3)

    return _chain([*map(_evaluation, inner), image])


def _chain(steps: list[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run


def _evaluation(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    return _gdn(layer) if isinstance(layer, GDN) else layer


def _gdn(layer: GDN) -> Callable[[Tensor], Tensor]:
    """The layer, in place."""
    beta = layer.beta_reparam(layer.beta)  # (C,)
    gamma = layer.gamma_reparam(layer.gamma).t().contiguous()  # (C_in, C_out)

    def normalise(x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1).view(-1, x.shape[1])  # the same memory, channels last
        size = min(BLOCK, len(pixels)) if x.device.type == "cpu" else len(pixels)
        squares, norms = pixels.new_empty(2, size, x.shape[1])  # shared by all blocks: new memory costs page faults
        for block in pixels.split(size):
            square, norm = squares[: len(block)], norms[: len(block)]
            torch.mm(torch.square(block, out=square), gamma, out=norm).add_(beta)
            block.mul_(norm.sqrt_() if layer.inverse else norm.rsqrt_())
        return x

    return normalise
