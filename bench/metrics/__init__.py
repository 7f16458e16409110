"""The quality of a reconstruction against its original: PSNR, MS-SSIM, SSIMULACRA2.

All are computed on 8-bit images, per image. Each metric has a version, which is part of the records and of the cache
key: change it whenever a change could alter a number.

psnr_rgb_db
    255^2 over the mean squared error of all RGB samples together (not a mean of three channels' PSNRs).
psnr_y_db
    Of the luma 0.299 R + 0.587 G + 0.114 B (BT.601), unrounded. Y of TensorFlow Compression's sRGB_Y curves.
psnr_611_db
    (6 PSNR_Y + PSNR_Cb + PSNR_Cr) / 8 as JPEG AI weighs them, full-range BT.709 4:4:4, unrounded.
ms_ssim, ms_ssim_db
    See bench/metrics/ms_ssim.py; -10 log10(1 - x) in dB.
ssimulacra2
    From the PyPI package `ssimulacra2`, if installed, whose version is the metric's. At most 100. For images of up to 3
    megapixels.

An identical reconstruction has PSNR +inf, MS-SSIM 1 and +inf dB. A metric without a value is None, and `metric_notes`
gives the reason.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import json
import math
from typing import Any

import numpy as np
from numba import njit

from bench.codec import Image, check_image
from bench.errors import RdbenchError
from bench.metrics import ms_ssim

# Integer numerators, so that a plane without error is recognised exactly. BT.601 and BT.709 luma, in thousandths and in
# ten-thousandths; chroma is (B - Y) / (2 (1 - kb)) and (R - Y) / (2 (1 - kr)).
_Y601 = (299, 587, 114), 1_000
_Y709 = (2126, 7152, 722), 10_000
_CB709 = (-2126, -7152, 10_000 - 722), 2 * (10_000 - 722)
_CR709 = (10_000 - 2126, -7152, -722), 2 * (10_000 - 2126)

_SSIMULACRA2_MOST_PIXELS = 2048 * 1536  # version 0.3.0 takes half a kilobyte per pixel, and 9 megapixels must pass


def _ssimulacra2_version() -> str | None:
    if importlib.util.find_spec("ssimulacra2") is None:
        return None
    return importlib.metadata.version("ssimulacra2")


METRICS: dict[str, str | None] = {
    "psnr_rgb_db": "1",
    "psnr_y_db": "1",
    "psnr_611_db": "1",
    "ms_ssim": "1",
    "ms_ssim_db": "1",
    "ssimulacra2": _ssimulacra2_version(),
}
METRIC_VERSIONS_JSON = json.dumps(METRICS, sort_keys=True, separators=(",", ":"))


class Reference:
    """An original image, with the part of the metrics that depends only on it, computed once.

    Takes uint8 H x W x 3. Holds about 19 bytes per pixel.
    """

    def __init__(self, image: Image):
        self.image = check_image(image)
        self.too_small = min(self.image.shape[:2]) < ms_ssim.SMALLEST_SIDE
        self.pyramid: ms_ssim.Pyramid = [] if self.too_small else ms_ssim.pyramid(self.image)


def measure(reference: Reference, reconstruction: Image) -> dict[str, Any]:
    """Every metric column of bench.records.SCHEMA for one reconstruction (uint8, H x W x 3).

    Raises RdbenchError if its shape or dtype differs from the original's.
    """
    original = reference.image
    if reconstruction.shape != original.shape or reconstruction.dtype != np.uint8:
        raise RdbenchError(
            f"measuring a reconstruction: expected uint8 {_shape(original)} as the original, "
            f"got {reconstruction.dtype} {_shape(reconstruction)}; the decoder must return the coded size"
        )
    notes: list[str] = []
    errors = _error_products(original.reshape(-1, 3), reconstruction.reshape(-1, 3)).tolist()
    identical = not any(errors[channel][channel] for channel in range(3))
    pixels = original.shape[0] * original.shape[1]
    values = {
        "psnr_rgb_db": _psnr_db(sum(errors[channel][channel] for channel in range(3)) / (3 * pixels)),
        "psnr_y_db": _psnr_db(_plane_mse(errors, *_Y601, pixels)),
        "psnr_611_db": _psnr_611_db(errors, pixels, identical, notes),
        **_ms_ssim(reference, reconstruction, identical, notes),
        "ssimulacra2": _ssimulacra2(original, reconstruction, notes),
    }
    return {**values, "identical": identical, "metric_notes": "; ".join(notes) or None}


def psnr_rgb_db(original: Image, reconstruction: Image) -> float:
    """PSNR in dB over all RGB samples of two uint8 images of one shape; +inf if they are identical."""
    errors = _error_products(original.reshape(-1, 3), reconstruction.reshape(-1, 3))
    return _psnr_db(float(errors.trace()) / original.size)


def _shape(image: np.ndarray) -> str:
    return " x ".join(map(str, image.shape))


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


def _psnr_611_db(errors: list[list[int]], pixels: int, identical: bool, notes: list[str]) -> float | None:
    y, cb, cr = (_psnr_db(_plane_mse(errors, *plane, pixels)) for plane in (_Y709, _CB709, _CR709))
    if not identical and math.inf in (y, cb, cr):
        without = [name for name, value in (("Y", y), ("Cb", cb), ("Cr", cr)) if value == math.inf]
        notes.append(f"psnr_611_db: no error in {' and '.join(without)}, so a mean of dB says nothing")
        return None
    return (6 * y + cb + cr) / 8


def _ms_ssim(reference: Reference, reconstruction: Image, identical: bool, notes: list[str]) -> dict[str, float | None]:
    if reference.too_small:
        short = min(reconstruction.shape[:2])
        notes.append(f"ms_ssim: short side {short} px, five scales need {ms_ssim.SMALLEST_SIDE}")
        return {"ms_ssim": None, "ms_ssim_db": None}
    value = 1.0 if identical else ms_ssim.ms_ssim(reference.pyramid, reconstruction)
    if value >= 1 and not identical:
        notes.append("ms_ssim_db: MS-SSIM is 1 within rounding, though the images differ")
        return {"ms_ssim": 1.0, "ms_ssim_db": None}
    return {"ms_ssim": value, "ms_ssim_db": math.inf if identical else -10 * math.log10(1 - value)}


def _ssimulacra2(original: Image, reconstruction: Image, notes: list[str]) -> float | None:
    if METRICS["ssimulacra2"] is None:
        notes.append("ssimulacra2: package ssimulacra2 is not installed")
        return None
    height, width = original.shape[:2]
    if min(height, width) < 8:
        notes.append("ssimulacra2: short side under 8 px")
        return None
    if height * width > _SSIMULACRA2_MOST_PIXELS:
        notes.append(f"ssimulacra2: over {_SSIMULACRA2_MOST_PIXELS} pixels, the package would need over 2 GiB")
        return None
    from ssimulacra2 import compute_ssimulacra2

    return float(compute_ssimulacra2(_as_file(original), _as_file(reconstruction)))


def _as_file(image: Image) -> io.BytesIO:
    """``image`` as a file in memory: the package reads files only. Binary PPM costs no time for compression."""
    header = f"P6 {image.shape[1]} {image.shape[0]} 255\n".encode()
    return io.BytesIO(header + image.tobytes())
