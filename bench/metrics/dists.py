"""DISTS: structure and texture compared in VGG16's features. 0 for identical, smaller is better.

Source: Ding, Ma, Wang, Simoncelli, "Image quality assessment: unifying structure and texture similarity", IEEE TPAMI
44(5), 2022; equal to the authors' package `dists-pytorch`. Images are taken in their own size, not reduced to 256 px as
the authors' script does for its databases. The weights come from `rdbench fetch-weights dists`; bench.metrics.networks
has the rules of size.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from bench.codec import Image
from bench.metrics import network_weights, networks
from bench.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SMALL = 1e-6
_HANN = np.hanning(5)[1:-1]


class _Dists(Metric):
    columns = ("dists",)
    smallest_side, most_pixels = networks.VGG16_SMALLEST, networks.VGG16_MOST
    of_identical = {"dists": 0.0}

    def version(self) -> str | None:
        parts = [network_weights.version(name) for name in ("dists", "lpips_vgg16")]
        return None if None in parts else parts[0]  # which the VGG16 that it is trained for belongs to

    def missing(self) -> str:
        return network_weights.missing("dists", "dists") or network_weights.missing("lpips_vgg16", "dists")

    def values(
        self, prepared: Image, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        import torch

        vgg16, weights = network_weights.load("lpips_vgg16"), network_weights.load("dists")
        whole = weights["alpha"].sum() + weights["beta"].sum()
        with torch.inference_mode():
            pair = networks.tensor(prepared), networks.tensor(reconstruction)
            mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
            scaled = (pair[0] - mean) / deviation, (pair[1] - mean) / deviation
            place, total = 0, 0.0
            for first, second in chain([pair], networks.vgg16(vgg16, scaled, _pool)):
                texture, structure = _similarities(first, second)
                channels = slice(place, place + first.shape[1])
                total += float((weights["alpha"][channels] * texture + weights["beta"][channels] * structure).sum())
                place = channels.stop
        return {"dists": round(1 - total / float(whole), networks.DIGITS)}


METRIC = _Dists()


def _pool(x: Tensor) -> Tensor:
    """The root of the Hann-weighted mean of squares over 3 x 3, every second place (L2 pooling)."""
    import torch
    from torch.nn.functional import conv2d

    window = torch.tensor(np.outer(_HANN, _HANN) / _HANN.sum() ** 2, dtype=x.dtype)
    channels = x.shape[1]
    mean = conv2d(x.square(), window.expand(channels, 1, 3, 3), stride=2, padding=1, groups=channels)
    return mean.add_(1e-12).sqrt_()


def _similarities(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Of each channel of two features (1 x C x H x W): how alike their means are, and how they vary together."""
    means = first.mean((0, 2, 3)), second.mean((0, 2, 3))
    variances = first.var((0, 2, 3), correction=0), second.var((0, 2, 3), correction=0)
    both = (first * second).mean((0, 2, 3)) - means[0] * means[1]
    texture = (2 * means[0] * means[1] + _SMALL) / (means[0].square() + means[1].square() + _SMALL)
    return texture, (2 * both + _SMALL) / (variances[0] + variances[1] + _SMALL)
