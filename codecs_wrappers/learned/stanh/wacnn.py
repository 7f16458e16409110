"""The CNN of Zou et al. 2022 (arXiv 2203.08450): window attention, ten slices, latent residual prediction.

The state dict has the names and shapes of the authors' checkpoints (github.com/Googolxx/STF, "cnn"), so they can be
loaded. The published network has N = 192 and M = 320; other widths keep its proportions.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import GDN

with warnings.catch_warnings():  # CompressAI decorates with torch.jit.script, which newer torch deprecates
    warnings.simplefilter("ignore")
    from compressai.entropy_models import EntropyBottleneck, GaussianConditional
    from compressai.layers import conv3x3, subpel_conv3x3
    from compressai.models import CompressionModel
    from compressai.models.utils import conv, deconv

SLICES = 10  # of the published network
SUPPORT = 5  # the number of first slices from which the parameters of all later ones are predicted
HEADS = 8
BLOCKED = -100.0  # added to the logits between pixels that are adjacent only through the cyclic shift


@dataclass(eq=False)
class Slice:
    """Some channels of y: means and scales (B, C, h, w), and y_hat once known; ``scales`` are not bounded below."""

    channels: slice
    means: Tensor
    scales: Tensor
    y_hat: Tensor


class WACNN(CompressionModel):
    """Images of sides that are multiples of 64 give latents of M channels at 1/16, hyperlatents of N channels at 1/64.

    Raises UsageError for invalid widths: N must be a multiple of 8, M of 4 times the number of slices.
    """

    def __init__(self, N: int = 192, M: int = 320, slices: int = SLICES):
        super().__init__()
        if slices < 1 or N % HEADS or M % (4 * slices) or M % HEADS or (M - N) % 4 or not 0 < N <= M:
            raise UsageError(
                f"network wacnn of {slices} slices: expected N in steps of {HEADS} and M >= N in steps of "
                f"{4 * max(slices, 1)}, got N {N} and M {M}"
            )
        self.N, self.M = N, M
        a, b, c = (M - k * (M - N) // 4 for k in (1, 2, 3))  # between M and N
        self.g_a = nn.Sequential(
            conv(3, N),
            GDN(N),
            conv(N, N),
            GDN(N),
            GatedWindowAttention(N, 8),
            conv(N, N),
            GDN(N),
            conv(N, M),
            GatedWindowAttention(M, 4),
        )
        self.g_s = nn.Sequential(
            GatedWindowAttention(M, 4),
            deconv(M, N),
            GDN(N, inverse=True),
            deconv(N, N),
            GDN(N, inverse=True),
            GatedWindowAttention(N, 8),
            deconv(N, N),
            GDN(N, inverse=True),
            deconv(N, 3),
        )
        self.h_a = _with_gelu(conv3x3(M, M), conv3x3(M, a), conv3x3(a, b, 2), conv3x3(b, c), conv3x3(c, N, 2))
        self.h_mean_s, self.h_scale_s = (
            _with_gelu(conv3x3(N, N), subpel_conv3x3(N, c, 2), conv3x3(c, b), subpel_conv3x3(b, a, 2), conv3x3(a, M))
            for _ in range(2)
        )
        width = M // slices
        supports = [M + width * min(i, SUPPORT) for i in range(slices)]
        self.cc_mean_transforms, self.cc_scale_transforms, self.lrp_transforms = (
            nn.ModuleList(_slice_transform(support + extra, width) for support in supports) for extra in (0, 0, width)
        )
        self.entropy_bottleneck = EntropyBottleneck(N)
        self.gaussian_conditional = GaussianConditional(None)

    def slices(self, z_hat: Tensor) -> Iterator[Slice]:
        """The slices of y in coding order; the caller sets each one's ``y_hat`` before taking the next.

        Taking the next adds the predicted residual to ``y_hat``.
        """
        means, scales = self.h_mean_s(z_hat), self.h_scale_s(z_hat)  # (B, M, h, w)
        known: list[Tensor] = []
        transforms = zip(self.cc_mean_transforms, self.cc_scale_transforms, self.lrp_transforms, strict=True)
        for i, (mean_of, scale_of, residual_of) in enumerate(transforms):
            support = torch.cat([means, *known[:SUPPORT]], 1)
            mean, scale = mean_of(support), scale_of(torch.cat([scales, *known[:SUPPORT]], 1))
            width = mean.shape[1]
            part = Slice(slice(i * width, (i + 1) * width), mean, scale, mean)
            yield part
            residual = residual_of(torch.cat([support, part.y_hat], 1))
            part.y_hat = part.y_hat + 0.5 * torch.tanh(residual)
            known.append(part.y_hat)


class GatedWindowAttention(nn.Module):
    """x + a(x) sigmoid(b(x)); b begins with attention in shifted windows (the authors' Win_noShift_Attention)."""

    def __init__(self, channels: int, window: int):
        super().__init__()
        self.conv_a = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)))
        units = (ResidualUnit(channels) for _ in range(3))
        self.conv_b = nn.Sequential(ShiftedWindows(channels, window), *units, nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_a(x) * torch.sigmoid(self.conv_b(x))


class ResidualUnit(nn.Module):
    """gelu(x + f(x)), f through a bottleneck of half the channels."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.conv = _with_gelu(nn.Conv2d(channels, half, 1), conv3x3(half, half), nn.Conv2d(half, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv(x))


class ShiftedWindows(nn.Module):
    """x plus self-attention within windows that are shifted by half their side, cyclically but for a mask."""

    def __init__(self, channels: int, window: int):
        super().__init__()
        self.window = window
        self.attn = WindowAttention(channels, window)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        window, shift = self.window, self.window // 2
        shifted = x.roll((-shift, -shift), (2, 3))
        cells = shifted.reshape(batch, channels, height // window, window, width // window, window)
        tokens = cells.permute(0, 2, 4, 3, 5, 1).reshape(-1, window * window, channels)
        tokens = self.attn(tokens, _mask(height, width, window, x.device).to(x.dtype))
        cells = tokens.view(batch, height // window, width // window, window, window, channels)
        return x + cells.permute(0, 5, 1, 3, 2, 4).reshape(x.shape).roll((shift, shift), (2, 3))


class WindowAttention(nn.Module):
    """Multi-head self-attention of the pixels of a window, with a learned bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, channels: int, window: int):
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, HEADS))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        row, column = (torch.arange(window * window) // window, torch.arange(window * window) % window)
        down, right = (place[:, None] - place[None, :] + window - 1 for place in (row, column))
        self.register_buffer("relative_position_index", down * (2 * window - 1) + right)
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B windows, pixels, C); mask: (windows, pixels, pixels)."""
        count, pixels, channels = x.shape
        q, k, v = self.qkv(x).view(count, pixels, 3, HEADS, -1).permute(2, 0, 3, 1, 4)  # (B windows, heads, pixels, C')
        bias = self.relative_position_bias_table[self.relative_position_index].permute(
            2, 0, 1
        )  # (heads, pixels, pixels)
        bias = (mask[:, None] + bias).repeat(count // len(mask), 1, 1, 1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(count, pixels, channels))


@functools.lru_cache(maxsize=32)
def _mask(height: int, width: int, window: int, device: torch.device) -> Tensor:
    """(windows, pixels, pixels): BLOCKED between pixels of a window that are far apart in the image, else 0."""
    place = torch.arange(max(height, width), device=device)
    rows, columns = (
        (place[:side] >= side - window).int() + (place[:side] >= side - window // 2) for side in (height, width)
    )
    regions = 3 * rows[:, None] + columns  # (H, W)
    cells = regions.view(height // window, window, width // window, window).transpose(1, 2).reshape(-1, window * window)
    return BLOCKED * (cells[:, None] != cells[:, :, None]).float()


def _with_gelu(*layers: nn.Module) -> nn.Sequential:
    """The layers with a GELU between each pair."""
    return nn.Sequential(*[each for layer in layers for each in (layer, nn.GELU())][:-1])


def _slice_transform(inputs: int, width: int) -> nn.Sequential:
    """Five 3x3 convolutions down to the channels of a slice."""
    widths = [inputs, 7 * width, 11 * width // 2, 4 * width, 2 * width, width]
    return _with_gelu(*(conv(here, there, kernel_size=3, stride=1) for here, there in itertools.pairwise(widths)))


def build(architecture: Mapping[str, Any]) -> networks.Network:
    """As :func:`networks.build`, and the family ``wacnn``."""
    if architecture.get("family") != "wacnn":
        return networks.build(architecture)
    return WACNN(**{key: value for key, value in architecture.items() if key != "family"})
