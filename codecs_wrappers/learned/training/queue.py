"""The model that trains next: of those that can start, the one furthest behind its share of hours (queue.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.folder import Outcome, read_progress
from codecs_wrappers.learned.training.trainer import train

QUEUE = configs.HERE / "queue.yaml"
SLICE_MINUTES = 30.0  # of training before the next choice


@dataclass(frozen=True)
class Share:
    """A model in the queue. hours: its share; hours_done: trained so far; after: the model whose share comes first."""

    name: str
    hours: float
    hours_done: float
    after: str | None
    finished: bool  # has used up its budget

    @property
    def part(self) -> float:
        return self.hours_done / self.hours


def shares(trained: Path, queue: Path = QUEUE) -> list[Share]:
    """The queue, with the hours of the trainings in the folder ``trained`` so far."""
    import yaml

    found = []
    for entry in yaml.safe_load(queue.read_text(encoding="utf-8")):
        name = entry["name"]
        values = configs.read(name)
        done = (trained / name / f"{name}.safetensors").is_file()
        hours = read_progress(trained / name)["hours"]
        found.append(Share(name, float(entry["hours"]), hours, entry.get("after"), configs.is_finite(values) and done))
    return found


def next_of(queue: Sequence[Share]) -> Share:
    """The model with the smallest part of its share, among those whose predecessor has used up its own.

    A training whose budget is used up counts as finished; trunks never end. Raises UsageError for an empty choice.
    """
    parts = {share.name: share.part for share in queue}
    ready = [s for s in queue if not s.finished and (s.after is None or parts.get(s.after, 1.0) >= 1)]
    if not ready:
        raise UsageError("every training in the queue is finished; name a model, or add one to queue.yaml")
    return min(ready, key=lambda share: share.part)


def train_on(
    data: Sequence[str | Path],
    validation: Sequence[str | Path],
    trained: Path,
    minutes: float | None = None,
    queue: Path = QUEUE,
    say: Callable[[str], None] = print,
    **options: Any,
) -> Outcome:
    """Train model after model, each for SLICE_MINUTES at a time, until stopped (or for about ``minutes``).

    options: as for :func:`trainer.train`. A training that was told to stop before the end of its slice ends this, too.
    """
    import time

    began = time.monotonic()
    while True:
        share = next_of(shares(trained, queue))
        say(f"{share.name}: {share.hours_done:.2f} of its {share.hours:g} hours")
        left = None if minutes is None else minutes - (time.monotonic() - began) / 60
        pause_after = SLICE_MINUTES if left is None else min(SLICE_MINUTES, left)
        slice_began = time.monotonic()
        outcome = train(share.name, data, validation, out=trained / share.name, pause_after=pause_after, **options)
        stopped = outcome.status == "paused" and (time.monotonic() - slice_began) / 60 < pause_after
        over = minutes is not None and (time.monotonic() - began) / 60 >= minutes
        if stopped or over:
            return outcome
