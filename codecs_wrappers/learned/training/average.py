"""The committed average of a trunk, from which other machines continue it, and the curve of all its trainings."""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError
from bench.files import write_atomically
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import checkpoint, config
from codecs_wrappers.learned.training.config import TEXTURED, VALIDATION
from codecs_wrappers.learned.training.export import to_bytes
from codecs_wrappers.learned.training.folder import BEST, CHECKPOINT, read_progress
from codecs_wrappers.learned.training.ship import LEARNED
from codecs_wrappers.learned.training.status import read_curve

DROPPED_BITS = 2  # of the 10 bits of mantissa: a sixth of the file for 0.2 % of the loss, which training recovers
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]  # for 16-bit data
START_DIGITS = 8


def commit(name: str, folder: Path | None = None, learned: Path = LEARNED) -> tuple[Path, Path]:
    """Make the best average of the trunk in ``folder`` the committed one; returns its file and its curve.

    weights/averages/NAME.safetensors.xz has the trained tensors in fp16 with 8 bits of mantissa. NAME.yaml next to it
    has the ``curve``, a row for each judgement: ``start`` (first digits of the sha256 of what that training started
    from), ``steps`` and ``pixels`` since the trunk began, on whatever machine, and the losses on the held-out images;
    and in ``others`` the losses of classical codecs on those. A training that started from the committed average
    continues the curve. Raises UsageError if nothing has been judged.
    """
    import yaml

    folder = folder or config.weights_file(name).parent
    best, state = folder / BEST, folder / CHECKPOINT
    if not (best.is_file() and checkpoint.exists(state)):
        raise UsageError(f"committing the average of {name}: {folder} has no {BEST} and {CHECKPOINT}; train it first")
    start = checkpoint.load(state)[0]["started_from"].get("sha256", "")[:START_DIGITS]
    target = learned / "weights" / "averages" / f"{name}.safetensors.xz"
    about = target.with_name(f"{name}.yaml")
    tensors = {key: shortened(tensor) for key, tensor in networks.read_weights(best).items()}
    data = lzma.compress(to_bytes(tensors, networks.read_metadata(best)), format=lzma.FORMAT_XZ, filters=FILTERS)
    others = {
        key: {label: round(loss, 5) for label, loss in losses.items()}
        for key, losses in read_progress(folder)["anchors"].items()
    }
    rows = continued(read(about).get("curve", []), start, folder / "validation.csv")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    write_atomically(
        about, yaml.safe_dump({"others": others, "curve": rows}, sort_keys=False, default_flow_style=None, width=120)
    )
    return target, about


def shortened(tensor: torch.Tensor) -> torch.Tensor:
    """A floating-point tensor as fp16, rounded to 8 bits of mantissa; any other as it is."""
    if not tensor.is_floating_point():
        return tensor
    half = 2 ** (DROPPED_BITS - 1)
    bits = (tensor.half().contiguous().view(torch.int16) + half) & ~(2**DROPPED_BITS - 1)
    return bits.view(torch.float16)


def read(about: Path) -> dict[str, Any]:
    """The ``others`` and the ``curve`` of a committed average; empty without the file."""
    import yaml

    return yaml.safe_load(about.read_text(encoding="utf-8")) if about.is_file() else {}


def continued(before: Sequence[Mapping[str, Any]], start: str, validation: Path) -> list[dict[str, Any]]:
    """``before`` with the judgements in ``validation`` behind it, in place of earlier ones of the same training."""
    kept = [dict(row) for row in before if row["start"] != start]
    steps, pixels = (kept[-1][key] if kept else 0 for key in ("steps", "pixels"))
    best: dict[float, dict[str, float]] = {}
    for row in read_curve(validation):  # the better of two averages
        if row["step"] not in best or row["ratio"] < best[row["step"]]["ratio"]:
            best[row["step"]] = row
    return kept + [
        {
            "start": start,
            "steps": steps + int(row["step"]),
            "pixels": pixels + int(row["pixels"]),
            VALIDATION: round(row["loss"], 5),
            TEXTURED: round(row["textured_loss"], 5),
        }
        for row in best.values()
    ]
