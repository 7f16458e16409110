"""LPIPS, version 0.1: the distance of two images in a network's features, channels weighted as people judged. 0 to 1.

``lpips`` is of AlexNet, what papers mean unless they say otherwise; ``lpips_vgg`` (bench.metrics.lpips_vgg) of VGG16.

Source: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a perceptual metric",
CVPR 2018; equal to the package `lpips`. 0 for identical, smaller is better. The weights come from
`rdbench fetch-weights lpips`; bench.metrics.networks has the rules of size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from bench.codec import Image
from bench.metrics import network_weights, networks
from bench.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of samples in -1..1


class Lpips(Metric):
    """LPIPS in the features of one network. weights: their name; network: what gives its features of a pair."""

    def __init__(self, column: str, weights: str, network: Callable[..., Iterator], smallest: int, most: int):
        self.columns = (column,)
        self.weights, self.network = weights, network
        self.smallest_side, self.most_pixels = smallest, most
        self.of_identical = {column: 0.0}

    def version(self) -> str | None:
        return network_weights.version(self.weights)

    def missing(self) -> str:
        return network_weights.missing(self.weights, "lpips")

    def values(
        self, prepared: Image, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        import torch

        weights = network_weights.load(self.weights)
        with torch.inference_mode():
            features = self.network(weights, (_scaled(prepared), _scaled(reconstruction)))
            total = 0.0
            for layer, (first, second) in enumerate(features):
                total += _distance(first, second, weights[f"linear{layer}.weight"])
        return {self.columns[0]: round(total, networks.DIGITS)}


METRIC = Lpips("lpips", "lpips_alexnet", networks.alexnet, networks.ALEXNET_SMALLEST, networks.ALEXNET_MOST)


def _scaled(image: Image) -> Tensor:
    import torch

    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    return (2 * networks.tensor(image) - 1 - shift) / scale


def _distance(first: Tensor, second: Tensor, weight: Tensor) -> float:
    """The mean over the places of the weighted squared difference of two features of length 1 (1 x C x H x W)."""
    import torch

    first, second = (x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10) for x in (first, second))
    return float((torch.square(first - second) * weight.view(1, -1, 1, 1)).sum(1).mean())
