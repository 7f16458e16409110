"""The function behind `rdbench train`: it locks the folder, chooses the device, and runs one training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError
from codecs_wrappers.learned.device import resolve
from codecs_wrappers.learned.training.config import load, weights_file
from codecs_wrappers.learned.training.folder import Outcome, Trunk
from codecs_wrappers.learned.training.judging.validation import tf32
from codecs_wrappers.learned.training.process import keep_freed_memory, only_trainer, stop_signals
from codecs_wrappers.learned.training.session import Training


def train(
    name: str,
    data: Sequence[str | Path],
    validation: Sequence[str | Path],
    device: str = "auto",
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    pause_after: float | None = None,
    quiet: bool = False,
    compare: bool = False,
    trunk: Trunk | None = None,
    **overrides: Any,
) -> Outcome:
    """Train the model ``name`` of ``models/``; with a budget, export the best average of its weights at the end.

    data, validation: folders of images. The budget is ``steps``, or ``minutes`` of wall-clock time over all calls of
    one training; the learning rate's decay ends with it. Without one (and none in the configuration) the training is a
    trunk: it continues until SIGTERM, Ctrl-C or ``pause_after`` minutes, then saves, and the same call resumes. ``out``
    (default results/training/NAME) receives checkpoint.pt, best.safetensors, progress.json, train.csv, validation.csv,
    tensorboard/ and at the end of a budget NAME.safetensors with its manifest entry NAME.yaml. compare: log the
    classical codecs' loss on the held-out images too. trunk: what a new training starts from (see ``branch.py``).
    overrides: any field of the Config of the model's scheme (batch, crop, lr, ...).

    Raises UsageError for wrong names, folders, values, or a folder in which another process is training; RdbenchError
    if the loss stops being a number or a checkpoint cannot be saved.
    """
    config = load(name, steps=steps, **overrides)
    if minutes is not None and not minutes > 0:
        raise UsageError(f"training {name}: expected a budget above 0 minutes, got {minutes}")
    if pause_after is not None and not pause_after >= 0:
        raise UsageError(f"training {name}: expected a pause after 0 minutes or more, got {pause_after}")
    target = resolve(device)
    keep_freed_memory()
    torch.backends.cudnn.benchmark = True
    folder = Path(out) if out else weights_file(config.name).parent
    with (
        only_trainer(folder, config.name),
        torch.random.fork_rng(devices=[target] if target.type == "cuda" else []),
        tf32(config.precision != "fp32"),
    ):
        torch.manual_seed(config.seed)
        training = Training(config, data, validation, target, folder, minutes, trunk)
        with stop_signals() as stop_asked:
            return training.run(resume, pause_after, quiet, stop_asked, compare)
