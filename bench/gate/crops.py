"""Pictures of what the gate refused: a crop of the original next to what the codec makes of it now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.datasets import load_image
from bench.data.manifest import images_of_run
from bench.data.picture_file import as_file
from bench.errors import RdbenchError
from bench.files import file_name, write_atomically
from bench.gate.worst import Worst
from bench.progress import say
from bench.run.job import decode_files

SIDE, SCALE, GAP = 128, 2, 8  # px of the image, times it is shown enlarged, px between the two


def write_crops(worst: Worst, frame: pd.DataFrame, folder: Path) -> dict[tuple[str, str, str], Path]:
    """PNG files below ``folder``/worst, by dataset, codec and image of ``worst``; frame: the run's records.

    Each shows, at the point whose rate rose most, the square in which the codec errs most: original left, decoded
    right, enlarged. An image that cannot be shown is left out, with a message.
    """
    made = {}
    for (dataset, codec), table in worst.items():
        try:
            for image, picture in _crops(
                table, frame[(frame.dataset == dataset) & (frame.codec == codec)], folder, dataset
            ):
                path = folder / "worst" / file_name(f"{dataset}.{codec}.{image}", ".png")
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, as_file(picture, path))
                made[dataset, codec, image] = path
        except (RdbenchError, OSError) as error:
            say(f"gate: no crops of {codec} on {dataset}: {error}")
    return made


def _crops(table: pd.DataFrame, rows: pd.DataFrame, folder: Path, dataset: str) -> Iterator[tuple[str, np.ndarray]]:
    images = images_of_run(folder, dataset)
    for row in table.itertuples():
        found = rows[(rows.image == row.image) & (rows.point == row.point) & rows.bitstream.notna()]
        if row.image in images and len(found):
            original = load_image(images[row.image].path)
            (decoded,) = decode_files(found.codec.iloc[0], [folder / found.bitstream.iloc[0]])
            yield row.image, pair(original, decoded)


def pair(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Two crops next to each other (uint8, h x w x 3) of the square in which two pictures of one size differ most."""
    height, width = (min(side, SIDE) for side in original.shape[:2])
    errors = np.square(original.astype(float) - decoded).sum(2)
    sums = np.pad(errors, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    parts = [
        picture[top : top + height, left : left + width].repeat(SCALE, 0).repeat(SCALE, 1)
        for picture in (original, decoded)
    ]
    return np.concatenate([parts[0], np.full((SCALE * height, GAP, 3), 255, np.uint8), parts[1]], axis=1)
