"""The torch device behind a name such as ``cuda:1`` (bench/device.py says which names there are)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.device import VARIABLE, check_device, gpu_index
from bench.errors import UsageError

if TYPE_CHECKING:
    import torch


def resolve(name: str = "auto") -> torch.device:
    """The device called ``name``. "auto" is torch's current GPU, or the CPU where there is none; "cuda" insists on it.

    Raises UsageError for another name, and for a GPU that torch does not see.
    """
    import torch

    name = check_device(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    index = gpu_index(name)
    if index is None:
        index = torch.cuda.current_device() if gpus else 0
    if index >= gpus:
        there = f"torch {torch.__version__} sees {gpus or 'no'} GPU{'' if gpus == 1 else 's'}"
        raise UsageError(f"running on {name}: {there}; ask for cpu or auto ({VARIABLE} or --device)")
    return torch.device("cuda", index)
