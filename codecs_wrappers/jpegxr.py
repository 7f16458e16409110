"""JPEG XR, lossy, by jxrlib through imagecodecs."""

from __future__ import annotations

import struct

import imagecodecs

from bench.codec import Codec, Image, Parameter, Point
from bench.errors import BitstreamError
from codecs_wrappers.native.checked import rgb, within_limits

# jxrlib goes no lower than 0.005, and halves the chroma below 0.5: just above that the rate rises and PSNR does not.
LEVELS = (0.005, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.6, 0.7, 0.8, 0.85)
FULL_CHROMA, NARROW = 0.5, 16
_SIGNATURE = b"WMPHOTO\0"
_WIDTH, _HEIGHT, _OFFSET = 0xBC80, 0xBC81, 0xBCC0  # tags


class JpegXr(Codec):
    """JPEG XR at jxrlib's quality levels. No Colour is stated: YCoCg is computed without loss, 4:2:0 below 0.5."""

    name = "jpegxr"
    extension = ".jxr"
    label = "JPEG XR"
    description = "jxrlib, quality levels, 4:2:0 below 0.5"
    points = tuple(Point(f"q{level:g}", level=level) for level in LEVELS)
    parameters = (Parameter("level", float, (0.005, 0.99), "jxrlib's quality"),)

    def available(self) -> tuple[bool, str]:
        there = bool(imagecodecs.JPEGXR.available)
        return there, "" if there else f"imagecodecs {imagecodecs.__version__} was built without JPEG XR"

    def version(self) -> str:
        return f"{imagecodecs.jpegxr_version()}, imagecodecs {imagecodecs.__version__}"

    def encode(self, image: Image, point: Point) -> bytes:
        """The file. jxrlib refuses to halve the chroma of 16 columns and fewer: these have level 0.5 or more."""
        level = point["level"] if image.shape[1] > NARROW else max(FULL_CHROMA, point["level"])
        return bytes(imagecodecs.jpegxr_encode(image, level=level))

    def decode(self, bitstream: bytes) -> Image:
        """The picture. Both sizes that a file states, in its container and in its data, are checked first."""
        try:
            (at,) = struct.unpack_from("<I", bitstream, 4)
            (count,) = struct.unpack_from("<H", bitstream, at)
            entries = [struct.unpack_from("<HHII", bitstream, at + 2 + 12 * number) for number in range(count)]
            tags = {tag: value if kind == 4 else value & 0xFFFF for tag, kind, _, value in entries}
            start = tags[_OFFSET]
            short = bitstream[start + 10] >> 7
            sides = struct.unpack_from(">HH" if short else ">II", bitstream, start + 12)
            found = bitstream[start : start + len(_SIGNATURE)] == _SIGNATURE
        except (struct.error, KeyError, IndexError):
            found = False
        if not found:
            raise BitstreamError("decoding JPEG XR: no size found; it is cut, corrupt, or another format")
        for height, width in ((tags.get(_HEIGHT, 1), tags.get(_WIDTH, 1)), (sides[1] + 1, sides[0] + 1)):
            within_limits(height, width, len(bitstream), "JPEG XR")
        return rgb(imagecodecs.jpegxr_decode(bitstream), "JPEG XR")


CODECS = [JpegXr()]
