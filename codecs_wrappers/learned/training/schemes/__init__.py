"""One file per training scheme, found by listing this folder: its module-level ``LEARNER`` is the scheme's Learner."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    from codecs_wrappers.learned.training.learner import Learner


def names() -> list[str]:
    """The names of all schemes."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def learner_of(scheme: str) -> type[Learner]:
    """The Learner of ``scheme``. Raises UsageError that lists the schemes. Imports torch."""
    if scheme not in names():
        raise UsageError(f"no training scheme is called {scheme!r}; there are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{scheme}").LEARNER
