"""What the Snakefile needs to know before it can draw its graph.

:func:`plan` also refreshes the small files that say when a job has to run again: one per codec (availability, version,
code and weights hash) and one per dataset (its entry in datasets.yaml, or the listing of a folder).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.claims.ledger import claimed_codecs
from bench.claims.validation import validated_pairs
from bench.data.datasets import FOLDER, read_manifest, source_of
from bench.device import requested_device
from bench.errors import UsageError
from bench.figures.spec import Needs, named_pairs, needs, read_specification
from bench.files import bare_name, file_name, sha256, to_json, write_if_changed
from bench.run.codec_state import CodecState, all_codec_states
from bench.run.contents import write_contents
from bench.run.devices import usable_gpus
from bench.studies import Study, studies

LONGEST_CODECS = 60  # characters of codecs' names in a folder's name


@dataclass(frozen=True)
class Plan:
    """The jobs of one configuration. folder: where its results go; pairs: (codec, dataset); names: slug -> set name;
    left_out: codec -> why the configuration leaves it out; studies: by name, those of the configuration; figures: by
    name, what figures.yaml says of each; device: for codecs with weights, its name (:mod:`bench.device`)."""

    folder: Path
    names: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...]
    left_out: Mapping[str, str]
    statuses: Mapping[str, CodecState]
    studies: Mapping[str, Study]
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    device: str = "auto"

    @property
    def with_weights(self) -> list[str]:
        """The codecs of the run whose networks' device matters."""
        return sorted({codec for codec, _ in self.pairs if self.statuses[codec].weights_sha256} - set(self.left_out))

    def device_of(self, codec: str) -> str:
        """Where a codec's jobs run: "cpu" without weights, so that another device makes none of them run again."""
        return self.device if self.statuses[codec].weights_sha256 else "cpu"

    def gpus_of(self, codec: str) -> int:
        """How many GPUs a job of a codec asks of Snakemake: 1 or 0."""
        device = self.device_of(codec)
        return int(device.startswith("cuda") or (device == "auto" and self._has_gpu))

    @cached_property
    def _has_gpu(self) -> bool:
        """Asked for once: every job's resources want to know it, and nvidia-smi takes its time to start."""
        return bool(usable_gpus())

    @property
    def studied(self) -> list[tuple[str, str]]:
        """(study, dataset) of the studies whose codec is part of the run."""
        return [
            (study.name, dataset)
            for study in self.studies.values()
            for dataset in self.names
            if (study.codec, dataset) in self.pairs and study.codec not in self.left_out
        ]

    def needs(self, figure: str) -> Needs:
        """What of the run the figure of that name is made of."""
        return needs(self.figures[figure], self.names, self.pairs, self.studied, self.timed)

    @property
    def timed(self) -> list[tuple[str, str]]:
        """The pairs whose times are measured: of codecs that run here, validation settings apart."""
        statuses = self.statuses
        return [
            (codec, dataset)
            for codec, dataset in self.pairs
            if statuses[codec].available and statuses[codec].role != "validation" and codec not in self.left_out
        ]


def plan(config: Mapping[str, Any], refresh: bool = True, changed: Collection[str] = ()) -> Plan:
    """The jobs ``config`` asks for; ``refresh`` brings the files up to date that say which of them run again.

    changed: keys of ``config`` that the command line changed, see :func:`run_name`. Raises UsageError for a codec or
    dataset that does not exist.
    """
    names = slugs(config["datasets"])
    folder = Path("results", run_name(config, names, changed))
    statuses = all_codec_states()
    wanted = statuses if config["codecs"] == "all" else config["codecs"]
    asked = () if config["codecs"] == "all" else wanted
    left_out = {codec: f"left out by the configuration: {reason}" for codec, reason in config["leave_out"].items()}
    unknown = [name for name in [*wanted, *left_out] if name not in statuses]
    if unknown:
        raise UsageError(f"config names codecs that do not exist: {unknown}; there are {sorted(statuses)}")
    controls = [name for name, status in statuses.items() if status.role == "control"]
    specification = read_specification()
    claimed = {(codec, dataset) for codec in claimed_codecs() for dataset in names}
    reproduced = validated_pairs() | named_pairs(specification, names) | claimed
    pairs = tuple(
        (codec, dataset)
        for dataset in names
        for codec in sorted({*wanted, *controls})
        if statuses[codec].role != "validation" or (codec, dataset) in reproduced or codec in asked
    )
    if refresh:
        for codec in {codec for codec, _ in pairs}:
            statuses[codec].write(folder / "status")
        for dataset, name in names.items():
            _refresh(folder / "datasets", dataset, name)
    device = config["device"] if config["device"] != "auto" else requested_device()
    figures = {spec["name"]: spec for spec in specification["figures"]}
    made = Plan(folder, names, pairs, left_out, statuses, _studies(config), figures, device)
    if refresh:
        write_contents(folder, made.studied, made.timed)
    return made


