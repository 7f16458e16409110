"""The hyper-decoder in exact integer arithmetic: the same means and scales on every machine.

Weights and activations lie on power-of-two grids, so every product and every partial sum is an integer of less than 53
bits, which float64 holds exactly: any BLAS, thread count and order of summation gives the same result (as in
JPEG AI and in Ballé et al., "Integer networks for data compression with latent-variable models", ICLR 2019). All other
operations are single, correctly rounded IEEE 754 operations. The bound is checked when the weights are loaded.

All three layers are 3x3 convolutions: a 5x5 transposed convolution with stride 2 becomes one for the four phases of
its output. They are evaluated by Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016), which is exact on integers too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from bench.errors import UsageError
from codecs_wrappers.learned.entropy.gaussian import SIGMA_UNIT

MEAN_UNIT = 256  # means are integers in 1/256
ACTIVATION_UNIT = 1 << 12  # activations are integers in 2^-12 ...
LARGEST_ACTIVATION = 1 << 10  # ... and saturate at +-1024, in units of y
LARGEST_MEAN = 1 << 14  # in units of y: symbol + mean is then exact in float32
LARGEST_SIGMA = 1 << 14
NEGATIVE_SLOPE = 0.01  # of LeakyReLU
EXACT = float(1 << 53)  # float64 holds every integer up to here
FEWEST_WEIGHT_BITS = 8  # after the binary point; coarser weights would be a different network
MOST_WEIGHT_BITS = 20
POSITIONS = 512  # of 2x2 outputs, evaluated at a time: limits the memory for large images

# Winograd's F(2, 3), its kernel transform doubled so that integers stay integers; results are 4 times the convolution.
KERNEL = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], np.float64)
OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float64)
INPUT_GROWTH = 4  # of the input transform: the largest sum of magnitudes of its rows, squared
GAIN = 4

multiply = np.matmul  # the only place with floating-point sums


class HyperDecoder:
    """h_s of a MeanScaleHyperprior: from the symbols of z to integer means and scales.

    state: its tensors as float arrays: "0.weight", ... medians: float (N,), what z was rounded around.
    Raises UsageError if the weights are too large for exact sums.
    """

    def __init__(self, state: Mapping[str, np.ndarray], medians: np.ndarray):
        self.medians = np.rint(np.asarray(medians, np.float64) * ACTIVATION_UNIT)[:, None, None]
        kernels = {name: np.asarray(state[f"{name}.weight"], np.float64) for name in (0, 2, 4)}
        biases = {name: np.asarray(state[f"{name}.bias"], np.float64) for name in (0, 2, 4)}
        self.first = _Layer(phases(kernels[0]), np.repeat(biases[0], 4), "h_s.0")
        self.second = _Layer(phases(kernels[2]), np.repeat(biases[2], 4), "h_s.2")
        self.last = _Layer(kernels[4], biases[4], "h_s.4")

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """means: int32 (M, 4h, 4w) in 1/256; sigma: int64 (M, 4h, 4w) in 2^-16, bounded below only by zero.

        z: (N, h, w), relative to the medians: int32, or float64 in steps of 1/ACTIVATION_UNIT.
        """
        x = _saturate(z * float(ACTIVATION_UNIT) + self.medians)
        x = _saturate(_leaky_relu(_shuffle(self.first(x))))  # (M, 2h, 2w)
        x = _saturate(_leaky_relu(_shuffle(self.second(x))))  # (1.5 M, 4h, 4w)
        x = self.last(x)  # (2 M, 4h, 4w)
        sigma, means = np.split(x, 2)
        sigma = np.clip(np.rint(sigma * (SIGMA_UNIT / ACTIVATION_UNIT)), 0, LARGEST_SIGMA * SIGMA_UNIT)
        means = np.clip(
            np.rint(means * (MEAN_UNIT / ACTIVATION_UNIT)), -LARGEST_MEAN * MEAN_UNIT, LARGEST_MEAN * MEAN_UNIT
        )
        return means.astype(np.int32), sigma.astype(np.int64)


class _Layer:
    """A 3x3 convolution with zero padding, exact. kernel: (C_out, C_in, 3, 3); bias: (C_out,)."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, name: str):
        transform = np.kron(KERNEL, KERNEL)
        taps = kernel.transpose(2, 3, 0, 1).reshape(9, -1)
        for bits in range(MOST_WEIGHT_BITS, FEWEST_WEIGHT_BITS - 1, -1):
            unit = float(1 << bits)
            self.kernel = (transform @ np.rint(taps * unit)).reshape(16, *kernel.shape[:2])
            self.offset = np.rint(bias * (unit * ACTIVATION_UNIT))[:, None, None] * GAIN
            if _largest_sum(self.kernel) + np.abs(self.offset).max() < EXACT:
                break
        else:
            raise UsageError(
                f"preparing the exact hyper-decoder: the weights of {name} are too large: their sums of magnitudes "
                f"must stay below 2^53 with {FEWEST_WEIGHT_BITS} bits after the point; train with weight decay, or "
                "check that the file holds the right weights"
            )
        self.scale = 1 / (GAIN * unit)  # a power of two

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float64 (C_out, h, w) in units of activations, not rounded. x: integers in float64, (C_in, h, w)."""
        _, height, width = x.shape
        rows, columns = -(-height // 2), -(-width // 2)  # of 2x2 outputs
        x = np.pad(x, ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2)))
        out = np.empty((self.kernel.shape[1], 2 * rows, 2 * columns))
        strip = max(1, POSITIONS // columns)
        for top in range(0, rows, strip):
            end = min(top + strip, rows)
            out[:, 2 * top : 2 * end] = self._rows(x[:, 2 * top : 2 * end + 2])
        out += self.offset
        out *= self.scale
        return out[:, :height, :width]

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """4 times the sums of products, (C_out, 2 r, 2 c), of a strip x (C_in, 2 r + 2, 2 c + 2)."""
        channels, height, width = x.shape
        rows, columns = height // 2 - 1, width // 2 - 1
        tiles = np.empty((4, 4, channels, rows, columns))
        for i, lines in enumerate(_transform(x, 1)):
            for j, tile in enumerate(_transform(lines, 2)):
                tiles[i, j] = tile
        products = multiply(self.kernel, tiles.reshape(16, channels, rows * columns))
        products = products.reshape(4, 4, -1, rows, columns)
        out = np.empty((products.shape[2], rows, 2, columns, 2))
        for a, b in product(range(2), range(2)):
            out[:, :, a, :, b] = _combine([_combine(line, b) for line in products], a)
        return out.reshape(-1, 2 * rows, 2 * columns)


def _transform(x: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """The four rows of Winograd's input transform along an axis of 2 n + 2 samples, n each."""
    n = x.shape[axis] - 2
    a, b, c, d = (x[(slice(None),) * axis + (slice(i, i + n, 2),)] for i in range(4))
    return a - c, b + c, c - b, b - d


