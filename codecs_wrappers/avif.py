"""AVIF (an AV1 intra frame) by libavif and libaom through Pillow."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
from PIL import AvifImagePlugin, features

from bench.codec import Codec, Colour, Image, Parameter, Point
from bench.limits import library_threads

QUALITIES = (8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88)


class Avif(Codec):
    """AVIF 4:4:4, 8 bit, tuned for PSNR.

    Against libavif's default tuning that saves 5 to 14 % in PSNR and costs 8 to 10 % in MS-SSIM (BD-rate, measured on
    kodim05 and kodim23). Speed 4 would save another 6 to 10 % in PSNR, and take five to eight times as long.
    """

    name = "avif"
    extension = ".avif"
    label = "AVIF"
    description = "libaom, 4:4:4, 8 bit, speed 6, tuned for PSNR"
    points = tuple(Point(f"q{quality:02d}", quality=quality) for quality in QUALITIES)
    parameters = (Parameter("quality", int, (0, 100), "libavif's quality"),)
    colour = Colour("bt601", "full", "4:4:4")
    speed = 6

    def version(self) -> str:
        aom, dav1d = (AvifImagePlugin.get_codec_version(name) for name in ("aom", "dav1d"))
        return (
            f"libavif {features.version('avif')}, encoder aom {aom}, decoder dav1d {dav1d}, Pillow {PIL.__version__}, "
            f"4:4:4, 8 bit, speed {self.speed}, tune psnr"
        )

    def encode(self, image: Image, point: Point) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(
            buffer,
            "AVIF",
            quality=point["quality"],
            subsampling="4:4:4",
            speed=self.speed,
            codec="aom",
            range="full",
            max_threads=1,  # more give other bits
            autotiling=False,  # tiles only serve threads, and cost rate
            advanced={"tune": "psnr"},
        )
        return buffer.getvalue()

    def decode(self, bitstream: bytes) -> Image:
        AvifImagePlugin.DEFAULT_MAX_THREADS = library_threads()  # Pillow's own default is all cores
        with PIL.Image.open(io.BytesIO(bitstream), formats=["AVIF"]) as picture:
            return np.array(picture.convert("RGB"))


CODECS = [Avif()]
