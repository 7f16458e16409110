"""Finds the codecs.

Wrapper modules are the files in codecs_wrappers/ and in the folders of RDBENCH_WRAPPERS, and the entry points of
installed packages (:mod:`bench.installed`).
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import codecs_wrappers
from bench.codec import Codec, VariableRate
from bench.errors import UsageError
from bench.installed import registered
from bench.names import did_you_mean
from bench.parameters import check_values


@dataclass(frozen=True)
class Found:
    """A wrapper module: its codecs, or the reason why it could not be imported.

    module: the name of its row if it could not be: a file's name without .py, or an entry point's name. key: its name
    for :func:`bench.run.codec_state.code_sha256`. path: its file or its package, for messages. imported: the module
    itself. A module that neither has CODECS nor defines a codec is a helper, without codecs.
    """

    module: str
    codecs: tuple[Codec, ...] = ()
    error: str = ""
    path: str = ""
    key: str = ""
    imported: Any = None


@dataclass(frozen=True)
class _Source:
    """A wrapper module to import. refusal: the reason for not importing it."""

    name: str
    key: str
    module: str
    owner: str
    refusal: str = ""


def discover() -> list[Found]:
    """Every wrapper module, importable or not: files sorted by name, then those of installed packages.

    Files whose names begin with ``_`` are left out. Raises UsageError for a folder of RDBENCH_WRAPPERS that does not
    exist, and for two files with the same name. Errors in an installed package become rows of their own.
    """
    found = []
    owners: dict[str, str] = {}
    files = _files()
    for source in [*files, *_registered(files)]:
        wrapper = _import(source)
        for codec in wrapper.codecs:
            if (owner := owners.setdefault(codec.name, source.owner)) != source.owner:
                wrapper = _failed(source, f"codec {codec.name!r} is already given by {owner}")
                break
        found.append(wrapper)
    return [replace(it, module=f"{it.module}.broken") if it.error and it.module in owners else it for it in found]


def _files() -> list[_Source]:
    """Every wrapper file, sorted by name."""
    files: dict[str, Path] = {}
    for folder in map(Path, codecs_wrappers.__path__):
        if not folder.is_dir():
            raise UsageError(f"RDBENCH_WRAPPERS names {folder}, which is not a folder; correct it, or unset it")
        for file in folder.glob("*.py"):
            if file.stem.startswith("_"):
                continue
            if file.stem in files:
                raise UsageError(f"{_shown(files[file.stem])} and {file} have the same name; rename the second")
            files[file.stem] = file
    home = codecs_wrappers.__name__
    return [_Source(stem, stem, f"{home}.{stem}", _shown(file)) for stem, file in sorted(files.items())]


def _registered(files: list[_Source]) -> list[_Source]:
    """Every wrapper module of installed packages; one whose name is taken is refused."""
    owners = {source.name: source.owner for source in files}
    sources = []
    for it in registered():
        name, refusal = it.name, ""
        if (owner := owners.setdefault(name, it.owner)) != it.owner:
            name = f"{it.distribution.name}.{it.name}"
            refusal = (
                f"its entry point {it.name!r} has the name of {owner}; rename one of the two, or uninstall a package"
            )
        elif not it.names_a_module:
            refusal = f"expected its entry point {it.name!r} to name a module, got {it.entry.value!r}"
        sources.append(_Source(name, it.key, it.module, it.owner, refusal))
    return sources


def _shown(path: Path) -> str:
    """A wrapper's file for messages: relative to this project if it is inside, otherwise the whole path."""
    home = Path(codecs_wrappers.__file__ or "").parent
    return str(path.relative_to(home.parent)) if path.is_relative_to(home) else str(path)


