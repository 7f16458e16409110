"""JPEG XL, lossy (VarDCT), by libjxl through imagecodecs."""

from __future__ import annotations

import imagecodecs
import numpy as np

from bench.codec import Codec, Image, Parameter, Point
from bench.errors import BitstreamError
from bench.limits import library_threads

# From effort 8 on, libjxl needs about 270 bytes per pixel (2.4 GiB at 9 megapixels); at 7 it works in strips.
EFFORT, EFFORT_OF_LARGE, LARGE_PIXELS = 10, 7, 6_000_000
DISTANCES = (15.0, 10.0, 7.0, 5.0, 3.5, 2.5, 1.8, 1.3, 0.9, 0.6, 0.35)


class JpegXl(Codec):
    """JPEG XL at libjxl's highest effort that stays under 2 GiB; each point is a Butteraugli distance.

    No Colour is stated: XYB is computed in floating point and its samples are never rounded to 8 bits.
    """

    name = "jpegxl"
    extension = ".jxl"
    label = "JPEG XL"
    description = "libjxl, VarDCT, effort 10 (7 above 6 megapixels), tuned by its encoder for perceived quality"
    points = tuple(Point(f"d{distance:g}", distance=distance) for distance in DISTANCES)
    parameters = (Parameter("distance", float, (0.01, 25.0), "Butteraugli distance, 1 is hardly visible"),)

    def version(self) -> str:
        effort = f"effort {EFFORT}, {EFFORT_OF_LARGE} above {LARGE_PIXELS} pixels"
        return f"{imagecodecs.jpegxl_version()}, imagecodecs {imagecodecs.__version__}, VarDCT, {effort}"

    def encode(self, image: Image, point: Point) -> bytes:
        effort = EFFORT if image.shape[0] * image.shape[1] <= LARGE_PIXELS else EFFORT_OF_LARGE
        distance = point["distance"]
        return bytes(
            imagecodecs.jpegxl_encode(
                image, distance=distance, effort=effort, lossless=False, numthreads=library_threads()
            )
        )

    def decode(self, bitstream: bytes) -> Image:
        pixels = imagecodecs.jpegxl_decode(bitstream, numthreads=library_threads())
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise BitstreamError(f"decoding JPEG XL: expected uint8 H x W x 3, got {pixels.dtype} {pixels.shape}")
        return pixels


CODECS = [JpegXl()]
