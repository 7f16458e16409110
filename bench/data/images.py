"""Image files as pixels: what can be read without losing or inventing anything is read, the rest is refused.

A refusal says what the file holds and gives a command that makes a file rdbench takes, so that the person decides
what is lost, not the harness.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from bench.data import jpeg_check
from bench.data.colour_tags import foreign_colours
from bench.errors import TransientError, UsageError
from bench.files import sha256_pixels

RULES_VERSION = 2  # of what is accepted and how it is converted: raising it has every image looked at again
# What looks like an image: these are read, or refused with a reason, never passed over.
SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".webp", ".tif", ".tiff", ".bmp", ".dib")
    + (".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".gif", ".avif", ".avifs", ".heic", ".heif", ".hif", ".jxl", ".jp2")
    + (".j2k", ".jpx", ".bpg", ".tga", ".psd", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".svg")
)
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")
ORIENTATION = 0x0112  # EXIF tag; 1 = upright
DAMAGE = r".*([Tt]runcated|[Cc]orrupt|larger than file|malformed)"  # what Pillow only warns of
PROFILE_TOLERANCE = 3  # of 255: how far a profile that calls itself sRGB may move a colour


class BrokenImageError(UsageError):
    """A file that is no image, or one that is damaged or cut short."""


def load_image(path: str | Path, *, ignore_profile: bool = False) -> np.ndarray:
    """The pixels of an image file: uint8, H x W x 3, sRGB, range 0..255.

    Grey, 1-bit and palette images become RGB; an alpha channel that is 255 everywhere is dropped; the content decides
    the format, not the extension. ``ignore_profile`` takes the numbers as they stand whatever the colour profile says.
    Raises UsageError, with a command that converts the file, for more than 8 bits, real alpha, CMYK, a colour profile
    that is not sRGB, a rotation flag, several frames; and for files that are broken, or larger than Pillow's limit
    against decompression bombs (179 megapixels).
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the error, at twice the size, stays
            warnings.filterwarnings("error", DAMAGE, UserWarning)
            with Image.open(path, formats=FORMATS) as image:
                reason = refusal(image, path, ignore_profile)
                if reason:
                    raise UsageError(f"reading {path}: {reason}")
                pixels = _rgb(image, path)
            damage = jpeg_check.fault(path.read_bytes()) if image.format in ("JPEG", "MPO") else ""
            if damage:
                raise BrokenImageError(f"reading {path}: {damage}; get the file anew")
            return pixels
    except Image.DecompressionBombError as error:
        raise UsageError(f"reading {path}: {error}; cut or scale it first") from error
    except Image.UnidentifiedImageError as error:
        raise BrokenImageError(
            f"reading {path}: expected a PNG, JPEG, WebP, TIFF, BMP or PPM image, this is {_kind(path)}"
        ) from error
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises whatever a damaged file drives it to: TypeError, KeyError, struct.error
        raise BrokenImageError(f"reading {path}: {_cause(error)}") from error


def load_verified(path: str | Path, pixels_sha256: str) -> np.ndarray:
    """The pixels of an image that a manifest lists with this hash: what is measured is what was fetched.

    Raises TransientError for a file that is gone, damaged or replaced since then.
    """
    advice = "put the original back, or fetch the set again (`rdbench fetch`, or the same snakemake command)"
    try:
        image = load_image(path)
    except UsageError as error:
        raise TransientError(f"{error}. The image could be read when the set was fetched; {advice}") from error
    got = sha256_pixels(image)
    if got != pixels_sha256:
        raise TransientError(
            f"reading {path}: the image was replaced after the set was fetched: expected pixels with sha256 "
            f"{pixels_sha256[:12]}, got {got[:12]}; {advice}"
        )
    return image


