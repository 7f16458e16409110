"""OpenJPEG's encoder through glymur, with the library of an installed wheel or of the system."""

from __future__ import annotations

import importlib.util
import io
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import features


def encode(image: np.ndarray, bpp: float | Sequence[float], irreversible: bool) -> bytes:
    """A JPEG 2000 codestream of ``image`` (uint8, H x W x 3), of at most ``bpp`` bits per pixel, headers included.

    bpp: several rising rates give a quality layer each; math.inf is a layer with all that is left. irreversible: the
    9/7 wavelet and the irreversible colour transform; otherwise 5/3 and the reversible one, truncated.
    """
    resolutions = min(6, min(image.shape[:2]).bit_length())  # OpenJPEG refuses more halvings than the short side allows
    ratios = [24 / rate for rate in ([bpp] if isinstance(bpp, float | int) else bpp)]  # 0: no limit
    glymur = _glymur()
    if glymur is None:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(
            buffer,
            "JPEG2000",
            irreversible=irreversible,
            mct=1,
            no_jp2=True,
            quality_mode="rates",
            quality_layers=ratios,
            num_resolutions=resolutions,
        )
        return buffer.getvalue()
    with tempfile.TemporaryDirectory(prefix="rdbench-j2k-") as folder:
        path = Path(folder) / "image.j2k"
        glymur.Jp2k(path, data=image, cratios=ratios, irreversible=irreversible, mct=True, numres=resolutions)
        return path.read_bytes()


def version() -> str:
    """The OpenJPEG version that encodes, through what, and the one that decodes (Pillow's)."""
    decoder = f"decoder OpenJPEG {features.version('jpg_2000')} through Pillow {PIL.__version__}"
    glymur = _glymur()
    if glymur is None:
        return f"encoder and {decoder} (glymur has no OpenJPEG library here)"
    return f"encoder OpenJPEG {glymur.version.openjpeg_version} through glymur {glymur.__version__}, {decoder}"


@cache
def _glymur() -> Any:
    """glymur with an OpenJPEG library, or None. Its wheel contains none, and it searches for one only when imported.

    A wheel's library is preferred to the system's: the lock file pins it, so it gives the same bits everywhere.
    """
    candidates = _libraries()
    before = os.environ.get("XDG_CONFIG_HOME")  # where glymur reads its configuration, the only way to choose a library
    with tempfile.TemporaryDirectory(prefix="rdbench-glymur-") as folder:
        if candidates:
            config = Path(folder) / "glymur" / "glymurrc"
            config.parent.mkdir()
            config.write_text(f"[library]\nopenjp2: {candidates[0]}\n")
            os.environ["XDG_CONFIG_HOME"] = folder
        try:
            import glymur
        except ImportError:
            return None
        finally:
            if before is not None:
                os.environ["XDG_CONFIG_HOME"] = before
            elif candidates:
                del os.environ["XDG_CONFIG_HOME"]
    return None if glymur.version.openjpeg_version == "0.0.0" else glymur


def _libraries() -> list[Path]:
    """OpenJPEG's shared libraries in the wheels of Pillow and imagecodecs (Linux, then macOS layout)."""
    found = []
    for package, libraries in (("PIL", "pillow.libs"), ("imagecodecs", "imagecodecs.libs")):
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            home = Path(spec.origin).parent
            found += sorted((home.parent / libraries).glob("libopenjp2*.so*"))
            found += sorted((home / ".dylibs").glob("libopenjp2*.dylib"))
    return found
