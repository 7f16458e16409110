"""The house: which room may import which, and how long a file may be."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

LONGEST = 300  # lines of a Python file

# From the bottom up: a unit imports those before it only. Files at the root of bench/ stand by their names.
ORDER = ["errors", "parameters", "device", "limits", "image", "codec", "files", "names", "progress", "sampling"]
ORDER += ["records", "installed", "discovery", "data", "metrics", "run", "rd", "blind", "exchange", "studies", "claims"]
ORDER += ["gate", "figures", "report", "author", "workflow", "commands", "cli"]
# What a module that decides a codec's bits may import of bench.
CONTRACT = {"errors", "parameters", "device", "limits", "image", "codec", "files", "progress", "sampling", "studies"}


def modules(package: str) -> dict[str, Path]:
    """Dotted name -> file."""
    paths = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


MODULES = modules("bench") | modules("codecs_wrappers")


def imports(name: str, at_import: bool = False) -> set[str]:
    """The modules of this project that a module imports; ``at_import``: without those that wait inside a function."""
    found = set()
    todo: list[ast.AST] = [ast.parse(MODULES[name].read_bytes())]
    while todo:
        node = todo.pop()
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if MODULES[name].stem == "__init__" else name.rpartition(".")[0]
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) + 1 - node.level], *filter(None, [base])]
                )
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return (found & MODULES.keys()) - {name}


def unit(name: str) -> str:
    """The room of a module of bench, or the name of a file at its root."""
    return name.split(".")[1] if "." in name else name


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("bench.")])
def test_a_room_imports_only_what_lies_below_it(name):
    assert unit(name) in ORDER, "a new room or root file: give it its place in ORDER"
    own = ORDER.index(unit(name))
    upward = [it for it in imports(name) if it.startswith("bench.") and ORDER.index(unit(it)) > own]
    assert upward == [], f"{name} imports from above"


def test_no_two_modules_import_each_other():
    graph = {name: imports(name, at_import=True) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("codecs_wrappers.")])
def test_a_wrapper_stands_on_the_contract_alone(name):
    parents = [".".join(name.split(".")[: depth + 1]) for depth in range(1, name.count(".") + 1)]
    if any(b"\nAFFECTS_BITSTREAM = False" in MODULES[it].read_bytes() for it in parents):
        pytest.skip("a study, a command or a trainer: it codes nothing")
    allowed = CONTRACT | ({"data"} if name == "codecs_wrappers.learned.weights" else set())  # it downloads the zoo's
    beyond = {it for it in imports(name) if it.startswith("bench.") and unit(it) not in allowed}
    assert beyond == set()


def test_the_harness_names_no_codec_in_its_imports():
    named = {
        (name, it)
        for name in MODULES
        if name.startswith("bench.")
        for it in imports(name)
        if it.startswith("codecs_wrappers.") and it != "codecs_wrappers.native.program"
    }
    assert named == set()


def test_no_file_is_longer_than_a_reader_can_hold():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES.values()}
    assert {name: count for name, count in lengths.items() if count > LONGEST} == {}
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 200
