"""The plan of a run, which the Snakefile needs before it can build its graph.

:func:`plan` also refreshes the small files that determine which jobs have to run again: one per codec (availability,
version, code and weights hash) and one per dataset (its entry in datasets.yaml, or the listing of a folder).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from bench.claims.ledger import claimed_codecs
from bench.claims.validation import validated_pairs
from bench.data.datasets import read_manifest, source_of
from bench.data.slugs import short_hash, slugs
from bench.device import requested_device
from bench.errors import UsageError
from bench.figures.spec import Needs, named_pairs, needs, read_specification
from bench.files import bare_name, file_name, to_json, write_if_changed
from bench.names import with_suggestions
from bench.run.codec_state import CodecState, all_codec_states
from bench.run.contents import write_contents
from bench.run.devices import usable_gpus
from bench.studies import Study, studies

NUMERIC = {"timing", "variable_rate", "matrix", "gallery_bpp"}  # the settings with numbers inside
LONGEST_CODECS = 60  # characters of codecs' names in a folder's name


@dataclass(frozen=True)
class Plan:
    """The jobs of one configuration.

    folder: of the results; pairs: (codec, dataset); names: slug -> set name; left_out: codec -> the configuration's
    reason for leaving it out; studies: those of the configuration, by name; figures: the entries of figures.yaml, by
    name; device: of codecs with weights (:mod:`bench.device`).
    """

    folder: Path
    names: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...]
    left_out: Mapping[str, str]
    statuses: Mapping[str, CodecState]
    studies: Mapping[str, Study]
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    device: str = "auto"
    variable_rate_images: int = 0  # how many are measured under the variable-rate condition

    @property
    def not_run(self) -> dict[str, str]:
        """The codecs of the run that the configuration leaves out, with its reason."""
        return {codec: self.left_out[codec] for codec in sorted({c for c, _ in self.pairs} & set(self.left_out))}

    @property
    def with_weights(self) -> list[str]:
        """The codecs of the run that have weights."""
        return sorted({codec for codec, _ in self.pairs if self.statuses[codec].weights_sha256} - set(self.left_out))

    def device_of(self, codec: str) -> str:
        """A codec's device: "cpu" without weights, so that changing the device does not run its jobs again."""
        return self.device if self.statuses[codec].weights_sha256 else "cpu"

    def gpus_of(self, codec: str) -> int:
        """How many GPUs a codec's job requests from Snakemake: 1 or 0."""
        device = self.device_of(codec)
        return int(device.startswith("cuda") or (device == "auto" and self._has_gpu))

    @cached_property
    def _has_gpu(self) -> bool:
        """Cached: every job's resources depend on it, and nvidia-smi is slow to start."""
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
        """What the figure of that name needs from the run."""
        return needs(self.figures[figure], self.names, self.pairs, self.studied, self.timed, self.variable)

    @property
    def timed(self) -> list[tuple[str, str]]:
        """The pairs whose times are measured: of all codecs that run here, except validation settings."""
        statuses = self.statuses
        return [
            (codec, dataset)
            for codec, dataset in self.pairs
            if statuses[codec].available and statuses[codec].role != "validation" and codec not in self.left_out
        ]

    @property
    def variable(self) -> list[tuple[str, str]]:
        """The pairs measured under the variable-rate condition: of the timed codecs those of which any rate can be
        asked.
        """
        return [pair for pair in self.timed if self.variable_rate_images and self.statuses[pair[0]].variable]


