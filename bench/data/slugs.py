"""Names of image sets as parts of paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bench.data.datasets import FOLDER
from bench.errors import UsageError
from bench.files import file_name, sha256


def slug(name: str, parts: int = 1) -> str:
    """A dataset's name as a component of a path: ``folder:/data/my images`` -> ``folder-my-images``.

    For a folder, the last ``parts`` components of its path, with letters of any script; a hash if there are none.
    """
    if not name.startswith(FOLDER):
        return name
    path = Path(name.removeprefix(FOLDER)).expanduser().resolve()
    text = re.sub(r"[^\w.]+", "-", "-".join(path.parts[-parts:])).strip("-.")
    return file_name(f"folder-{text or short_hash(str(path))}")


def slugs(names: Iterable[str]) -> dict[str, str]:
    """slug -> name of every dataset, with as much of a folder's path as distinguishes it from the others.

    A folder that is named twice counts once. Raises UsageError, naming both, for two that cannot be distinguished.
    """
    once = list({_canonical(name): name for name in names}.values())
    found: dict[str, str] = {}
    for name in once:
        others = [other for other in once if other != name]
        parts = (p for p in range(1, 100) if slug(name, p) not in {slug(other, p) for other in others})
        short = slug(name, next(parts, 1))
        if short in found:
            raise UsageError(
                f"datasets {found[short]} and {name} would both be called {short}; rename one of the folders"
            )
        found[short] = name
    return found


def _canonical(name: str) -> str:
    return str(Path(name.removeprefix(FOLDER)).expanduser().resolve()) if name.startswith(FOLDER) else name


def short_hash(text: str) -> str:
    """Eight hexadecimal digits of the sha256 of a text, of any characters."""
    return sha256(text.encode("utf-8", "surrogateescape"))[:8]
