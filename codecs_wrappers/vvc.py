"""VVC intra pictures: ``vvc420`` by libvvenc in imageio-ffmpeg's binary, ``vtm444`` by the reference software."""

from __future__ import annotations

import os
from pathlib import Path

import imageio_ffmpeg

from bench.codec import Colour, Parameter, Point
from bench.limits import library_threads
from codecs_wrappers.native.bpg.container import MAX_PIXELS
from codecs_wrappers.native.planar import PlanarCommand

PARAMETERS = (Parameter("qp", int, (0, 63), "VVC's quantization parameter, 0 is the finest"),)
POINTS = tuple(Point(f"q{qp}", qp=qp) for qp in range(47, 16, -5))


class Vvc420(PlanarCommand):
    """VVC by VVenC: much faster than the papers' VTM, but without 4:4:4, so no substitute for it."""

    name, label = "vvc420", "VVC 4:2:0 (VVenC)"
    extension, points, parameters = ".vvc", POINTS, PARAMETERS
    description = "VVenC in ffmpeg, 4:2:0, 10 bit, preset slow, without perceptual adaptation"
    colour = Colour("bt601", "full", "4:2:0", 10)
    copyleft = "FFmpeg (GPL-3.0-or-later), a program in the wheel of imageio-ffmpeg"
    timeout_s = 1800.0

    def __init__(self) -> None:
        try:
            binary = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError:
            binary = "ffmpeg"
        raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p10le")
        threads = ("-threads", str(library_threads()))
        settings = ("-preset", "slow", "-qp", "{qp}", "-qpa", "0", *threads)
        quiet = (binary, "-hide_banner", "-v", "error", "-y")
        size = ("-video_size", "{across}x{down}")
        output = ("-frames:v", "1", "-f", "vvc", "{bitstream}")
        self.encoder = (*quiet, *raw, *size, "-i", "{image}", "-c:v", "libvvenc", *settings, *output)
        explode = (*threads, "-xerror", "-err_detect", "explode", "-max_pixels", str(2 * MAX_PIXELS))
        self.decoder = (*quiet, *explode, "-f", "vvc", "-i", "{bitstream}", "-frames:v", "1", *raw, "{image}")
        self.version_command = (binary, "-version")
        self.version_pattern = r"(?<=ffmpeg version )\S+"

    def available(self) -> tuple[bool, str]:
        runs, reason = super().available()
        if not runs:
            return runs, reason
        listed = self._run((self.encoder[0], "-hide_banner", "-encoders"), "listing its encoders").stdout
        return "libvvenc" in listed, "" if "libvvenc" in listed else f"{self.encoder[0]} was built without libvvenc"


class Vtm444(PlanarCommand):
    """The VVC reference software, as CompressAI's curve was made: 4:4:4, 8-bit input, all intra."""

    name, label = "vtm444", "VTM 4:4:4"
    extension, points, parameters = ".vvc", POINTS, PARAMETERS
    description = "VTM (EncoderAppStatic on the PATH, VTM_CONFIG naming encoder_intra_vtm.cfg), 4:4:4, 8-bit input"
    colour = Colour("bt601", "full", "4:4:4", 8)
    timeout_s = 7200.0
    decoder = ("DecoderAppStatic", "-b", "{bitstream}", "-o", "{image}", "-d", "8")
    version_command = ("DecoderAppStatic",)
    version_pattern = r"(?<=Version )\[?[\w.]+"

    @property
    def encoder(self) -> tuple[str, ...]:  # type: ignore[override]  # the environment is read at each call
        size = ("-wdt", "{across}", "-hgt", "{down}", "-fr", "1", "-f", "1")
        depth = ("--InputChromaFormat=444", "--InputBitDepth=8")
        files = ("-i", "{image}", "-o", os.devnull, "-b", "{bitstream}")
        return ("EncoderAppStatic", "-c", os.environ.get("VTM_CONFIG", ""), *files, *size, *depth, "-q", "{qp}")

    def available(self) -> tuple[bool, str]:
        runs, reason = super().available()
        if runs and not Path(os.environ.get("VTM_CONFIG", "")).is_file():
            return False, "VTM_CONFIG names no file; set it to the path of VTM's encoder_intra_vtm.cfg"
        return runs, reason


CODECS = [Vvc420(), Vtm444()]
