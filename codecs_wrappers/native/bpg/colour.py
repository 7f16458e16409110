"""BPG's colour arithmetic in exact integers: RGB <-> YCbCr, and chroma at half resolution.

Sample for sample what libbpg 0.9.8 computes; its decoder defines a file's pixels. Fixed point with 31 - depth bits
after the binary point in the encoder and 22 in the decoder, rounded to nearest.
"""

from __future__ import annotations

import numpy as np

from .container import C420, C420_VIDEO, C422, C422_VIDEO, GREY, Header

LUMA_WEIGHTS = {  # of red and blue
    "ycbcr_bt601": (0.299, 0.114),
    "ycbcr_bt709": (0.2126, 0.0722),
    "ycbcr_bt2020": (0.2627, 0.0593),
}
_ROWS = 64  # converted at once: several times faster if they fit into the processor's cache
_HALVE = (2, -4, -8, 17, 57, 57, 17, -8, -4, 2)  # / 128, from 4 samples before an even one to 5 after it
_DOUBLE_LATE = (-1, 4, -10, 57, 18, -6, 2)  # / 64, from 3 before to 3 after: a quarter sample later
_DOUBLE_EARLY = _DOUBLE_LATE[::-1]
_DOUBLE_MIDDLE = (-1, 4, -11, 40, 40, -11, 4, -1)  # / 64, half a sample later


def rgb_to_ycbcr(image: np.ndarray, bit_depth: int = 8) -> list[np.ndarray]:
    """Y, Cb, Cr (H x W each; uint8, or uint16 above 8 bits; BT.601, full range) of ``image`` (uint8, H x W x 3)."""
    red, blue = LUMA_WEIGHTS["ycbcr_bt601"]
    green = 1 - red - blue
    weights = np.array(
        [
            [red, green, blue],
            [-0.5 * red / (1 - blue), -0.5 * green / (1 - blue), 0.5],
            [0.5, -0.5 * green / (1 - red), -0.5 * blue / (1 - red)],
        ]
    )
    shift, top_code = 31 - bit_depth, (1 << bit_depth) - 1
    # int32 is wide enough: 255 times the largest entry, and a half for rounding, stay below 2^31.
    fixed = np.rint(weights * (top_code * (1 << shift) / 255)).astype(np.int32)
    planes = [np.empty(image.shape[:2], np.uint8 if bit_depth == 8 else np.uint16) for _ in range(3)]
    for top in range(0, len(image), _ROWS):
        r, g, b = (image[top : top + _ROWS, :, channel].astype(np.int32) for channel in range(3))
        for index, (plane, (of_r, of_g, of_b)) in enumerate(zip(planes, fixed, strict=True)):
            value = r * of_r
            value += g * of_g
            value += b * of_b
            value += 1 << (shift - 1)
            value >>= shift
            if index:
                value += 1 << (bit_depth - 1)
            plane[top : top + _ROWS] = np.clip(value, 0, top_code, out=value)
    return planes


def to_rgb(planes: list[np.ndarray], header: Header) -> np.ndarray:
    """The picture (uint8, H x W x 3) of decoded planes, which may exceed the header's size."""
    image = np.empty((header.height, header.width, 3), np.uint8)
    for top in range(0, header.height, _ROWS):
        band = image[top : top + _ROWS]
        luma = planes[0][top : top + len(band), : header.width]
        if header.pixel_format == GREY:
            band[...] = _stretch(luma, header)[..., None]
            continue
        first, second = (upsample(plane, header, top, top + len(band)) for plane in planes[1:])
        if header.color_space == "rgb":
            for channel, plane in enumerate((second, luma, first)):  # coded as G, B, R
                band[..., channel] = _stretch(plane, header)
        else:
            _band_to_rgb(band, luma, first, second, header)
    return image


def _scales(header: Header) -> tuple[float, float, int]:
    """(step of coded luma, step of chroma, code of black); steps in 2^-22 of an 8-bit step."""
    unit, extra = 255 * (1 << 22), header.bit_depth - 8
    if header.limited_range:
        return unit / (219 << extra), unit / (224 << extra), 16 << extra
    return unit / ((1 << header.bit_depth) - 1), unit / ((1 << header.bit_depth) - 1), 0


def _stretch(plane: np.ndarray, header: Header) -> np.ndarray:
    if header.bit_depth == 8 and not header.limited_range:
        return plane
    scale, _, black = _scales(header)
    one = round(scale)
    values = (plane.astype(np.int64) * one + (1 << 21) - black * one) >> 22
    return np.clip(values, 0, 255).astype(np.uint8)