def refusal(image: Any, path: Path, ignore_profile: bool = False) -> str:
    """Why the file cannot be taken as 8-bit sRGB without a decision, and how to convert it; empty if it can."""
    depth = bit_depth(image)
    if depth > 8 or image.mode in ("I", "F") or image.mode.startswith("I;"):
        return f"it has {depth if depth > 8 else 'more than 8'} bits a sample; " + how_to_convert(path)
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"):
        return f"its colours are {image.mode}, not RGB; " + how_to_convert(path)
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # a JPEG with previews behind it
        return f"it holds {image.n_frames} frames or pages; " + how_to_convert(path, "--frame 0")
    orientation = image.getexif().get(ORIENTATION, 1)
    if orientation in range(2, 9):
        return f"it is to be turned or mirrored for display (EXIF orientation {orientation}); " + how_to_convert(path)
    profile = image.info.get("icc_profile")
    if profile and not ignore_profile:
        name = foreign_profile(profile, "L" if image.mode in ("1", "L", "LA") else "RGB")
        if name:
            return f"its colour profile is {name!r}, not sRGB; " + how_to_convert(path)
    colours = None if ignore_profile else foreign_colours(image, path)
    if colours:
        return f"{colours.words}; " + how_to_convert(path, "" if colours.convertible else "--as-srgb")
    return ""


def _rgb(image: Any, path: Path) -> np.ndarray:
    """Three channels from any accepted mode, dropping an alpha channel only where it carries nothing."""
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        lowest = image.getchannel("A").getextrema()[0]
        if lowest < 255:
            raise UsageError(
                f"reading {path}: it is partly transparent (alpha down to {lowest}); "
                + how_to_convert(path, "--background white")
            )
    return np.array(image.convert("RGB"))


def bit_depth(image: Any) -> int:
    """Bits a sample in the file. Pillow gives 16-bit RGB files as 8-bit ones, so its mode alone does not tell."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (8,)))  # BitsPerSample
    words = [str(word) for tile in image.tile for word in _flat(tile[3])]
    if image.format == "PPM":
        return max((int(word).bit_length() for word in words if word.isdigit()), default=8)  # its largest value
    return 16 if any(";16" in word and not word.startswith("BGR") for word in words) else 8  # BGR;16: 5-6-5 in BMP


def _flat(arguments: object) -> tuple:
    return tuple(arguments) if isinstance(arguments, tuple | list) else (arguments,)


def foreign_profile(profile: bytes, mode: str) -> str:
    """The name of an ICC profile that is not sRGB; empty if it moves no colour by more than PROFILE_TOLERANCE.

    Numbers decide, not names: there are dozens of files called sRGB, and some that are and do not say so.
    """
    levels = np.linspace(0, 255, 6).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    greys = np.arange(256, dtype=np.uint8).reshape(1, -1)
    samples = greys if mode == "L" else np.concatenate((colours, np.repeat(greys[..., None], 3, axis=2)), axis=1)
    expected = np.repeat(greys[..., None], 3, axis=2) if mode == "L" else samples
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip() or "unnamed"
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        srgb = ImageCms.createProfile("sRGB")
        moved = ImageCms.profileToProfile(Image.fromarray(samples), source, srgb, intent, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        return f"unreadable ({error})"
    distance = np.abs(np.asarray(moved).astype(int) - expected.astype(int)).max()
    return name if distance > PROFILE_TOLERANCE else ""


def how_to_convert(path: Path, options: str = "") -> str:
    """How a person converts the file, which is to decide what is lost: `rdbench convert` says what it did."""
    words = ["rdbench convert", *options.split(), shlex.quote(str(path)), shlex.quote(f"{path.stem}.rgb.png")]
    return f"if you want that, convert it: `{' '.join(words)}`"


def _kind(path: Path) -> str:
    """What a file is that is none of FORMATS: another image that can be converted, or none."""
    with contextlib.suppress(OSError, ImportError, SyntaxError, ValueError):
        from bench.data.convert import opened

        with opened(path) as image:
            return f"{image.format}; {how_to_convert(path)}"
    return "none"


def _cause(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    return f"it is broken or cut short ({error}); get it anew"
