"""Progressive JPEG as an embedded codec: one file in scans, cut at any byte."""

from __future__ import annotations

import io
import math

import numpy as np
import PIL.Image
from PIL import features

from bench.codec import Colour, Embedded, Image, Point
from codecs_wrappers.native import progressive_jpeg as scans
from codecs_wrappers.native.checked import by_pillow

QUALITY = 85  # a higher one has fewer low-rate points worth having: 2 to 4 dB less at 0.5 bpp with 95
SHORTEST = 39  # bytes, up to the end of the frame header


class JpegProgressive(Embedded):
    """libjpeg's standard script of ten scans; of a prefix, the last scan is decoded as far as it goes."""

    name = "jpeg_progressive"
    extension = ".jpg"
    label = "JPEG (progressive)"
    description = f"libjpeg-turbo, progressive, 4:2:0, quality {QUALITY}, prefixes of one file"
    counterpart = "jpeg"
    points = tuple(Point(f"bpp{tenths / 10:.2f}", bpp=tenths / 10) for tenths in range(1, 21))
    colour = Colour("bt601", "full", "4:2:0")  # JFIF

    def version(self) -> str:
        library = f"libjpeg-turbo {features.version('libjpeg_turbo')}, Pillow {PIL.__version__}"
        return f"{library}, progressive, 4:2:0, quality {QUALITY}, frame header first"

    def encode_full(self, image: Image) -> bytes:
        """The whole file, whatever rate that gives."""
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0", progressive=True)
        return scans.size_first(buffer.getvalue())

    def truncate(self, bitstream: bytes, point: Point) -> bytes:
        """The longest prefix within the point's rate, the size included, which is never cut."""
        height, width = scans.size(bitstream)
        wanted = math.floor(min(height * width * point["bpp"] / 8, len(bitstream)) + 1e-6)  # 0.1 has no exact float
        return bitstream[: max(SHORTEST, wanted)]

    def decode(self, bitstream: bytes) -> Image:
        """The picture of all that is there; grey before the first scan.

        libjpeg smooths blocks whose coefficients are not all there, and stops wherever a scan has begun, even where
        that scan's data do not reach: below the last row that they change, the picture without that scan is better.
        """
        height, width = scans.size(bitstream)
        found = [by_pillow(file, "JPEG") for file in scans.files(bitstream) if file]
        if not found:
            return np.full((height, width, 3), 128, np.uint8)
        if len(found) < 3:
            return found[0]
        now, begun, before = found
        rows = np.flatnonzero((now != begun).any(axis=(1, 2)))
        reached = rows[-1] + 1 if len(rows) else 0
        return np.concatenate([now[:reached], before[reached:]])


CODECS = [JpegProgressive()]
