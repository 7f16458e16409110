"""The cost of a codec's colour conversion: the PSNR that no rate can exceed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np

from bench.codec import Colour, Image
from bench.errors import UsageError
from bench.metrics import psnr_rgb_db

# Luma weights of red and blue: ITU-R BT.601-7 section 2.5.1, BT.709-6 section 3.2.
_LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
_SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # rows, columns per chroma sample


def conversion_ceiling_psnr_rgb_db(images: Iterable[Image], colour: Colour) -> float:
    """PSNR (dB, over RGB samples) after conversion to ``colour`` and back without any coding, averaged over the images.

    Images are uint8 H x W x 3. Images that are unchanged are left out of the mean; +inf if all are.
    """
    values = [psnr_rgb_db(image, convert_and_back(image, colour)) for image in images]
    if not values:
        raise UsageError("computing the conversion ceiling: expected at least one image, got none")
    finite = [value for value in values if value < math.inf]
    return sum(finite) / len(finite) if finite else math.inf


def convert_and_back(image: Image, colour: Colour, truncate: Collection[str] = ()) -> Image:
    """``image`` (uint8, H x W x 3) through rounded YCbCr samples of ``colour``: uint8, the same shape.

    Every step rounds to the nearest sample of the bit depth: conversion, chroma reduction (mean of 1 x 2 or 2 x 2, the
    edge repeated where the side is odd), chroma expansion (linear, 3:1, as libjpeg and libwebp decode), and RGB.
    truncate: steps that cut the fraction off instead, a mistake that others make: "planes" (to YCbCr), "rgb" (back).
    """
    to_planes, to_rgb = (_truncate if step in truncate else _round for step in ("planes", "rgb"))
    kr, kb = _look_up(_LUMA_WEIGHTS, colour.matrix, "matrix")
    rows, columns = _look_up(_SUBSAMPLING, colour.subsampling, "subsampling")
    y_scale, chroma_scale, y_offset = _sample_range(colour)
    top = 2**colour.bit_depth - 1
    chroma_offset = 2.0 ** (colour.bit_depth - 1)

    red, green, blue = (image[:, :, channel] / 255.0 for channel in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb = to_planes((blue - luma) / (2 * (1 - kb)) * chroma_scale + chroma_offset, top)
    cr = to_planes((red - luma) / (2 * (1 - kr)) * chroma_scale + chroma_offset, top)
    luma = (to_planes(luma * y_scale + y_offset, top) - y_offset) / y_scale
    cb, cr = ((_through_subsampling(plane, rows, columns, top) - chroma_offset) / chroma_scale for plane in (cb, cr))
    red = luma + 2 * (1 - kr) * cr
    blue = luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([to_rgb(plane * 255.0, 255).astype(np.uint8) for plane in (red, green, blue)], axis=2)


def _look_up(table: dict[str, tuple], key: str, what: str) -> tuple:
    try:
        return table[key]
    except KeyError:
        raise UsageError(f"a Colour's {what}: expected {', '.join(table)}, got {key!r}") from None


def _sample_range(colour: Colour) -> tuple[float, float, float]:
    """The spans of luma and of chroma, and the luma of black, in sample values."""
    if colour.range == "full":
        top = 2.0**colour.bit_depth - 1
        return top, top, 0.0
    if colour.range == "limited":
        step = 2.0 ** (colour.bit_depth - 8)
        return 219 * step, 224 * step, 16 * step
    raise UsageError(f"a Colour's range: expected full or limited, got {colour.range!r}")


def _round(plane: np.ndarray, top: int) -> np.ndarray:
    return np.clip(np.floor(plane + 0.5), 0, top)


def _truncate(plane: np.ndarray, top: int) -> np.ndarray:
    return np.clip(np.floor(plane + 1e-6), 0, top)  # the sum of weights that make 1 may fall short of it


def _through_subsampling(plane: np.ndarray, rows: int, columns: int, top: int) -> np.ndarray:
    height, width = plane.shape
    small = np.pad(plane, ((0, height % rows), (0, width % columns)), mode="edge")
    if rows == 2:
        small = (small[0::2] + small[1::2]) / 2
    if columns == 2:
        small = (small[:, 0::2] + small[:, 1::2]) / 2
    small = _round(small, top)
    if rows == 2:
        small = _expand_rows(small)
    if columns == 2:
        small = _expand_rows(small.T).T
    return _round(small[:height, :width], top)


def _expand_rows(plane: np.ndarray) -> np.ndarray:
    """Doubles the rows: each new one is 3/4 of its own row and 1/4 of the nearer neighbour."""
    padded = np.pad(plane, ((1, 1), (0, 0)), mode="edge")
    wide = np.empty((2 * plane.shape[0], plane.shape[1]))
    wide[0::2] = 0.75 * plane + 0.25 * padded[:-2]
    wide[1::2] = 0.75 * plane + 0.25 * padded[2:]
    return wide
