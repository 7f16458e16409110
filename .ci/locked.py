"""The part of requirements.lock that some extras need, with its hashes: `python .ci/locked.py learned,test`.

pip refuses hashes in constraints as soon as an editable project is installed next to them, so it is given this list of
requirements first and the project after it. uv takes requirements.lock itself as constraints and needs no such list.
--without-cuda leaves out what only torch's builds with CUDA need.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CUDA = re.compile(r"(nvidia|cuda)-|triton$")


def main(arguments: list[str]) -> None:
    """Prints the requirements. Raises SystemExit for an extra that pyproject.toml has not."""
    names = [name for text in arguments if not text.startswith("--") for name in text.split(",") if name]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if unknown := [name for name in names if name not in extras]:
        raise SystemExit(f"no extra is called {', '.join(unknown)}; there are {', '.join(extras)}")
    asked = [*project["dependencies"], *(line for name in names for line in extras[name])]
    wanted = {normal(line) for line in asked}
    entries = locked((ROOT / "requirements.lock").read_text())
    if lacking := wanted - {normal(entry) for entry in entries}:
        raise SystemExit(f"requirements.lock has no {', '.join(sorted(lacking))}; `make lock` brings it up to date")
    left_out = CUDA if "--without-cuda" in arguments else re.compile("$^")
    while True:
        found = {
            name
            for entry, parents in entries.items()
            if not left_out.match(name := normal(entry)) and (name in wanted or parents & wanted)
        }
        if found == wanted:
            break
        wanted = found
    print("".join(entry for entry in entries if normal(entry) in wanted), end="")


def normal(requirement: str) -> str:
    """The name at the start of a requirement, as the lock spells it: "Torch_Geometric>=2" -> "torch-geometric"."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def locked(text: str) -> dict[str, set[str]]:
    """requirement with its hashes, as the lock has it -> names of the packages that asked for it."""
    entries: dict[str, set[str]] = {}
    for block in re.findall(r"^[a-z0-9].*\n(?:[ ].*\n)*", text, re.MULTILINE):
        lines = block.splitlines(keepends=True)
        comments = "".join(line.strip().removeprefix("#") for line in lines if line.lstrip().startswith("#"))
        entry = "".join(line for line in lines if not line.lstrip().startswith("#"))
        entries[entry] = {normal(word) for word in comments.replace(" via ", " ").split()}
    return entries


if __name__ == "__main__":
    main(sys.argv[1:])
