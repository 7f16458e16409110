"""Validation of a training: every average of its weights on every held-out set, and the best one so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from codecs_wrappers.learned.training.config import TEXTURED, VALIDATION
from codecs_wrappers.learned.training.judging.validation import Score
from codecs_wrappers.learned.training.learner import Learner


@dataclass(frozen=True)
class Judgement:
    """One average's scores. decay: of the average; ratio: mean over the sets of loss / loss at the start."""

    decay: float
    scores: Mapping[str, Score]
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "decay": self.decay,
            "ratio": self.ratio,
            "scores": {name: asdict(s) for name, s in self.scores.items()},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Judgement:
        return cls(saved["decay"], {name: Score(**s) for name, s in saved["scores"].items()}, saved["ratio"])

    @property
    def validation(self) -> Score:
        return self.scores[VALIDATION]

    @property
    def loss(self) -> float:
        """The mean over the sets."""
        return sum(score.loss for score in self.scores.values()) / len(self.scores)

    def row(self) -> dict[str, float]:
        """Its columns of validation.csv, those of the textured set with its name as prefix; NaN without one."""
        nothing = Score(math.nan, math.nan, math.nan)
        scores = [("", self.validation), (f"{TEXTURED}_", self.scores.get(TEXTURED, nothing))]
        values = {
            f"{prefix}{key}": getattr(score, key) for prefix, score in scores for key in ("loss", "bpp", "psnr_rgb_db")
        }
        return {"average": self.decay, **values, "ratio": self.ratio}


class Judge:
    """Scores averages on ``sets`` of uint8 images (3, H, W), by name; ratios are relative to ``start``."""

    def __init__(self, sets: Mapping[str, Sequence[Tensor]]):
        self.sets = {name: images for name, images in sets.items() if images}
        self.start: dict[str, Score] = {}
        self.best: Judgement | None = None

    def judge(self, learner: Learner) -> list[Judgement]:
        """The judgement of every average of ``learner``; the first call sets the start."""
        measured = [self.scores(learner, average) for average in learner.averages]
        if not self.start:
            self.start = measured[0]
        return [self._judgement(decay, scores) for decay, scores in zip(learner.config.averages, measured, strict=True)]

    def scores(self, learner: Learner, model: Any) -> dict[str, Score]:
        return {name: learner.score(model, images) for name, images in self.sets.items()}

    @property
    def winner(self) -> Judgement:
        """The best so far. Raises RuntimeError before the first judgement."""
        if self.best is None:
            raise RuntimeError("no judgement yet: call judge() and is_best() first")
        return self.best

    def is_best(self, judgement: Judgement) -> bool:
        """Whether it is the best so far; if so, it is remembered as such."""
        better = self.best is None or judgement.ratio < self.best.ratio
        if better:
            self.best = judgement
        return better

    def _judgement(self, decay: float, scores: dict[str, Score]) -> Judgement:
        ratios = [score.loss / self.start[name].loss for name, score in scores.items()]
        return Judgement(decay, scores, sum(ratios) / len(ratios))
