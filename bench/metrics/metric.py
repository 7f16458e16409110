"""What a metric is to the harness, and the plane that most of the perceptual ones are of."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from bench.codec import Image
from bench.errors import TransientError, killed_externally

# Sums may be reordered, so that they vectorise; NaN and infinity keep their meaning.
FAST_SUMS = {"reassoc", "contract", "nsz", "arcp"}
_LONGEST_S = 600  # that a program may take for one image


class NoValue(Exception):
    """Why a metric has no value for a pair of images; the text becomes part of the row's note."""


class Metric:
    """One metric, or several that are computed together: each is a column of the records.

    columns: their names. smallest_side, most_pixels: of the images it takes (px). of_identical: the value of an
    identical reconstruction, by column; one that is not named is computed as of any other.
    """

    columns: tuple[str, ...] = ()
    smallest_side: int = 1
    most_pixels: int | None = None
    of_identical: Mapping[str, float] = {}

    def version(self) -> str | None:
        """What decides the numbers; another one means that they may differ. None: it cannot be computed here."""
        raise NotImplementedError

    def missing(self) -> str:
        """Why it cannot be computed here (a package, a program, weights), with the remedy; empty if it can."""
        return ""

    def refusal(self, height: int, width: int) -> str:
        """Why it takes no image of this size, empty if it does."""
        short = min(height, width)
        if short < self.smallest_side:
            return f"short side {short} px, it needs {self.smallest_side}"
        if self.most_pixels is not None and height * width > self.most_pixels:
            return f"{height * width} pixels, it takes {self.most_pixels} at most"
        return ""

    def prepare(self, original: Image) -> Any:
        """What it needs of an original (uint8, H x W x 3), computed once for all its reconstructions."""
        return original

    def values(
        self, prepared: Any, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        """Its value for at least each wanted column. A None has its reason ("column: reason") added to ``notes``.

        Raises NoValue where there is none at all.
        """
        raise NotImplementedError


def luma(image: Image) -> np.ndarray:
    """Y' of BT.709, full range and not rounded: float64 H x W, 0..255, from uint8 H x W x 3."""
    return image @ np.array([0.2126, 0.7152, 0.0722])


def answer(command: Sequence[str], given: bytes = b"") -> bytes:
    """What a program prints when it is given ``given``.

    Raises NoValue if it fails by itself, TransientError if it was killed or took too long.
    """
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_LONGEST_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"measuring: {command[0]} took longer than {_LONGEST_S} s") from error
    if killed_externally(done.returncode):
        raise TransientError(f"measuring: {command[0]} was killed (exit code {done.returncode})")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise NoValue(f"its program failed: {said[0].replace(';', ',')}")
    return done.stdout