def plan(config: Mapping[str, Any], refresh: bool = True, changed: Collection[str] = ()) -> Plan:
    """The jobs of ``config``; ``refresh`` updates the files that determine which of them run again.

    changed: the keys of ``config`` set on the command line, see :func:`run_name`. Raises UsageError for a codec or
    dataset that does not exist.
    """
    names = slugs(config["datasets"])
    sources = {
        dataset: source_of(name) for dataset, name in names.items()
    }  # wrong ones end it before anything is written
    folder = Path("results", run_name(config, names, changed))
    statuses = all_codec_states()
    wanted = statuses if config["codecs"] == "all" else config["codecs"]
    asked = () if config["codecs"] == "all" else wanted
    named = asked if "codecs" in changed else ()  # on the command line: not left out
    left_out = {
        codec: f"left out by the configuration: {reason}"
        for codec, reason in config["leave_out"].items()
        if codec not in named
    }
    unknown = [name for name in [*wanted, *left_out, *config["anchors"]] if name not in statuses]
    if unknown:
        known = ", ".join(sorted(statuses))
        raise UsageError(
            f"the configuration names unknown codecs: {with_suggestions(unknown, statuses)}; expected {known}"
        )
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
        for dataset in names:
            _refresh(folder / "datasets", dataset, sources[dataset])
    device = config["device"] if config["device"] != "auto" else requested_device()
    figures = {spec["name"]: spec for spec in specification["figures"]}
    images = config["variable_rate"].get("images", 0)
    made = Plan(folder, names, pairs, left_out, statuses, _studies(config), figures, device, images)
    if refresh:
        write_contents(folder, made.studied, made.timed, made.variable)
    return made


def default_config(given: Mapping[str, Any]) -> str:
    """The configuration file of a run that names none: the sample's, and for other sets Kodak's, which reduces nothing.

    given: the keys set on the command line.
    """
    return "config/kodak.yaml" if "datasets" in given else "config/sample.yaml"


def given_on_command_line(config: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Puts right in ``config`` what Snakemake does to the keys ``given`` with --config.

    It merges a mapping into that of the configuration file, so that a ``leave_out`` of fewer codecs would change
    nothing, and it leaves the numbers within lists and mappings as text.
    """
    if "leave_out" in given:
        config["leave_out"] = given["leave_out"]
    for key in NUMERIC & given.keys():
        config[key] = _numbers(config[key])


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def run_name(config: Mapping[str, Any], names: Collection[str], changed: Collection[str] = ()) -> str:
    """The run's folder under results/: the configuration's name, or the joined names of its datasets.

    A run with codecs or datasets set on the command line gets a name that contains them, so that it does not replace
    the configuration file's own run. ``changed``: the keys set on the command line; a ``name`` set there is kept.
    """
    name, datasets = config.get("name"), "-".join(names)
    if name and "name" not in changed and "datasets" in changed:
        name = f"{name}-{datasets}"
    if "codecs" in changed and "name" not in changed and config["codecs"] != "all":
        codecs = "-".join(config["codecs"])
        short = codecs if len(codecs) <= LONGEST_CODECS else f"{len(config['codecs'])}-codecs-{short_hash(codecs)}"
        name = f"{name or datasets}-{short or 'no-codec'}"
    return file_name(bare_name(name or datasets, "the run's name in the configuration"))


def _studies(config: Mapping[str, Any]) -> dict[str, Study]:
    known = studies()
    if config["studies"] == "all":
        return known
    if unknown := sorted(set(config["studies"]) - set(known)):
        raise UsageError(
            f"the configuration names unknown studies: {with_suggestions(unknown, known)}; "
            f"expected {', '.join(sorted(known))}"
        )
    return {name: known[name] for name in config["studies"]}


def _refresh(folder: Path, dataset: str, source: Mapping[str, Any]) -> None:
    """Rewrites the dataset's source file if it has changed, or if the set has to be fetched again.

    That is the case if it was unavailable, or if an image has been removed since. A counter in the file tells Snakemake
    so: it would not make a deleted manifest again while the files made from it are still there.
    """
    path, manifest = folder / "sources" / f"{dataset}.json", folder / f"{dataset}.json"
    tries = json.loads(path.read_bytes()).get("tries", 1) if path.is_file() else 1
    if manifest.is_file():
        found = read_manifest(manifest)
        if found.status != "ok" or not all(Path(image.path).is_file() for image in found.images):
            tries += 1
    write_if_changed(path, to_json({"tries": tries, **source}))
