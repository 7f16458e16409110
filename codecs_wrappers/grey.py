"""The control that keeps only one colour. Its PSNR follows from the image's variance; if not, the harness is broken.

Format, 19 bytes, big endian: "RDG1", height and width (4 bytes each), red, green, blue, CRC-32 of all before it.
"""

from __future__ import annotations

import struct
from zlib import crc32

import numpy as np

from bench.codec import Codec, Image, Point
from bench.errors import BitstreamError, UsageError
from bench.limits import max_pixels

MAGIC = b"RDG1"
MAX_PIXELS = 1 << 28  # a forged header must not exhaust the machine's memory


class Grey(Codec):
    """One colour: the mean of each channel, rounded."""

    name = "grey"
    extension = ".grey"
    label = "one colour"
    description = "control: the image's mean colour in 19 bytes"
    points = (Point("mean"),)
    role = "control"
    detects_corruption = True

    def version(self) -> str:
        return "format 1"

    def encode(self, image: Image, point: Point) -> bytes:
        height, width = image.shape[:2]
        if height * width > (most := max_pixels(MAX_PIXELS)):
            raise UsageError(f"encoding grey: expected at most {most} pixels, got {height} x {width}; tile the image")
        colour = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
        body = MAGIC + struct.pack(">II", height, width) + colour.tobytes()
        return body + struct.pack(">I", crc32(body))

    def decode(self, bitstream: bytes) -> Image:
        if bitstream[:4] != MAGIC:
            raise BitstreamError(f"decoding grey: expected a bitstream beginning with {MAGIC!r}, got {bitstream[:4]!r}")
        if len(bitstream) != 19:
            raise BitstreamError(
                f"decoding grey: expected 19 bytes, got {len(bitstream)}; truncated, or not this format"
            )
        height, width, red, green, blue, expected = struct.unpack_from(">IIBBBI", bitstream, 4)
        actual = crc32(bitstream[:-4])
        if actual != expected:
            raise BitstreamError(
                f"decoding grey: expected CRC-32 {expected:08x}, got {actual:08x}; the bitstream is corrupt"
            )
        most = max_pixels(MAX_PIXELS)
        if not 0 < height * width <= most:
            raise BitstreamError(f"decoding grey: expected 1..{most} pixels, got {height} x {width}")
        return np.full((height, width, 3), (red, green, blue), np.uint8)


CODECS = [Grey()]
