"""A training's result: its best average as safetensors, and its manifest entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.files import sha256_file, write_atomically
from codecs_wrappers.learned.training.config import Config
from codecs_wrappers.learned.training.judging.validation import Score


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """Tensors as a safetensors file; the metadata is one JSON entry, as the library shuffles several."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(tensors, metadata={"about": json.dumps(dict(metadata), sort_keys=True)})


def manifest_entry(config: Config, described: Mapping[str, Any], training_facts: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest entry of a training: the model, its configuration, and ``training_facts`` (steps, data, hours)."""
    settings = {key: getattr(config, key) for key in ("batch", "crop", "lr", "optimiser", "seed", "precision")}
    return {
        "source": "committed",
        "scheme": config.scheme,
        **described,
        "crops": training_facts["pixels"] // config.crop**2,
        **settings,
        "torch": str(torch.__version__),
        **training_facts,
    }


def write(
    tensors: Mapping[str, Tensor],
    path: Path,
    entry: Mapping[str, Any],
    scores: Mapping[str, Score],
    anchors: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Write ``path`` (.safetensors) and its manifest entry next to it (.yaml); returns the entry.

    tensors: of the shipped model; scores: its own, by held-out set; anchors: the losses of classical codecs on the same
    sets, by label. entry: from :func:`manifest_entry`.
    """
    import yaml

    metadata = {key: entry[key] for key in ("scheme", "architecture", "rate_weight", "steps") if key in entry}
    write_atomically(path, to_bytes(tensors, metadata))
    written = {"file": path.name, "sha256": sha256_file(path), "bytes": path.stat().st_size}
    measured = {name: _rounded(asdict(score)) for name, score in scores.items()}
    for name, others in anchors.items():
        measured[name]["others"] = {label: round(loss, 4) for label, loss in others.items()}
    measured["validation"] = {**entry["validation"], **measured["validation"]}
    entry = {**written, **entry, **measured}
    text = yaml.safe_dump({path.stem: entry}, sort_keys=False, allow_unicode=True)
    write_atomically(path.with_suffix(".yaml"), text)
    return entry


def _rounded(score: Mapping[str, Any]) -> dict[str, Any]:
    points = [{key: round(value, 5) for key, value in point.items()} for point in score["points"]]
    means = {key: round(value, 5) for key, value in score.items() if key != "points"}
    return {**means, "points": points} if points else means
