"""CompressAI's image models, imported in a fraction of the time.

``import compressai`` also imports torchvision and torch_geometric, and with them torch's compiler, for the datasets and
transforms of its training programs: nearly ten seconds in every coding process. Here both are replaced by empty modules
during the import, unless they are already loaded. No model, layer or entropy model uses them.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Iterator, MutableSequence
from typing import Any

ABSENT = ("torch_geometric", "torchvision")


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
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in ABSENT:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextlib.contextmanager
def _without_point_clouds() -> Iterator[None]:
    if "compressai" in sys.modules or not sys.modules.keys().isdisjoint(ABSENT):
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] in ABSENT]:
            del sys.modules[name]


with warnings.catch_warnings(), _without_point_clouds():
    warnings.simplefilter("ignore")  # CompressAI decorates with torch.jit.script, which newer torch deprecates
    from compressai.layers import GDN
    from compressai.models import MeanScaleHyperprior
    from compressai.zoo import load_state_dict

__all__ = ["GDN", "MeanScaleHyperprior", "load_state_dict"]