def _import(source: _Source) -> Found:
    if source.refusal:
        return _failed(source, source.refusal)
    try:
        module = importlib.import_module(source.module)
        if not (":" in source.key or hasattr(module, "CODECS") or _own_codecs(module)):
            return Found(source.name, path=source.owner, key=source.key, imported=module)  # a helper file
        codecs = tuple(module.CODECS)
        for codec in codecs:
            _check_codec(codec)
    except (Exception, SystemExit) as error:  # a broken wrapper becomes a row and must not affect the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        return _failed(source, f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})")
    return Found(source.name, codecs, path=source.owner, key=source.key, imported=module)


def _failed(source: _Source, why: str) -> Found:
    return Found(source.name, error=why, path=source.owner, key=source.key)


def _own_codecs(module: Any) -> list[type]:
    """The codec classes that a module defines; with one, it is a wrapper that lacks CODECS."""
    kinds = (kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Codec))
    return [kind for kind in kinds if kind.__module__ == module.__name__]


def _check_codec(codec: Codec) -> None:
    for attribute in ("name", "extension", "points"):
        if not getattr(codec, attribute, None):
            raise UsageError(f"{type(codec).__name__} has no {attribute}")
    if isinstance(codec, VariableRate) and not (codec.parameter and -inf < codec.limits[0] < codec.limits[1] < inf):
        raise UsageError(
            f"{codec.name} needs a parameter and two finite limits, the lower one first; got {codec.limits}"
        )
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
                f"{codec.name}: the parameters of point {point.name} are not JSON values: {error}"
            ) from error
    if len(set(names)) < len(names):
        raise UsageError(f"{codec.name} has two operating points with the same name: {names}")
    for name in (codec.name, *names):
        if not all(c.isalnum() or c in "._-" for c in name):
            raise UsageError(
                f"{name!r} cannot name a codec or point, as it becomes part of a path: use letters, digits and ._- only"
            )


def family_commands() -> list[Any]:
    """The `add_commands` functions of the wrappers that add commands (`plonq-levels`)."""
    return [found.imported.add_commands for found in discover() if hasattr(found.imported, "add_commands")]


def codecs() -> dict[str, Codec]:
    """Every codec that could be imported, by name."""
    return {codec.name: codec for wrapper in discover() for codec in wrapper.codecs}


def load(name: str) -> Codec:
    """The codec called ``name``. Imports the likely wrapper first, so that a process loads only one library.

    Raises UsageError that lists the known names, or states the error in the wrapper of that name.
    """
    for source in _likely_first(name):
        for codec in _import(source).codecs:
            if codec.name == name:
                return codec
    found = discover()
    broken = {it.module: f"{it.path} could not be imported: {it.error}" for it in found if it.error}
    if name in broken:
        raise UsageError(broken[name])
    known = sorted(codec.name for it in found for codec in it.codecs)
    what = f"no codec is called {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
    raise UsageError("; ".join([what, *broken.values()]))


def _likely_first(name: str) -> Iterator[_Source]:
    """Every wrapper module, first those whose names the codec's name begins with, files before packages."""
    files = _files()
    yield from (source for source in files if name.startswith(source.name))
    installed = _registered(files)
    yield from (source for source in installed if name.startswith(source.name))
    yield from (source for source in [*files, *installed] if not name.startswith(source.name))


def load_available(name: str) -> Codec:
    """The codec of that name. Raises UsageError if there is none, or with the reason if it cannot run here."""
    codec = load(name)
    runs, reason = codec.available()
    if not runs:
        raise UsageError(f"codec {name} is not available here: {reason}")
    return codec


def module_of(codec: Codec) -> str:
    """The key of the wrapper module whose CODECS contains ``codec``; its class may be defined elsewhere.

    A file's name without .py, or ``DISTRIBUTION:MODULE`` of an installed package.
    """
    package = codecs_wrappers.__name__
    for name, module in list(sys.modules.items()):
        parent, _, stem = name.rpartition(".")
        if parent == package and any(given is codec for given in getattr(module, "CODECS", ())):
            return stem
    for it in registered():
        if any(given is codec for given in getattr(sys.modules.get(it.module), "CODECS", ())):
            return it.key
    return Path(sys.modules[type(codec).__module__].__file__ or "").stem
