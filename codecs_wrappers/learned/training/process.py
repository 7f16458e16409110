"""A training's process: precision, memory, priority, lock, stop signals."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's mallopt


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's number of threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


def fast_precision(name: str, device: torch.device) -> torch.dtype | None:
    """The dtype of the network's layers for the configuration's ``precision``; None: fp32 (on CUDA possibly TF32)."""
    import torch

    from codecs_wrappers.learned.training.steps.fused import has_bf16

    if name == "auto":
        name = "bf16" if device.type == "cpu" and has_bf16() else "tf32"
    return torch.bfloat16 if name == "bf16" else None


def yield_the_cpu() -> None:
    """Run only when nothing else does: idle priority, and threads that sleep while waiting.

    To be called before torch is imported, since its OpenMP reads the environment once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.nice(19)
    with contextlib.suppress(AttributeError, PermissionError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def keep_freed_memory() -> None:
    """Let malloc keep freed memory, which every step needs again: 6 % faster. No effect without glibc."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_THRESHOLD, 2**31 - 1), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28)):
            mallopt(parameter, value)


@contextlib.contextmanager
def only_trainer(folder: Path, name: str) -> Iterator[None]:
    """Lock ``folder`` for this process. Raises UsageError that names a process already training there."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise UsageError(
                f"training {name}: process {lock.read().strip() or '(unknown)'} is already training in {folder}; "
                "stop it first (SIGTERM pauses it), or give another --out"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        for part in folder.glob(".*.part"):  # left by a process killed while saving, each as large as a checkpoint
            part.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set instead of ending the process; only in the main thread."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
