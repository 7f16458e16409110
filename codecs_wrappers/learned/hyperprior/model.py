"""A mean-scale hyperprior ready to code: images to latents and back on the device, entropy parameters in integers.

The transforms run on the device in float32 and in tiles, so that only the image and its latent need memory in
proportion to the image. The hyper-decoder runs in exact integers (:mod:`hyperdecoder`), so means and scales are the
same on every machine.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from bench.codec import Image
from codecs_wrappers.learned import device as devices
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.entropy.factorised import factorised_tables
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperprior import networks, transforms
from codecs_wrappers.learned.hyperprior.hyperdecoder import MEAN_UNIT, HyperDecoder
from codecs_wrappers.learned.hyperprior.networks import LATENT_STRIDE, STRIDE, Network
from codecs_wrappers.learned.tiles import cut, tiles, to_pixels

__all__ = ["MEAN_UNIT", "Model"]

TILE = 64  # latent samples (1024 pixels): the largest side that goes through a transform at once
HALO = 2  # latent samples that a tile's edge affects: 15 pixels below or right of an edge, 30 above or left of it


class Model:
    """A MeanScaleHyperprior with its entropy tables.

    name: of the manifest entry; id: the first 4 bytes of its file's sha256; N, M: channels of z and y; z_tables: of the
    factorised prior, one per channel; network: CompressAI's own, on the device.
    """

    def __init__(self, loaded: weights.Weights, device: str | torch.device = "cpu"):
        self.name, self.id = loaded.name, bytes.fromhex(loaded.sha256)[:4]
        self.device = torch.device(device)
        network = networks.load_weights(networks.build(loaded.entry["architecture"]), loaded.state, loaded.name)
        self.N, self.M = int(network.N), int(network.M)
        parts = {part: _float64(network, part) for part in ("entropy_bottleneck", "h_s")}
        self.z_tables: Tables
        self.z_tables, self.medians = factorised_tables(parts["entropy_bottleneck"])  # medians: float64 (N,)
        self.hyper_decoder = HyperDecoder(parts["h_s"], self.medians)
        self.network = network.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        self.g_a, self.g_s = transforms.analysis(self.network.g_a), transforms.synthesis(self.network.g_s)

    @staticmethod
    def load(entry: str, device: str = "auto") -> Model:
        """The model of a manifest entry on ``device`` (see :mod:`device`; cached).

        Raises UnavailableError without the weights, UsageError without the device or for another architecture.
        """
        return _load(entry, weights.sha256(entry), str(devices.resolve(device)))

    def latent_shapes(self, height: int, width: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """The shapes of y and z for an image of that size: (M, h, w) and (N, h/4, w/4)."""
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        ratio = STRIDE // LATENT_STRIDE
        return (self.M, ratio * rows, ratio * columns), (self.N, rows, columns)

    def analyse(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        """y: float32 (M, h, w); z: int32 (N, h/4, w/4), symbols relative to the medians.

        image: uint8, H x W x 3; its edges are replicated to a multiple of 64. h = ceil(H / 64) * 4.
        """
        y, z = self.latents(image)
        return y, np.rint(z).astype(np.int32)

    def latents(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`analyse`, but z is float64, relative to the medians and not rounded."""
        (_, height, width), _ = self.latent_shapes(*image.shape[:2])
        padding = [
            (0, LATENT_STRIDE * side - size) for side, size in zip((height, width), image.shape[:2], strict=True)
        ]
        padded = np.pad(image, [*padding, (0, 0)], mode="edge")
        y = torch.empty(1, self.M, height, width, device=self.device, memory_format=torch.channels_last)

        with torch.inference_mode(), networks.exact_float32():
            for target, outer, inner in tiles(height, width, TILE, HALO):
                pixels = torch.from_numpy(padded[to_pixels(outer, LATENT_STRIDE)]).to(self.device)
                x = pixels.permute(2, 0, 1)[None].float().div_(255)  # (1, 3, H, W), channels last in memory
                y[(..., *target)] = self.g_a(x)[(..., *inner)]
            z = self.network.h_a(y)[0].cpu().numpy()
        return y[0].cpu().contiguous().numpy(), z - self.medians[:, None, None]

    def hyper(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """means: int32 (M, h, w) in 1/MEAN_UNIT; sigma: int64 (M, h, w) in 1/SIGMA_UNIT; z: (N, h/4, w/4)."""
        return self.hyper_decoder(z)

    def synthesise(self, y_hat: np.ndarray, height: int, width: int) -> Image:
        """The image, uint8 height x width x 3, of a latent, float32 (M, h, w)."""
        y = torch.from_numpy(y_hat)[None].to(self.device)
        image = np.empty((y.shape[2] * LATENT_STRIDE, y.shape[3] * LATENT_STRIDE, 3), np.uint8)
        with torch.inference_mode(), networks.exact_float32():
            for target, outer, inner in tiles(y.shape[2], y.shape[3], TILE, HALO):
                samples = self.g_s(cut(y, outer))[to_pixels(inner, LATENT_STRIDE)]
                image[to_pixels(target, LATENT_STRIDE)] = samples.cpu().numpy()
        return image[:height, :width]


def _float64(network: Network, part: str) -> dict[str, np.ndarray]:
    """The tensors of one part of a network, by their names within it."""
    return {name: tensor.double().numpy() for name, tensor in network.get_submodule(part).state_dict().items()}


@functools.lru_cache(maxsize=8)
def _load(entry: str, sha256: str, device: str) -> Model:
    return Model(weights.load(entry), device)
