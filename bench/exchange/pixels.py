"""Mistakes and choices that change pixels or what is compared of them, tried on our own reconstructions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bench.codec import Colour, Image
from bench.metrics import psnr_rgb_db
from bench.metrics.colour_ceiling import convert_and_back

MULTIPLES = (8, 16, 64)


@dataclass(frozen=True)
class PixelCause:
    """psnr_db: the PSNR of a reconstruction (second) of an original (first) as somebody would have measured it."""

    key: str
    words: str
    psnr_db: Callable[[Image, Image], float]


def pixel_causes(colour: Colour | None, sizes: Iterable[tuple[int, int]]) -> list[PixelCause]:
    """The causes to try for a codec with this colour conversion on images of these sizes (height, width)."""
    found = [
        PixelCause("channels", "mean of the PSNRs of R, G and B, not the PSNR of all samples", _channels),
        PixelCause("output_truncated", "the decoder's output truncated to 8 bit, not rounded", _output_truncated),
    ]
    own = Colour(colour.matrix, colour.range) if colour else Colour()
    for tried in dict.fromkeys((own, Colour("bt709"))):  # without subsampling: that is in the reconstruction already
        name = f"{tried.matrix.upper()} {tried.range} range"
        for key, steps, words in (
            ("rgb", ("rgb",), "YCbCr to RGB truncated to 8 bit"),
            ("both", ("planes", "rgb"), "RGB to YCbCr and back truncated to 8 bit"),
        ):
            test = partial(_converted, colour=tried, truncate=steps)
            found.append(PixelCause(f"truncated_{key}_{tried.matrix}", f"{words}, not rounded ({name})", test))
    if colour is None or colour.subsampling == "4:4:4":
        test = partial(_converted, colour=replace(own, subsampling="4:2:0"), truncate=())
        found.append(PixelCause("output_420", "the reconstruction converted to 4:2:0 before it was compared", test))
    sizes = list(sizes)
    for multiple in MULTIPLES:
        if all(height % multiple == 0 and width % multiple == 0 for height, width in sizes):
            continue
        for place in ("top left", "middle"):
            words = f"images cropped to multiples of {multiple} ({place}) before they were coded"
            test = partial(_cropped, multiple=multiple, middle=place == "middle")
            found.append(PixelCause(f"crop_{multiple}_{place.replace(' ', '_')}", words, test))
    return found


def _channels(original: Image, decoded: Image) -> float:
    errors = original.astype(np.int32) - decoded
    squares = (errors**2).mean(axis=(0, 1))
    return math.inf if not squares.all() else float((10 * np.log10(255**2 / squares)).mean())


def _output_truncated(original: Image, decoded: Image) -> float:
    """A rounded sample does not say on which side its fraction was: half of the samples, drawn evenly, are one less."""
    less = np.random.default_rng(0).integers(0, 2, decoded.shape, dtype=np.uint8)
    return psnr_rgb_db(original, np.where(decoded > 0, decoded - less, decoded).astype(np.uint8))


def _converted(original: Image, decoded: Image, colour: Colour, truncate: tuple[str, ...]) -> float:
    return psnr_rgb_db(original, convert_and_back(decoded, colour, truncate))


def _cropped(original: Image, decoded: Image, multiple: int, middle: bool) -> float:
    """Of the part that is left. A side below the multiple is taken whole; the rate is taken to be unchanged."""
    cuts = []
    for side in original.shape[:2]:
        length = side // multiple * multiple or side
        start = (side - length) // 2 if middle else 0
        cuts.append(slice(start, start + length))
    return psnr_rgb_db(np.ascontiguousarray(original[tuple(cuts)]), np.ascontiguousarray(decoded[tuple(cuts)]))