def _band_to_rgb(image: np.ndarray, y: np.ndarray, c1: np.ndarray, c2: np.ndarray, header: Header) -> None:
    """Fill ``image`` (uint8, rows x W x 3) from full-resolution planes of YCbCr or YCgCo."""
    of_luma, of_chroma, black = _scales(header)
    one = round(of_luma)
    centre = 1 << (header.bit_depth - 1)
    # Full range stays below 2^31; limited range can exceed it before clipping.
    wide: type = np.int64 if header.limited_range else np.int32
    offset = (1 << 21) - black * one
    c1, c2 = c1.astype(wide) - centre, c2.astype(wide) - centre
    if header.color_space == "ycgco":
        y = y.astype(wide)
        low = y - c1
        sums = [(part * one + offset) for part in (low + c2, y + c1, low - c2)]
    else:
        k_r, k_b = LUMA_WEIGHTS[header.color_space]
        k_g = 1 - k_b - k_r
        y = y.astype(wide) * one + offset
        green = y - c1 * round(2 * k_b * (1 - k_b) / k_g * of_chroma)
        green -= c2 * round(2 * k_r * (1 - k_r) / k_g * of_chroma)
        sums = [y + c2 * round(2 * (1 - k_r) * of_chroma), green, y + c1 * round(2 * (1 - k_b) * of_chroma)]
    for channel, value in enumerate(sums):
        value >>= 22
        image[..., channel] = np.clip(value, 0, 255, out=value)


def _filter(padded: np.ndarray, taps: tuple[int, ...], axis: int, step: int = 1) -> np.ndarray:
    """Sums (int32) of ``taps`` over every ``step``-th run of samples along ``axis`` that lies wholly in ``padded``."""
    count = padded.shape[axis] - len(taps) + 1
    runs = np.moveaxis(padded.astype(np.int32), axis, 0)
    total = runs[0:count:step] * taps[0]
    for index, tap in enumerate(taps[1:], 1):
        total += runs[index : index + count : step] * tap
    return np.moveaxis(total, 0, axis)


def halve_chroma(plane: np.ndarray, bit_depth: int = 8) -> np.ndarray:
    """A chroma plane (H x W) at half the size each way, rounded up; its samples are between those of luma."""
    return np.concatenate([_halve_rows(plane, top, bit_depth) for top in range(0, len(plane), _ROWS)])


def _halve_rows(plane: np.ndarray, top: int, bit_depth: int) -> np.ndarray:
    height = len(plane)
    rows = np.clip(np.arange(top - 4, min(top + _ROWS, height) + 5), 0, height - 1)
    first, second = bit_depth - 7, 21 - bit_depth
    across = _filter(np.pad(plane[rows], ((0, 0), (4, 5)), mode="edge"), _HALVE, axis=1, step=2)
    across = (across + (1 << (first - 1))) >> first
    down = (_filter(across, _HALVE, axis=0, step=2) + (1 << (second - 1))) >> second
    return np.clip(down, 0, (1 << bit_depth) - 1).astype(plane.dtype)


def upsample(plane: np.ndarray, header: Header, top: int, bottom: int) -> np.ndarray:
    """Rows ``top`` (even) to ``bottom`` of a decoded chroma plane at the size of luma; as they are in 4:4:4.

    The two video formats follow libbpg's rule as well, but have not been compared with reference files.
    """
    if header.pixel_format not in (C420, C422, C420_VIDEO, C422_VIDEO):
        return plane[top:bottom, : header.width]
    depth, extra = header.bit_depth, 6  # bits that the filters add
    columns = (header.width + 1) // 2
    if header.pixel_format in (C420, C420_VIDEO):
        last = (header.height + 1) // 2 - 1
        rows = np.clip(np.arange(top // 2 - 3, (bottom + 1) // 2 + 3), 0, last)
        window, down = plane[rows, :columns], depth - 8
        samples = np.empty((2 * (len(rows) - 6), columns), np.int32)
        for phase, taps in enumerate((_DOUBLE_EARLY, _DOUBLE_LATE)):
            samples[phase::2] = (_filter(window, taps, axis=0) + ((1 << down) >> 1)) >> down
        samples, extra = samples[: bottom - top], 20 - depth
    else:
        samples = plane[top:bottom, :columns].astype(np.int32)
    padded = np.pad(samples, ((0, 0), (3, 4)), mode="edge")
    half = 1 << (extra - 1)
    phases: tuple[np.ndarray, ...]
    if header.pixel_format in (C420_VIDEO, C422_VIDEO):
        phases = (
            (samples + ((1 << (extra - 6)) >> 1)) >> (extra - 6),
            (_filter(padded, _DOUBLE_MIDDLE, 1) + half) >> extra,
        )
    else:
        phases = tuple((_filter(padded[:, :-1], taps, 1) + half) >> extra for taps in (_DOUBLE_EARLY, _DOUBLE_LATE))
    out = np.empty((len(samples), 2 * columns), np.uint8 if depth == 8 else np.uint16)
    for phase, values in enumerate(phases):
        out[:, phase::2] = np.clip(values, 0, (1 << depth) - 1)
    return out[:, : header.width]