def _combine(terms: list[np.ndarray] | np.ndarray, parity: int) -> np.ndarray:
    """Winograd's output transform: the sample of the given parity from four products."""
    a, b, c, d = terms
    return b - c - d if parity else a + b + c


def _largest_sum(kernel: np.ndarray) -> float:
    """The largest magnitude that a partial sum of an output can reach with saturated inputs.

    kernel: (16, C_out, C_in), transformed.
    """
    sums = np.abs(kernel).sum(2)  # (16, C_out)
    largest = (np.kron(np.abs(OUTPUT), np.abs(OUTPUT)) @ sums).max()
    return float(largest) * INPUT_GROWTH * LARGEST_ACTIVATION * ACTIVATION_UNIT


def phases(kernel: np.ndarray) -> np.ndarray:
    """The 3x3 kernels (4 C_out, C_in, 3, 3) that give the four phases of a 5x5 transposed convolution of stride 2.

    kernel: (C_in, C_out, 5, 5). Row 2 m of the output takes taps 4, 2, 0 of inputs m - 1, m, m + 1; row 2 m + 1 takes
    taps 3, 1 of inputs m, m + 1. The phase runs fastest: :func:`_shuffle` undoes it.
    """
    inputs, outputs = kernel.shape[:2]
    padded = np.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 1)))  # tap 5 is zero
    taps = np.array([[4, 2, 0], [5, 3, 1]])
    split = padded[:, :, taps[:, None, :, None], taps[None, :, None, :]]  # (C_in, C_out, 2, 2, 3, 3)
    return split.transpose(1, 2, 3, 0, 4, 5).reshape(4 * outputs, inputs, 3, 3)


def _shuffle(x: np.ndarray) -> np.ndarray:
    """The phases (4 C, h, w) interleaved: (C, 2 h, 2 w)."""
    channels, height, width = x.shape
    return x.reshape(-1, 2, 2, height, width).transpose(0, 3, 1, 4, 2).reshape(channels // 4, 2 * height, 2 * width)


def _leaky_relu(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, x * NEGATIVE_SLOPE, x)


def _saturate(x: np.ndarray) -> np.ndarray:
    """Integers in units of activations, clipped to the range for which sums are exact."""
    largest = LARGEST_ACTIVATION * ACTIVATION_UNIT
    return np.clip(np.rint(x), -largest, largest)
