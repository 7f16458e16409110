"""What an image file says about its colours without an ICC profile: if it says nothing, it counts as sRGB.

PNG has four ways to say it, and the first one present decides: cICP, iCCP, sRGB, gAMA with cHRM (PNG specification,
third edition, section 4.3). TIFF states its primaries, Exif a colour space, BMP a reference to a profile.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SRGB_GAMMA = 0.45455
SRGB_CICP = (1, 13, 0, 1)  # BT.709 primaries, sRGB transfer, RGB, full range (ITU-T H.273)
# White point, red, green, blue, x and y of each: BT.709's, which sRGB uses.
SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
GAMMA_TOLERANCE, CHROMATICITY_TOLERANCE = 0.005, 0.005  # files round these numbers
EXIF, COLOUR_SPACE, SRGB = 0x8769, 0xA001, 1
WHITE_POINT, PRIMARIES = 318, 319  # TIFF


@dataclass(frozen=True)
class Colours:
    """Colours other than sRGB, as a file states them: in words, with gamma and chromaticities where known."""

    words: str
    gamma: float | None = None  # sample = light ** gamma; None: sRGB's transfer function
    chromaticities: tuple[float, ...] | None = None  # white, red, green, blue; None: sRGB's
    convertible: bool = True


def foreign_colours(image: Any, path: Path) -> Colours | None:
    """The colours of an open Pillow image if they are not sRGB; None if it states sRGB or nothing, or has a profile.

    An ICC profile takes precedence over all but a PNG's cICP chunk.
    """
    if image.format == "PNG":
        found = _of_png(image, path)
        if found is not None or "srgb" in image.info:
            return found
    if image.info.get("icc_profile"):
        return None
    if image.format == "BMP" and _bmp_profile(path):
        return Colours("it refers to a colour profile, which is not read", convertible=False)
    if image.format == "TIFF" and PRIMARIES in image.tag_v2:
        white = image.tag_v2.get(WHITE_POINT, SRGB_CHROMATICITIES[:2])
        stated = tuple(float(number) for number in (*white, *image.tag_v2[PRIMARIES]))
        if not _is_close(stated, SRGB_CHROMATICITIES, CHROMATICITY_TOLERANCE):
            return Colours(f"its PrimaryChromaticities are {_join(stated[2:])}, not sRGB's", chromaticities=stated)
    space = image.getexif().get_ifd(EXIF).get(COLOUR_SPACE, SRGB)
    if space != SRGB:
        kind = "uncalibrated" if space == 0xFFFF else "not sRGB"
        return Colours(f"its Exif ColorSpace is {space}, {kind}, and it has no profile", convertible=False)
    return None


def _of_png(image: Any, path: Path) -> Colours | None:
    cicp = _png_chunk(path, b"cICP")
    if cicp is not None:
        if tuple(cicp) == SRGB_CICP:
            return None
        said = f"its cICP chunk says {list(cicp)}, not sRGB's {list(SRGB_CICP)}"
        display_p3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
        return Colours(said, chromaticities=display_p3, convertible=tuple(cicp) == (12, 13, 0, 1))
    if image.info.get("icc_profile") or "srgb" in image.info:
        return None
    gamma, stated = image.info.get("gamma"), image.info.get("chromaticity")
    words, other_gamma, other_primaries = [], None, None
    if gamma is not None and abs(gamma - SRGB_GAMMA) > GAMMA_TOLERANCE:
        words.append(f"its gAMA chunk says {gamma:g}, not sRGB's {SRGB_GAMMA:g}")
        other_gamma = gamma
    if stated is not None and not _is_close(stated, SRGB_CHROMATICITIES, CHROMATICITY_TOLERANCE):
        words.append(f"its cHRM chunk says {_join(stated)}, not sRGB's {_join(SRGB_CHROMATICITIES)}")
        other_primaries = tuple(map(float, stated))
    return Colours("; ".join(words), other_gamma, other_primaries, gamma != 0) if words else None


def _png_chunk(path: Path, wanted: bytes) -> bytes | None:
    """The content of a PNG chunk before the pixels, which Pillow does not expose; None if it is absent."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == wanted:
                return file.read(min(length, 1 << 12))
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)
    return None


def _bmp_profile(path: Path) -> bool:
    """Whether a BMP file (header version 5) embeds a colour profile or refers to one."""
    with open(path, "rb") as file:
        head = file.read(74)
    return len(head) == 74 and struct.unpack_from("<I", head, 14)[0] >= 108 and head[70:74] in (b"DEBM", b"KNIL")


def _is_close(stated: Sequence[float], expected: Sequence[float], tolerance: float) -> bool:
    return len(stated) == len(expected) and all(abs(a - b) <= tolerance for a, b in zip(stated, expected, strict=True))


def _join(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
