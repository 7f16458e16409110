"""The training: a plain loop that steps, logs, judges the average, saves, and ends with the budget."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench.errors import RdbenchError, UsageError
from bench.files import write_atomically
from codecs_wrappers.learned import networks
from codecs_wrappers.learned.training import checkpoint, export
from codecs_wrappers.learned.training import data as images
from codecs_wrappers.learned.training.config import Config, load, weights_file
from codecs_wrappers.learned.training.logs import Logs
from codecs_wrappers.learned.training.process import device_name, device_of, stop_signals
from codecs_wrappers.learned.training.schemes import learner_of
from codecs_wrappers.learned.training.validation import Score, tf32


@dataclass(frozen=True)
class Outcome:
    """How a call of :func:`train` ended. status: "finished", or "paused" (the same call goes on from there)."""

    status: str
    step: int
    start: Score  # before the first step
    best: Score
    folder: Path
    weights: Path | None  # the exported safetensors; None while paused
    crops_per_s: float  # without validation and saving


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
    **overrides: Any,
) -> Outcome:
    """Train the model ``name`` of ``models/`` and export the best average of its weights.

    data, validation: folders of images. The budget is ``steps``, or ``minutes`` of wall time over all calls of one
    training; the learning rate's decay ends with it. After ``pause_after`` minutes the call saves and returns, as on
    SIGTERM or Ctrl-C; the same call resumes. ``out`` (default results/training/NAME) gets checkpoint.pt,
    best.safetensors, train.csv, validation.csv, tensorboard/ and at the end NAME.safetensors with its manifest entry
    NAME.yaml. overrides: any field of the Config of the model's scheme (batch, crop, lr, ...).

    Raises UsageError for wrong names, folders, values; RdbenchError if the loss stops being a number.
    """
    config = load(name, steps=steps, **overrides)
    if minutes is not None and not minutes > 0:
        raise UsageError(f"training {name}: the budget must be above 0 minutes, it is {minutes}")
    target = device_of(device)
    torch.backends.cudnn.benchmark = True
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []), tf32(config.precision != "fp32"):
        torch.manual_seed(config.seed)
        folder = Path(out) if out else weights_file(config.name).parent
        training = _Training(config, data, validation, target, folder, minutes)
        with stop_signals() as stop_asked:
            return training.run(resume, pause_after, quiet, stop_asked)


class _Training:
    def __init__(
        self,
        config: Config,
        folders: Sequence[str | Path],
        validation: Sequence[str | Path],
        device: torch.device,
        out: Path,
        minutes: float | None,
    ):
        self.config, self.device, self.out, self.minutes = config, device, out, minutes
        files, held_out = images.image_files(folders), images.image_files(validation)
        if config.validation_images:  # evenly spread, so that a subset stays mixed
            held_out = held_out[:: math.ceil(len(held_out) / config.validation_images)]
        self.facts = {
            "data": {"digest": images.digest(files), "images": len(files)},
            "validation": {"digest": images.digest(held_out), "images": len(held_out)},
        }
        pictures = images.read_images(files, config.jpeg_downscale)
        self.learner = learner_of(config.scheme)(config, pictures, device, beside=out.parent)
        self.held_out = images.read_images(held_out)
        self.started_from: dict[str, Any] = {}
        self.start: Score | None = None
        self.best: Score | None = None
        self.crops_per_s = 0.0
        self._judged_step = -1
        self._clock_zero = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Wall time in training, over all calls."""
        return time.monotonic() - self._clock_zero

    @property
    def progress(self) -> float:
        """The part of the budget that is used."""
        return self.learner.step / self.config.steps if self.minutes is None else self.elapsed_s / (60 * self.minutes)

    def run(self, resume: bool, pause_after: float | None, quiet: bool, stop_asked: threading.Event) -> Outcome:
        """Train until the budget is used, the pause is due or a signal asks to stop."""
        call_began = time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        how = self._begin(resume)
        with contextlib.closing(Logs(self.out, self.learner.step, quiet)) as logs:
            logs.say(f"{self.config.name} on {device_name(self.device)}: {how}; {len(self.learner.images)} images")
            if self.learner.crops.left_out:
                logs.say(f"left out: {self.learner.crops.left_out} images smaller than the crop of {self.config.crop}")
            if self.best is None:
                self._validate(logs)
            paused = self._loop(logs, stop_asked, call_began + 60 * (math.inf if pause_after is None else pause_after))
            if paused:
                self._save()
            elif self._judged_step != self.learner.step:
                self._validate(logs)
            weights = None if paused else self._export(logs)
        status = "paused" if paused else "finished"
        return Outcome(status, self.learner.step, self.start, self.best, self.out, weights, self.crops_per_s)

    def _loop(self, logs: Logs, stop_asked: threading.Event, pause_at: float) -> bool:
        """Steps until the budget is used (False) or a stop is asked for or due (True)."""
        config, learner = self.config, self.learner
        sums, summed, seconds = torch.zeros(5, device=self.device), 0, 0.0
        saved = resumed = time.monotonic()
        while (progress := self.progress) < 1:
            if stop_asked.is_set() or time.monotonic() > pause_at:
                return True
            sums += learner.advance(progress)
            summed += 1
            if learner.step % config.log_every == 0:
                means = (sums / summed).tolist()  # waits for the GPU
                seconds += time.monotonic() - resumed
                self.crops_per_s = config.batch * summed / seconds
                self._log(logs, progress, means)
                sums.zero_()
                summed, seconds, resumed = 0, 0.0, time.monotonic()
            if learner.step % config.validate_every == 0 or time.monotonic() - saved > 60 * config.checkpoint_minutes:
                seconds += time.monotonic() - resumed
                if learner.step % config.validate_every == 0:
                    self._validate(logs)
                else:
                    self._save()
                saved = resumed = time.monotonic()
        return False

    def _log(self, logs: Logs, progress: float, means: Sequence[float]) -> None:
        loss, bpp, mse, aux, norm = means
        step = self.learner.step
        if not math.isfinite(loss):
            raise RdbenchError(
                f"training {self.config.name} diverged before step {step}: its loss is {loss}. The last checkpoint and "
                "the best weights are kept; go on from them with a lower --lr"
            )
        psnr_db = -10 * math.log10(mse) if mse > 0 else math.nan
        hours, lr = self.elapsed_s / 3600, self.learner.learning_rate(progress)
        values = {"loss": loss, "bpp": bpp, "psnr_db": psnr_db, "aux_loss": aux, "gradient_norm": norm}
        logs.row("train", {"step": step, "hours": hours, "lr": lr, "crops_per_s": self.crops_per_s, **values})
        rate = "" if math.isnan(bpp) else f"  {bpp:.4f} bpp"
        quality = "" if math.isnan(psnr_db) else f"  {psnr_db:.2f} dB"
        speed = f"{self.crops_per_s:.1f} crops/s, {self.crops_per_s * self.config.crop**2 / 1e6:.2f} Mpixel/s"
        logs.progress(progress, f"step {step}  loss {loss:.4f}{rate}{quality}  {speed}")

    def _begin(self, resume: bool) -> str:
        """Take the first weights, or go on from the checkpoint; what was done, in words."""
        path = self.out / "checkpoint.pt"
        if not (resume and path.is_file()):
            self.started_from = self.learner.first_weights()
            self.learner.begin()
            return f"starts from {self.started_from['from']}"
        state = checkpoint.load(path)
        now = self._identity()
        for key, then in state["identity"].items():
            if then != now[key]:
                raise UsageError(
                    f"cannot resume {path}: its {key} was {then}, now asked for is {now[key]}; "
                    "ask for the same, or give another --out, or --fresh to begin again"
                )
        self.learner.restore(state, str(path))
        self.started_from = state["started_from"]
        self.start, self.best = Score(**state["start"]), Score(**state["best"])
        self._clock_zero -= state["elapsed_s"]
        return f"goes on at step {self.learner.step}"

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be of the same training."""
        return {"scheme": self.config.scheme, **self.learner.identity(), **self.facts}

    def _save(self) -> None:
        scores = {"start": asdict(self.start), "best": asdict(self.best)}
        about = {"identity": self._identity(), "started_from": self.started_from, "elapsed_s": self.elapsed_s}
        checkpoint.save(self.out / "checkpoint.pt", {**about, **scores, **self.learner.state()})

    def _validate(self, logs: Logs) -> None:
        """Judge the average, keep it if it is the best so far, and save."""
        now = self.learner.score(self.learner.average, self.held_out)
        step = self._judged_step = self.learner.step
        better = self.best is None or now.loss < self.best.loss
        if better:
            self.best = now
            write_atomically(
                self.out / "best.safetensors", export.to_bytes(self.learner.average.state_dict(), {"step": step})
            )
        self.start = self.start or now
        logs.row("validation", {"step": step, "hours": self.elapsed_s / 3600, **asdict(now), "best": int(better)})
        logs.say(f"step {step}: validation {now}{'  (best so far)' if better else ''}")
        self._save()

    def _export(self, logs: Logs) -> Path:
        """The best average as it ships, measured once more in that form."""
        config, path = self.config, self.out / f"{self.config.name}.safetensors"
        best = self.out / "best.safetensors"
        model = networks.load_weights(self.learner.average, networks.read_weights(best), str(best))
        shipped = self.learner.as_shipped(model)
        measured = self.learner.score(shipped, self.held_out)
        had = {
            "steps": int(networks.read_metadata(best)["step"]),
            "steps_run": self.learner.step,
            "device": device_name(self.device),
            "hours": round(self.elapsed_s / 3600, 3),
            "started_from": self.started_from,
            **self.facts,
        }
        entry = export.manifest_entry(config, self.learner.described(), had)
        export.write(self.learner.tensors(shipped), path, entry, measured)
        logs.say(f"{path}: validation {measured} as shipped, {path.stat().st_size:,} bytes")
        return path
