"""What libraries give back, held against what was expected before it is used."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from bench.codec import Image
from bench.errors import BitstreamError
from bench.limits import pixel_count_fault


def rgb(pixels: np.ndarray, what: str) -> Image:
    """``pixels`` if they are uint8, H x W x 3. Raises BitstreamError that names ``what`` was decoded."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise BitstreamError(f"decoding {what}: expected uint8 H x W x 3, got {pixels.dtype} {pixels.shape}")
    return pixels


def within_limits(height: int, width: int, size: int, what: str) -> None:
    """Raises BitstreamError if a bitstream of ``size`` bytes claims more pixels than are decoded, or none."""
    if fault := pixel_count_fault(height, width, size):
        raise BitstreamError(f"decoding {what}: {fault}")


def by_pillow(bitstream: bytes, format: str) -> Image:
    """The picture (uint8, H x W x 3) in a file of that format, which is refused before it is decoded if too large."""
    with PIL.Image.open(io.BytesIO(bitstream), formats=[format]) as picture:
        within_limits(picture.height, picture.width, 1 << 12, format)  # a flat picture takes few bytes in these formats
        return np.array(picture.convert("RGB"))
