"""The source of a training's first weights: another model's, trained here or committed, or a file."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.errors import UsageError
from bench.files import cache_dir, sha256_file, write_atomically
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import config as configs

COMMITTED = Path(__file__).parents[2] / "weights"


@dataclass(frozen=True)
class Source:
    """One entry of ``start_from``. model: the name after "model:"; path: its file; both None without a file."""

    kind: str
    model: str | None = None
    path: Path | None = None

    def weights(self) -> dict[str, Tensor]:
        """Its tensors, on the CPU."""
        return networks.read_weights(self._file)

    def metadata(self) -> dict[str, Any]:
        return networks.read_metadata(self._file)

    def facts(self) -> dict[str, Any]:
        """Facts about it for checkpoints and the manifest."""
        if self.path is None:
            return {"from": f"{self.kind} start"}
        steps = self.metadata().get("steps", 0)
        return {"from": self.path.name, "sha256": sha256_file(self.path), "steps": int(steps)}

    @property
    def _file(self) -> Path:
        if self.path is None:
            raise UsageError(f"reading first weights: a {self.kind!r} start has none; use model:NAME or file:PATH")
        return self.path


def _unpacked(name: str) -> list[Path]:
    """The committed average of a training (xz), decompressed into the cache folder; empty without one."""
    packed = COMMITTED / "averages" / f"{name}.safetensors.xz"
    if not packed.is_file():
        return []
    path = cache_dir() / "training" / f"average-{name}-{sha256_file(packed)[:16]}.safetensors"
    if not path.is_file():
        write_atomically(path, lzma.decompress(packed.read_bytes()))
    return [path]


def first_source(
    config: configs.Config, beside: Path, built: Sequence[str] = ("default",), running: bool = False
) -> Source:
    """The first entry of ``config.start_from`` that is available.

    "model:NAME" looks in ``beside`` (the folder of trained models) for NAME/NAME.safetensors, left by a finished
    training, then (``running``) for NAME/best.safetensors, the best average of a running one, then for the committed
    weights. "average:NAME" is the average of a training, committed so that it can be continued on another machine.
    "file:PATH" is relative to the working folder. built: starts that the scheme provides without a file.
    """
    for entry in config.start_from:
        kind, _, value = entry.partition(":")
        if kind in built:
            return Source(kind)
        if kind == "model":
            configs.read(value)
            finished, average = beside / value / f"{value}.safetensors", beside / value / "best.safetensors"
            places = [finished, *([average] if running else []), COMMITTED / f"{value}.safetensors"]
        elif kind == "average":
            places = [COMMITTED / "averages" / f"{value}.safetensors", *_unpacked(value)]
        elif kind == "file":
            places = [Path(value)]
        else:
            known = ", ".join([*built, "model:NAME", "average:NAME", "file:PATH"])
            raise UsageError(f"training {config.name}: expected start_from of {known}, got {entry!r}")
        path = next((place for place in places if place.is_file()), None)
        if path:
            return Source(kind, value if kind == "model" else None, path)
    raise UsageError(
        f"training {config.name}: nothing in start_from is available ({', '.join(config.start_from)}); "
        "train one of these first, or give --start-from"
    )
