"""What a model is and how it is trained: one yaml file per model in ``models/``, checked when read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import UsageError

HERE = Path(__file__).parent
PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Config:
    """One training. Rates of learning are Adam's; ``steps`` is the default budget (``--minutes`` replaces it)."""

    name: str
    architecture: Mapping[str, Any]
    rate_weight: float  # lambda_c: loss = lambda_c 255^2 MSE + bpp
    start_from: tuple[str, ...] = ("linear",)  # the first there is: "linear", "default", "model:NAME" or "file:PATH"
    steps: int = 400_000
    batch: int = 16
    crop: int = 256  # a multiple of 64
    lr: float = 1e-4
    lr_last: float = 1e-6
    warm_up_steps: int = 200
    decay_from: float = 0.4  # of the budget: from here a cosine down to lr_last
    aux_lr: float = 1e-3
    ema_decay: float = 0.999
    gradient_norm: float = 1.0
    hyperprior_steps: int = 0  # staged start: so many steps of the hyperprior alone, on cached latents
    hyperprior_lr: float = 5e-4
    precision: str = "tf32"  # on CUDA: fp32, tf32, or bf16 for the inner convolutions
    jpeg_downscale: int = 2  # JPEG sources are shrunk so, which averages their block edges away
    validate_every: int = 1000
    validation_images: int = 0  # 0: all
    log_every: int = 50
    checkpoint_minutes: float = 5.0
    seed: int = 1
    notes: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        positive = (
            "rate_weight",
            "steps",
            "batch",
            "crop",
            "lr",
            "validate_every",
            "log_every",
            "warm_up_steps",
            "jpeg_downscale",
        )
        for key in positive:
            if not getattr(self, key) > 0:
                raise UsageError(f"training {self.name}: {key} must be above 0, it is {getattr(self, key)}")
        if self.crop % 64:
            raise UsageError(f"training {self.name}: crop must be a multiple of 64 (the stride), it is {self.crop}")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"training {self.name}: precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}"
            )


def names() -> list[str]:
    """The models there is a yaml file for."""
    return sorted(path.stem for path in (HERE / "models").glob("*.yaml"))


def load(name: str, **overrides: Any) -> Config:
    """The configuration called ``name`` (or the yaml file at that path), with every override that is not None.

    Raises UsageError for a name without file, an unknown key, a value out of range.
    """
    import yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else HERE / "models" / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"no training is called {name!r}; there are {', '.join(names())}, or give a yaml file's path")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold keys and values, it holds {type(values).__name__}")
    known = {f.name for f in fields(Config)}
    unknown = sorted((set(values) | set(overrides)) - known)
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values["start_from"] = tuple(values.get("start_from", ("linear",)))
    try:
        config = Config(**{"name": path.stem, **values})
    except TypeError as error:
        raise UsageError(f"{path}: {error}") from error
    return replace(config, **{key: value for key, value in overrides.items() if value is not None})


def next_in_queue(queue: Path = HERE / "queue.yaml") -> str:
    """The first model of queue.yaml that has had fewer steps than it wants."""
    import yaml

    for entry in yaml.safe_load(queue.read_text(encoding="utf-8")):
        if entry["steps_had"] < entry["steps_wanted"]:
            return entry["name"]
    raise UsageError(f"every model of {queue.name} has had the steps it wants; raise steps_wanted to train further")
