"""JPEG 2000 by OpenJPEG, one tile, one quality layer, at a target rate."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from bench.codec import Codec, Image, Parameter, Point
from codecs_wrappers.native import openjpeg

BPP = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)


class Jpeg2000(Codec):
    """JPEG 2000 for the least squared error: the 9/7 wavelet and the irreversible colour transform.

    No Colour is stated: the transform is done in floating point and its samples are never rounded to 8 bits.
    """

    name = "jpeg2000"
    extension = ".j2k"
    label = "JPEG 2000"
    description = "OpenJPEG, 9/7 wavelet, irreversible colour transform, rate targets"
    points = tuple(Point(f"{bpp:.2f}bpp", bpp=bpp) for bpp in BPP)
    parameters = (Parameter("bpp", float, (0.001, 48.0), "target of the rate control in bits per pixel"),)
    irreversible = True

    def version(self) -> str:
        kind = "9/7 and ICT" if self.irreversible else "5/3 and RCT"
        return f"{openjpeg.version()}, {kind}, one layer at a target rate"

    def encode(self, image: Image, point: Point) -> bytes:
        return openjpeg.encode(image, point["bpp"], self.irreversible)

    def decode(self, bitstream: bytes) -> Image:
        with PIL.Image.open(io.BytesIO(bitstream), formats=["JPEG2000"]) as picture:
            return np.array(picture.convert("RGB"))


class Jpeg2000Reversible(Jpeg2000):
    """JPEG 2000 as TensorFlow Compression published it (j2k-opj5): the lossless path, truncated at a rate."""

    name = "jpeg2000_53"
    label = "JPEG 2000 (5/3)"
    description = "OpenJPEG, 5/3 wavelet, reversible colour transform, truncated at rate targets"
    role = "validation"
    irreversible = False


CODECS = [Jpeg2000(), Jpeg2000Reversible()]
