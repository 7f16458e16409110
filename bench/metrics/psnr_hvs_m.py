"""PSNR-HVS-M: PSNR of the errors that the contrast masking of each 8 x 8 block lets through, in dB.

Source: Ponomarenko, Silvestri, Egiazarian, Carli, Astola, Lukin, "On between-coefficient contrast masking of DCT basis
functions", VPQM 2007, and the authors' psnrhvsm.m; equal to the PyPI package `psnr-hvsm`, which JPEG AI uses.

Of the luma of BT.709, full range and not rounded. Sides are padded to multiples of 8 by repeating the edge, as JPEG AI
does (the paper leaves the rest out). One pass over the whole image, no tiling.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numba import njit

from bench.codec import Image
from bench.metrics.metric import FAST_SUMS, Metric, NoValue, luma

# Contrast sensitivity and masking weight of each DCT coefficient, as psnrhvsm.m has them.
_CSF = np.array(
    [
        [1.608443, 2.339554, 2.573509, 1.608443, 1.072295, 0.643377, 0.504610, 0.421887],
        [2.144591, 2.144591, 1.838221, 1.354478, 0.989811, 0.443708, 0.428918, 0.467911],
        [1.838221, 1.979622, 1.608443, 1.072295, 0.643377, 0.451493, 0.372972, 0.459555],
        [1.838221, 1.513829, 1.169777, 0.887417, 0.504610, 0.295806, 0.321689, 0.415082],
        [1.429727, 1.169777, 0.695543, 0.459555, 0.378457, 0.236102, 0.249855, 0.334222],
        [1.072295, 0.735288, 0.467911, 0.402111, 0.317717, 0.247453, 0.227744, 0.279729],
        [0.525206, 0.402111, 0.329937, 0.295806, 0.249855, 0.212687, 0.214459, 0.254803],
        [0.357432, 0.279729, 0.270896, 0.262603, 0.229778, 0.257351, 0.249855, 0.259950],
    ]
)
_MASK = np.array(
    [
        [0.390625, 0.826446, 1.000000, 0.390625, 0.173611, 0.062500, 0.038447, 0.026874],
        [0.694444, 0.694444, 0.510204, 0.277008, 0.147929, 0.029727, 0.027778, 0.033058],
        [0.510204, 0.591716, 0.390625, 0.173611, 0.062500, 0.030779, 0.021004, 0.031888],
        [0.510204, 0.346021, 0.206612, 0.118906, 0.038447, 0.013212, 0.015625, 0.026015],
        [0.308642, 0.206612, 0.073046, 0.031888, 0.021626, 0.008417, 0.009426, 0.016866],
        [0.173611, 0.081633, 0.033058, 0.024414, 0.015242, 0.009246, 0.007831, 0.011815],
        [0.041649, 0.024414, 0.016437, 0.013212, 0.009426, 0.006830, 0.006944, 0.009803],
        [0.019290, 0.011815, 0.011080, 0.010412, 0.007972, 0.010000, 0.009426, 0.010203],
    ]
)
# The orthonormal DCT-II: rows are frequencies.
_DCT = np.sqrt(2 / 8) * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(8) + 1) / 16)
_DCT[0] /= np.sqrt(2)
_ROUNDING = 1e-15  # below it there is no error: one sample off by one among 2^24 pixels gives 1e-11


class _PsnrHvsM(Metric):
    columns = ("psnr_hvs_m_db",)
    of_identical = {"psnr_hvs_m_db": math.inf}

    def version(self) -> str:
        return "1"

    def prepare(self, original: Image) -> tuple[np.ndarray, np.ndarray]:
        plane = _padded(luma(original))
        return plane, _masking_of_blocks(plane, _DCT, _MASK)

    def values(
        self, prepared: tuple[np.ndarray, np.ndarray], reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        mean = _weighted_error(*prepared, _padded(luma(reconstruction)), _DCT, _CSF, _MASK)
        if mean < _ROUNDING:
            raise NoValue("no error in luma passes the masking, though the images differ")
        return {"psnr_hvs_m_db": 10 * math.log10(255**2 / mean)}


METRIC = _PsnrHvsM()


def _padded(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    return np.pad(plane, ((0, -height % 8), (0, -width % 8)), mode="edge")


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _masking_of_blocks(plane: np.ndarray, dct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64 H/8 x W/8: how large an error each block of ``plane`` hides."""
    found = np.empty((plane.shape[0] // 8, plane.shape[1] // 8))
    coefficients, half = np.empty((8, 8)), np.empty((8, 8))
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            block = plane[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            _transform(coefficients, half, block, dct)
            found[row, column] = _masking(block, coefficients, weights)
    return found


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _weighted_error(
    plane: np.ndarray, masking: np.ndarray, other: np.ndarray, dct: np.ndarray, csf: np.ndarray, weights: np.ndarray
) -> float:
    """Mean over the samples of the squared error that is seen. masking: of ``plane``'s blocks."""
    coefficients, half, block, error = np.empty((8, 8)), np.empty((8, 8)), np.empty((8, 8)), np.empty((8, 8))
    total = 0.0
    for row in range(masking.shape[0]):
        for column in range(masking.shape[1]):
            found = other[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            _transform(coefficients, half, found, dct)
            hidden = max(masking[row, column], _masking(found, coefficients, weights))
            for i in range(8):
                for j in range(8):
                    block[i, j] = plane[8 * row + i, 8 * column + j] - found[i, j]
            _transform(error, half, block, dct)
            first = error[0, 0] * csf[0, 0]
            total += first * first
            for i in range(8):
                for j in range(8):
                    seen = (abs(error[i, j]) - hidden / weights[i, j]) * csf[i, j]
                    if i + j > 0 and seen > 0:
                        total += seen * seen
    return total / plane.size


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _transform(out: np.ndarray, half: np.ndarray, block: np.ndarray, dct: np.ndarray) -> None:
    """dct @ block @ dct.T; ``half`` is room for the product between."""
    for i in range(8):
        for j in range(8):
            half[i, j] = 0.0
        for k in range(8):
            for j in range(8):
                half[i, j] += dct[i, k] * block[k, j]
    for i in range(8):
        for j in range(8):
            total = 0.0
            for k in range(8):
                total += half[i, k] * dct[j, k]
            out[i, j] = total


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _masking(block: np.ndarray, coefficients: np.ndarray, weights: np.ndarray) -> float:
    """The error that a block hides: its weighted AC energy, less where its quarters vary less than the whole."""
    energy = 0.0
    for i in range(8):
        for j in range(8):
            if i + j > 0:
                energy += coefficients[i, j] * coefficients[i, j] * weights[i, j]
    whole = _variation(block, 0, 0, 8)
    if whole == 0:
        return 0.0
    quarters = _variation(block, 0, 0, 4) + _variation(block, 0, 4, 4)
    quarters += _variation(block, 4, 0, 4) + _variation(block, 4, 4, 4)
    return np.sqrt(energy * quarters / whole / 16 / 64)


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _variation(block: np.ndarray, top: int, left: int, side: int) -> float:
    """Variance (n - 1 in the denominator) times the number of samples, as psnrhvsm.m has it."""
    mean = 0.0
    for i in range(top, top + side):
        for j in range(left, left + side):
            mean += block[i, j]
    mean /= side * side
    total = 0.0
    for i in range(top, top + side):
        for j in range(left, left + side):
            total += (block[i, j] - mean) * (block[i, j] - mean)
    return total * side * side / (side * side - 1)
