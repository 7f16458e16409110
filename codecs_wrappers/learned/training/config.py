"""The definition of a model and its training: one yaml file per model in ``models/``, validated when read.

The key ``scheme`` names a file of ``schemes/``, whose Config may add its own keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.names import did_you_mean

HERE = Path(__file__).parent
PRECISIONS = ("auto", "fp32", "tf32", "bf16")
OPTIMISERS = ("adam", "soap")
VALIDATION, TEXTURED = "validation", "textured"  # the held-out sets: the given folder; the data's most textured images
BRANCH = "branch"  # the folder of a branch within its model's
FINITE = ("qsf", "stanh")  # the schemes that train on a frozen network, in minutes
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "tuple": "a list",
    "Mapping": "a mapping of keys to values",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training of any scheme. Without a budget (steps or minutes) its learning rate never decays."""

    name: str
    scheme: str = "mean_scale"
    start_from: tuple[str, ...] = (
        "default",
    )  # the first available: "default", "model:NAME", "file:PATH", or a scheme's own
    steps: int = 0  # the budget; 0: none, for a trunk, which can be paused and resumed indefinitely
    batch: int = 4
    batch_grows: Mapping[int, int] = field(default_factory=dict)  # from step: batch
    crop: int = 256  # a multiple of 64
    reduced: float = (
        0.25  # part of the crops that are cut larger and reduced by an area filter, to 1 .. 0.6 of their side
    )
    lr: float = 1e-4
    lr_last: float = 1e-6
    warm_up_steps: int = 100
    decay_from: float = 0.4  # part of the budget, after which a cosine decays to lr_last
    aux_lr: float = 1e-3
    optimiser: str = "adam"  # or "soap": Adam in the eigenbasis of Shampoo's preconditioner (steps/optimisers.py)
    adam_epsilon: float = 1e-8
    averages: tuple[float, ...] = (
        0.998,
        0.9995,
    )  # decays per step of the averages that are judged; the better one ships
    clip: float = 4.0  # times the running median of the gradient norms; .inf: no clipping
    precision: str = "auto"  # bf16 on a CPU with hardware support, tf32 on CUDA, otherwise fp32; or one of these
    fp32_from: float = 1.0  # part of the budget, after which fp32 is used: bf16 loses precision at high rates
    jpeg_downscale: int = 2  # reduction of JPEG sources, which averages out their block edges
    judge_minutes: float = 10.0  # between judgements; each saves a checkpoint
    validate_every: int = 0  # steps between additional judgements; 0: none
    validation_images: int = 5  # of the folder given, evenly spread; 0: all
    log_every: int = 100
    seed: int = 1
    notes: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for each in fields(self):
            self._require_kind(each.name, str(each.type))
        self.require_positive("batch", "crop", "lr", "warm_up_steps", "jpeg_downscale", "log_every", "clip")
        self.require_positive("judge_minutes")
        for key in ("steps", "validate_every", "validation_images"):
            self._require_range(key, 0, math.inf)
        self._require_range("seed", 0, 2**63)
        self._require_range("decay_from", 0, 1)
        self._require_range("reduced", 0, 1.01)
        self._require_range("fp32_from", 0, 1.01)
        if self.crop % 64:
            raise UsageError(f"training {self.name}: crop must be a multiple of 64 (the stride), it is {self.crop}")
        if not (self.averages and all(isinstance(decay, float) and 0 <= decay < 1 for decay in self.averages)):
            raise UsageError(f"training {self.name}: averages are decays from 0 to below 1, not {self.averages!r}")
        if not all(isinstance(number, int) and number > 0 for pair in self.batch_grows.items() for number in pair):
            raise UsageError(f"training {self.name}: batch_grows maps steps to batches, not {self.batch_grows!r}")
        self.require_known(precision=PRECISIONS, optimiser=OPTIMISERS)

    def batch_at(self, step: int) -> int:
        """Crops in the batch of that step."""
        begun = [begin for begin in self.batch_grows if step >= begin]
        return self.batch_grows[max(begun)] if begun else self.batch

    def _require_kind(self, key: str, kind: str) -> None:
        """Raises UsageError if the value is not of the annotated type; booleans and NaN do not count as numbers."""
        value, (outer, _, inner) = getattr(self, key), kind.partition("[")
        types: dict[str, Any] = {
            "int": int,
            "float": (int, float),
            "str": str,
            "bool": bool,
            "tuple": (tuple, list),
            "Mapping": Mapping,
        }

        def fits(one: Any, name: str) -> bool:
            return isinstance(one, types[name]) and (name == "bool" or not isinstance(one, bool)) and one == one

        element = inner.partition(",")[0] if outer == "tuple" else ""
        if not fits(value, outer) or (element and not all(fits(one, element) for one in value)):
            words = KINDS[outer] + (f" of {KINDS[element].removeprefix('a ')}s" if element else "")
            raise UsageError(f"training {self.name}: {key} must be {words}, it is {value!r}")

    def _require_range(self, key: str, low: float, high: float) -> None:
        value = getattr(self, key)
        if not (isinstance(value, int | float) and low <= value < high):
            raise UsageError(f"training {self.name}: {key} must be from {low} to below {high:g}, it is {value!r}")

    def require_known(self, **choices: Sequence[str]) -> None:
        """Raises UsageError for the first key whose value is not one of its choices."""
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise UsageError(
                    f"training {self.name}: {key} is one of {', '.join(known)}, not {getattr(self, key)!r}"
                )

    def require_positive(self, *keys: str) -> None:
        """Raises UsageError for the first of ``keys`` whose value is not a number above 0."""
        for key in keys:
            value = getattr(self, key)
            if not (isinstance(value, int | float) and value > 0):
                raise UsageError(f"training {self.name}: {key} must be a number above 0, it is {value!r}")


