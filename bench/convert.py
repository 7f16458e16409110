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

from bench.colourtags import SRGB_CHROMATICITIES, Colours, foreign_colours
from bench.errors import UsageError
from bench.images import ORIENTATION, bit_depth, foreign_profile

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
            return _converted(image, source, background, as_srgb, done), done
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UsageError(f"converting {source}: expected an image: {error}") from error


def opened(path: Path) -> Any:
    """The file as an open Pillow image, of any format that is installed here."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _converted(image: Any, source: Path, background: str, as_srgb: bool, done: list[str]) -> np.ndarray:
    depth = bit_depth(image)  # first: what follows may load the pixels, after which Pillow does not know it
    profile, colours = image.info.get("icc_profile"), foreign_colours(image, source)
    orientation = image.getexif().get(ORIENTATION, 1)
    if depth > 8 or image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image, source, depth)
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
    if image.mode not in ("1", "L", "P", "RGB"):
        done.append(f"{image.mode} converted to RGB")
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


def _eight_bits(image: Any, source: Path, depth: int) -> Any:
    """The image with 8 bits a sample, rounded; Pillow itself would cut the lower ones off, or refuse."""
    import imagecodecs

    if image.mode in ("L", "RGB", "RGBA", "LA"):  # as which Pillow opens 16-bit PNG and PPM files: read them whole
        if image.format not in ("PNG", "TIFF"):
            image.load()
            return image
        decode = imagecodecs.png_decode if image.format == "PNG" else imagecodecs.tiff_decode
        samples = decode(source.read_bytes())
        largest = float(2**depth - 1)
    else:
        samples = np.asarray(image)
        largest = 65535.0 if image.mode != "F" else 1.0
    scaled = np.rint(np.clip(samples / largest, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(scaled)


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
