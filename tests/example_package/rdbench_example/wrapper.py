"""Quantised samples, deflated: the wrapper module that the entry point names."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from bench.codec import Codec, Image, Parameter, Point, check_image
from bench.errors import BitstreamError
from rdbench_example.quantiser import indices, middles

HEADER = struct.Struct(">4sIIB")  # magic, height, width, step
MAGIC = b"exmp"


class Example(Codec):
    """Uniform quantisation and zlib; a point is the quantiser's step."""

    name = "example"
    extension = ".exmp"
    label = "Example package"
    description = "uniform quantisation of the samples, zlib"
    parameters = (Parameter("step", int, (1, 255), "width of a bin, in 8-bit levels"),)
    points = tuple(Point(f"s{step:03d}", step=step) for step in (96, 48, 24, 12))

    def version(self) -> str:
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"

    def encode(self, image: Image, point: Point) -> bytes:
        image = check_image(image)
        height, width, _ = image.shape
        body = zlib.compress(indices(image, point["step"]).tobytes(), 9)
        return HEADER.pack(MAGIC, height, width, point["step"]) + body

    def decode(self, bitstream: bytes) -> Image:
        try:
            magic, height, width, step = HEADER.unpack_from(bitstream)
            numbers = np.frombuffer(zlib.decompress(bitstream[HEADER.size :]), np.uint8)
            if magic != MAGIC or step == 0 or numbers.size != height * width * 3:
                raise ValueError("the header does not belong to the samples")
        except (struct.error, zlib.error, ValueError) as error:
            raise BitstreamError(f"decoding an example bitstream of {len(bitstream)} bytes: {error}") from error
        return middles(numbers, step).reshape(height, width, 3)


CODECS = [Example()]
