"""What an image is to the harness: its samples, and the colour conversions that codecs apply to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import UsageError

Image = np.ndarray  # uint8, H x W x 3, sRGB, range 0..255


@dataclass(frozen=True)
class Colour:
    """The colour conversion a codec applies to 8-bit RGB, which limits the quality it can reach.

    matrix: "bt601" or "bt709"; range: "full" or "limited"; subsampling: "4:4:4", "4:2:2" or "4:2:0"; bit_depth: of the
    coded samples. A codec that codes RGB directly, or converts it without loss, has no Colour (``None``).
    """

    matrix: str = "bt601"
    range: str = "full"
    subsampling: str = "4:4:4"
    bit_depth: int = 8

    def __str__(self) -> str:
        return f"YCbCr {self.matrix.upper()} {self.range} range {self.subsampling} {self.bit_depth} bit"


def check_image(image: Any) -> Image:
    """``image`` as uint8 H x W x 3, C-contiguous; grey (H x W or H x W x 1) is repeated into three channels.

    Raises UsageError for whatever would lose or invent information (alpha, other dtypes) and for empty images.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise UsageError(f"expected an image of uint8 samples, got {image.dtype}; convert it first")
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.ndim == 3 and image.shape[2] in (2, 4):
        raise UsageError(
            f"expected an image of H x W x 3 samples, got {' x '.join(map(str, image.shape))}; alpha is not coded, so "
            "flatten the image onto a background first"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UsageError(
            f"expected an image of H x W x 3 samples, H and W at least 1, got {' x '.join(map(str, image.shape))}"
        )
    return np.ascontiguousarray(image)
