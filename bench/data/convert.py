"""Converts an image file that rdbench refuses into one that it accepts: 8-bit sRGB without alpha, upright.

With `rdbench convert` a person decides what may be lost. Every step that changes something is reported.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageColor, ImageOps

from bench.data.colour_tags import SRGB_CHROMATICITIES, Colours, foreign_colours
from bench.data.images import ORIENTATION, bit_depth, foreign_profile
from bench.errors import UsageError

SAMPLE_FORMAT, PHOTOMETRIC, PLANAR = 339, 262, 284  # TIFF's tags, and their values
UNSIGNED, FLOATING_POINT, WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATE_PLANES = 1, 3, 0, 1, 2, 2
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def convert(
    source: Path, background: str = "", frame: int | None = None, as_srgb: bool = False
) -> tuple[np.ndarray, list[str]]:
    """The pixels of an image file (uint8, H x W x 3, sRGB), and a phrase for each step that changed them.

    background: a CSS colour to put behind transparent pixels. frame: which one of several, from 0. as_srgb: take the
    samples as sRGB, whatever the file says about its colours. Raises UsageError for a file that needs one of these
    options, and for one that cannot be read.
    """
    done: list[str] = []
    try:
        with open_image(source) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                if frame is None or not 0 <= frame < frames:
                    raise UsageError(
                        f"converting {source}: it contains {frames} frames; choose one with --frame 0 to {frames - 1}"
                    )
                image.seek(frame)
                done.append(f"frame {frame} of {frames}")
            return _converted(image, source, background, frame or 0, as_srgb, done), done
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UsageError(f"converting {source}: expected an image: {error}") from error


def open_image(path: Path) -> Any:
    """The file as an open Pillow image, in any format that is installed here."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _converted(image: Any, source: Path, background: str, frame: int, as_srgb: bool, done: list[str]) -> np.ndarray:
    # First of all: the steps below may load the pixels, after which Pillow no longer knows the depth.
    mode, depth = image.mode, max(bit_depth(image), _jpeg2000_depth(image, source))
    profile, colours = image.info.get("icc_profile"), foreign_colours(image, source)
    orientation = image.getexif().get(ORIENTATION, 1)
    if depth > 8 or image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image, source, depth, frame)
        done.append(f"{depth if depth > 8 else 'more than 8'} bits per sample rounded to 8")
    if orientation in range(2, 9):
        image = _upright(image, orientation)
        done.append(f"rotated upright (EXIF orientation {orientation})")
    image, alpha = _without_alpha(image)
    if as_srgb:
        done.append("colours taken as sRGB")
    elif profile and (name := foreign_profile(profile, "L" if image.mode in ("1", "L") else image.mode)):
        image = _convert_by_profile(image, profile, source)
        done.append(f"colours converted from {name!r} to sRGB, relative colorimetric")
    elif colours:
        if not colours.convertible:
            raise UsageError(f"converting {source}: {colours.words}; use --as-srgb to take the samples as sRGB")
        image = Image.fromarray(_convert_by_numbers(np.asarray(image.convert("RGB")), colours))
        done.append(f"colours converted to sRGB ({colours.words})")
    if mode in ("LAB", "CMYK", "YCbCr", "HSV"):
        done.append(f"{mode} converted to RGB")
    pixels = np.asarray(image.convert("RGB"))
    if alpha is None or alpha.min() == 255:
        return pixels
    if not background:
        raise UsageError(
            f"converting {source}: it is partly transparent; choose what is behind it, such as --background white"
        )
    done.append(f"flattened onto {background}")
    try:
        behind = np.array(ImageColor.getrgb(background)[:3])
    except ValueError:
        raise UsageError(f"--background: expected a colour such as white or #808080, got {background!r}") from None
    share = alpha[..., None] / 255
    return np.rint(pixels * share + behind * (1 - share)).astype(np.uint8)


