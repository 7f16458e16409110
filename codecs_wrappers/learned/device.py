"""Which device the networks run on: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, from $RDBENCH_DEVICE."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    import torch

VARIABLE = "RDBENCH_DEVICE"


def asked() -> str:
    """What the user asked for, "auto" if nothing. Raises UsageError for a name that is no device."""
    return _check(os.environ.get(VARIABLE, "").strip().lower() or "auto")


def resolve(name: str = "auto") -> torch.device:
    """The device called ``name``; "auto" is the first GPU, or the CPU where there is none.

    Raises UsageError if it is not here.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if _check(name) == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= gpus:
        there = f"torch {torch.__version__} sees {gpus} GPUs" if gpus else f"torch {torch.__version__} sees no GPU"
        raise UsageError(f"running on {name}: {there}; ask for cpu or auto ({VARIABLE} or --device)")
    return torch.device("cuda", index)


def _check(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UsageError(
            f"choosing a device: expected auto, cpu, cuda or cuda:N, got {name!r} ({VARIABLE} or --device)"
        )
    return name
