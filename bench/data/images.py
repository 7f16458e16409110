"""Image files as pixels. A file that cannot be read without losing or inventing something is refused.

A refusal says what the file contains and gives a command that converts it, so that a person decides what is lost, not
the harness.
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

RULES_VERSION = 2  # of what is accepted and how it is read; raise it to have every image checked again
# Files that look like images: they are read, or refused with a reason, but never ignored.
_EXTENSIONS = """png apng jpg jpeg jpe jfif jif webp tif tiff bmp dib ppm pgm pbm pnm pam gif avif avifs heic heif hif
jxl jp2 j2k jpx bpg tga psd exr hdr dng cr2 cr3 nef arw raf svg"""
SUFFIXES = frozenset(f".{extension}" for extension in _EXTENSIONS.split())
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")
ORIENTATION = 0x0112  # EXIF tag; 1 = upright
DAMAGE = r".*([Tt]runcated|[Cc]orrupt|larger than file|malformed)"  # what Pillow only warns about
PROFILE_TOLERANCE = 3  # of 255: how far a profile that calls itself sRGB may move a colour


class BrokenImageError(UsageError):
    """A file that is not an image, or is corrupt or truncated."""


def load_image(path: str | Path, *, ignore_profile: bool = False) -> np.ndarray:
    """The pixels of an image file: uint8, H x W x 3, sRGB, range 0..255.

    Grey, 1-bit and palette images become RGB; an alpha channel that is 255 everywhere is dropped; the content, not the
    extension, determines the format. ``ignore_profile`` takes the samples as sRGB whatever the colour profile says.
    Raises UsageError, with a command that converts the file, for more than 8 bits, real alpha, CMYK, a colour profile
    that is not sRGB, a rotation flag or several frames, and for files that are corrupt or larger than Pillow's limit
    against decompression bombs (179 megapixels).
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the error, at twice the size, remains
            warnings.filterwarnings("error", DAMAGE, UserWarning)
            with Image.open(path, formats=FORMATS) as image:
                reason = refusal(image, path, ignore_profile)
                if reason:
                    raise UsageError(f"reading {path}: {reason}")
                pixels = _rgb(image, path)
            damage = jpeg_check.fault(path.read_bytes()) if image.format in ("JPEG", "MPO") else ""
            if damage:
                raise BrokenImageError(f"reading {path}: {damage}; download it again")
            return pixels
    except Image.DecompressionBombError as error:
        raise UsageError(f"reading {path}: {error}; crop or scale it first") from error
    except Image.UnidentifiedImageError as error:
        raise BrokenImageError(
            f"reading {path}: expected a PNG, JPEG, WebP, TIFF, BMP or PPM image, got {_kind(path)}"
        ) from error
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # a corrupt file makes Pillow raise anything: TypeError, KeyError, struct.error
        raise BrokenImageError(f"reading {path}: {_cause(error)}") from error


def load_verified(path: str | Path, pixels_sha256: str) -> np.ndarray:
    """The pixels of an image that a manifest lists with this hash, so that what is measured is what was fetched.

    Raises TransientError for a file that has since been removed, damaged or replaced.
    """
    advice = "put the original back, or fetch the set again (`rdbench fetch`, or the same snakemake command)"
    try:
        image = load_image(path)
    except UsageError as error:
        raise TransientError(f"{error}. The image was readable when the set was fetched; {advice}") from error
    got = sha256_pixels(image)
    if got != pixels_sha256:
        raise TransientError(
            f"reading {path}: the image has changed since the set was fetched: expected pixels with sha256 "
            f"{pixels_sha256[:12]}, got {got[:12]}; {advice}"
        )
    return image


def refusal(image: Any, path: Path, ignore_profile: bool = False) -> str:
    """Why the file cannot be read as 8-bit sRGB, and how to convert it; empty if it can."""
    depth = bit_depth(image)
    if depth > 8 or image.mode in ("I", "F") or image.mode.startswith("I;"):
        return f"it has {depth if depth > 8 else 'more than 8'} bits per sample; " + conversion_hint(path)
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"):
        return f"its colours are {image.mode}, not RGB; " + conversion_hint(path)
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # MPO: a JPEG followed by previews
        return f"it contains {image.n_frames} frames or pages; " + conversion_hint(path, "--frame 0")
    orientation = image.getexif().get(ORIENTATION, 1)
    if orientation in range(2, 9):
        return f"it has to be rotated or mirrored for display (EXIF orientation {orientation}); " + conversion_hint(
            path
        )
    profile = image.info.get("icc_profile")
    if profile and not ignore_profile:
        name = foreign_profile(profile, "L" if image.mode in ("1", "L", "LA") else "RGB")
        if name:
            return f"its colour profile is {name!r}, not sRGB; " + conversion_hint(path)
    colours = None if ignore_profile else foreign_colours(image, path)
    if colours:
        return f"{colours.words}; " + conversion_hint(path, "" if colours.convertible else "--as-srgb")
    return ""


def _rgb(image: Any, path: Path) -> np.ndarray:
    """Three channels from any accepted mode, dropping an alpha channel only if it is opaque."""
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        lowest = image.getchannel("A").getextrema()[0]
        if lowest < 255:
            raise UsageError(
                f"reading {path}: it is partly transparent (alpha down to {lowest}); "
                + conversion_hint(path, "--background white")
            )
    return np.array(image.convert("RGB"))


def bit_depth(image: Any) -> int:
    """Bits per sample in the file. Pillow opens 16-bit RGB files in 8-bit modes, so the mode is not enough."""
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

    The colours decide, not the name: there are dozens of profiles called sRGB, and some sRGB profiles without the name.
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
        converted = ImageCms.profileToProfile(Image.fromarray(samples), source, srgb, intent, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        return f"unreadable ({error})"
    distance = np.abs(np.asarray(converted).astype(int) - expected.astype(int)).max()
    return name if distance > PROFILE_TOLERANCE else ""


def conversion_hint(path: Path, options: str = "") -> str:
    """The command that converts the file; running it is the user's decision about what may be lost."""
    words = ["rdbench convert", *options.split(), shlex.quote(str(path)), shlex.quote(f"{path.stem}.rgb.png")]
    return f"to accept that, convert it: `{' '.join(words)}`"


def _kind(path: Path) -> str:
    """What a file in none of FORMATS is: another kind of image, with the command that converts it, or none."""
    with contextlib.suppress(OSError, ImportError, SyntaxError, ValueError):
        from bench.data.convert import open_image

        with open_image(path) as image:
            return f"{image.format}; {conversion_hint(path)}"
    return "no image"


def _cause(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    return f"it is corrupt or truncated ({error}); download it again"
