"""HEIC (an HEVC intra picture in a HEIF file) by libheif with x265 and libde265, through pillow-heif."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif

from bench.codec import Codec, Colour, Image, Parameter, Point

QUALITIES = (8, 16, 24, 32, 40, 48, 56, 64, 72, 80)  # libheif turns it into x265's CRF, (100 - quality) / 2
# Tuned for PSNR: libheif's default, SSIM, is 0.4 to 0.6 dB worse on kodim23. Preset veryslow gains nothing over slow.
# A pool of one worker gives the same bytes as one of many.
PARAMETERS = {"preset": "slow", "tune": "psnr", "x265:pools": "1"}


class Heic(Codec):
    """HEIC 4:4:4, 8 bit, tuned for PSNR. It performs almost like BPG; the container takes some 400 bytes more."""

    name = "heic"
    extension = ".heic"
    label = "HEIC"
    description = "x265 in libheif, 4:4:4, 8 bit, preset slow, tuned for PSNR"
    points = tuple(Point(f"q{quality:02d}", quality=quality) for quality in QUALITIES)
    parameters = (Parameter("quality", int, (0, 100), "libheif's quality: x265's CRF is half of 100 - quality"),)
    colour = Colour("bt601", "full", "4:4:4")
    copyleft = "x265 (GPL-2.0-or-later), libheif and libde265 (LGPL-3.0-or-later), in the wheel of pillow-heif"

    def available(self) -> tuple[bool, str]:
        encoders = pillow_heif.libheif_info()["encoders"]
        return (
            "x265" in encoders,
            "" if "x265" in encoders else f"pillow-heif was built without x265; it has {', '.join(encoders)}",
        )

    def version(self) -> str:
        info = pillow_heif.libheif_info()
        decoder = info["decoders"].get("libde265", "no libde265")
        settings = ", ".join(f"{name} {value}" for name, value in PARAMETERS.items())
        return (
            f"libheif {info['libheif']}, {info['encoders']['x265']}, {decoder}, "
            f"pillow-heif {pillow_heif.__version__}, 4:4:4, {settings}"
        )

    def encode(self, image: Image, point: Point) -> bytes:
        picture = pillow_heif.from_bytes("RGB", (image.shape[1], image.shape[0]), image.tobytes())
        buffer = io.BytesIO()
        picture.save(buffer, quality=point["quality"], chroma="444", enc_params=PARAMETERS)
        return buffer.getvalue()

    def decode(self, bitstream: bytes) -> Image:
        picture = pillow_heif.open_heif(io.BytesIO(bitstream), convert_hdr_to_8bit=True)
        return np.array(picture.to_pillow().convert("RGB"))


CODECS = [Heic()]
