"""Wrapper modules in installed packages, registered as entry points of the group ``rdbench.codecs``.

In the package's pyproject.toml, give the import name of a module with CODECS, like those in codecs_wrappers/::

    [project.entry-points."rdbench.codecs"]
    palette = "rdbench_palette.wrapper"
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path

GROUP = "rdbench.codecs"


@dataclass(frozen=True)
class Registered:
    """One entry point of the group."""

    entry: EntryPoint

    @property
    def name(self) -> str:
        """The entry point's name as part of a path, which names its row if the module cannot be imported."""
        return re.sub(r"[^\w.-]", "-", self.entry.name).lstrip(".") or "unnamed"

    @property
    def module(self) -> str:
        """The import name of the wrapper module; the whole value of a malformed entry point."""
        return self.entry.module if self._is_well_formed else self.entry.value

    @property
    def names_a_module(self) -> bool:
        """Whether the entry point names a module, as it must, rather than an object in one."""
        return self._is_well_formed and not self.entry.attr

    @property
    def _is_well_formed(self) -> bool:
        return self.entry.pattern.match(self.entry.value) is not None

    @property
    def distribution(self) -> Distribution:
        assert self.entry.dist is not None  # entry_points() gives only those of distributions
        return self.entry.dist

    @property
    def key(self) -> str:
        """The module's name in a codec's state, ``DISTRIBUTION:MODULE``; that of a file has no colon."""
        return f"{self.distribution.name}:{self.module}"

    @property
    def owner(self) -> str:
        """Its name in messages, such as "rdbench_palette.wrapper of rdbench-palette 0.1.0"."""
        return f"{self.module} of {self.distribution.name} {self.distribution.version}"

    @cached_property
    def top_level(self) -> frozenset[str]:
        """The distribution's top-level modules; for an editable one, which lists none, all those next to its own."""
        own = self.module.partition(".")[0]
        files = self.distribution.files or ()
        listed = {file.parts[0] if len(file.parts) > 1 else inspect.getmodulename(file) or "" for file in files}
        if own not in listed and self._is_editable and (path := source_file(own)):
            folder = path.parents[1] if path.name == "__init__.py" else path.parent
            listed |= {inspect.getmodulename(file) or file.name for file in folder.iterdir()}
        return frozenset(name for name in {own, *listed} if name.isidentifier())

    @property
    def _is_editable(self) -> bool:
        facts = json.loads(self.distribution.read_text("direct_url.json") or "{}")
        return bool(facts.get("dir_info", {}).get("editable"))


def registered() -> tuple[Registered, ...]:
    """Every entry point of the group, sorted by its own and its distribution's name."""
    return _registered(tuple(sys.path))


@lru_cache(maxsize=1)  # reading the entry points of 200 installed packages takes 25 ms
def _registered(path: tuple[str, ...]) -> tuple[Registered, ...]:
    found = [Registered(entry) for entry in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda it: (it.name, it.key)))


def source_file(module: str) -> Path | None:
    """The file of an installed module, Python or compiled, found without importing it, or None."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder, *rest)
        for path in (
            base.with_name(f"{base.name}.py"),
            base / "__init__.py",
            *(base.with_name(base.name + suffix) for suffix in EXTENSION_SUFFIXES),
        ):
            if path.is_file():
                return path
    return None