def names() -> list[str]:
    """The models that have a yaml file."""
    return sorted(path.stem for path in (HERE / "models").glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The keys and values in the file of the model ``name`` (or in the yaml file at that path), with its name.

    Raises UsageError for a name without a file, or a file with other content.
    """
    import yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else HERE / "models" / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(
            f"no training is called {name!r}{did_you_mean(name, names())}; there are {', '.join(names())}; "
            "or give the path of a yaml file"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"reading {path}: not valid yaml: {error}") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"reading {path}: expected keys and values, got {type(values).__name__}")
    return {"name": path.stem, **values}


def load(name: str, **overrides: Any) -> Config:
    """The configuration of the model ``name``, with every override that is not None, as its scheme's Config.

    Raises UsageError for a name without a file, an unknown scheme or key, or a value out of range. Imports torch.
    """
    from codecs_wrappers.learned.training.schemes import learner_of

    values, overrides = (
        {key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if value is not None}
        for given in (read(name), overrides)
    )
    kind = learner_of(overrides.get("scheme", values.get("scheme", Config.scheme))).Config
    known = {f.name for f in fields(kind)}
    unknown = sorted((set(values) | set(overrides)) - known, key=str)
    if unknown:
        raise UsageError(f"training {name}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return kind(**{**values, **overrides})
    except TypeError as error:
        raise UsageError(f"training {name}: {error}") from error


def is_finite(values: Mapping[str, Any]) -> bool:
    """Whether a training with these keys and values ends by itself, instead of going on until it is stopped."""
    return bool(values.get("steps")) or values.get("scheme") in FINITE


def starts_from(name: str) -> str | None:
    """The model that the model ``name`` prefers to start from; None if it needs no other. Imports no torch."""
    for source in read(name).get("start_from", ()):
        if source != f"model:{name}":  # its own earlier training
            kind, _, value = source.partition(":")
            return value if kind == "model" else None
    return None


def weights_file(name: str) -> Path:
    """The default path of a training's weights, relative to the working folder."""
    return Path("results/training", name, f"{name}.safetensors")


def hours(name: str) -> float:
    """The share of hours that queue.yaml gives the model ``name``; 1 if it is not there."""
    import yaml

    entries = yaml.safe_load((HERE / "queue.yaml").read_text(encoding="utf-8"))
    return next((float(entry["hours"]) for entry in entries if entry["name"] == name), 1.0)


def arguments(settings: Mapping[str, Any], name: str) -> list[str]:
    """The arguments of `rdbench train NAME` behind a workflow's ``training: {data: [FOLDER], validation: [FOLDER]}``.

    Any other key is an option of the command with that name. A model without a budget gets the hours in queue.yaml,
    unless the settings give ``minutes`` or ``steps``, because a workflow has to end. Raises UsageError if a list of
    folders is missing.
    """
    for key in ("data", "validation"):
        if not settings.get(key):
            raise UsageError(
                f"training needs folders of images: the configuration's key training has no {key}; give, for instance, "
                "--config 'training={data: [FOLDER], validation: [FOLDER]}'"
            )
    if not {"minutes", "steps"} & set(settings) and not read(name).get("steps"):
        settings = {**settings, "minutes": 60 * hours(name)}
    pairs = [(key, value if isinstance(value, list) else [value]) for key, value in settings.items()]
    return [word for key, values in pairs for word in (f"--{key.replace('_', '-')}", *map(str, values))]
