"""PSNR of 8-bit images, from sums of squared errors that are exact.

psnr_rgb_db
    255^2 over the mean squared error of all RGB samples together (not a mean of three channels' PSNRs).
psnr_y_db
    Of the luma 0.299 R + 0.587 G + 0.114 B (BT.601), unrounded. Y of TensorFlow Compression's sRGB_Y curves.
psnr_611_db
    (6 PSNR_Y + PSNR_Cb + PSNR_Cr) / 8 as JPEG AI weighs them, full-range BT.709 4:4:4, unrounded.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numba import njit

from bench.codec import Image
from bench.metrics.metric import Metric

# Integer numerators, so that a plane without error is found exactly. BT.601 and BT.709 luma, in thousandths and in
# ten-thousandths; chroma is (B - Y) / (2 (1 - kb)) and (R - Y) / (2 (1 - kr)).
_Y601 = (299, 587, 114), 1_000
_Y709 = (2126, 7152, 722), 10_000
_CB709 = (-2126, -7152, 10_000 - 722), 2 * (10_000 - 722)
_CR709 = (10_000 - 2126, -7152, -722), 2 * (10_000 - 2126)


class _Psnr(Metric):
    columns = ("psnr_rgb_db", "psnr_y_db", "psnr_611_db")
    of_identical = dict.fromkeys(columns, math.inf)

    def version(self) -> str:
        return "1"

    def values(
        self, prepared: Image, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        errors = _error_products(prepared.reshape(-1, 3), reconstruction.reshape(-1, 3)).tolist()
        pixels = prepared.shape[0] * prepared.shape[1]
        return {
            "psnr_rgb_db": _psnr_db(sum(errors[channel][channel] for channel in range(3)) / (3 * pixels)),
            "psnr_y_db": _psnr_db(_plane_mse(errors, *_Y601, pixels)),
            "psnr_611_db": _psnr_611_db(errors, pixels, notes),
        }


METRIC = _Psnr()


def psnr_rgb_db(original: Image, reconstruction: Image) -> float:
    """PSNR in dB over all RGB samples of two uint8 images of one shape; +inf if they are identical."""
    errors = _error_products(original.reshape(-1, 3), reconstruction.reshape(-1, 3))
    return _psnr_db(float(errors.trace()) / original.size)


def _psnr_db(mean_squared_error: float) -> float:
    return math.inf if mean_squared_error == 0 else 10 * math.log10(255**2 / mean_squared_error)


@njit(cache=True, nogil=True)
def _error_products(original: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """int64 3 x 3: sums over the pixels of (error of channel i) * (error of channel j), i <= j. Exact.

    Every linear plane of the image (luma, chroma) has its squared error in these six numbers.
    """
    rr = rg = rb = gg = gb = bb = np.int64(0)
    for pixel in range(original.shape[0]):
        r = np.int64(original[pixel, 0]) - np.int64(reconstruction[pixel, 0])
        g = np.int64(original[pixel, 1]) - np.int64(reconstruction[pixel, 1])
        b = np.int64(original[pixel, 2]) - np.int64(reconstruction[pixel, 2])
        rr += r * r
        rg += r * g
        rb += r * b
        gg += g * g
        gb += g * b
        bb += b * b
    return np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]])


def _plane_mse(errors: list[list[int]], numerators: tuple[int, ...], denominator: int, pixels: int) -> float:
    """Mean squared error of the plane that is (numerators . RGB) / denominator; exactly 0 if the plane has no error."""
    total = sum(numerators[i] * numerators[j] * errors[i][j] for i in range(3) for j in range(3))
    return total / (denominator**2 * pixels)


def _psnr_611_db(errors: list[list[int]], pixels: int, notes: list[str]) -> float | None:
    y, cb, cr = (_psnr_db(_plane_mse(errors, *plane, pixels)) for plane in (_Y709, _CB709, _CR709))
    if math.inf in (y, cb, cr):
        without = [name for name, value in (("Y", y), ("Cb", cb), ("Cr", cr)) if value == math.inf]
        notes.append(f"psnr_611_db: no error in {' and '.join(without)}, so a mean of dB says nothing")
        return None
    return (6 * y + cb + cr) / 8
