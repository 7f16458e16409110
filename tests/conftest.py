"""What several test files stand on: real photographs, a cache of the test's own, wrappers written on the spot."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import codecs_wrappers

try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:  # tests in one process need no xdist
    LoadScopeScheduling = object

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes that share the cores
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = pytest.StashKey[int]()  # number of slow tests


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of a file stay in one process, for its fixtures; of the contract's file, those of one codec.

    xdist's own loadgroup groups by a suffix of the test's name, which pytest 9.2 no longer passes on.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        codec = re.search(r"\[(\w+)", test) if file.endswith("test_contract.py") else None
        return f"{file}[{codec[1]}]" if codec else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With --dist loadgroup, ByFile."""
    return ByFile(config, log) if config.option.dist == "loadgroup" else None


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Counts the slow tests that a run leaves out, in its own process or for xdist's controller."""
    config = items[0].config
    config.stash[LEFT_OUT] = sum(any(item.iter_markers("slow")) for item in items)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out and config.option.markexpr:
        terminalreporter.write_line(f"{left_out} slow tests were left out; `make test-all` runs them too")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing a test computes is taken from, or left in, the user's cache."""
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photographs() -> dict[str, np.ndarray]:
    """Crops of real photographs (uint8 RGB) by name, small enough for a test; one has odd sides."""
    folder = Path(next(iter(importlib.util.find_spec("skimage").submodule_search_locations)), "data")
    crops = {"astronaut": (60, 150, 176, 192), "coffee": (100, 200, 165, 201)}
    images = {}
    for name, (top, left, height, width) in crops.items():
        with Image.open(folder / f"{name}.png") as file:
            images[name] = np.asarray(file.convert("RGB"))[top : top + height, left : left + width].copy()
    return images


@pytest.fixture
def image_folder(tmp_path: Path, photographs: dict[str, np.ndarray]) -> Path:
    """A user's folder with the photographs as PNG."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in photographs.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def add_wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes a wrapper file into a folder that discovery finds, in this process and in its workers."""
    folder = tmp_path / "wrappers"
    folder.mkdir()
    monkeypatch.setenv("RDBENCH_WRAPPERS", str(folder))
    monkeypatch.setattr(codecs_wrappers, "__path__", [*codecs_wrappers.__path__, str(folder)])

    def add(name: str, source: str) -> Path:
        path = folder / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        sys.modules.pop(f"codecs_wrappers.{name}", None)
        importlib.invalidate_caches()
        return path

    yield add
    for path in folder.glob("*.py"):
        sys.modules.pop(f"codecs_wrappers.{path.stem}", None)


def shell() -> dict[str, str]:
    """The environment of a user's shell as it is now, with this Python's programs in its path."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
