"""The committed average of a trunk, from which other machines continue it, and the curve of all its trainings."""

from __future__ import annotations

import csv
import io
import lzma
from pathlib import Path

import torch

from bench.errors import UsageError
from bench.files import write_atomically
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import checkpoint, config
from codecs_wrappers.learned.training.export import to_bytes
from codecs_wrappers.learned.training.folder import BEST, CHECKPOINT
from codecs_wrappers.learned.training.ship import LEARNED
from codecs_wrappers.learned.training.status import read_curve

COLUMNS = ("start", "steps", "pixels", "validation_loss", "textured_loss")
DROPPED_BITS = 2  # of the 10 bits of mantissa: a sixth of the file for 0.2 % of the loss, which training recovers
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]  # for 16-bit data
START_DIGITS = 8


def commit(name: str, folder: Path | None = None, learned: Path = LEARNED) -> tuple[Path, Path]:
    """Make the best average of the trunk in ``folder`` the committed one; returns its file and its curve.

    weights/averages/NAME.safetensors.xz has the trained tensors in fp16 with 8 bits of mantissa; NAME.csv next to it
    has a row for each judgement, with steps and pixels counted since the trunk began, on whatever machine: a training
    that started from the committed average goes on after its last row. Raises UsageError if nothing has been judged.
    """
    folder = folder or config.weights_file(name).parent
    best, state = folder / BEST, folder / CHECKPOINT
    if not (best.is_file() and checkpoint.exists(state)):
        raise UsageError(f"committing the average of {name}: {folder} has no {BEST} and {CHECKPOINT}; train it first")
    start = checkpoint.load(state)[0]["started_from"].get("sha256", "")[:START_DIGITS]
    target = learned / "weights" / "averages" / f"{name}.safetensors.xz"
    curve = target.with_name(f"{name}.csv")
    tensors = {key: shortened(tensor) for key, tensor in networks.read_weights(best).items()}
    data = lzma.compress(to_bytes(tensors, networks.read_metadata(best)), format=lzma.FORMAT_XZ, filters=FILTERS)
    rows = continued(read(curve), start, folder / "validation.csv")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(curve, text.getvalue())
    return target, curve


def shortened(tensor: torch.Tensor) -> torch.Tensor:
    """A floating-point tensor as fp16, rounded to 8 bits of mantissa; any other as it is."""
    if not tensor.is_floating_point():
        return tensor
    half = 2 ** (DROPPED_BITS - 1)
    bits = (tensor.half().contiguous().view(torch.int16) + half) & ~(2**DROPPED_BITS - 1)
    return bits.view(torch.float16)


def read(curve: Path) -> list[dict[str, str]]:
    """The rows of a committed curve, COLUMNS as text; none without the file."""
    if not curve.is_file():
        return []
    with open(curve, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def continued(before: list[dict[str, str]], start: str, validation: Path) -> list[dict[str, str]]:
    """``before`` with the judgements in ``validation`` behind it, in place of earlier ones of the same training."""
    kept = [row for row in before if row["start"] != start]
    steps, pixels = (int(kept[-1][key]) if kept else 0 for key in ("steps", "pixels"))
    best: dict[float, dict[str, float]] = {}
    for row in read_curve(validation):  # the better of two averages
        if row["step"] not in best or row["ratio"] < best[row["step"]]["ratio"]:
            best[row["step"]] = row
    return kept + [
        {
            "start": start,
            "steps": str(steps + int(row["step"])),
            "pixels": str(pixels + int(row["pixels"])),
            "validation_loss": f"{row['loss']:.5f}",
            "textured_loss": f"{row['textured_loss']:.5f}",
        }
        for row in best.values()
    ]
