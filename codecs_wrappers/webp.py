"""WebP, lossy (VP8 key frames, always 4:2:0), by libwebp through Pillow."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
from PIL import features

from bench.codec import Codec, Colour, Image, Parameter, Point


class Webp(Codec):
    """Lossy WebP at libwebp's slowest search, method 6."""

    name = "webp"
    extension = ".webp"
    label = "WebP"
    description = "libwebp, lossy, method 6"
    points = tuple(Point(f"q{quality:02d}", quality=quality) for quality in range(5, 100, 5))
    parameters = (Parameter("quality", int, (0, 100), "libwebp's quality"),)
    colour = Colour("bt601", "limited", "4:2:0")  # RFC 6386, section 9.2
    method = 6

    def version(self) -> str:
        return f"libwebp {features.version('webp')}, Pillow {PIL.__version__}, lossy, method {self.method}"

    def encode(self, image: Image, point: Point) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, "WEBP", quality=point["quality"], method=self.method)
        return buffer.getvalue()

    def decode(self, bitstream: bytes) -> Image:
        with PIL.Image.open(io.BytesIO(bitstream), formats=["WEBP"]) as picture:
            return np.array(picture.convert("RGB"))


class WebpDefault(Webp):
    """WebP at Pillow's defaults, as CompressAI published it: its points are reproduced to the last digit."""

    name = "webp_m4"
    label = "WebP (method 4)"
    description = "libwebp, lossy, method 4 (the default of Pillow)"
    role = "validation"
    method = 4


CODECS = [Webp(), WebpDefault()]
