"""What a model is and how it is trained: one yaml file per model in ``models/``, checked when read.

The key ``scheme`` names a file of ``schemes/``, whose Config may add keys of its own to those here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import UsageError

HERE = Path(__file__).parent
PRECISIONS = ("fp32", "tf32", "bf16")
OPTIMISERS = ("adam", "soap")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training, whatever its scheme. Rates of learning are Adam's; ``--minutes`` replaces the budget ``steps``."""

    name: str
    scheme: str = "mean_scale"
    start_from: tuple[str, ...] = (
        "default",
    )  # the first there is: "default", "model:NAME", "file:PATH", or a scheme's
    steps: int = 400_000
    batch: int = 16
    crop: int = 256  # a multiple of 64
    lr: float = 1e-4
    lr_last: float = 1e-6
    warm_up_steps: int = 200
    decay_from: float = 0.4  # of the budget: from here a cosine down to lr_last
    aux_lr: float = 1e-3
    optimiser: str = "adam"  # or "soap": Adam in the eigenbasis of Shampoo's preconditioner (optimisers.py)
    adam_epsilon: float = 1e-8
    ema_decay: float = 0.999
    gradient_norm: float = 1.0
    precision: str = "tf32"  # on CUDA: fp32, tf32, or bf16 for the inner convolutions; on a CPU: bf16, or else fp32
    jpeg_downscale: int = 2  # JPEG sources are shrunk so, which averages their block edges away
    validate_every: int = 1000
    validation_images: int = 0  # 0: all
    log_every: int = 50
    checkpoint_minutes: float = 5.0
    seed: int = 1
    notes: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        self.require_positive("steps", "batch", "crop", "lr", "warm_up_steps", "jpeg_downscale")
        self.require_positive("validate_every", "log_every")
        if not 0 <= self.decay_from < 1:
            raise UsageError(f"training {self.name}: decay_from must be from 0 to below 1, it is {self.decay_from}")
        if self.crop % 64:
            raise UsageError(f"training {self.name}: crop must be a multiple of 64 (the stride), it is {self.crop}")
        self.require_known(precision=PRECISIONS, optimiser=OPTIMISERS)

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
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no yaml: {error}") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} must hold keys and values, it holds {type(values).__name__}")
    return {"name": path.stem, **values}


def load(name: str, **overrides: Any) -> Config:
    """The configuration of the model ``name``, with every override that is not None, as its scheme's Config.

    Raises UsageError for a name without file, an unknown scheme or key, a value out of range. Imports torch.
    """
    from codecs_wrappers.learned.training.schemes import learner_of

    values = read(name)
    overrides = {key: value for key, value in overrides.items() if value is not None}
    kind = learner_of(values.get("scheme", Config.scheme)).Config
    known = {f.name for f in fields(kind)}
    unknown = sorted((set(values) | set(overrides)) - known)
    if unknown:
        raise UsageError(f"training {name}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return replace(kind(**values), **overrides)
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


def arguments(settings: Mapping[str, Any]) -> list[str]:
    """The arguments of `rdbench train` behind a workflow's ``training: {data: [FOLDER], validation: [FOLDER], ...}``.

    Any other key is an option of the command by its name. Raises UsageError if a list of folders is missing.
    """
    for key in ("data", "validation"):
        if not settings.get(key):
            raise UsageError(
                f"training needs folders of images: the configuration's key training has no {key}; for instance "
                "--config 'training={data: [FOLDER], validation: [FOLDER]}'"
            )
    pairs = [(key, value if isinstance(value, list) else [value]) for key, value in settings.items()]
    return [word for key, values in pairs for word in (f"--{key.replace('_', '-')}", *map(str, values))]


def next_in_queue(queue: Path = HERE / "queue.yaml") -> str:
    """The first model of queue.yaml that has had fewer steps than it wants."""
    import yaml

    for entry in yaml.safe_load(queue.read_text(encoding="utf-8")):
        if entry["steps_had"] < entry["steps_wanted"]:
            return entry["name"]
    raise UsageError(f"every model of {queue.name} has had the steps it wants; raise steps_wanted to train further")
