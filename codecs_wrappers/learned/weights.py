"""Trained weights: the manifest, and the only code that loads them.

``weights.yaml`` next to this file lists every entry; a second manifest of the same form, $RDBENCH_WEIGHTS, may add a
user's own (the .yaml that `rdbench train` writes next to its weights is one). An entry has

* ``source``: ``committed`` (``file`` lies in learned/weights/), ``zoo`` (``url``, downloaded into the cache by
  `rdbench fetch-weights` and never otherwise) or ``file`` (``file`` is a path, relative to its manifest),
* ``sha256``: of the file, or at least its first 8 digits (all that CompressAI publishes); checked at every load,
* ``architecture``: its ``family``, and what the network is built from (N and M; inferred from the tensors if absent),
* ``base`` (optional): ``{name, sha256}`` of the entry it was derived from, whose file must not have changed,

and facts: ``rate_weight``, ``steps``, ``data``, ... Asking what is available imports no torch.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.files import cache_dir, sha256_file

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = Path(__file__).with_name("weights.yaml")
COMMITTED = Path(__file__).with_name("weights")
VARIABLE = "RDBENCH_WEIGHTS"
SOURCES = {"committed": "file", "zoo": "url", "file": "file"}  # and the key that says where the file is
HASH_DIGITS = 8
MAX_BYTES = 2_000_000_000  # of a download whose entry gives no `bytes`


@dataclass(frozen=True)
class Weights:
    """The tensors of one entry, on the CPU as stored. sha256: of the file, whole."""

    name: str
    state: Mapping[str, Tensor]
    sha256: str
    entry: Mapping[str, Any]


def manifest() -> dict[str, dict[str, Any]]:
    """Every entry by name; the user's own replace the project's. Raises UsageError for an invalid manifest."""
    own = os.environ.get(VARIABLE)
    paths = [MANIFEST, *([Path(own).absolute()] if own else [])]
    return {name: entry for path in paths for name, entry in _read(path, _stamp(path)).items()}


def names() -> list[str]:
    """The names of all entries."""
    return list(manifest())


def entry(name: str) -> dict[str, Any]:
    """The entry called ``name``. Raises UsageError that lists the entries there are."""
    found = manifest()
    if name not in found:
        raise UsageError(f"no trained weights are called {name!r} in {MANIFEST.name}; there are {', '.join(found)}")
    return found[name]


def path(name: str) -> Path:
    """Where the file of an entry is, or would be."""
    found = entry(name)
    if found["source"] == "zoo":
        return cache_dir() / "weights" / Path(urlsplit(found["url"]).path).name
    return Path(found["file"])


def available(name: str, above: tuple[str, ...] = ()) -> tuple[bool, str]:
    """Whether an entry can be loaded, or the reason why not. Reads no weights and makes no connection.

    above: the entries that it is a base of.
    """
    if name in above:
        circle = " -> ".join((*above, name))
        return False, f"weights {above[0]} cannot be loaded: their bases form a circle: {circle}"
    try:
        found, file = entry(name), path(name)
    except UsageError as error:
        return False, str(error)
    if not file.is_file():
        if found["source"] == "zoo":
            return False, f"weights {name} are not in the cache: run `rdbench fetch-weights {name}`"
        return False, f"the weights file of {name} is missing: {file}"
    size = file.stat().st_size
    if size != found.get("bytes", size):
        return False, f"the weights file of {name} is incomplete: {file} has {size} bytes, expected {found['bytes']}"
    return _base_available(name, found, above)


def _base_available(name: str, found: Mapping[str, Any], above: tuple[str, ...]) -> tuple[bool, str]:
    base = found.get("base")
    if not base:
        return True, ""
    ok, reason = available(base["name"], (*above, name))
    if ok and sha256(base["name"]) != base["sha256"]:
        reason = (
            f"weights {name} were trained on another {base['name']} ({base['sha256'][:8]}, now "
            f"{sha256(base['name'])[:8]}): train them again with `rdbench train {name}`"
        )
        ok = False
    return ok, reason


def sha256(name: str) -> str:
    """The hash in the manifest (64 hex digits; of zoo files 8 or more), or the file's own if it gives none."""
    given = entry(name).get("sha256", "")
    return given or _hash(path(name), _stamp(path(name)))


def size(names: Iterable[str]) -> dict[str, int]:
    """How many parameters (numbers of floating point) and file bytes some entries have, with their bases, once each."""
    needed: dict[str, None] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in needed:
            needed[name] = None
            todo += [base["name"]] if (base := entry(name).get("base")) else []
    states = [load(name).state for name in needed]
    parameters = sum(tensor.numel() for state in states for tensor in state.values() if tensor.is_floating_point())
    return {"parameters": parameters, "bytes": sum(path(name).stat().st_size for name in needed)}


def training(name: str) -> dict[str, Any]:
    """What the manifest says of an entry's training, in the keys of :meth:`bench.codec.Codec.training`."""
    found = entry(name)
    data, validation, start = (found.get(key, {}) for key in ("data", "validation", "started_from"))
    facts = {key: found.get(key) for key in ("bytes", "crops", "crop", "hours", "device")}
    facts |= {"images": data.get("images"), "validation_images": validation.get("images")}
    facts |= {key: validation.get(key) for key in ("loss", "bpp", "psnr_rgb_db")}
    facts |= {"start": start.get("from"), "base": found.get("base", {}).get("name"), "steps": found.get("steps_run")}
    return {"name": name} | {key: value for key, value in facts.items() if value is not None}


