"""One training: it steps, logs, judges the averages and saves checkpoints; with a budget it decays and exports."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.errors import RdbenchError, UsageError
from bench.files import to_json, write_atomically
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import checkpoint, export
from codecs_wrappers.learned.training.config import TEXTURED, VALIDATION, Config
from codecs_wrappers.learned.training.data import crops as images
from codecs_wrappers.learned.training.data import holdout
from codecs_wrappers.learned.training.folder import BEST, CHECKPOINT, PROGRESS, Outcome, Trunk
from codecs_wrappers.learned.training.judging import anchors
from codecs_wrappers.learned.training.judging.averages import Judge, Judgement
from codecs_wrappers.learned.training.judging.validation import Score
from codecs_wrappers.learned.training.logs import Logs
from codecs_wrappers.learned.training.process import device_name
from codecs_wrappers.learned.training.schemes import learner_of


class Training:
    """A configuration, its images and its learner, in the folder ``out``; :meth:`run` trains."""

    def __init__(
        self,
        config: Config,
        folders: Sequence[str | Path],
        validation: Sequence[str | Path],
        device: torch.device,
        out: Path,
        minutes: float | None,
        trunk: Trunk | None,
    ):
        self.config, self.device, self.out, self.minutes, self.trunk = config, device, out, minutes, trunk
        files, textured, self.textured_from = holdout.split(images.image_files(folders))
        held_out = images.image_files(validation)
        if config.validation_images:  # evenly spaced, so that a subset stays mixed
            held_out = held_out[:: math.ceil(len(held_out) / config.validation_images)]
        self.files = ([*files, *textured], held_out)
        self.facts = {
            "data": {"digest": images.digest(files), "images": len(files)},
            "validation": {"digest": images.digest(held_out), "images": len(held_out)},
        }
        pictures = images.read_images(files, config.jpeg_downscale)
        trained = out.parent.parent if trunk else out.parent  # a branch is in its model's folder
        self.learner = learner_of(config.scheme)(config, pictures, device, beside=trained)
        sets = {VALIDATION: images.read_images(held_out), TEXTURED: holdout.crops(textured, config.jpeg_downscale)}
        self.judge = Judge(sets)
        self.started_from: dict[str, Any] = {}
        self.crops_per_s = 0.0
        self._losses: list[float] = []  # of the steps since the last judgement
        self._anchors: dict[str, dict[str, float]] = {}
        self._judged_step = -1
        self._clock_zero = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Wall-clock time in training, over all calls."""
        return time.monotonic() - self._clock_zero

    @property
    def has_budget(self) -> bool:
        return self.minutes is not None or self.config.steps > 0

    @property
    def progress(self) -> float:
        """The fraction of the budget used; always 0 without one."""
        if self.minutes is not None:
            return self.elapsed_s / (60 * self.minutes)
        return (self.learner.step - self._first_step) / self.config.steps if self.config.steps else 0.0

    @property
    def _first_step(self) -> int:
        return int(self.started_from.get("branched_at", 0))

    def run(
        self, resume: bool, pause_after: float | None, quiet: bool, stop_asked: threading.Event, compare: bool
    ) -> Outcome:
        """Train until the budget is used, the pause is due or a signal asks to stop."""
        how = self._begin(resume)
        with contextlib.closing(Logs(self.out, self.learner.step, quiet)) as logs:
            logs.say(f"{self.config.name} on {device_name(self.device)}: {how}; {len(self.learner.images)} images")
            logs.say(f"textured images held out: {len(self.judge.sets.get(TEXTURED, []))} ({self.textured_from})")
            if self.learner.crops.left_out:
                logs.say(f"left out: {self.learner.crops.left_out} images smaller than the crop of {self.config.crop}")
            if compare and getattr(self.config, "distortion", "") == "mse":
                weight = self.learner.config.rate_weight
                self._anchors = {name: anchors.losses(some, weight) for name, some in self.judge.sets.items()}
            if self.judge.best is None:
                self._judge(logs)
            paused = self._loop(logs, stop_asked, math.inf if pause_after is None else 60 * pause_after)
            if paused:
                self._save()
            elif self._judged_step != self.learner.step:
                self._judge(logs)
            weights = None if paused else self._export(logs)
        start, best = self.judge.start[VALIDATION], self.judge.winner.validation
        status = "paused" if paused else "finished"
        return Outcome(status, self.learner.step, start, best, self.out, weights, self.crops_per_s)

    def _loop(self, logs: Logs, stop_asked: threading.Event, pause_after_s: float) -> bool:
        """Train until the budget is used (False), or until a stop is requested or due (True)."""
        config, learner = self.config, self.learner
        sums, counts, crops, seconds = torch.zeros(5, device=self.device), torch.zeros(5, device=self.device), 0, 0.0
        judged = resumed = time.monotonic()
        pause_at = judged + pause_after_s
        while (progress := self.progress) < 1:
            if stop_asked.is_set() or time.monotonic() > pause_at:
                return True
            crops += learner.batch
            values = learner.advance(progress)
            known = ~values.isnan()
            known[0] = True  # a loss of NaN must be noticed
            sums += torch.where(known, values, 0.0)
            counts += known
            if learner.step % config.log_every == 0:
                means = (sums / counts).tolist()  # waits for the GPU
                seconds += time.monotonic() - resumed
                self.crops_per_s = crops / seconds
                self._log(logs, progress, means)
                sums.zero_()
                counts.zero_()
                crops, seconds, resumed = 0, 0.0, time.monotonic()
            due = config.validate_every and learner.step % config.validate_every == 0
            if due or time.monotonic() - judged > 60 * config.judge_minutes:
                seconds += time.monotonic() - resumed
                try:
                    self._judge(logs)
                except (
                    RdbenchError,
                    OSError,
                ) as error:  # a full disk: the training continues, and what is saved is intact
                    cause = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
                    logs.say(f"{cause}; trying again at the next judgement")
                judged = resumed = time.monotonic()
        return False

    def _log(self, logs: Logs, progress: float, means: Sequence[float]) -> None:
        loss, bpp, mse, aux, norm = means
        learner = self.learner
        if not math.isfinite(loss):
            raise RdbenchError(
                f"training {self.config.name} diverged before step {learner.step}: its loss is {loss}. The last "
                "checkpoint and the best weights are kept; resume with a lower --lr"
            )
        self._losses.append(loss)
        psnr_db = -10 * math.log10(mse) if mse > 0 else math.nan
        hours, lr = self.elapsed_s / 3600, learner.learning_rate(progress)
        values = {"loss": loss, "bpp": bpp, "psnr_db": psnr_db, "aux_loss": aux, "gradient_norm": norm}
        values |= {"pixels": learner.pixels, "clipped": int(learner.clipped), "lr": lr, "crops_per_s": self.crops_per_s}
        logs.row("train", {"step": learner.step, "hours": hours, **values})
        rate = "" if math.isnan(bpp) else f"  {bpp:.4f} bpp"
        quality = "" if math.isnan(psnr_db) else f"  {psnr_db:.2f} dB"
        speed = f"{self.crops_per_s:.1f} crops/s, {self.crops_per_s * self.config.crop**2 / 1e6:.2f} Mpixel/s"
        text = f"step {learner.step}  loss {loss:.4f}{rate}{quality}  {speed}"
        logs.progress(progress if self.has_budget else None, text)

    def _begin(self, resume: bool) -> str:
        """Set the first weights, or continue from the checkpoint; returns a description."""
        path, learner = self.out / CHECKPOINT, self.learner
        if resume and checkpoint.exists(path):
            state, read = checkpoint.load(path)
            self._require_same(state["identity"], read)
            images.require_apart(*self.files)
            learner.restore(state, str(read))
            self.started_from = state["started_from"]
            if state["start"]:
                self.judge.start = {name: Score(**score) for name, score in state["start"].items()}
                self.judge.best = Judgement.from_dict(state["best"])
            self._clock_zero -= state["elapsed_s"]
            fallback = "" if read == path else f" (from {read.name}: the last one is damaged)"
            return f"resumes at step {learner.step}{fallback}"
        images.require_apart(*self.files)
        if self.trunk:
            self.started_from = learner.branch(self.trunk.state, self.trunk.config, str(self.trunk.path))
            self.started_from["branched_at"] = learner.step
        else:
            self.started_from = learner.first_weights()
            learner.is_new = "sha256" not in self.started_from
            learner.begin()
        return f"starts from {self.started_from['from']}"

    def _require_same(self, identity: Mapping[str, Any], path: Path) -> None:
        now = self._identity()
        for key, then in identity.items():
            if then != now.get(key):
                raise UsageError(
                    f"cannot resume {path}: its {key} was {then}, now it is {now.get(key)}; "
                    "use the same, give another --out, or start over with --fresh"
                )

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to belong to the same training."""
        return {"scheme": self.config.scheme, **self.learner.identity(), **self.facts}

    def _save(self) -> None:
        start = {name: score.__dict__ for name, score in self.judge.start.items()}
        scores = {"start": start, "best": self.judge.winner.to_dict()}
        about = {"identity": self._identity(), "started_from": self.started_from, "elapsed_s": self.elapsed_s}
        size = checkpoint.save(self.out / CHECKPOINT, {**about, **scores, **self.learner.state()})
        progress = {"step": self.learner.step, "pixels": self.learner.pixels, "hours": self.elapsed_s / 3600}
        write_atomically(self.out / PROGRESS, to_json({**progress, "checkpoint_bytes": size, "anchors": self._anchors}))

    def _judge(self, logs: Logs) -> None:
        """Judge the averages, keep the best so far, and save."""
        judgements = self.judge.judge(self.learner)
        step = self._judged_step = self.learner.step
        now = min(judgements, key=lambda judgement: judgement.ratio)
        before, better = self.judge.best, self.judge.is_best(now)
        if better:
            model = self.learner.averages[judgements.index(now)]
            content = export.to_bytes(model.state_dict(), {**self._about(), "step": step})
            try:
                write_atomically(self.out / BEST, content)
            except OSError:
                self.judge.best = before  # whose weights are still in the file
                raise
        train_loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
        self._losses = []
        for judgement in judgements:
            at = {"step": step, "hours": self.elapsed_s / 3600, "pixels": self.learner.pixels}
            extra = {
                "train_loss": train_loss,
                "gap": judgement.loss / train_loss,
                "best": int(better and judgement is now),
            }
            logs.row("validation", {**at, **judgement.row(), **extra})
        logs.say(f"step {step}: {self._in_words(now, train_loss)}{'  (best so far)' if better else ''}")
        self._save()

    def _in_words(self, now: Judgement, train_loss: float) -> str:
        """One line on the state of the training."""
        words = []
        for name, score in now.scores.items():
            known = ", ".join(f"{label} {loss:.3f}" for label, loss in self._anchors.get(name, {}).items())
            words.append(f"{name} {score}{f' ({known})' if known else ''}")
        if not math.isnan(train_loss):
            words.append(f"training loss {train_loss:.4f}")
        done = f"{self.learner.pixels:.3g} pixels, {self.elapsed_s / 3600:.2f} h, average {now.decay:g}"
        return f"{done}; {'; '.join(words)}"

    def _about(self) -> dict[str, Any]:
        """The metadata of a weights file, so that another training can start from it."""
        described = self.learner.manifest_facts()
        return {key: described[key] for key in ("architecture", "rate_weight", "distortion") if key in described}

    def _export(self, logs: Logs) -> Path:
        """Export the best average as it ships, and measure it in that form."""
        config, path = self.config, self.out / f"{self.config.name}.safetensors"
        best = self.out / BEST
        model = networks.load_weights(self.learner.averages[0], networks.read_weights(best), str(best))
        shipped = self.learner.as_shipped(model)
        measured = self.judge.scores(self.learner, shipped)
        training_facts = {
            "steps": int(networks.read_metadata(best)["step"]),
            "steps_run": self.learner.step,
            "pixels": self.learner.pixels,
            "average": self.judge.winner.decay,
            "device": device_name(self.device),
            "hours": round(self.elapsed_s / 3600, 3),
            "started_from": self.started_from,
            **self.facts,
        }
        entry = export.manifest_entry(config, self.learner.manifest_facts(), training_facts)
        export.write(self.learner.tensors(shipped), path, entry, measured, self._anchors)
        logs.say(f"{path}: {measured[VALIDATION]} as shipped, {path.stat().st_size:,} bytes")
        return path