def run_name(config: Mapping[str, Any], names: Collection[str], changed: Collection[str] = ()) -> str:
    """The run's folder under results/: the configuration's name, or its datasets' names joined.

    A run of other codecs or datasets than its configuration file says has a name of its own, with those in it: it would
    replace the file's run otherwise. ``changed`` are the keys that the command line gave; a ``name`` there is kept.
    """
    name, datasets = config.get("name"), "-".join(names)
    if name and "name" not in changed and "datasets" in changed:
        name = f"{name}-{datasets}"
    if "codecs" in changed and "name" not in changed and config["codecs"] != "all":
        codecs = "-".join(config["codecs"])
        short = codecs if len(codecs) <= LONGEST_CODECS else f"{len(config['codecs'])}-codecs-{_mark(codecs)}"
        name = f"{name or datasets}-{short or 'no-codec'}"
    return file_name(bare_name(name or datasets, "the run's name in the configuration"))


def _studies(config: Mapping[str, Any]) -> dict[str, Study]:
    known = studies()
    if config["studies"] == "all":
        return known
    if unknown := sorted(set(config["studies"]) - set(known)):
        raise UsageError(f"config names studies that do not exist: {unknown}; there are {sorted(known)}")
    return {name: known[name] for name in config["studies"]}


def slug(name: str, parts: int = 1) -> str:
    """A dataset's name as a part of a path: ``folder:/data/my images`` -> ``folder-my-images``.

    Of a folder the last ``parts`` of its path, letters of any script; one without a letter or digit has a hash instead.
    """
    if not name.startswith(FOLDER):
        return name
    path = Path(name.removeprefix(FOLDER)).expanduser().resolve()
    text = re.sub(r"[^\w.]+", "-", "-".join(path.parts[-parts:])).strip("-.")
    return file_name(f"folder-{text or _mark(str(path))}")


def slugs(names: Iterable[str]) -> dict[str, str]:
    """slug -> name of every dataset: of folders with one last name as much of their paths as tells them apart.

    A folder that is named twice is one. Raises UsageError, naming both, where nothing tells them apart.
    """
    once = list({_place(name): name for name in names}.values())
    found: dict[str, str] = {}
    for name in once:
        others = [other for other in once if other != name]
        parts = (p for p in range(1, 100) if slug(name, p) not in {slug(other, p) for other in others})
        short = slug(name, next(parts, 1))
        if short in found:
            raise UsageError(f"datasets {found[short]} and {name} would both be called {short}; rename a folder")
        found[short] = name
    return found


def _place(name: str) -> str:
    return str(Path(name.removeprefix(FOLDER)).expanduser().resolve()) if name.startswith(FOLDER) else name


def _mark(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape"))[:8]


def _refresh(folder: Path, dataset: str, name: str) -> None:
    """Rewrites the dataset's source file if it changed, or if the set has to be fetched again.

    It has to if it could not be had, or if an image has gone since. A count of the tries tells Snakemake so: a manifest
    that was merely deleted would not be made again while what was made of it is still there.
    """
    path, manifest = folder / "sources" / f"{dataset}.json", folder / f"{dataset}.json"
    tries = json.loads(path.read_bytes()).get("tries", 1) if path.is_file() else 1
    if manifest.is_file():
        found = read_manifest(manifest)
        if found.status != "ok" or not all(Path(image.path).is_file() for image in found.images):
            tries += 1
    write_if_changed(path, to_json({"tries": tries, **source_of(name)}))