def load(name: str) -> Weights:
    """The weights of an entry, under CompressAI's present tensor names. Their hash is checked.

    Raises UnavailableError if the file is missing, RdbenchError if it is damaged, UsageError if it is not a checkpoint.
    """
    ok, reason = available(name)
    if not ok:
        raise UnavailableError(f"loading weights {name}: {reason}")
    found, file = entry(name), path(name)
    got = _hash(file, _stamp(file))
    if fault := _wrong_hash(got, found.get("sha256", "")):
        cure = "download them again" if found["source"] == "zoo" else "restore the file"
        raise RdbenchError(f"loading weights {name}: {file} is damaged: {fault}; {cure}")
    state = _read_state(file)
    return Weights(name, state, got, {**found, "architecture": _architecture(found, state)})


def fetch(name: str, *, quiet: bool = False, wait_s: float = 0.5) -> Path:
    """The file of a zoo entry in the cache, downloaded if it is missing; for any other entry, its path.

    A download with the wrong hash is kept as ``<name>.bad`` (RdbenchError). Raises UnavailableError without a file.
    """
    found, file = entry(name), path(name)
    if found["source"] != "zoo":
        if not file.is_file():
            raise UnavailableError(f"fetching weights {name}: {file} is not there, and {found['source']} has no URL")
        return file
    if file.is_file() and not _wrong_hash(_hash(file, _stamp(file)), found["sha256"]):
        return file
    # The harness's downloads: resumed, retried, verified, whole or not at all.
    from bench.data.download import Source, obtain
    from bench.data.transfer import Transfers

    def validate(part: Path) -> str:
        return _wrong_hash(sha256_file(part), found["sha256"])

    with Transfers(quiet=quiet, wait_s=wait_s) as transfers:
        source = Source(found["url"], max_bytes=found.get("bytes", MAX_BYTES))
        obtain(transfers, file, [source], f"weights {name}", validate=validate)
    return file


def _wrong_hash(got: str, expected: str) -> str:
    return "" if got.startswith(expected) else f"expected sha256 {expected}, got {got}"


def _stamp(file: Path) -> tuple[int, int]:
    """Changes when the file does; part of the keys of the caches below."""
    try:
        status = file.stat()
    except OSError as error:
        raise UsageError(f"reading {file}: {error.strerror}; expected a weights file or manifest there") from error
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=64)
def _hash(file: Path, stamp: tuple[int, int]) -> str:
    return sha256_file(file)


@functools.lru_cache(maxsize=8)
def _read(file: Path, stamp: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """The entries of one manifest, each with the absolute path of its file."""
    import yaml

    try:
        content = yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"reading the weights manifest {file}: it is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"reading the weights manifest {file}: expected entries by name, got {type(content).__name__}")
    folder = COMMITTED if file == MANIFEST else file.parent
    return {str(name): _validated(str(name), entry, file, folder) for name, entry in content.items()}


def _validated(name: str, entry: Any, file: Path, folder: Path) -> dict[str, Any]:
    def fail(expected: str) -> UsageError:
        return UsageError(f"reading the weights manifest {file}: entry {name} needs {expected}")

    if not isinstance(entry, dict) or entry.get("source") not in list(SOURCES):  # a list: it may be unhashable
        raise fail(f"a source, one of {', '.join(SOURCES)}")
    place = SOURCES[entry["source"]]
    if not isinstance(entry.get(place), str):
        raise fail(f"`{place}`, where its weights are")
    if not isinstance(entry.get("architecture"), dict) or not isinstance(entry["architecture"].get("family"), str):
        raise fail("an architecture with at least its `family`")
    base = entry.get("base", {"name": "", "sha256": ""})
    if not isinstance(base, dict) or not all(isinstance(base.get(key), str) for key in ("name", "sha256")):
        raise fail("a base with its `name` and `sha256`, or none")
    for key in ("data", "validation", "started_from"):
        if not isinstance(entry.get(key, {}), dict):
            raise fail(f"`{key}` as a mapping, or none")
    digest = entry.get("sha256", "" if entry["source"] != "file" else HASH_DIGITS * "0")
    if not isinstance(digest, str) or len(digest) < HASH_DIGITS:
        raise fail(f"a sha256 of at least {HASH_DIGITS} digits, in quotes")
    return {**entry, **({"file": str((folder / entry["file"]).absolute())} if place == "file" else {})}


def _architecture(found: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The entry's architecture; widths of a hyperprior network that are not given are taken from its tensors."""
    widths = {}
    if {"g_a.0.weight", "g_a.6.weight"} <= state.keys():
        for key in ("g_a.0.weight", "g_a.6.weight"):
            if state[key].ndim != 4:
                raise UsageError(
                    f"reading the architecture from weights: expected {key} to have the 4 dimensions of a convolution, "
                    f"got {state[key].ndim}: this is not a hyperprior network"
                )
        widths = {"N": state["g_a.0.weight"].shape[0], "M": state["g_a.6.weight"].shape[0]}
    return {**widths, **found["architecture"]}


def _read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a CompressAI checkpoint (.pth.tar), under present names."""
    from codecs_wrappers.learned.hyperprior import networks

    if file.suffix == ".safetensors":
        return networks.read_weights(file)
    return networks.read_checkpoint(file)
