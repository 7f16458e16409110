"""High-throughput JPEG 2000 (part 15) by OpenJPH through imagecodecs: lossy at a quantisation step, and lossless."""

from __future__ import annotations

import imagecodecs
import PIL
from PIL import features

from bench.codec import Codec, Image, Parameter, Point
from codecs_wrappers.native import codestream
from codecs_wrappers.native.checked import by_pillow
from codecs_wrappers.native.lossless import Lossless

STEPS = (0.5, 0.3, 0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.017, 0.012)


def available() -> tuple[bool, str]:
    """Whether imagecodecs has OpenJPH."""
    there = bool(getattr(getattr(imagecodecs, "HTJ2K", None), "available", False))
    return there, "" if there else f"imagecodecs {imagecodecs.__version__} was built without OpenJPH"


def version() -> str:
    """The version that encodes, and the one that decodes."""
    decoder = f"decoder OpenJPEG {features.version('jpg_2000')} through Pillow {PIL.__version__}"
    return f"encoder {imagecodecs.htj2k_version()}, imagecodecs {imagecodecs.__version__}, {decoder}"


def decode(bitstream: bytes) -> Image:
    """The picture in a codestream, by OpenJPEG, after its size was checked.

    Not by imagecodecs' own decoder: that does not clip, so that samples above 255 come back dark (PSNR falls by up to
    15 dB), and a damaged file crashes it.
    """
    codestream.size(bitstream)
    return by_pillow(bitstream, "JPEG2000")


class Htj2k(Codec):
    """The 9/7 wavelet, the irreversible colour transform, and the block coder that is fast instead of small.

    OpenJPH has no rate control: each point is a quantisation step. No Colour is stated: the transform is done in
    floating point and its samples are never rounded to 8 bits.
    """

    name = "htj2k"
    extension = ".j2k"
    label = "HTJ2K"
    description = "OpenJPH, 9/7 wavelet, irreversible colour transform, quantisation steps"
    points = tuple(Point(f"step{step:g}", step=step) for step in STEPS)
    parameters = (Parameter("step", float, (0.0005, 0.5), "quantisation step, of the range of a sample"),)

    def available(self) -> tuple[bool, str]:
        return available()

    def version(self) -> str:
        return f"{version()}, 9/7 and ICT"

    def encode(self, image: Image, point: Point) -> bytes:
        return bytes(imagecodecs.htj2k_encode(image, level=point["step"], reversible=False))

    def decode(self, bitstream: bytes) -> Image:
        return decode(bitstream)


class Htj2kLossless(Lossless):
    """The 5/3 wavelet and the reversible colour transform."""

    def available(self) -> tuple[bool, str]:
        return available()


CODECS = [
    Htj2k(),
    Htj2kLossless(
        "htj2k_lossless",
        ".j2k",
        "HTJ2K (lossless)",
        "OpenJPH, 5/3 wavelet, reversible colour transform",
        lambda: f"{version()}, 5/3 and RCT",
        (lambda image: bytes(imagecodecs.htj2k_encode(image, reversible=True)), decode),
    ),
]
