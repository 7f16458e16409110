"""Which codecs there are: wrapper modules found by listing codecs_wrappers/ and the folders of RDBENCH_WRAPPERS."""

from __future__ import annotations

import importlib
import sys
import traceback
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import codecs_wrappers
from bench.codec import Codec, VariableRate
from bench.errors import UsageError
from bench.parameters import check_values


@dataclass(frozen=True)
class Found:
    """One wrapper module that discovery found: its codecs, or why it could not be imported.

    path: of its file, as messages call it. A module without CODECS that defines no codec either has none: a helper.
    """

    module: str
    codecs: tuple[Codec, ...] = ()
    error: str = ""
    path: str = ""


def discover(package: Any = codecs_wrappers) -> list[Found]:
    """Every wrapper module in the folder, in name order, importable or not. Files beginning with ``_`` are left out.

    Raises UsageError for a folder of RDBENCH_WRAPPERS that is none, and for two files of one name.
    """
    found = []
    owners: dict[str, str] = {}
    for stem, path in _files(package).items():
        wrapper = _import(package, stem, path)
        for codec in wrapper.codecs:
            if (owner := owners.setdefault(codec.name, wrapper.path)) != wrapper.path:
                wrapper = Found(stem, (), f"codec {codec.name!r} is already given by {owner}", wrapper.path)
                break
        found.append(wrapper)
    return found


def _files(package: Any) -> dict[str, Path]:
    """Module name -> file of every wrapper module, in name order."""
    files: dict[str, Path] = {}
    for folder in map(Path, package.__path__):
        if not folder.is_dir():
            raise UsageError(f"RDBENCH_WRAPPERS names {folder}, which is no folder; correct it, or unset it")
        for file in folder.glob("*.py"):
            if file.stem.startswith("_"):
                continue
            if file.stem in files:
                raise UsageError(f"{_shown(files[file.stem])} and {file} have one name; rename the second")
            files[file.stem] = file
    return dict(sorted(files.items()))


def _shown(path: Path) -> str:
    """A wrapper's file as messages call it: in this project's folder from there on, elsewhere its whole path."""
    home = Path(codecs_wrappers.__file__ or "").parent
    return str(path.relative_to(home.parent)) if path.is_relative_to(home) else str(path)


def _import(package: Any, stem: str, path: Path) -> Found:
    try:
        module = importlib.import_module(f"{package.__name__}.{stem}")
        if not hasattr(module, "CODECS") and not _own_codecs(module):
            return Found(stem, path=_shown(path))
        codecs = tuple(module.CODECS)
        for codec in codecs:
            _check_codec(codec)
    except (Exception, SystemExit) as error:  # a broken wrapper must not take the others with it; it becomes a row
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        return Found(stem, (), said, _shown(path))
    return Found(stem, codecs, path=_shown(path))


def _own_codecs(module: Any) -> list[type]:
    """The codec classes that a module defines: with one it is a wrapper, which lacks its CODECS."""
    kinds = (kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Codec))
    return [kind for kind in kinds if kind.__module__ == module.__name__]


def _check_codec(codec: Codec) -> None:
    for attribute in ("name", "extension", "points"):
        if not getattr(codec, attribute, None):
            raise UsageError(f"{type(codec).__name__} has no {attribute}")
    if isinstance(codec, VariableRate) and not (codec.parameter and -inf < codec.limits[0] < codec.limits[1] < inf):
        raise UsageError(f"{codec.name} needs a parameter and two finite limits, the lower first: {codec.limits}")
    for parameter in codec.parameters:
        parameter.check(codec.name)
    for point in codec.points:
        check_values(codec.name, codec.parameters, point.parameters, f"operating point {point.name}")
    names = [point.name for point in codec.points]
    for point in codec.points:
        try:
            point.to_json()
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{codec.name}: the parameters of point {point.name} are no JSON values: {error}"
            ) from error
    if len(set(names)) < len(names):
        raise UsageError(f"{codec.name} has two operating points of one name: {names}")
    for name in (codec.name, *names):
        if not all(c.isalnum() or c in "._-" for c in name):
            raise UsageError(
                f"{name!r} is no name for a codec or point: letters, digits and ._- only (it becomes a path)"
            )


def family_commands() -> list[Any]:
    """The `add_commands` functions of the wrappers that bring commands of their own (`plonq-levels`)."""
    names = [wrapper.module for wrapper in discover() if not wrapper.error]
    modules = [sys.modules[f"{codecs_wrappers.__name__}.{name}"] for name in names]
    return [module.add_commands for module in modules if hasattr(module, "add_commands")]


def codecs() -> dict[str, Codec]:
    """Every codec that could be imported, by name."""
    return {codec.name: codec for wrapper in discover() for codec in wrapper.codecs}


def load(name: str, package: Any = codecs_wrappers) -> Codec:
    """The codec called ``name``. Imports the likely wrapper first, so that a process pays for one library only.

    Raises UsageError that lists the names there are, or says why the wrapper of that name is broken.
    """
    known, broken = [], []
    files = _files(package)
    for stem in sorted(files, key=lambda stem: not name.startswith(stem)):
        wrapper = _import(package, stem, files[stem])
        for codec in wrapper.codecs:
            if codec.name == name:
                return codec
            known.append(codec.name)
        if wrapper.error:
            broken.append(f"{wrapper.path} could not be imported: {wrapper.error}")
            if stem == name:
                raise UsageError(broken[-1])
    raise UsageError("; ".join([f"no codec is called {name!r}; there are {', '.join(sorted(known))}", *broken]))


def load_available(name: str) -> Codec:
    """The codec of that name. Raises UsageError if there is none, or with the reason where it cannot run here."""
    codec = load(name)
    runs, reason = codec.available()
    if not runs:
        raise UsageError(f"codec {name} is not available here: {reason}")
    return codec


def module_of(codec: Codec) -> str:
    """The file name (without .py) of the wrapper that gives ``codec``; its class may be defined elsewhere."""
    package = codecs_wrappers.__name__
    for name, module in list(sys.modules.items()):
        parent, _, stem = name.rpartition(".")
        if parent == package and any(given is codec for given in getattr(module, "CODECS", ())):
            return stem
    return Path(sys.modules[type(codec).__module__].__file__ or "").stem
