"""SSIMULACRA 2: the PyPI package `ssimulacra2`, where that is installed; its version is the metric's. Up to 100."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
from collections.abc import Collection

from bench.codec import Image
from bench.metrics.metric import Metric

INSTALLED = importlib.util.find_spec("ssimulacra2") is not None


class _Ssimulacra2(Metric):
    columns = ("ssimulacra2",)
    smallest_side = 8
    most_pixels = 2048 * 1536  # version 0.3.0 takes half a kilobyte per pixel, and 9 megapixels must pass

    def version(self) -> str | None:
        return importlib.metadata.version("ssimulacra2") if INSTALLED else None

    def missing(self) -> str:
        return "" if INSTALLED else "package ssimulacra2 is not installed"

    def refusal(self, height: int, width: int) -> str:
        if min(height, width) < self.smallest_side:
            return f"short side under {self.smallest_side} px"
        if height * width > self.most_pixels:
            return f"over {self.most_pixels} pixels, the package would need over 2 GiB"
        return ""

    def values(
        self, prepared: Image, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        from ssimulacra2 import compute_ssimulacra2

        return {"ssimulacra2": float(compute_ssimulacra2(_as_file(prepared), _as_file(reconstruction)))}


METRIC = _Ssimulacra2()


def _as_file(image: Image) -> io.BytesIO:
    """``image`` as a file in memory: the package reads files only. Binary PPM costs no time for compression."""
    header = f"P6 {image.shape[1]} {image.shape[0]} 255\n".encode()
    return io.BytesIO(header + image.tobytes())
