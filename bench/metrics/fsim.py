"""FSIMc: phase congruency, gradients and chroma compared, weighted where either image has features. 1 for identical.

Source: Zhang, Zhang, Mou, Zhang, "FSIM: a feature similarity index for image quality assessment", IEEE TIP 20(8), 2011,
and the authors' FeatureSIM.m: four scales and four orientations of log-Gabor filters, in YIQ. Both images are reduced
first, by means over squares of round(short side / 256) samples. One pass over the whole image, no tiling.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.ndimage import correlate1d

from bench.codec import Image
from bench.metrics.metric import Metric

_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_SCALES, _ORIENTATIONS = 4, 4
_SHORTEST_WAVE, _BANDWIDTH = 6, 0.55
_ANGLE_SIGMA = math.pi / (_ORIENTATIONS * 1.2)
_CUTOFF, _ORDER = 0.45, 15  # of the low pass that keeps the corners of the spectrum out
_NOISE_SIGMAS, _NOISE_SCALE = 2.0, 1.7
_SMALL = 2.0**-52
_T_PHASE, _T_GRADIENT, _T_CHROMA, _CHROMA_POWER = 0.85, 160, 200, 0.03


@dataclass(frozen=True)
class _Features:
    """Of one image, each float64 and of the reduced size: phase congruency, gradient magnitude, I and Q."""

    phase: np.ndarray
    gradient: np.ndarray
    i: np.ndarray
    q: np.ndarray


class _Fsim(Metric):
    columns = ("fsim",)
    smallest_side = 48  # the longest wave of the filters
    of_identical = {"fsim": 1.0}

    def version(self) -> str:
        return "1"

    def prepare(self, original: Image) -> _Features:
        y, i, q = _planes(original)
        return _Features(_phase_congruency(y), _gradient(y), i, q)

    def values(
        self, prepared: _Features, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        a, b = prepared, self.prepare(reconstruction)
        weight = np.maximum(a.phase, b.phase)
        chroma = _similar(a.i, b.i, _T_CHROMA) * _similar(a.q, b.q, _T_CHROMA)
        score = _similar(a.phase, b.phase, _T_PHASE) * _similar(a.gradient, b.gradient, _T_GRADIENT)
        score *= np.abs(chroma) ** _CHROMA_POWER  # negative products are the authors' complex powers; nearly never
        return {"fsim": float((score * weight).sum() / weight.sum())}


METRIC = _Fsim()


def _planes(image: Image) -> np.ndarray:
    """Y, I and Q (3 x h x w, float64) of the reduced image."""
    size = max(1, round(min(image.shape[:2]) / 256))
    height, width = (side // size for side in image.shape[:2])
    blocks = image[: height * size, : width * size].reshape(height, size, width, size, 3)
    return np.moveaxis(blocks.mean(axis=(1, 3)) @ _YIQ.T, 2, 0)


def _similar(a: np.ndarray, b: np.ndarray, constant: float) -> np.ndarray:
    return (2 * a * b + constant) / (a * a + b * b + constant)


def _gradient(plane: np.ndarray) -> np.ndarray:
    """Magnitude of the Scharr gradient, zeros beyond the edge."""
    smooth, slope = np.array([3.0, 10.0, 3.0]) / 16, np.array([-1.0, 0.0, 1.0])
    across = correlate1d(correlate1d(plane, smooth, 0, mode="constant"), slope, 1, mode="constant")
    down = correlate1d(correlate1d(plane, smooth, 1, mode="constant"), slope, 0, mode="constant")
    return np.hypot(across, down)


def _phase_congruency(plane: np.ndarray) -> np.ndarray:
    """Kovesi's phase congruency (PC_2) of a plane, 0..1."""
    spectrum = fft.fft2(plane)
    total_energy, total_amplitude = np.full(plane.shape, _SMALL), np.full(plane.shape, _SMALL)
    for filters, noise_per_power in _filters(plane.shape):
        responses = fft.ifft2(spectrum * filters)
        amplitudes = np.abs(responses)
        mean = responses.sum(axis=0)
        mean /= np.abs(mean) + _SMALL
        turned = responses * mean.conj()  # its imaginary part is the deviation from the mean phase
        energy = (turned.real - np.abs(turned.imag)).sum(axis=0)
        noise = math.sqrt(np.median(amplitudes[0] ** 2) / math.log(2) * noise_per_power / 2)  # Rayleigh's parameter
        threshold = noise * (math.sqrt(math.pi / 2) + _NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / _NOISE_SCALE
        total_energy += np.maximum(energy - threshold, 0)
        total_amplitude += amplitudes.sum(axis=0)
    return total_energy / total_amplitude


@lru_cache(maxsize=2)
def _filters(shape: tuple[int, int]) -> list[tuple[np.ndarray, float]]:
    """For each orientation its log-Gabor filters (scales x h x w, for the FFT), and the energy that noise has in their
    sum for each unit of mean power in the first one's response."""
    rows, columns = (_frequencies(side) for side in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    radius, angle = np.hypot(x, y), np.arctan2(-y, x)
    low_pass = 1 / (1 + (radius / _CUTOFF) ** (2 * _ORDER))
    radius[0, 0] = 1
    radial = []
    for scale in range(_SCALES):
        relative = np.log(radius * _SHORTEST_WAVE * 2**scale)
        radial.append(np.exp(-(relative**2) / (2 * math.log(_BANDWIDTH) ** 2)) * low_pass)
        radial[-1][0, 0] = 0
    found = []
    for orientation in range(_ORIENTATIONS):
        direction = orientation * math.pi / _ORIENTATIONS
        off = np.abs(np.arctan2(np.sin(angle - direction), np.cos(angle - direction)))
        filters = np.stack(radial) * np.exp(-(off**2) / (2 * _ANGLE_SIGMA**2))
        kernels = fft.ifft2(filters).real
        # Twice the sum of squares and four times that of products of two: twice the square of the sum.
        noise = 2 * (kernels.sum(axis=0) ** 2).sum() * radius.size / (filters[0] ** 2).sum()
        found.append((filters, float(noise)))
    return found


def _frequencies(side: int) -> np.ndarray:
    """-0.5..0.5 in the order of the FFT; for an odd side both ends are reached, as in FeatureSIM.m."""
    steps = np.arange(-(side // 2), (side + 1) // 2)
    return fft.ifftshift(steps / (side - side % 2))
