"""What a model is and how it is trained: one yaml file per model in ``models/``, checked when read.

The key ``scheme`` names a file of ``schemes/``, whose Config may add keys of its own to those here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.errors import UsageError

HERE = Path(__file__).parent
PRECISIONS = ("auto", "fp32", "tf32", "bf16")
OPTIMISERS = ("adam", "soap")
KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "tuple": "a list"}
KINDS |= {"Mapping": "a mapping of keys to values"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training, whatever its scheme. Without a budget (steps or minutes) its learning rate never decays."""

    name: str
    scheme: str = "mean_scale"
    start_from: tuple[str, ...] = ("default",)  # the first there is: "default", "model:NAME", "file:PATH", a scheme's
    steps: int = 0  # the budget; 0: none, a trunk that is paused and resumed for ever
    batch: int = 4
    batch_grows: Mapping[int, int] = field(default_factory=dict)  # step: the batch from there on
    crop: int = 256  # a multiple of 64
    reduced: float = 0.25  # of the crops: a larger one, reduced by an area filter to 1 .. 0.6 of its side
    lr: float = 1e-4
    lr_last: float = 1e-6
    warm_up_steps: int = 100
    decay_from: float = 0.4  # of the budget: from here a cosine down to lr_last
    aux_lr: float = 1e-3
    optimiser: str = "adam"  # or "soap": Adam in the eigenbasis of Shampoo's preconditioner (steps/optimisers.py)
    adam_epsilon: float = 1e-8
    averages: tuple[float, ...] = (0.998, 0.9995)  # decays a step of the averages that are judged; the better one ships
    clip: float = 4.0  # times the running median of the gradient's norm; .inf: never
    precision: str = "auto"  # bf16 on a CPU that has it in hardware, tf32 on CUDA, else fp32; or one of these
    fp32_from: float = 1.0  # of the budget: from here fp32, for what bf16 rounds away at high rates
    jpeg_downscale: int = 2  # JPEG sources are shrunk so, which averages their block edges away
    judge_minutes: float = 10.0  # between judgements, each of which saves
    validate_every: int = 0  # steps between further judgements; 0: none
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
        """Raises UsageError if the value is not of the annotated type; of numbers, truth values and NaN are none."""
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
        """Raises UsageError for the first key whose value is none of its choices."""
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
    """The models there is a yaml file for."""
    return sorted(path.stem for path in (HERE / "models").glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The keys and values in the file of the model ``name`` (or in the yaml file at that path), with its name.

    Raises UsageError for a name without file, or a file that holds something else.
    """
    import yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else HERE / "models" / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"no training is called {name!r}; there are {', '.join(names())}, or give a yaml file's path")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no yaml: {error}") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} must hold keys and values, it holds {type(values).__name__}")
    return {"name": path.stem, **values}


def load(name: str, **overrides: Any) -> Config:
    """The configuration of the model ``name``, with every override that is not None, as its scheme's Config.

    Raises UsageError for a name without file, an unknown scheme or key, a value out of range. Imports torch.
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


def starts_from(name: str) -> str | None:
    """The model that the model ``name`` would rather start from; None if it needs no other. Imports no torch."""
    for source in read(name).get("start_from", ()):
        if source != f"model:{name}":  # its own earlier training
            kind, _, value = source.partition(":")
            return value if kind == "model" else None
    return None


def weights_file(name: str) -> Path:
    """Where a training's weights end up if no other folder is asked for, relative to the working folder."""
    return Path("results/training", name, f"{name}.safetensors")


def hours(name: str) -> float:
    """The share of hours that queue.yaml gives the model ``name``; 1 if it is not there."""
    import yaml

    entries = yaml.safe_load((HERE / "queue.yaml").read_text(encoding="utf-8"))
    return next((float(entry["hours"]) for entry in entries if entry["name"] == name), 1.0)


def arguments(settings: Mapping[str, Any], name: str) -> list[str]:
    """The arguments of `rdbench train NAME` behind a workflow's ``training: {data: [FOLDER], validation: [FOLDER]}``.

    Any other key is an option of the command by its name. A model without a budget of its own gets the hours of
    queue.yaml, unless the settings say ``minutes`` or ``steps``: a workflow has to end. Raises UsageError if a list of
    folders is missing.
    """
    for key in ("data", "validation"):
        if not settings.get(key):
            raise UsageError(
                f"training needs folders of images: the configuration's key training has no {key}; for instance "
                "--config 'training={data: [FOLDER], validation: [FOLDER]}'"
            )
    if not {"minutes", "steps"} & set(settings) and not read(name).get("steps"):
        settings = {**settings, "minutes": 60 * hours(name)}
    pairs = [(key, value if isinstance(value, list) else [value]) for key, value in settings.items()]
    return [word for key, values in pairs for word in (f"--{key.replace('_', '-')}", *map(str, values))]
