"""Codecs without loss from a pair of functions, and such pairs: Pillow's formats, JPEG-LS, code maps."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image

from bench.codec import Codec, Image, Point
from bench.errors import BitstreamError
from codecs_wrappers.native import codemap
from codecs_wrappers.native.checked import by_pillow, rgb, within_limits
from codecs_wrappers.native.markers import segments

SOF55 = 0xFFF7  # JPEG-LS's frame header
Coding = tuple[Callable[[Image], bytes], Callable[[bytes], Image]]


class Lossless(Codec):
    """One operating point at which every pixel comes back: its results are bits per pixel and time.

    version: what :meth:`version` gives; coding: encoder and decoder; checked: the decoder notices any changed byte.
    """

    points = (Point("lossless"),)
    role = "lossless"
    lossless = True

    def __init__(
        self,
        name: str,
        extension: str,
        label: str,
        description: str,
        version: Callable[[], str],
        coding: Coding,
        checked: bool = False,
    ):
        self.name, self.extension, self.label, self.description = name, extension, label, description
        self.detects_corruption = checked
        self._version, (self._encode, self._decode) = version, coding

    def version(self) -> str:
        return self._version()

    def encode(self, image: Image, point: Point) -> bytes:
        return self._encode(image)

    def decode(self, bitstream: bytes) -> Image:
        return self._decode(bitstream)


def pillow(format: str, **options: Any) -> Coding:
    """Pillow's encoder with these options, and its decoder."""

    def encode(image: Image) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, format, **options)
        return buffer.getvalue()

    return encode, partial(by_pillow, format=format)


def decode_jpegls(bitstream: bytes) -> Image:
    """The picture in a JPEG-LS file, by CharLS, which can take seconds for a cut one: the end marker is checked
    first.
    """
    if not bitstream.endswith(b"\xff\xd9"):
        raise BitstreamError("decoding JPEG-LS: no marker ends the file; it is cut, corrupt, or another format")
    for marker, start, _ in segments(bitstream, 2, SOF55):
        if marker == SOF55:
            height, width = struct.unpack_from(">HH", bitstream, start + 1)
            within_limits(height, width, len(bitstream), "JPEG-LS")
    return rgb(imagecodecs.jpegls_decode(bitstream), "JPEG-LS")


def encode_maps(image: Image) -> bytes:
    """CRC-32 (4 bytes) and the code map of green, red - green and blue - green, modulo 256."""
    green = image[..., 1]
    maps = np.stack([green, image[..., 0] - green, image[..., 2] - green], axis=-1)
    coded = codemap.encode(maps, 8, "context")
    return zlib.crc32(coded).to_bytes(4) + coded


def decode_maps(bitstream: bytes) -> Image:
    """The picture that :func:`encode_maps` coded."""
    crc, coded = bitstream[:4], bitstream[4:]
    if len(crc) < 4 or zlib.crc32(coded).to_bytes(4) != crc:
        raise BitstreamError("decoding a code map: its CRC-32 does not match; it is cut, corrupt, or another format")
    green, red, blue = np.moveaxis(rgb(codemap.decode(coded), "a code map"), -1, 0)
    return np.stack([red + green, green, blue + green], axis=-1)
