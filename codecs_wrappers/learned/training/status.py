"""The state of every training: a table, and the curves as SVG."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from codecs_wrappers.learned.training.config import TEXTURED, VALIDATION
from codecs_wrappers.learned.training.folder import read_progress
from codecs_wrappers.learned.training.logs import VALIDATION as VALIDATION_COLUMNS

COLUMNS = ("model", "pixels", "hours", "step", "J validation", "J textured", "checkpoint")


def rows(trained: Path) -> list[dict[str, Any]]:
    """One row for each training in the folder ``trained`` (branches included), by name. Raises UsageError for none.

    J: the loss of the better average at the last judgement, followed by the classical codecs' on the same images.
    """
    found = []
    for path in sorted([*trained.glob("*/validation.csv"), *trained.glob("*/branch/validation.csv")]):
        judged = read_curve(path)
        if not judged:
            continue
        last = min((row for row in judged if row["step"] == judged[-1]["step"]), key=lambda row: row["ratio"])
        about = read_progress(path.parent)
        found.append(
            {
                "model": str(path.parent.relative_to(trained)),
                "pixels": f"{last['pixels']:.3g}",
                "hours": f"{about['hours']:.2f}",
                "step": f"{last['step']:.0f}",
                "J validation": _with_others(last["loss"], about["anchors"].get(VALIDATION, {})),
                "J textured": _with_others(last["textured_loss"], about["anchors"].get(TEXTURED, {})),
                "checkpoint": f"{about['checkpoint_bytes'] / 2**20:.0f} MiB",
            }
        )
    if not found:
        raise UsageError(
            f"found no training in {trained}; start one: rdbench train NAME --data FOLDER --validation FOLDER"
        )
    return found


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a validation.csv; empty cells and missing columns are NaN."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]
    missing = dict.fromkeys(VALIDATION_COLUMNS, math.nan)  # an earlier version's table may lack a column
    return [{**missing, **row} for row in rows]


def _with_others(loss: float, others: dict[str, float]) -> str:
    if loss != loss:
        return "-"
    return " ".join([f"{loss:.4f}", *(f"({label} {value:.3f})" for label, value in others.items())])


def draw(trained: Path, path: Path) -> Path:
    """The loss on both sets against pixels seen, of every training with two judgements or more, as the SVG ``path``."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for csv_path in sorted([*trained.glob("*/validation.csv"), *trained.glob("*/branch/validation.csv")]):
        judged = [row for row in read_curve(csv_path) if row["pixels"] > 0]
        for axis, column, name in zip(axes, ("loss", "textured_loss"), (VALIDATION, TEXTURED), strict=True):
            points = sorted({(row["pixels"], row[column]) for row in judged if row[column] == row[column]})
            if len({pixels for pixels, _ in points}) > 1:
                best = {pixels: min(loss for p, loss in points if p == pixels) for pixels, _ in points}
                axis.plot(list(best), list(best.values()), label=str(csv_path.parent.relative_to(trained)))
            axis.set(
                title=f"{name} images", xlabel="pixels seen", ylabel="J = bpp + rate weight x 255² MSE", xscale="log"
            )
    for axis in axes:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
