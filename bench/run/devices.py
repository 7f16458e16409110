"""Where networks run: on the processor, or on a GPU that no other job of this machine has at the time.

`--device`, the configuration's ``device``, or RDBENCH_DEVICE says ``auto``, ``cpu`` or ``cuda``. The harness settles it
for each job whose codec has weights, and tells both worker processes by RDBENCH_DEVICE and CUDA_VISIBLE_DEVICES. GPUs
are found by nvidia-smi and lent by file locks in the cache folder; CUDA_VISIBLE_DEVICES limits the choice, as ever.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.errors import UsageError
from bench.files import cache_dir
from bench.progress import say
from bench.run.environment import output_lines

CHOICES = ("auto", "cpu", "cuda")
POLL_S = 0.5


@dataclass(frozen=True)
class Device:
    """The processor, or one GPU. name: "cpu", or the GPU's as nvidia-smi tells it; uuid: empty for the processor."""

    name: str = "cpu"
    uuid: str = ""

    def environment(self) -> dict[str, str]:
        """What tells a process to run there, and hides every other GPU from it."""
        return {"RDBENCH_DEVICE": "cuda" if self.uuid else "cpu", "CUDA_VISIBLE_DEVICES": self.uuid}


CPU = Device()


def requested() -> str:
    """The device asked for: RDBENCH_DEVICE, which `--device` sets, or "auto". Raises UsageError for what it is not."""
    choice = os.environ.get("RDBENCH_DEVICE") or "auto"
    if choice not in CHOICES:
        raise UsageError(
            f"RDBENCH_DEVICE is {choice!r}; expected one of {', '.join(CHOICES)} (CUDA_VISIBLE_DEVICES picks a GPU)"
        )
    return choice


def gpus() -> list[Device]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES leaves, in its order; none where there is no nvidia-smi."""
    lines = output_lines("nvidia-smi", "--query-gpu=uuid,name", "--format=csv,noheader")
    present = [Device(name.strip(), uuid.strip()) for uuid, _, name in (line.partition(",") for line in lines)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return present if visible is None else list(_visible(present, visible))


def _visible(present: list[Device], visible: str) -> Iterator[Device]:
    """The entries of CUDA_VISIBLE_DEVICES up to the first that is none, as CUDA reads it."""
    for entry in filter(None, (entry.strip() for entry in visible.split(","))):
        if entry.isdigit():
            found = present[int(entry) : int(entry) + 1]
        elif entry.startswith("MIG-"):  # a slice of a GPU, which nvidia-smi lists elsewhere
            found = [Device(entry, entry)] if present else []
        else:
            found = [gpu for gpu in present if gpu.uuid.startswith(entry)]
        if len(found) != 1:
            return
        yield found[0]


def usable_gpus() -> list[Device]:
    """The GPUs that the installed torch was built to use; torch is not imported for it."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or not (Path(torch.origin).parent / "lib" / "libtorch_cuda.so").exists():
        return []
    return gpus()


@contextmanager
def lent(has_weights: bool) -> Iterator[Device]:
    """The device for one job: the processor, or a GPU that is the caller's alone until the block ends.

    A codec without weights gets the processor; so does ``auto`` where torch can use no GPU. Waits for a GPU while all
    are lent. Raises UsageError where ``cuda`` is asked for and there is none.
    """
    choice = requested() if has_weights else "cpu"
    there = {"auto": usable_gpus, "cpu": list, "cuda": gpus}[choice]()
    if not there:
        if choice == "cuda":
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            which = "" if visible is None else f" of CUDA_VISIBLE_DEVICES={visible!r}"
            raise UsageError(f"device cuda was asked for, and nvidia-smi lists no GPU{which}; use --device cpu or auto")
        yield CPU
        return
    with held(there) as gpu:
        yield gpu


@contextmanager
def held(there: list[Device]) -> Iterator[Device]:
    """One of these GPUs, the caller's alone until the block ends; waits while other jobs have them all."""
    waiting = False
    while True:
        for gpu in there:
            lock = _lock(gpu)
            if lock is None:
                continue
            with lock:
                yield gpu
            return
        if not waiting:
            say(f"waiting for a GPU: other jobs have {', '.join(gpu.name for gpu in there)}")
            waiting = True
        time.sleep(POLL_S)


def _lock(gpu: Device) -> IO[str] | None:
    """The open file whose lock stands for ``gpu``, or None while another process holds it. Ends with the process."""
    path = cache_dir() / "devices" / f"{gpu.uuid}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
