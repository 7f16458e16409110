"""Branches: training on from a trunk with a decaying learning rate, at the trunk's rate weight or another.

A trunk's learning rate never decays. A branch copies its last checkpoint, continues training with a budget, decays, and
exports weights that are ready to ship; the trunk is unchanged. A branch to another rate weight starts from the trunk's
average with the latent rescaled, in the widths of the model with that rate weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from codecs_wrappers.learned.training import checkpoint
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.folder import CHECKPOINT, Outcome, Trunk
from codecs_wrappers.learned.training.trainer import train


def train_branch(
    name: str,
    data: Sequence[str | Path],
    validation: Sequence[str | Path],
    steps: int | None = None,
    minutes: float | None = None,
    rate_weight: float | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> Outcome:
    """Branch off the trunk ``name`` for ``steps`` or ``minutes``; its checkpoint is in ``out``, as for :func:`train`.

    rate_weight: of the model to branch to, by default the trunk's own. The export is in the folder ``branch`` of that
    model. An interrupted branch continues; a finished one starts again from the trunk as it is now. options: as for
    :func:`trainer.train`. Raises UsageError if there is no trunk, or no model of that rate weight.
    """
    stem = configs.read(name)["name"]  # also for the path of a yaml file
    trunk_folder = Path(out) if out else configs.weights_file(stem).parent
    path = trunk_folder / CHECKPOINT
    if not checkpoint.exists(path):
        raise UsageError(
            f"branching off {name}: its checkpoint {path} is missing; train the trunk first: rdbench train {name}"
        )
    if steps is None and minutes is None:
        raise UsageError(f"branching off {name}: a branch needs a budget, in minutes or steps")
    config = configs.load(name)
    target = name if rate_weight is None else model_of(config, rate_weight)
    state, read = checkpoint.load(path)
    folder = (trunk_folder if target == name else trunk_folder.parent / configs.read(target)["name"]) / configs.BRANCH
    stem = configs.read(target)["name"]
    begun, finished = checkpoint.exists(folder / CHECKPOINT), (folder / f"{stem}.safetensors").is_file()
    resume = options.pop("resume", True) and begun and not finished
    if target == name:
        options.setdefault("decay_from", 0.0)  # the trunk was the part at a constant rate
    if finished and not resume:
        (
            folder / f"{stem}.safetensors"
        ).unlink()  # so that the old export is not taken for that of an interrupted branch
    trunk = Trunk(config, state, read)
    return train(
        target, data, validation, steps=steps, minutes=minutes, out=folder, resume=resume, trunk=trunk, **options
    )


def model_of(trunk: configs.Config, rate_weight: float) -> str:
    """The model of ``models/`` with the trunk's scheme and distortion and this rate weight.

    Raises UsageError that lists the available rate weights.
    """
    found: dict[float, str] = {}
    for name in configs.names():
        values = configs.read(name)
        same = values.get("scheme", "mean_scale") == trunk.scheme
        if same and values.get("distortion", "mse") == getattr(trunk, "distortion", "mse") and "rate_weight" in values:
            found.setdefault(float(values["rate_weight"]), name)
    for weight, name in found.items():
        if math.isclose(weight, rate_weight, rel_tol=0.01):
            return name
    raise UsageError(
        f"branching off {trunk.name}: no model of the scheme {trunk.scheme} has the rate weight {rate_weight:g}; there "
        f"are {', '.join(f'{weight:g}' for weight in sorted(found))}. Write its file in {configs.HERE / 'models'} first"
    )
