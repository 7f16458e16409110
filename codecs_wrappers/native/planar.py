"""Command-line codecs that take raw YCbCr samples and do not store a picture's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.codec import Colour, Image
from bench.errors import BitstreamError
from bench.limits import max_pixels
from codecs_wrappers.native.bpg import colour as ycbcr
from codecs_wrappers.native.bpg import container
from codecs_wrappers.native.command import CommandCodec

_BLOCK = 8  # coded sizes are multiples of the smallest coding block
_SMALLEST = 16


class PlanarCommand(CommandCodec):
    """A command that takes raw YCbCr. The true size (two ue7 numbers, as in BPG) precedes its bitstream.

    Conversion and chroma filters are BPG's: BT.601 full range, rounded. Subsampling (4:4:4 or 4:2:0) and bit depth
    are those of ``colour``. The encoder gets the padded size as {across} and {down}.
    """

    colour: Colour
    image_extension = ".yuv"

    def _header(self, width: int, height: int) -> container.Header:
        pixel_format = container.C420 if self.colour.subsampling == "4:2:0" else container.C444
        return container.Header(width, height, pixel_format, self.colour.bit_depth)

    def save(self, image: Image, path: Path) -> dict:
        depth = self.colour.bit_depth
        planes = ycbcr.rgb_to_ycbcr(image, depth)
        across, down = (_coded(size) for size in image.shape[1::-1])
        factor = 2 if self.colour.subsampling == "4:2:0" else 1
        if factor == 2:
            planes[1:] = [ycbcr.halve_chroma(plane, depth) for plane in planes[1:]]
        sizes = (down, across), (down // factor, across // factor), (down // factor, across // factor)
        with open(path, "wb") as file:
            for plane, (rows, columns) in zip(planes, sizes, strict=True):
                margins = (0, rows - plane.shape[0]), (0, columns - plane.shape[1])
                file.write(np.pad(plane, margins, mode="edge").tobytes())
        return {"across": across, "down": down}

    def load(self, path: Path, fields: dict) -> Image:
        across, down, factor = fields["across"], fields["down"], 2 if self.colour.subsampling == "4:2:0" else 1
        sizes = [(down, across), *[(down // factor, across // factor)] * 2]
        samples = np.fromfile(path, np.uint8 if self.colour.bit_depth == 8 else "<u2")
        expected = sum(rows * columns for rows, columns in sizes)
        if samples.size != expected:
            raise BitstreamError(
                f"{self.name}, decoding: expected {expected} samples, got {samples.size}; the bitstream is corrupt"
            )
        parts = np.split(samples, np.cumsum([rows * columns for rows, columns in sizes])[:-1])
        planes = [part.reshape(size) for part, size in zip(parts, sizes, strict=True)]
        return ycbcr.to_rgb(planes, self._header(fields["width"], fields["height"]))

    def pack(self, image: Image, code: bytes) -> bytes:
        return container.write_ue7(image.shape[1]) + container.write_ue7(image.shape[0]) + code

    def unpack(self, bitstream: bytes) -> tuple[bytes, dict]:
        width, at = container.read_ue7(bitstream, 0, "the width", self.name)
        height, at = container.read_ue7(bitstream, at, "the height", self.name)
        most = min(max_pixels(container.MAX_PIXELS), len(bitstream) * container.MAX_PIXELS_PER_BYTE)
        if not 0 < width * height <= most:
            raise BitstreamError(
                f"{self.name}, decoding: expected 1..{most} pixels for {len(bitstream)} bytes, got {width} x {height}"
            )
        return bitstream[at:], {"width": width, "height": height, "across": _coded(width), "down": _coded(height)}


def _coded(size: int) -> int:
    return max(-(-size // _BLOCK) * _BLOCK, _SMALLEST)
