"""Butteraugli: the greatest perceived difference anywhere in the image. 0 for identical, smaller is better.

By the program `butteraugli` (google/butteraugli, the first version of the metric; Debian's package of that name). No
well-kept package for Python has it, so it is null where the program is not installed. JPEG XL's later version of the
metric gives other numbers. About 1 is where a difference begins to be seen.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path

from PIL import Image as PillowImage

from bench.codec import Image
from bench.files import sha256_file
from bench.metrics.metric import Metric, answer

_PROGRAM = "butteraugli"


class _Butteraugli(Metric):
    columns = ("butteraugli",)
    smallest_side = 8
    most_pixels = 2**24
    of_identical = {"butteraugli": 0.0}

    def version(self) -> str | None:
        program = shutil.which(_PROGRAM)
        return f"1+{_digest(program)[:8]}" if program else None

    def missing(self) -> str:
        return (
            "" if shutil.which(_PROGRAM) else "program butteraugli is not installed (Debian: apt install butteraugli)"
        )

    def values(
        self, prepared: Image, reconstruction: Image, wanted: Collection[str], notes: list[str]
    ) -> dict[str, float | None]:
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder, name)) for name in ("original.png", "other.png")]
            for path, image in zip(paths, (prepared, reconstruction), strict=True):
                PillowImage.fromarray(image).save(path, compress_level=0)
            return {"butteraugli": float(answer([_PROGRAM, *paths]))}


METRIC = _Butteraugli()


@cache
def _digest(program: str) -> str:
    """The program has no version of its own to ask for."""
    return sha256_file(program)
