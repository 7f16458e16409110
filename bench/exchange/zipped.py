"""Zip files whose bytes depend on nothing but their members, written and, from anybody, read.

Members are stored without compression (bitstreams do not shrink, and zlib's versions differ), in the order given, with
one fixed date. Reading unpacks nothing under a name that the caller does not expect, and no more than expected.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from bench.data.archive import ALLOWANCE, CHUNK, EXPANSION, ArchiveError, members
from bench.errors import UsageError, explain_errors
from bench.files import NOT_WRITABLE, printable, temp_path

TOO_MUCH = "refused, it unpacks to far more than its own size allows"
DATE = (1980, 1, 1, 0, 0, 0)  # the first that zip files can hold


def write_zip(path: Path, members: Iterable[tuple[str, bytes | Path]]) -> None:
    """Writes ``path``, completely or not at all. members: (name, content or the file that has it)."""
    part = temp_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            for name, content in members:
                info = zipfile.ZipInfo(name, DATE)
                info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16  # a regular file, on Unix
                with file.open(info, "w") as target:
                    target.write(content if isinstance(content, bytes) else content.read_bytes())
        os.replace(part, path)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        raise UsageError(f"writing {printable(str(path))}: {error.strerror}; choose another place") from error
    finally:
        part.unlink(missing_ok=True)


def unpack(path: Path, into: Path, allowed: str) -> dict[str, str]:
    """Unpacks the members of the zip file ``path`` below the folder ``into``; returns which are damaged, and how.

    allowed: a regular expression for their names. A member whose checksum is wrong is left out and returned. Raises
    UsageError, in one sentence, for a file that is no zip file, and for members that are links, lead out of the folder,
    have other names, come twice, or unpack to far more than the file's size.
    """
    shown = printable(str(path))
    if not path.is_file():
        what = "it is a folder; expected a zip file" if path.is_dir() else "there is no such file"
        raise UsageError(f"reading {shown}: {what}")
    if not zipfile.is_zipfile(path):
        raise UsageError(f"reading {shown}: expected a zip file, got one that is truncated, or of another kind")
    left = undeclared = EXPANSION * path.stat().st_size + ALLOWANCE
    seen: set[str] = set()
    damaged: dict[str, str] = {}
    with explain_errors(f"reading {shown}"):
        for member in members(path):
            if not re.fullmatch(allowed, member.name):
                raise UsageError(f"reading {shown}: it has a member {member.name[:80]!r}, which no bundle has")
            if member.name in seen:
                raise UsageError(f"reading {shown}: it has two members called {member.name!r}")
            seen.add(member.name)
            undeclared -= member.size
            if undeclared < 0:
                raise ArchiveError(TOO_MUCH)
            target = into / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                left -= _copy(member.open, target, left)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                target.unlink(missing_ok=True)
                damaged[member.name] = str(error) or type(error).__name__
    return damaged


def _copy(opened: object, target: Path, left: int) -> int:
    """Writes a member's content to ``target``; returns its bytes, of which ``left`` are allowed."""
    written = 0
    with opened() as source, target.open("wb") as file:  # type: ignore[operator]
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > left:
                raise ArchiveError(TOO_MUCH)
            file.write(chunk)
    return written
