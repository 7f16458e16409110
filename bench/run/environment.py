"""The environment of a run: CPU, system, package versions, state of the source, threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from bench.run.client import ROOT


@lru_cache(maxsize=1)
def device_name() -> str:
    """The CPU's name and core count, as the system reports them."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: keep the platform module's answer
    return f"{name} ({os.cpu_count()} cores)"


def environment() -> dict[str, Any]:
    """A JSON-ready description of this machine and this installation, without importing torch."""
    packages = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": device_name(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": output_lines("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"),
        "git_commit": next(iter(output_lines("git", "rev-parse", "HEAD")), None),
        "git_dirty": bool(output_lines("git", "status", "--porcelain", "--untracked-files=no")),
        "threads": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "NUMBA_NUM_THREADS")},
        "packages": dict(sorted(packages.items())),
    }


def output_lines(*command: str) -> list[str]:
    """The lines a command prints; empty if the command is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
