"""The shipped form of a training's best average: fp16 safetensors, and the manifest entry that says what it had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.files import sha256_file, write_atomically
from codecs_wrappers.learned import networks
from codecs_wrappers.learned.training.config import Config
from codecs_wrappers.learned.training.validation import Score


def to_bytes(state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """A state dict as a safetensors file; the metadata as one JSON entry, as the library orders several at random."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return save(tensors, metadata={"about": json.dumps(dict(metadata), sort_keys=True)})


def as_shipped(model: nn.Module) -> nn.Module:
    """``model`` as it will be read back: quantiles of z solved for exactly, trained tensors rounded to fp16.

    Constants stay fp32: a likelihood bound of 1e-9 is zero in fp16.
    """
    model.update(force=True, update_quantiles=True)
    shipped = networks.build({"family": "mean_scale", "N": model.N, "M": model.M}).to(next(model.parameters()).device)
    return networks.load_weights(shipped, {name: tensor.half() for name, tensor in _trained(model).items()}).eval()


def manifest_entry(config: Config, had: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights manifest says of a training: its configuration, and what it ``had`` (steps, device, data)."""
    return {
        "source": "committed",
        "architecture": dict(config.architecture),
        "rate_weight": config.rate_weight,
        "batch": config.batch,
        "crop": config.crop,
        "crops": had["steps_run"] * config.batch,
        "hyperprior_steps": config.hyperprior_steps,
        "lr": config.lr,
        "seed": config.seed,
        "precision": config.precision,
        "torch": str(torch.__version__),
        **had,
    }


def write(model: nn.Module, path: Path, entry: Mapping[str, Any], score: Score) -> dict[str, Any]:
    """Write ``path`` (.safetensors) and the manifest entry beside it (.yaml); returns the entry.

    model: :func:`as_shipped`, whose ``score`` on the validation images this is. entry: :func:`manifest_entry`.
    """
    import yaml

    state = {**model.state_dict(), **{name: tensor.half() for name, tensor in _trained(model).items()}}
    metadata = {key: entry[key] for key in ("architecture", "rate_weight", "steps")}
    write_atomically(path, to_bytes(state, metadata))
    written = {"file": path.name, "sha256": sha256_file(path), "bytes": path.stat().st_size}
    measured = {key: round(value, 5) for key, value in asdict(score).items()}
    entry = {**written, **entry, "validation": {**entry["validation"], **measured}}
    text = yaml.safe_dump({path.stem: entry}, sort_keys=False, allow_unicode=True)
    write_atomically(path.with_suffix(".yaml"), text)
    return entry


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not networks.is_derived(name)}
