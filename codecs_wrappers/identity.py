"""The lossless control: PNG. Its PSNR must be infinite; if not, the harness is broken."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
from PIL import features

from bench.codec import Codec, Image, Point


class Identity(Codec):
    """Lossless PNG."""

    name = "identity"
    extension = ".png"
    label = "identity (PNG)"
    description = "control: lossless PNG, PSNR must be infinite"
    points = (Point("lossless"),)
    role = "control"
    lossless = True

    def version(self) -> str:
        return f"Pillow {PIL.__version__}, {_zlib()}, compress_level 6"

    def encode(self, image: Image, point: Point) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, "PNG", compress_level=6)
        return buffer.getvalue()

    def decode(self, bitstream: bytes) -> Image:
        with PIL.Image.open(io.BytesIO(bitstream), formats=["PNG"]) as picture:
            return np.array(picture.convert("RGB"))


def _zlib() -> str:
    fork = features.version_feature("zlib_ng")
    return f"zlib-ng {fork}" if fork else f"zlib {features.version_codec('zlib')}"


CODECS = [Identity()]
