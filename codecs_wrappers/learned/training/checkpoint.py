"""Checkpoints that are whole or absent, and hold all a resumed training needs to go on bit for bit (on the CPU)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError
from bench.files import write_atomically

FORMAT = 1


def random_state(crops: torch.Generator) -> dict[str, Any]:
    """The state of every source of chance: the crops, the noise on the CPU, the noise on each GPU."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"crops": crops.get_state(), "cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any], crops: torch.Generator) -> None:
    """Put back what :func:`random_state` took. A GPU's state needs as many GPUs as there were."""
    crops.set_state(state["crops"])
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def save(path: str | Path, state: dict[str, Any]) -> None:
    """``state`` (tensors, numbers, strings, lists and dicts of them) in one file, atomically."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write_atomically(path, buffer.getbuffer())


def load(path: str | Path) -> dict[str, Any]:
    """What :func:`save` wrote, on the CPU; nothing in it is executed. Raises UsageError if it is no checkpoint."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each way a file can be wrong
        raise UsageError(
            f"cannot resume: {path} is not a whole checkpoint ({error}); delete it to start afresh"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UsageError(f"cannot resume: {path} is not a checkpoint of format {FORMAT}; delete it to start afresh")
    return state
