"""A training's first weights: from another model, a file, the linear start, or the default initialisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.files import sha256_file
from codecs_wrappers.learned import networks
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data import to_float
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.linear_start import linear_start

COMMITTED = Path(__file__).parents[1] / "weights"
BATCHES = 8  # of crops for the principal components


def first_weights(learner: Learner, out: Path) -> dict[str, Any]:
    """Give the learner its first weights, from the first entry of ``start_from`` that there is; facts about them.

    "model:NAME" looks for NAME.safetensors beside ``out`` (as trained here), then among the committed weights, and
    rescales the latent to the step that suits the new rate weight. "file:PATH" is relative to the working folder; the
    rate weight is taken from its metadata, if that says one.
    """
    config = learner.config
    for source in config.start_from:
        kind, _, value = source.partition(":")
        if kind == "default":
            return {"from": "default initialisation"}
        if kind == "linear":
            crops = [to_float(learner.crops.batch(config.batch)).cpu() for _ in range(BATCHES)]
            linear_start(learner.model, crops, config.rate_weight)
            return {"from": "linear start"}
        if kind == "model":
            beside = out.parent / value / f"{value}.safetensors"
            path = next((p for p in (beside, COMMITTED / f"{value}.safetensors") if p.is_file()), None)
            trained_for = configs.load(value).rate_weight
        elif kind == "file":
            path = Path(value) if Path(value).is_file() else None
            trained_for = None
        else:
            raise UsageError(f"{config.name}: start_from {source!r} is none of linear, default, model:NAME, file:PATH")
        if path:
            return _from_file(learner, path, trained_for)
    raise UsageError(f"{config.name}: none of start_from is there: {', '.join(config.start_from)}; add 'linear'")


def _from_file(learner: Learner, path: Path, trained_for: float | None) -> dict[str, Any]:
    networks.load_weights(learner.model, networks.read_weights(path), str(path))
    metadata = networks.read_metadata(path)
    trained_for = trained_for or float(
        metadata.get("rate_weight", metadata.get("lambda_c", learner.config.rate_weight))
    )
    factor = networks.latent_step(trained_for) / networks.latent_step(learner.config.rate_weight)
    if abs(factor - 1) > 0.01:
        networks.rescale_latent(learner.model, factor)
    facts = {"from": path.name, "sha256": sha256_file(path), "rate_weight": trained_for}
    return {**facts, "steps": int(metadata.get("steps", metadata.get("steps_joint", 0)))}
