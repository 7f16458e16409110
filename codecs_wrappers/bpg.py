"""BPG: HEVC intra pictures. ``bpg444`` and ``bpg420`` are built in; ``bpg444_ref`` and ``bpg420_ref`` run bpgenc."""

from __future__ import annotations

import av

from bench.codec import Codec, Colour, Image, Parameter, Point
from codecs_wrappers.native import bpg
from codecs_wrappers.native.bpg import hevc
from codecs_wrappers.native.command import CommandCodec

# The ladder of CompressAI's published BPG curves, in order of rising rate.
PARAMETERS = (Parameter("qp", int, (0, 51), "HEVC's quantization parameter, 0 is the finest"),)
POINTS = tuple(Point(f"q{qp}", qp=qp) for qp in range(47, 11, -5))


class Bpg(Codec):
    """BPG by x265 (preset veryslow, tune ssim, libbpg's lambda tables), 8 bit, without libbpg's binaries."""

    extension = ".bpg"
    points, parameters = POINTS, PARAMETERS
    copyleft = "x265 (GPL-2.0-or-later), in the wheel of PyAV"

    def __init__(self, subsampling: str):
        digits = subsampling.replace(":", "")
        self.name = f"bpg{digits}"
        self.label = f"BPG {subsampling}"
        self.description = f"HEVC intra by x265, YCbCr {subsampling} 8 bit, as bpgenc -e x265 writes it"
        self.subsampling = subsampling
        self.colour = Colour("bt601", "full", subsampling, 8)

    def available(self) -> tuple[bool, str]:
        missing = {"libx265", "hevc"} - av.codecs_available
        return not missing, f"PyAV was built without {', '.join(sorted(missing))}" if missing else ""

    def version(self) -> str:
        # x265's decisions, and so the bytes, change by about 0.1 % from one release to the next.
        settings = ":".join(f"{name}={value}" for name, value in hevc.X265_PARAMETERS.items())
        codec = ".".join(map(str, av.library_versions["libavcodec"]))
        return f"x265 {hevc.x265_version()}, libavcodec {codec}, PyAV {av.__version__}; veryslow ssim {settings}"

    def encode(self, image: Image, point: Point) -> bytes:
        return bpg.encode(image, point["qp"], self.subsampling)

    def decode(self, bitstream: bytes) -> Image:
        return bpg.decode(bitstream)


class BpgReference(CommandCodec):
    """The reference encoder and decoder, bpgenc and bpgdec of libbpg, when they are on the PATH."""

    extension = ".bpg"
    points, parameters = POINTS, PARAMETERS
    role = "validation"
    decoder = ("bpgdec", "-o", "{image}", "{bitstream}")
    version_command = ("bpgenc", "-h")
    version_pattern = r"(?<=version )\S+"

    def __init__(self, subsampling: str):
        digits = subsampling.replace(":", "")
        self.name = f"bpg{digits}_ref"
        self.label = f"BPG {subsampling} (bpgenc)"
        self.description = f"bpgenc -e x265 -f {digits} -b 8, from the PATH"
        self.colour = Colour("bt601", "full", subsampling, 8)
        self.encoder = ("bpgenc", "-e", "x265", "-f", digits, "-b", "8", "-q", "{qp}", "-o", "{bitstream}", "{image}")


CODECS = [Bpg("4:4:4"), Bpg("4:2:0"), BpgReference("4:4:4"), BpgReference("4:2:0")]
