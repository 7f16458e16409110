"""The ablation of the trainer's starts: validation loss against CPU time, one CSV per start, one plot.

``python -m codecs_wrappers.learned.training.ablation.starts run START --data FOLDER ... --validation FOLDER ...``
trains one of STARTS; ``... plot`` draws every CSV there is as starts.svg. ABLATION.md says what came out.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

from bench.files import write_atomically

HERE = Path(__file__).parent
MODEL = "mean_scale_0.0154"
SAME: dict[str, Any] = {"batch": 4, "crop": 256, "precision": "bf16", "validation_images": 5, "ema_decay": 0.98}
SAME |= {"lr": 1e-4, "warm_up_steps": 50, "optimiser": "adam", "steep_lr": 0.1, "decay_from": 0.4}
STAGED: dict[str, Any] = {"start_from": ("linear",), "hyperprior_steps": 1000}
STARTS: dict[str, dict[str, Any]] = {
    "default": {"start_from": ("default",)},
    "default_soap": {"start_from": ("default",), "optimiser": "soap", "lr": 1e-3, "steep_lr": 1.0},
    "linear": {"start_from": ("linear",)},
    "linear_soap": {"start_from": ("linear",), "optimiser": "soap", "normalise": True, "steep_lr": 1.0},
    "staged": STAGED,
    "staged_noise": {**STAGED, "quantisation": "noise"},
}
FIELDS = ("cpu_minutes", "step", "loss", "bpp", "psnr_rgb_db")


def run(start: str, data: list[str], validation: list[str], cpu_minutes: float, judgements: int = 8) -> Path:
    """Train ``start`` for so many minutes of one thread's CPU time (validation apart); the path of its CSV.

    The learning rate decays with the budget as in the trainer. CPU time, because other work may share the machine.
    """
    import torch

    from codecs_wrappers.learned.training import config as configs
    from codecs_wrappers.learned.training.data import image_files, read_images
    from codecs_wrappers.learned.training.schemes.mean_scale import MeanScaleLearner

    torch.set_num_threads(1)
    config = configs.load(MODEL, **{**SAME, **STARTS[start]})
    torch.manual_seed(config.seed)
    files, held_out = image_files(data), image_files(validation)
    held_out = held_out[:: max(1, len(held_out) // config.validation_images)]
    judged_on = read_images(held_out)
    learner = MeanScaleLearner(config, read_images(files, config.jpeg_downscale), torch.device("cpu"))
    rows = []
    used = -time.process_time()  # CPU seconds of the training proper
    learner.first_weights()
    learner.begin()
    for judgement in range(judgements + 1):
        while (spent := used + time.process_time()) < judgement * 60 * cpu_minutes / judgements:
            learner.advance(spent / (60 * cpu_minutes))
        score = learner.score(learner.average, judged_on)
        used = spent - time.process_time()
        values = (spent / 60, learner.step, score.loss, score.bpp, score.psnr_rgb_db)
        rows.append(dict(zip(FIELDS, (round(value, 5) for value in values), strict=True)))
        print(start, rows[-1], flush=True)
        _write(HERE / f"{start}.csv", rows)
    return HERE / f"{start}.csv"


def plot() -> Path:
    """Draw the CSV files as starts.svg."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "starts"
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for path in sorted(HERE.glob("*.csv")):
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        minutes, losses = ([float(row[key]) for row in rows] for key in ("cpu_minutes", "loss"))
        axes.plot(minutes, losses, marker="o", markersize=3, label=path.stem.replace("_", " "))
    axes.set(xlabel="CPU time of one thread (min)", ylabel="validation loss", title=MODEL)
    axes.set_ylim(0.9, 1.6)  # the default start stays above it
    axes.grid(alpha=0.3)
    axes.legend(title="start")
    figure.savefig(HERE / "starts.svg", metadata={"Date": None})
    return HERE / "starts.svg"


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    lines = [",".join(FIELDS), *(",".join(str(row[key]) for key in FIELDS) for row in rows)]
    write_atomically(path, "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ablation of the trainer's starts.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run")
    command.add_argument("start", choices=STARTS)
    command.add_argument("--data", nargs="+", required=True)
    command.add_argument("--validation", nargs="+", required=True)
    command.add_argument("--cpu-minutes", type=float, default=10.0)
    commands.add_parser("plot")
    args = parser.parse_args()
    print(run(args.start, args.data, args.validation, args.cpu_minutes) if args.command == "run" else plot())
