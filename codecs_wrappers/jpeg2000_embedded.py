"""JPEG 2000 as an embedded codec: one codestream in quality layers, cut at any byte."""

from __future__ import annotations

import io
import math

import numpy as np
import PIL.Image

from bench.codec import Embedded, Image, Point
from bench.errors import UsageError
from bench.limits import DEFAULT, max_pixels
from codecs_wrappers.native import codestream, openjpeg

# Bits per pixel. OpenJPEG's layers end up to 0.3 % behind what they are told, which would cut the last packet of a
# prefix at the same rate. The last layer lets the point at 2 bpp be a prefix too.
LAYERS = tuple(0.997 * step / 20 for step in (*range(1, 11), *range(12, 43, 2)))


class Jpeg2000Embedded(Embedded):
    """OpenJPEG's layers in LRCP order; of a prefix, all whole packets are decoded.

    No Colour is stated: the transform is done in floating point and its samples are never rounded to 8 bits.
    """

    name = "jpeg2000_embedded"
    extension = ".j2k"
    label = "JPEG 2000 (embedded)"
    description = f"OpenJPEG, 9/7 wavelet, {len(LAYERS)} quality layers, prefixes of one codestream"
    counterpart = "jpeg2000"
    points = tuple(Point(f"bpp{tenths / 10:.2f}", bpp=tenths / 10) for tenths in range(1, 21))

    def version(self) -> str:
        return f"{openjpeg.version()}, 9/7 and ICT, {len(LAYERS)} layers, LRCP, whole packets"

    def encode_full(self, image: Image) -> bytes:
        """The codestream of all layers."""
        height, width = image.shape[:2]
        if max(height, width) > codestream.MAX_SIDE or height * width > max_pixels(DEFAULT):
            raise UsageError(
                f"encoding embedded JPEG 2000: expected sides of at most {codestream.MAX_SIDE} and at most "
                f"{max_pixels(DEFAULT)} pixels, got {width} x {height}; tile it"
            )
        return openjpeg.encode(image, LAYERS, irreversible=True)

    def truncate(self, bitstream: bytes, point: Point) -> bytes:
        """The longest prefix within the point's rate, the size included, which is never cut."""
        height, width = codestream.size(bitstream)
        wanted = math.floor(min(height * width * point["bpp"] / 8, len(bitstream)) + 1e-6)  # 0.1 has no exact float
        return bitstream[: max(codestream.SIZE_ENDS, wanted)]

    def decode(self, bitstream: bytes) -> Image:
        """The picture of all whole packets; grey before the first one."""
        height, width = codestream.size(bitstream)
        made = codestream.whole(bitstream)
        if made is None:
            return np.full((height, width, 3), 128, np.uint8)
        with PIL.Image.open(io.BytesIO(made), formats=["JPEG2000"]) as picture:
            return np.array(picture.convert("RGB"))


CODECS = [Jpeg2000Embedded()]
