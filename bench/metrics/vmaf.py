"""VMAF, VMAF-NEG and CIEDE2000 of stills, by the libvmaf inside imageio-ffmpeg's program.

vmaf, vmaf_neg
    Models vmaf_v0.6.1 and vmaf_v0.6.1neg on one frame: 0 to about 97.4. A still has no motion, so the models' motion
    feature is 0, and an identical reconstruction does not reach 100 (97.43): it is computed as any other.
ciede2000
    45 - 20 log10 of the mean CIEDE2000 colour difference, in dB; +inf for identical. The number is libvmaf's own:
    lightness counts 1/0.65 times and hue a quarter, and Cb and Cr are read as the analogue U and V, which are scaled
    otherwise, so that blue weighs more and red less than in the standard's RGB.

libvmaf takes YCbCr: both images are converted to BT.709, limited range, 8 bits, 4:4:4, every sample rounded (VMAF sees
the luma only). The frame is the whole image; its short side must have 17 px or more. libvmaf's numbers have six digits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from functools import cache

import numpy as np
from numba import njit

from bench.codec import Image
from bench.metrics.metric import Metric, NoValue, answer

_MODELS = {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}
_SMALLEST = 17


class _Vmaf(Metric):
    columns = ("vmaf", "vmaf_neg", "ciede2000")
    smallest_side = _SMALLEST
    of_identical = {"ciede2000": math.inf}

    def version(self) -> str | None:
        return None if self.missing() else f"1+libvmaf-{_probe()[0]}"

    def missing(self) -> str:
        return _probe()[1]

    def prepare(self, original: Image) -> np.ndarray:
        return _ycbcr(np.ascontiguousarray(original))

    def values(
        self, prepared: np.ndarray, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        pooled = _libvmaf(prepared, _ycbcr(np.ascontiguousarray(reconstruction)), wanted)["pooled_metrics"]
        found = {column: pooled[column]["mean"] for column in wanted}
        # The images differ and their rounded YCbCr does not: libvmaf gives null for infinite.
        notes += [f"{column}: no difference is left in 8-bit YCbCr" for column in wanted if found[column] is None]
        return found


METRIC = _Vmaf()


@cache
def _probe() -> tuple[str, str]:
    """libvmaf's version, and why it cannot be used; one of them is empty."""
    grey = np.full((3, 32, 32), 128, np.uint8)
    try:
        return str(_libvmaf(grey, grey, ("vmaf", "ciede2000"))["version"]), ""
    except (ImportError, RuntimeError, OSError, ValueError, NoValue) as error:
        return "", f"imageio-ffmpeg's program has no libvmaf here ({error})"


def _libvmaf(reference: np.ndarray, other: np.ndarray, wanted: Collection[str]) -> dict:
    """libvmaf's log for two pictures (uint8, 3 x H x W, YCbCr), both in one frame that the program cuts in two."""
    from imageio_ffmpeg import get_ffmpeg_exe

    _, height, width = reference.shape
    models = [name for name in _MODELS if name in wanted] or ["vmaf"]  # libvmaf computes one at least
    options = "model=" + "|".join(f"version={_MODELS[name]}\\\\:name={name}" for name in models)
    options += ":feature=name=ciede" if "ciede2000" in wanted else ""
    graph = (
        f"[0:v]split[a][b];[a]crop={width}:{height}:0:0:exact=1[r];[b]crop={width}:{height}:0:{height}:exact=1[d];"
        f"[d][r]libvmaf={options}:n_threads=1:log_fmt=json:log_path=/dev/stdout"
    )
    source = ["-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{width}x{2 * height}", "-i", "-"]
    command = [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *source, "-filter_complex", graph]
    frame = np.concatenate([reference, other], axis=1).tobytes()
    return json.loads(answer([*command, "-f", "null", "-"], frame))


@njit(cache=True, nogil=True)
def _ycbcr(image: np.ndarray) -> np.ndarray:
    """uint8 3 x H x W: BT.709, limited range, each sample rounded, from uint8 H x W x 3."""
    height, width, _ = image.shape
    found = np.empty((3, height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            red, green, blue = float(image[i, j, 0]), float(image[i, j, 1]), float(image[i, j, 2])
            y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
            found[0, i, j] = np.uint8(np.floor(16 + y * 219 / 255 + 0.5))
            found[1, i, j] = np.uint8(np.floor(128 + (blue - y) / 1.8556 * 224 / 255 + 0.5))
            found[2, i, j] = np.uint8(np.floor(128 + (red - y) / 1.5748 * 224 / 255 + 0.5))
    return found
