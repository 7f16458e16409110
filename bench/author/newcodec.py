"""Creates a working wrapper file for a codec author: a copy of the template, or one around two programs."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import codecs_wrappers
from bench.author.newprogram import Programs, wrap
from bench.discovery import discover
from bench.errors import UsageError
from bench.files import write_atomically

FOLDER = Path(codecs_wrappers.__path__[0])


def create(name: str, folder: str | Path | None = None, programs: Programs | None = None) -> Path:
    """Creates the wrapper ``folder/NAME.py``, a working codec of that name; returns its path.

    folder: by default the last folder of RDBENCH_WRAPPERS, else codecs_wrappers/ of the checkout, else (for an
    installed package) ``wrappers`` in the working folder. programs: what the codec runs; by default the template's
    code. Raises UsageError for a name that is taken or invalid, and for installed programs that fail on a small
    photograph.
    """
    folder = Path(folder or default_folder())
    _check(name, folder)
    title = "".join(part.capitalize() for part in name.split("_"))
    source = wrap(name, title, programs) if programs else _copy(name, title)
    return write_atomically(folder / f"{name}.py", source)


def default_folder() -> Path:
    """The default folder of :func:`create`."""
    last = Path(list(codecs_wrappers.__path__)[-1])
    is_installed = last == FOLDER and not (FOLDER.parent / "pyproject.toml").is_file()
    return Path("wrappers").absolute() if is_installed else last


def _copy(name: str, title: str) -> str:
    """The template under another name."""
    source = (FOLDER / "_template.py").read_text(encoding="utf-8")
    for pattern, replacement in (
        (r'\A"""How to add a codec.*', f'"""{title}: say here what it is and where it comes from.'),
        (r'b"template"', f'b"{name[:8]:8}"'),  # the magic, 8 bytes
        (r'"(\.?)template"', rf'"\1{name}"'),
        (r"\bTemplate\b", title),
    ):
        source = re.sub(pattern, replacement, source)
    return source


def _check(name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"a new codec called {name!r}: expected lower-case letters, digits and _, a letter first, "
            "so that its file can be imported"
        )
    owners = {codec.name: wrapper.path for wrapper in discover() for codec in wrapper.codecs}
    if name in owners:
        raise UsageError(f"a new codec called {name!r}: {owners[name]} already has one; choose another name")
    for home in dict.fromkeys((folder, *map(Path, codecs_wrappers.__path__))):
        for path in (home / f"{name}.py", home / name):
            if path.exists():
                raise UsageError(f"a new codec called {name!r}: {path} already exists; choose another name")
