"""The validation images of a training: the given folder, and the most textured of its own images, which are held out.

Photographs chosen for a test set are easier than most: gb82 costs half of Kodak's bits and hides how a network handles
texture. So the training images whose middle costs the most bits as WebP are held out and used for validation too.
``textured.txt`` lists them by hash for this project's training data; for other data they are found by the same measure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from bench.files import sha256_file
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data.crops import read_images

LIST = configs.HERE / "textured.txt"
COUNT = 24
PART = 10  # at most one in so many images is held out
SIDE = 384  # of the validation crop, at the image's middle
QUALITY = 80  # of the WebP that measures texture


def split(files: Sequence[Path], listed: Path = LIST) -> tuple[list[Path], list[Path], str]:
    """(the files to train on, the textured ones held out, a description of where those come from).

    Held out are the listed files, or otherwise the most textured tenth, at most COUNT.
    """
    hashes = {line.split()[0] for line in listed.read_text(encoding="utf-8").splitlines() if line[:1] not in "#"}
    textured = [path for path in files if sha256_file(path) in hashes]
    source = f"of {listed.name}"
    if len(textured) < COUNT // 2:
        ranked = most_textured(files)
        textured = ranked[: min(COUNT, len(files) // PART)]
        source = f"the most textured of {len(files)}"
        if not textured:
            source = f"one in {PART} of the {len(ranked)} images of {SIDE} x {SIDE} or more, of {len(files)}"
    chosen = set(textured)
    return [path for path in files if path not in chosen], textured, source


def crops(files: Sequence[Path], jpeg_downscale: int) -> list[Tensor]:
    """The middle of each image, uint8 (3, SIDE, SIDE), or smaller if the image is."""
    return [_middle(image) for image in read_images(files, jpeg_downscale)]


def most_textured(files: Sequence[Path], jpeg_downscale: int = 2) -> list[Path]:
    """The files by decreasing WebP size of their middle at one quality; images smaller than SIDE are omitted."""
    sizes = []
    for path, image in zip(files, read_images(files, jpeg_downscale), strict=True):
        if min(image.shape[1:]) >= SIDE:
            buffer = io.BytesIO()
            Image.fromarray(_middle(image).permute(1, 2, 0).numpy()).save(buffer, "webp", quality=QUALITY)
            sizes.append((-buffer.tell(), str(path), path))
    return [path for *_, path in sorted(sizes)]


def _middle(image: Tensor) -> Tensor:
    _, height, width = image.shape
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    return image[:, top : top + SIDE, left : left + SIDE]


def main() -> None:
    """Print the list for folders: `python -m codecs_wrappers.learned.training.data.holdout FOLDER...`"""
    import sys

    from codecs_wrappers.learned.training.data.crops import image_files

    measure = f"bytes as WebP, quality {QUALITY}, of their middle {SIDE} x {SIDE}"
    print(f"# sha256 of the {COUNT} training images with the most {measure}")
    for path in most_textured(image_files(sys.argv[1:]))[:COUNT]:
        print(sha256_file(path), f"{path.parent.name}/{path.name}")


if __name__ == "__main__":
    main()
