"""CompressAI's image models, imported in a fraction of the time.

``import compressai`` also imports torchvision, torch_geometric (and with them torch's compiler) and pandas, for the
datasets and transforms of its training programs, and scipy.stats, for tables of its own coder: over ten seconds in
every coding process. Here they are replaced by empty modules during the import, unless they are already loaded. No
model or layer used here needs them; what asks for scipy.stats later gets the real one.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Collection, Iterator, MutableSequence
from typing import Any

ABSENT = ("torch_geometric", "torchvision", "pandas", "scipy.stats")


class _Nothing:
    """Any name of an absent package: a base class, a decorator, or a decorator factory."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __call__(self, decorated: Any) -> Any:
        return decorated


class _Absent(types.ModuleType):
    __path__: MutableSequence[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, absent: Collection[str]):
        self.absent = absent

    def has(self, fullname: str) -> bool:
        """Whether a module is one of the absent packages or lies in one."""
        return any(fullname == name or fullname.startswith(f"{name}.") for name in self.absent)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if self.has(fullname) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextlib.contextmanager
def _without_heavy_packages() -> Iterator[None]:
    finder = _Finder([] if "compressai" in sys.modules else [name for name in ABSENT if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in filter(finder.has, list(sys.modules)):
            parent, _, own = name.rpartition(".")
            if vars(sys.modules.get(parent, types.ModuleType(""))).get(own) is sys.modules[name]:
                delattr(sys.modules[parent], own)  # scipy imports its real one when it is asked for
            del sys.modules[name]


with warnings.catch_warnings(), _without_heavy_packages():
    warnings.simplefilter("ignore")  # CompressAI decorates with torch.jit.script, which newer torch deprecates
    from compressai.layers import GDN
    from compressai.models import MeanScaleHyperprior
    from compressai.zoo import load_state_dict

__all__ = ["GDN", "MeanScaleHyperprior", "load_state_dict"]
