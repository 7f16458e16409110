"""An image file that rdbench refuses, converted to one that it takes: 8-bit sRGB without alpha, upright.

`rdbench convert` is how a person says that what is lost may be lost. Each step that changed something is told.
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
    """The pixels of an image file (uint8, H x W x 3, sRGB) and what was done to them, a phrase for each step.

    background: the colour behind what is transparent, as CSS names it. frame: of a file of several, from 0. as_srgb:
    the numbers as they stand, whatever the file says of its colours. Raises UsageError for what needs one of these and
    has it not, and for what cannot be read.
    """
    done: list[str] = []
    try:
        with opened(source) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                if frame is None or not 0 <= frame < frames:
                    raise UsageError(
                        f"converting {source}: it holds {frames} frames; choose one: --frame 0 to {frames - 1}"
                    )
                image.seek(frame)
                done.append(f"frame {frame} of {frames}")
            return _converted(image, source, background, frame or 0, as_srgb, done), done
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UsageError(f"converting {source}: expected an image: {error}") from error


def opened(path: Path) -> Any:
    """The file as an open Pillow image, of any format that is installed here."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _converted(image: Any, source: Path, background: str, frame: int, as_srgb: bool, done: list[str]) -> np.ndarray:
    mode, depth = (
        image.mode,
        max(bit_depth(image), _jpeg2000_depth(image, source)),
    )  # first: what follows may load the pixels, after which Pillow does not know it
    profile, colours = image.info.get("icc_profile"), foreign_colours(image, source)
    orientation = image.getexif().get(ORIENTATION, 1)
    if depth > 8 or image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image, source, depth, frame)
        done.append(f"{depth if depth > 8 else 'more than 8'} bits a sample rounded to 8")
    if orientation in range(2, 9):
        image = _turned(image, orientation)
        done.append(f"turned upright (EXIF orientation {orientation})")
    image, alpha = _without_alpha(image)
    if as_srgb:
        done.append("colours taken as sRGB")
    elif profile and (name := foreign_profile(profile, "L" if image.mode in ("1", "L") else image.mode)):
        image = _by_profile(image, profile, source)
        done.append(f"colours converted from {name!r} to sRGB, relative colorimetric")
    elif colours:
        if not colours.convertible:
            raise UsageError(f"converting {source}: {colours.words}; --as-srgb takes the numbers as they stand")
        image = Image.fromarray(_by_numbers(np.asarray(image.convert("RGB")), colours))
        done.append(f"colours converted to sRGB ({colours.words})")
    if mode in ("LAB", "CMYK", "YCbCr", "HSV"):
        done.append(f"{mode} converted to RGB")
    pixels = np.asarray(image.convert("RGB"))
    if alpha is None or alpha.min() == 255:
        return pixels
    if not background:
        raise UsageError(f"converting {source}: it is partly transparent; say what is behind it: --background white")
    done.append(f"laid onto {background}")
    try:
        behind = np.array(ImageColor.getrgb(background)[:3])
    except ValueError:
        raise UsageError(f"--background takes a colour such as white or #808080, got {background!r}") from None
    share = alpha[..., None] / 255
    return np.rint(pixels * share + behind * (1 - share)).astype(np.uint8)


def _without_alpha(image: Any) -> tuple[Any, np.ndarray | None]:
    """The image without its alpha channel, and that channel (uint8, H x W), None where there is none."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image, None
    whole = image.convert("RGBA")
    return whole.convert("RGB"), np.asarray(whole.getchannel("A"))


def _eight_bits(image: Any, source: Path, depth: int, frame: int) -> Any:
    """The image with 8 bits a sample, rounded; Pillow itself would cut the lower ones off, or refuse.

    Raises UsageError for samples whose range is not known: signed, beyond 0..1 if floating-point, neither grey nor RGB.
    """
    import imagecodecs

    if image.format == "TIFF":
        samples = _tiff_samples(image, source, depth, frame)
    elif image.format == "JPEG2000":
        samples = imagecodecs.jpeg2k_decode(source.read_bytes())
    elif image.mode in ("L", "RGB", "RGBA", "LA"):  # as which Pillow opens 16-bit PNG and PPM files: read them whole
        if image.format != "PNG":
            image.load()
            return image
        if frame:
            raise UsageError(f"converting {source}: of a PNG with 16 bits a sample only --frame 0 can be read")
        samples = imagecodecs.png_decode(source.read_bytes())
    else:
        samples = np.asarray(image)
    if samples.dtype.kind == "f":
        low, high = float(samples.min()), float(samples.max())
        if not (low >= 0 and high <= 1):
            raise UsageError(
                f"converting {source}: its samples are floating-point numbers from {low:g} to {high:g}; only those "
                "from 0 to 1 have a known meaning; scale them first"
            )
        largest = 1.0
    else:
        largest = float(2**depth - 1) if depth > 8 else 65535.0  # PGM, whose samples Pillow spreads over 16 bits
    scaled = np.rint(samples / largest * 255).astype(np.uint8)
    return Image.fromarray(scaled)


def _jpeg2000_depth(image: Any, source: Path) -> int:
    """Bits a sample of a JPEG 2000 file, 0 of another. Pillow gives 8 and lets rounded whites wrap to black."""
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
            f"converting {source}: of more than 8 bits only grey and RGB samples without a sign can be rounded to 8, "
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


def _turned(image: Any, orientation: int) -> Any:
    """Turned and mirrored as the EXIF tag says."""
    bare = image.copy()
    bare.info.pop("exif", None)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    bare.info["exif"] = exif.tobytes()
    bare._exif = None
    return ImageOps.exif_transpose(bare)


def _by_profile(image: Any, profile: bytes, source: Path) -> Any:
    try:
        given, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        image = image.convert("RGB") if image.mode in ("P", "1") else image
        return ImageCms.profileToProfile(image, given, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise UsageError(
            f"converting {source}: its colour profile cannot be used ({error}); --as-srgb takes the numbers as they are"
        ) from error


def _by_numbers(pixels: np.ndarray, colours: Colours) -> np.ndarray:
    """uint8 H x W x 3 in sRGB, of samples with another gamma or other primaries; white stays white (Bradford)."""
    samples = pixels / 255.0
    light = samples ** (1 / colours.gamma) if colours.gamma else _linear(samples)
    matrix = np.linalg.inv(_to_xyz(SRGB_CHROMATICITIES)) @ _to_xyz(colours.chromaticities or SRGB_CHROMATICITIES)
    light = np.clip(light @ matrix.T, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * coded).astype(np.uint8)


def _linear(samples: np.ndarray) -> np.ndarray:
    """sRGB's transfer function (IEC 61966-2-1), undone."""
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _to_xyz(chromaticities: tuple[float, ...]) -> np.ndarray:
    """3 x 3: linear RGB of these primaries to XYZ, its white adapted to sRGB's."""
    points = np.array(chromaticities).reshape(4, 2)
    xyz = np.column_stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(axis=1)) / points[:, 1]])
    white, primaries = xyz[0], xyz[1:].T
    matrix = primaries * np.linalg.solve(primaries, white)
    x, y = SRGB_CHROMATICITIES[:2]
    wanted = np.array([x / y, 1, (1 - x - y) / y])
    adapted = np.diag((_BRADFORD @ wanted) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ matrix