def _without_alpha(image: Any) -> tuple[Any, np.ndarray | None]:
    """The image without its alpha channel, and that channel (uint8, H x W) or None."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image, None
    whole = image.convert("RGBA")
    return whole.convert("RGB"), np.asarray(whole.getchannel("A"))


def _eight_bits(image: Any, source: Path, depth: int, frame: int) -> Any:
    """The image rounded to 8 bits per sample, which Pillow itself would truncate or refuse.

    Raises UsageError for samples of unknown range: signed, floating-point beyond 0..1, or neither grey nor RGB.
    """
    import imagecodecs

    if image.format == "TIFF":
        samples = _tiff_samples(image, source, depth, frame)
    elif image.format == "JPEG2000":
        samples = imagecodecs.jpeg2k_decode(source.read_bytes())
    elif image.mode in ("L", "RGB", "RGBA", "LA"):  # Pillow opens 16-bit PNG and PPM files in these modes
        if image.format != "PNG":
            image.load()
            return image
        if frame:
            raise UsageError(f"converting {source}: only --frame 0 of a PNG with 16 bits per sample can be read")
        samples = imagecodecs.png_decode(source.read_bytes())
    else:
        samples = np.asarray(image)
    if samples.dtype.kind == "f":
        low, high = float(samples.min()), float(samples.max())
        if not (low >= 0 and high <= 1):
            raise UsageError(
                f"converting {source}: expected floating-point samples from 0 to 1, got {low:g} to {high:g}; "
                "scale them first"
            )
        largest = 1.0
    else:
        largest = float(2**depth - 1) if depth > 8 else 65535.0  # PGM, whose samples Pillow scales to 16 bits
    scaled = np.rint(samples / largest * 255).astype(np.uint8)
    return Image.fromarray(scaled)


def _jpeg2000_depth(image: Any, source: Path) -> int:
    """Bits per sample of a JPEG 2000 file, 0 for another. Pillow reports 8 and lets rounded whites wrap to black."""
    if image.format != "JPEG2000":
        return 0
    content = source.read_bytes()
    place = content.find(b"\xff\x4f\xff\x51") + 42  # SOC and SIZ; Ssiz of the first component (ISO 15444-1, A.5.1)
    return (content[place] & 0x7F) + 1 if 42 <= place < len(content) else 0


def _tiff_samples(image: Any, source: Path, depth: int, frame: int) -> np.ndarray:
    """The page's samples, H x W or H x W x channels, unsigned or floating-point, black at 0."""
    import imagecodecs

    tags = image.tag_v2
    kind, photometric = tags.get(SAMPLE_FORMAT, (1,)), tags.get(PHOTOMETRIC)
    if not set(kind) <= {UNSIGNED, FLOATING_POINT} or photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise UsageError(
            f"converting {source}: only unsigned or floating-point grey and RGB samples can be rounded to 8 bits; "
            f"this TIFF has SampleFormat {kind[0]} and PhotometricInterpretation {photometric}"
        )
    try:
        samples: np.ndarray = imagecodecs.tiff_decode(source.read_bytes(), index=frame)
    except imagecodecs.TiffError as error:
        raise UsageError(f"converting {source}: {error}") from error
    if tags.get(PLANAR) == SEPARATE_PLANES and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, -1)
    if samples.shape[:2] != image.size[::-1]:
        raise UsageError(f"converting {source}: expected {image.size[::-1]} samples, got {samples.shape}")
    if photometric == WHITE_IS_ZERO:
        samples = (1 if samples.dtype.kind == "f" else 2**depth - 1) - samples
    return samples


def _upright(image: Any, orientation: int) -> Any:
    """The image rotated and mirrored as the EXIF orientation says."""
    bare = image.copy()
    bare.info.pop("exif", None)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    bare.info["exif"] = exif.tobytes()
    bare._exif = None
    return ImageOps.exif_transpose(bare)


def _convert_by_profile(image: Any, profile: bytes, source: Path) -> Any:
    try:
        given, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        image = image.convert("RGB") if image.mode in ("P", "1") else image
        return ImageCms.profileToProfile(image, given, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise UsageError(
            f"converting {source}: its colour profile is unusable ({error}); use --as-srgb to take the samples as sRGB"
        ) from error


def _convert_by_numbers(pixels: np.ndarray, colours: Colours) -> np.ndarray:
    """Samples with another gamma or other primaries in sRGB, uint8 H x W x 3; white stays white (Bradford)."""
    samples = pixels / 255.0
    light = samples ** (1 / colours.gamma) if colours.gamma else _to_linear(samples)
    matrix = np.linalg.inv(_to_xyz(SRGB_CHROMATICITIES)) @ _to_xyz(colours.chromaticities or SRGB_CHROMATICITIES)
    light = np.clip(light @ matrix.T, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * coded).astype(np.uint8)


def _to_linear(samples: np.ndarray) -> np.ndarray:
    """Linear light from sRGB samples: the inverse transfer function (IEC 61966-2-1)."""
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _to_xyz(chromaticities: tuple[float, ...]) -> np.ndarray:
    """The 3 x 3 matrix from linear RGB with these primaries to XYZ, with its white adapted to sRGB's."""
    points = np.array(chromaticities).reshape(4, 2)
    xyz = np.column_stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(axis=1)) / points[:, 1]])
    white, primaries = xyz[0], xyz[1:].T
    matrix = primaries * np.linalg.solve(primaries, white)
    x, y = SRGB_CHROMATICITIES[:2]
    wanted = np.array([x / y, 1, (1 - x - y) / y])
    adapted = np.diag((_BRADFORD @ wanted) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ matrix
