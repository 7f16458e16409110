"""The logs of a training: CSV files, TensorBoard events, and lines or a progress bar in the terminal."""

from __future__ import annotations

import contextlib
import csv
import errno
import importlib.util
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import write_atomically

TRAIN = (
    "step",
    "hours",
    "pixels",
    "lr",
    "loss",
    "bpp",
    "psnr_db",
    "aux_loss",
    "gradient_norm",
    "clipped",
    "crops_per_s",
)
VALIDATION = (
    "step",
    "hours",
    "pixels",
    "average",
    "loss",
    "bpp",
    "psnr_rgb_db",
    "textured_loss",
    "textured_bpp",
    "textured_psnr_rgb_db",
    "ratio",
    "train_loss",
    "gap",
    "best",
)


class Logs:
    """Writes train.csv and validation.csv into ``folder`` and events into ``folder``/tensorboard, where installed.

    On resuming at ``step``, rows of later steps (lost since the checkpoint) are dropped.
    """

    def __init__(self, folder: Path, step: int, quiet: bool = False):
        self.folder = folder
        self.quiet = quiet
        self._said = 0.0
        self._bar = None
        for table, columns in (("train", TRAIN), ("validation", VALIDATION)):
            self._cut(folder / f"{table}.csv", columns, step)
        self._events = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        if sys.stderr.isatty() and not quiet:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            parts = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Progress(*parts, refresh_per_second=2)
            self._bar.start()
            self._task = self._bar.add_task("training", total=1.0)

    @staticmethod
    def _cut(path: Path, columns: tuple[str, ...], step: int) -> None:
        rows = []
        if path.is_file() and step:
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if _number(row["step"]) <= step]
        # An earlier version's table may lack a column.
        lines = [",".join(columns), *(",".join(row.get(column) or "" for column in columns) for row in rows)]
        write_atomically(path, "\n".join(lines) + "\n")

    def row(self, table: str, values: Mapping[str, Any]) -> None:
        """One row of ``table`` ("train" or "validation"), in CSV and as TensorBoard scalars; NaN is an empty cell."""
        columns = TRAIN if table == "train" else VALIDATION
        cells = ["" if math.isnan(values[c]) else f"{values[c]:.7g}" for c in columns[1:]]
        path = self.folder / f"{table}.csv"
        try:
            _append(path, ",".join([f"{int(values['step'])}", *cells]) + "\n")
            if self._events:
                for column in columns[2:]:
                    if not math.isnan(values[column]):
                        self._events.add_scalar(f"{table}/{column}", values[column], int(values["step"]))
        except OSError as error:  # a full disk loses a row, not the training
            self.say(f"{path}: {error.strerror}; a row of the curve is lost; the training continues")

    def progress(self, fraction: float | None, text: str) -> None:
        """Show ``fraction`` (None: no end) in the bar; without a terminal, at most one line per minute."""
        if self._bar:
            total = None if fraction is None else 1.0
            self._bar.update(self._task, total=total, completed=min(fraction or 0.0, 1.0), description=text)
        elif time.monotonic() - self._said > 60:
            self._said = time.monotonic()
            self.say(text if fraction is None else f"{100 * fraction:5.1f} %  {text}")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._bar:
            self._bar.console.print(text, highlight=False)
        elif not self.quiet:
            print(text, flush=True)

    def close(self) -> None:
        if self._events:
            with contextlib.suppress(OSError):  # a full disk
                self._events.close()
        if self._bar:
            self._bar.stop()


def _append(path: Path, line: str) -> None:
    """Append ``line`` to the file, completely or not at all."""
    with open(path, "ab", buffering=0) as file:
        end = file.tell()
        if file.write(line.encode()) < len(line.encode()):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _number(text: str | None) -> float:
    """The number, or infinity for the content of a truncated row."""
    try:
        return float(text or "inf")
    except ValueError:
        return math.inf
