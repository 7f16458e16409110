"""The device networks run on, as a user names it: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

The only parser of these names: the harness, the codecs and the training all use it. It does not import torch, so it
cannot say whether the device exists; :mod:`bench.run.devices` (nvidia-smi) and the codecs' own library (torch) can.
"""

from __future__ import annotations

import os
import re

from bench.errors import UsageError

VARIABLE = "RDBENCH_DEVICE"


def check_device(name: str) -> str:
    """``name`` in lower case. Raises UsageError unless it is auto, cpu, cuda or cuda:N."""
    name = name.strip().lower()
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?", name):
        raise UsageError(
            f"choosing a device: expected auto, cpu, cuda or cuda:N, got {name!r} ({VARIABLE} or --device)"
        )
    return name


def requested_device() -> str:
    """What RDBENCH_DEVICE asks for, which `--device` sets; "auto" if it is empty. Raises UsageError as above."""
    return check_device(os.environ.get(VARIABLE) or "auto")


def gpu_index(name: str) -> int | None:
    """N of "cuda:N", counted among the GPUs that CUDA_VISIBLE_DEVICES leaves; None for every other name."""
    _, _, index = name.partition(":")
    return int(index) if index else None
