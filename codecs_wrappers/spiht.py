"""SPIHT, embedded: encoded once at 2 bpp; every operating point is a prefix."""

from __future__ import annotations

import math
import sys

from bench.codec import Embedded, Image, Point
from bench.errors import UsageError
from bench.limits import max_pixels
from codecs_wrappers.native.spiht.header import FORMAT, MAX_LEVELS, MAX_PIXELS, parse

FULL_BPP = 2.0


class Spiht(Embedded):
    """SPIHT with range-coded decisions.

    No Colour is stated: YCbCr is computed in floating point and its samples are never rounded to 8 bits.
    """

    name = "spiht"
    extension = ".spiht"
    label = "SPIHT"
    description = "SPIHT, 9/7 wavelet, YCbCr 4:4:4 in one list, arithmetic-coded, prefixes of one stream"
    counterpart = "jpeg2000"
    points = tuple(Point(f"bpp{tenths / 10:.2f}", bpp=tenths / 10) for tenths in range(1, 21))
    arithmetic = True

    def version(self) -> str:
        """Format and settings; the bits depend on no library (numba compiles, but chooses nothing)."""
        coding = "range-coded decisions" if self.arithmetic else "binary uncoded"
        return f"rdbench SPIHT stream format {FORMAT}, {coding}, 9/7, {MAX_LEVELS} levels at most, mid-point"

    def encode_full(self, image: Image) -> bytes:
        """The stream at 2 bpp, or to its last bit-plane if that is less."""
        if image.shape[0] * image.shape[1] > (most := max_pixels(MAX_PIXELS)):
            raise UsageError(
                f"encoding SPIHT: expected at most {most} pixels, got {image.shape[1]} x {image.shape[0]}; tile it"
            )
        from codecs_wrappers.native.spiht import codec

        return codec.encode(image, _size(image.shape[0] * image.shape[1], FULL_BPP), self.arithmetic)

    def truncate(self, bitstream: bytes, point: Point) -> bytes:
        """The longest prefix within the point's rate, header included, which is never cut."""
        header, payload = parse(bitstream)
        return bitstream[: max(payload, _size(header.height * header.width, point["bpp"]))]

    def decode(self, bitstream: bytes) -> Image:
        from codecs_wrappers.native.spiht import codec

        return codec.decode(bitstream)


class SpihtUncoded(Spiht):
    """SPIHT as plain bits, without an entropy coder."""

    name = "spiht_bu"
    extension = ".spiht_bu"
    label = "SPIHT (binary uncoded)"
    description = "SPIHT, 9/7 wavelet, YCbCr 4:4:4 in one list, plain bits, prefixes of one stream"
    arithmetic = False


def _size(pixels: int, bpp: float) -> int:
    return math.floor(min(pixels * bpp / 8, sys.maxsize) + 1e-6)  # 0.1 has no exact float


CODECS = [Spiht(), SpihtUncoded()]
