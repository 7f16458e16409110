"""A stand-in for the learned model, so that tests of bitstreams take milliseconds."""

from __future__ import annotations

import math

import numpy as np

from bench.codec import Image
from codecs_wrappers.learned.entropy.gaussian import SIGMA_UNIT
from codecs_wrappers.learned.entropy.tables import Tables


class ToyModel:
    """A mean-scale hyperprior without a network: y is a Haar-like transform of 16 x 16 blocks, z its local energy."""

    M, N, id = 12, 12, b"toy!"
    gain = np.repeat([4.0, 1.5, 1.5, 1.0], 3).astype(np.float32)[:, None, None]

    def __init__(self, limit: float = 60.0):
        self.limit = limit  # of the scales: a small one makes outliers
        self.z_tables = Tables.from_pmfs([np.exp(-np.arange(33) / 4)] * self.N, [0] * self.N, [1e-4] * self.N)

    def latent_shapes(self, height: int, width: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        rows, columns = math.ceil(height / 64), math.ceil(width / 64)
        return (self.M, 4 * rows, 4 * columns), (self.N, rows, columns)

    def analyse(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        (_, rows, columns), _ = self.latent_shapes(*image.shape[:2])
        padding = [(0, 16 * rows - image.shape[0]), (0, 16 * columns - image.shape[1]), (0, 0)]
        x = np.pad(image, padding, mode="edge").astype(np.float32) - 128
        a, b, c, d = (
            x.reshape(rows, 2, 8, columns, 2, 8, 3).mean((2, 5)).transpose(1, 3, 4, 0, 2).reshape(4, 3, rows, columns)
        )
        y = np.concatenate([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]) / 4 * self.gain
        energy = np.abs(y).reshape(self.M, rows // 4, 4, columns // 4, 4).mean((2, 4))
        return y, np.rint(2 * np.log2(1 + energy)).astype(np.int32)

    def hyper(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sigma = np.minimum(np.exp2(np.clip(z, 0, 30) / 2), self.limit)
        sigma = sigma.repeat(4, 1).repeat(4, 2)
        return (37 * z.repeat(4, 1).repeat(4, 2) % 500).astype(np.int32), np.rint(sigma * SIGMA_UNIT).astype(np.int64)

    def synthesise(self, y_hat: np.ndarray, height: int, width: int) -> Image:
        a, b, c, d = (y_hat / self.gain).reshape(4, 3, *y_hat.shape[1:])
        quarters = np.stack([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]).reshape(2, 2, *a.shape)
        x = quarters.transpose(3, 0, 4, 1, 2).reshape(2 * a.shape[1], 2 * a.shape[2], 3).repeat(8, 0).repeat(8, 1)
        return np.rint(np.clip(x + 128, 0, 255)).astype(np.uint8)[:height, :width]
