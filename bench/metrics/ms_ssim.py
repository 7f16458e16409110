"""MS-SSIM of two 8-bit images, equal to pytorch-msssim, without torch.

Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003, in
the variant that the learned-compression field reports (`pytorch_msssim.ms_ssim`, data_range 255): every channel by
itself, an 11-tap Gaussian window of sigma 1.5 without padding, 2x2 mean pooling between five scales (an odd side is
padded with one line of zeros in front), negative contrast terms set to 0, the mean over the channels at the end.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numba import njit

from bench.codec import Image
from bench.metrics.metric import FAST_SUMS, Metric

SMALLEST_SIDE = 161  # four halvings have to leave the 11-tap window its place
_TAPS = 11
# The first six taps of the symmetric window, which pytorch-msssim always rounds to float32. Their sum is not quite 1,
# which affects the variances.
_WINDOW = np.array(
    [
        0.0010283803567290306,
        0.0075987582094967365,
        0.036000773310661316,
        0.10936068743467331,
        0.21300552785396576,
        0.26601171493530273,
    ]
)
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2

Pyramid = list[list[np.ndarray]]


class _MsSsim(Metric):
    """ms_ssim: 0 to 1. ms_ssim_db: -10 log10(1 - x)."""

    columns = ("ms_ssim", "ms_ssim_db")
    smallest_side = SMALLEST_SIDE
    of_identical = {"ms_ssim": 1.0, "ms_ssim_db": math.inf}

    def version(self) -> str:
        return "1"

    def refusal(self, height: int, width: int) -> str:
        short = min(height, width)
        return f"short side {short} px, five scales need {SMALLEST_SIDE}" if short < SMALLEST_SIDE else ""

    def prepare(self, original: Image) -> Pyramid:
        return pyramid(original)

    def values(
        self, prepared: Pyramid, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        value = ms_ssim(prepared, reconstruction)
        if value >= 1:
            notes.append("ms_ssim_db: MS-SSIM is 1 within rounding, though the images differ")
            return {"ms_ssim": 1.0, "ms_ssim_db": None}
        return {"ms_ssim": value, "ms_ssim_db": -10 * math.log10(1 - value)}


METRIC = _MsSsim()


def pyramid(image: np.ndarray) -> Pyramid:
    """Five scales of three planes each, float32, from uint8 H x W x 3. Exact: a mean of 4^4 samples has 16 bits."""
    scale = [np.ascontiguousarray(image[:, :, channel], dtype=np.float32) for channel in range(3)]
    scales = [scale]
    for _ in range(len(_SCALE_WEIGHTS) - 1):
        scale = [_pool(plane) for plane in scale]
        scales.append(scale)
    return scales


def ms_ssim(reference: Pyramid, reconstruction: np.ndarray) -> float:
    """MS-SSIM, at most 1, of a reconstruction (uint8, H x W x 3) against the pyramid of its original.

    Both sides must be at least SMALLEST_SIDE, which the caller ensures.
    """
    terms = np.empty((len(_SCALE_WEIGHTS), 3))
    for channel in range(3):
        plane = np.ascontiguousarray(reconstruction[:, :, channel], dtype=np.float32)
        for scale, planes in enumerate(reference):
            similarity, contrast = _ssim(planes[channel], plane, _WINDOW)
            last = scale == len(reference) - 1
            terms[scale, channel] = max(similarity if last else contrast, 0.0)
            if not last:
                plane = _pool(plane)
    return float(np.prod(terms ** _SCALE_WEIGHTS[:, None], axis=0).mean())


@njit(cache=True, nogil=True)
def _pool(plane: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 samples; an odd side is padded with a line of zeros at the start."""
    height, width = plane.shape
    top, left = height % 2, width % 2
    pooled = np.empty(((height + top) // 2, (width + left) // 2), np.float32)
    for i in range(top, pooled.shape[0]):
        above, below = plane[2 * i - top], plane[2 * i - top + 1]
        for j in range(left, pooled.shape[1]):
            k = 2 * j - left
            pooled[i, j] = (above[k] + above[k + 1] + below[k] + below[k + 1]) * np.float32(0.25)
        if left:
            pooled[i, 0] = (above[0] + below[0]) * np.float32(0.25)
    if top:
        for j in range(left, pooled.shape[1]):
            k = 2 * j - left
            pooled[0, j] = (plane[0, k] + plane[0, k + 1]) * np.float32(0.25)
        if left:
            pooled[0, 0] = plane[0, 0] * np.float32(0.25)
    return pooled


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _ssim(x: np.ndarray, y: np.ndarray, window: np.ndarray) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure term of two float32 planes over every complete window.

    One pass over the rows: the last eleven are kept as products, blurred down the columns, then along the row.
    """
    height, width = x.shape
    ring = np.empty((_TAPS, 4 * width))
    blurred = np.empty(4 * width)
    similarity = 0.0
    contrast = 0.0
    for row in range(height):
        _products(ring[row % _TAPS], x[row], y[row])
        if row >= _TAPS - 1:
            _blur_down(blurred, ring, row + 1, window)
            row_similarity, row_contrast = _row_sums(blurred, width, window)
            similarity += row_similarity
            contrast += row_contrast
    windows = (height - _TAPS + 1) * (width - _TAPS + 1)
    return similarity / windows, contrast / windows


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _products(out: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Four rows in one: x, y, x*x + y*y, x*y. The variances enter SSIM only as their sum."""
    width = x.size
    squares = out[2 * width : 3 * width]
    cross = out[3 * width :]
    out[:width] = x
    out[width : 2 * width] = y
    for j in range(width):
        a, b = np.float64(x[j]), np.float64(y[j])
        squares[j] = a * a + b * b
    for j in range(width):
        cross[j] = np.float64(x[j]) * np.float64(y[j])


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _blur_down(out: np.ndarray, ring: np.ndarray, oldest: int, window: np.ndarray) -> None:
    # Two calls with few arrays each: with more, LLVM cannot prove that they do not overlap, and does not vectorise.
    o = oldest
    _outer_taps(
        out, ring[o % 11], ring[(o + 1) % 11], ring[(o + 2) % 11],
        ring[(o + 8) % 11], ring[(o + 9) % 11], ring[(o + 10) % 11], window,
    )  # fmt: skip
    _inner_taps(
        out, ring[(o + 3) % 11], ring[(o + 4) % 11], ring[(o + 5) % 11], ring[(o + 6) % 11], ring[(o + 7) % 11], window
    )


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _outer_taps(out, a0, a1, a2, a8, a9, a10, window):  # type: ignore[no-untyped-def]
    w0, w1, w2 = window[0], window[1], window[2]
    for j in range(out.size):
        out[j] = w0 * (a0[j] + a10[j]) + w1 * (a1[j] + a9[j]) + w2 * (a2[j] + a8[j])


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _inner_taps(out, a3, a4, a5, a6, a7, window):  # type: ignore[no-untyped-def]
    w3, w4, w5 = window[3], window[4], window[5]
    for j in range(out.size):
        out[j] += w3 * (a3[j] + a7[j]) + w4 * (a4[j] + a6[j]) + w5 * a5[j]


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _blur_across(row: np.ndarray, j: int, w: np.ndarray) -> float:
    return (
        w[0] * (row[j] + row[j + 10])
        + w[1] * (row[j + 1] + row[j + 9])
        + w[2] * (row[j + 2] + row[j + 8])
        + w[3] * (row[j + 3] + row[j + 7])
        + w[4] * (row[j + 4] + row[j + 6])
        + w[5] * row[j + 5]
    )


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _row_sums(blurred: np.ndarray, width: int, window: np.ndarray) -> tuple[float, float]:
    """Sums of SSIM and of its contrast-structure term over one row of windows."""
    x, y = blurred[:width], blurred[width : 2 * width]
    squares, cross = blurred[2 * width : 3 * width], blurred[3 * width :]
    similarity = 0.0
    contrast = 0.0
    for j in range(width - _TAPS + 1):
        mean_x, mean_y = _blur_across(x, j, window), _blur_across(y, j, window)
        means = mean_x * mean_y
        mean_squares = mean_x * mean_x + mean_y * mean_y
        term = (2 * (_blur_across(cross, j, window) - means) + _C2) / (
            _blur_across(squares, j, window) - mean_squares + _C2
        )
        similarity += term * (2 * means + _C1) / (mean_squares + _C1)
        contrast += term
    return similarity, contrast
