"""The committed average of a trunk, from which other machines continue it, and the curve of all its trainings."""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from bench.errors import UsageError
from bench.files import write_atomically
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import checkpoint, config
from codecs_wrappers.learned.training.config import TEXTURED, VALIDATION
from codecs_wrappers.learned.training.data import crops
from codecs_wrappers.learned.training.export import to_bytes
from codecs_wrappers.learned.training.folder import BEST, CHECKPOINT, read_progress
from codecs_wrappers.learned.training.judging import validation
from codecs_wrappers.learned.training.ship import LEARNED
from codecs_wrappers.learned.training.status import read_curve

DROPPED_BITS = 2  # of the 10 bits of mantissa: a sixth of the file for 0.2 % of the loss, which training recovers
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]  # for 16-bit data
DIGITS = 8  # of a hash
VALIDATION_FILE = "validation.csv"


def commit(
    name: str, folder: Path | None = None, learned: Path = LEARNED, measure: Path | None = None
) -> tuple[Path, Path]:
    """Make the best average of the trunk in ``folder``, or of its branch, the committed one; returns file and curve.

    weights/averages/NAME.safetensors.xz has the trained tensors in fp16 with 8 bits of mantissa. NAME.yaml next to it
    has the ``curve``, a row for each judgement: ``start`` (first digits of the sha256 of what that training started
    from), ``steps`` and ``pixels`` since the trunk began, on whatever machine, and the losses on the held-out images
    (``decayed``: the end of a branch); and in ``others`` the losses of classical codecs on those. A training that
    started from the committed average continues the curve. ``measure``: a folder of test images, on which the committed
    file's loss is ``measured``. Raises UsageError if nothing has been judged.
    """
    folder = folder or config.weights_file(name).parent
    best, saved = folder / BEST, folder / CHECKPOINT
    if not (best.is_file() and checkpoint.exists(saved)):
        raise UsageError(f"committing the average of {name}: {folder} has no {BEST} and {CHECKPOINT}; train it first")
    is_branch = folder.name == config.BRANCH
    trunk = folder.parent if is_branch else folder
    start = checkpoint.load(trunk / CHECKPOINT)[0]["started_from"].get("sha256", "")[:DIGITS]
    target = learned / "weights" / "averages" / f"{name}.safetensors.xz"
    about = target.with_name(f"{name}.yaml")
    tensors = {key: shortened(tensor) for key, tensor in networks.read_weights(best).items()}
    data = lzma.compress(to_bytes(tensors, networks.read_metadata(best)), format=lzma.FORMAT_XZ, filters=FILTERS)
    anchors = read_progress(folder)["anchors"]
    facts = read(about)
    facts["others"] = {key: {label: round(loss, 5) for label, loss in anchors[key].items()} for key in sorted(anchors)}
    before = [row for row in facts.pop("curve", []) if row["start"] != start]
    rows = judged(before, start, trunk / VALIDATION_FILE)
    if is_branch:
        branched_at = checkpoint.load(saved)[0]["started_from"]["branched_at"]
        kept = [row for row in rows if row["steps"] - (before[-1]["steps"] if before else 0) <= branched_at]
        rows = [*kept, {**judged(before, start, folder / VALIDATION_FILE)[-1], "decayed": True}]
    facts["curve"] = [*before, *rows]
    if measure:
        steps, earlier = rows[-1]["steps"], facts.get("measured", [])
        facts["measured"] = [row for row in earlier if row["steps"] != steps]
        facts["measured"].append({"steps": steps, **loss_on(name, tensors, measure)})
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    write_atomically(about, yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=200))
    return target, about


def loss_on(name: str, tensors: Mapping[str, torch.Tensor], folder: Path) -> dict[str, Any]:
    """What a network of the model ``name`` gives on the images in ``folder``: their number, loss, bpp, psnr_rgb_db."""
    settings: Any = config.load(name)
    files = crops.image_files([folder])
    model = networks.load_weights(networks.build(settings.architecture), tensors)
    score = validation.score(model, crops.read_images(files), settings.rate_weight)
    values = {key: round(getattr(score, key), 5) for key in ("loss", "bpp", "psnr_rgb_db")}
    return {"images": folder.name, "count": len(files), **values}


def shortened(tensor: torch.Tensor) -> torch.Tensor:
    """A floating-point tensor as fp16, rounded to 8 bits of mantissa; any other as it is."""
    if not tensor.is_floating_point():
        return tensor
    half = 2 ** (DROPPED_BITS - 1)
    bits = (tensor.half().contiguous().view(torch.int16) + half) & ~(2**DROPPED_BITS - 1)
    return bits.view(torch.float16)


def read(about: Path) -> dict[str, Any]:
    """The ``others``, ``curve`` and ``measured`` of a committed average; empty without the file."""
    return yaml.safe_load(about.read_text(encoding="utf-8")) if about.is_file() else {}


def judged(before: Sequence[Mapping[str, Any]], start: str, judgements: Path) -> list[dict[str, Any]]:
    """A row for each of the ``judgements`` (a validation.csv), by the better average, counted on from ``before``."""
    steps, pixels = (before[-1][key] if before else 0 for key in ("steps", "pixels"))
    best: dict[float, dict[str, float]] = {}
    for row in read_curve(judgements):
        if row["step"] not in best or row["ratio"] < best[row["step"]]["ratio"]:
            best[row["step"]] = row
    return [
        {
            "start": start,
            "steps": steps + int(row["step"]),
            "pixels": pixels + int(row["pixels"]),
            VALIDATION: round(row["loss"], 5),
            TEXTURED: round(row["textured_loss"], 5),
        }
        for row in best.values()
    ]
