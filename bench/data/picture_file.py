"""Pixels as a file, in the format of its extension; lossless formats only."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.errors import UsageError

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("PNG", {}),  # no extension, as for /dev/stdout
    ".png": ("PNG", {}),
    ".ppm": ("PPM", {}),
    ".pnm": ("PPM", {}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
}


def format_of(path: Path) -> tuple[str, dict[str, Any]]:
    """Pillow's format and options for a file of that name. Raises UsageError for a lossy or unknown format."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"writing a picture to {path}: expected a lossless format, {', '.join(filter(None, FORMATS))}; "
            f"{path.suffix} is lossy or unknown"
        ) from None


def as_file(pixels: np.ndarray, path: Path) -> bytes:
    """The content of a picture file of that name (uint8, H x W x 3). Raises UsageError as :func:`format_of`."""
    name, options = format_of(path)
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, name, **options)
    except (OSError, ValueError, SystemError) as error:
        raise UsageError(f"writing a picture to {path}: {error}; use .png, which allows every size") from error
    return buffer.getvalue()
