"""Where networks run: on the CPU, or on a GPU that no other job on this machine is using.

`--device`, the configuration's ``device``, or RDBENCH_DEVICE names the device (:mod:`bench.device`). The harness
chooses one for each job whose codec has weights, and passes it to both worker processes in RDBENCH_DEVICE and
CUDA_VISIBLE_DEVICES. GPUs are listed by nvidia-smi, limited by CUDA_VISIBLE_DEVICES as usual, and shared out through
lock files in the cache folder.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.device import VARIABLE, gpu_index, requested_device
from bench.errors import UsageError
from bench.files import cache_dir
from bench.progress import say
from bench.run.environment import output_lines

POLL_S = 0.5


@dataclass(frozen=True)
class Device:
    """The CPU, or one GPU. name: "cpu", or the GPU's name as nvidia-smi gives it; uuid: empty for the CPU."""

    name: str = "cpu"
    uuid: str = ""

    def environment(self) -> dict[str, str]:
        """The variables that make a process run there and hide every other GPU from it."""
        return {VARIABLE: "cuda" if self.uuid else "cpu", "CUDA_VISIBLE_DEVICES": self.uuid}


CPU = Device()


def gpus() -> list[Device]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES allows, in its order; none without nvidia-smi."""
    lines = output_lines("nvidia-smi", "--query-gpu=uuid,name", "--format=csv,noheader")
    present = [Device(name.strip(), uuid.strip()) for uuid, _, name in (line.partition(",") for line in lines)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return present if visible is None else list(_visible(present, visible))


def _visible(present: list[Device], visible: str) -> Iterator[Device]:
    """The entries of CUDA_VISIBLE_DEVICES up to the first invalid one, as CUDA reads them."""
    for entry in filter(None, (entry.strip() for entry in visible.split(","))):
        if entry.isdigit():
            found = present[int(entry) : int(entry) + 1]
        elif entry.startswith("MIG-"):  # a slice of a GPU, which nvidia-smi does not list here
            found = [Device(entry, entry)] if present else []
        else:
            found = [gpu for gpu in present if gpu.uuid.startswith(entry)]
        if len(found) != 1:
            return
        yield found[0]


def usable_gpus() -> list[Device]:
    """The GPUs that the installed torch can use, found without importing it."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or not (Path(torch.origin).parent / "lib" / "libtorch_cuda.so").exists():
        return []
    return gpus()


def gpus_for(choice: str) -> list[Device]:
    """The GPUs that a device's name (:mod:`bench.device`) allows: none for "cpu", for "auto" those torch can use."""
    if choice == "cpu":
        return []
    if choice == "auto":
        return usable_gpus()
    index = gpu_index(choice)
    return gpus() if index is None else gpus()[index : index + 1]


@contextmanager
def acquire_device(has_weights: bool) -> Iterator[Device]:
    """The device for one job: the CPU, or a GPU reserved for the caller until the block ends.

    A codec without weights gets the CPU, and so does ``auto`` where torch cannot use a GPU. Waits while all GPUs are
    taken. Raises UsageError if ``cuda`` is requested and there is no GPU.
    """
    choice = requested_device() if has_weights else "cpu"
    there = gpus_for(choice)
    if not there:
        if choice.startswith("cuda"):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            which = "" if visible is None else f" that CUDA_VISIBLE_DEVICES={visible!r} leaves"
            index = gpu_index(choice)
            what = "GPU" if index is None else f"GPU {index}"
            raise UsageError(f"device {choice} was asked for, but nvidia-smi lists no {what}{which}; use cpu or auto")
        yield CPU
        return
    with lock_gpu(there) as gpu:
        yield gpu


@contextmanager
def lock_gpu(there: list[Device]) -> Iterator[Device]:
    """One of these GPUs, reserved for the caller until the block ends; waits while other jobs hold all of them."""
    folder = cache_dir() / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"{gpu.uuid}.lock") for gpu in there]  # released with the process at the latest
    waiting = False
    while True:
        for gpu, lock in zip(there, locks, strict=True):
            try:
                held = lock.acquire(blocking=False)
            except Timeout:
                continue
            with held:
                yield gpu
            return
        if not waiting:
            say(f"waiting for a GPU: other jobs are using {', '.join(gpu.name for gpu in there)}")
            waiting = True
        time.sleep(POLL_S)
