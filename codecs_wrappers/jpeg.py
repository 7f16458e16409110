"""JPEG, baseline sequential, 4:2:0, by libjpeg-turbo through Pillow."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
from PIL import features

from bench.codec import Codec, Colour, Image, Parameter, Point


class Jpeg(Codec):
    """JPEG with Huffman tables computed for each image: the smallest baseline JPEG at a given quality."""

    name = "jpeg"
    extension = ".jpg"
    label = "JPEG"
    description = "libjpeg-turbo, baseline, 4:2:0, optimised Huffman tables"
    points = tuple(Point(f"q{quality:02d}", quality=quality) for quality in range(5, 100, 5))
    parameters = (Parameter("quality", int, (1, 100), "libjpeg's quality"),)
    colour = Colour("bt601", "full", "4:2:0")  # JFIF
    optimised = True

    def version(self) -> str:
        tables = "optimised" if self.optimised else "standard"
        return (
            f"libjpeg-turbo {features.version('libjpeg_turbo')}, Pillow {PIL.__version__}, baseline, 4:2:0, {tables} "
            "Huffman tables"
        )

    def encode(self, image: Image, point: Point) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(
            buffer, "JPEG", quality=point["quality"], subsampling="4:2:0", optimize=self.optimised
        )
        return buffer.getvalue()

    def decode(self, bitstream: bytes) -> Image:
        with PIL.Image.open(io.BytesIO(bitstream), formats=["JPEG"]) as picture:
            return np.array(picture.convert("RGB"))


class JpegStandard(Jpeg):
    """JPEG as Pillow writes it by default, and as CompressAI and TensorFlow Compression published it."""

    name = "jpeg_standard"
    label = "JPEG (standard Huffman)"
    description = "libjpeg-turbo, baseline, 4:2:0, the standard's example Huffman tables (Pillow's default)"
    role = "validation"
    optimised = False


CODECS = [Jpeg(), JpegStandard()]
