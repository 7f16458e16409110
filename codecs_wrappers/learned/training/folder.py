"""The files in a training's folder, the result of the trainer, and what a branch starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecs_wrappers.learned.training.config import Config
from codecs_wrappers.learned.training.judging.validation import Score

BEST, CHECKPOINT, PROGRESS = "best.safetensors", "checkpoint.pt", "progress.json"


@dataclass(frozen=True)
class Outcome:
    """How a call of :func:`trainer.train` ended. status: "finished", or "paused" (the same call resumes it)."""

    status: str
    step: int
    start: Score  # before the first step, on the validation images
    best: Score
    folder: Path
    weights: Path | None  # the exported safetensors; None while paused
    crops_per_s: float  # not counting judging and saving


@dataclass(frozen=True)
class Trunk:
    """The training that a branch starts from: its configuration, and its checkpoint as read."""

    config: Config
    state: Mapping[str, Any]
    path: Path


def read_progress(folder: Path) -> dict[str, Any]:
    """step, pixels, hours, checkpoint_bytes and anchors of the training in ``folder``; zeros if it has not started."""
    try:
        return json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"step": 0, "pixels": 0, "hours": 0.0, "checkpoint_bytes": 0, "anchors": {}}
