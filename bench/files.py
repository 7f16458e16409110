"""Files that are whole or absent, their hashes, and where rdbench keeps what it may delete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from bench.errors import RdbenchError, UsageError, plain_text


def cache_dir() -> Path:
    """Where finished pieces and downloads live: $RDBENCH_CACHE, else .cache/rdbench in the current folder."""
    return Path(os.environ.get("RDBENCH_CACHE", ".cache/rdbench")).absolute()


def write_atomically(path: str | Path, data: bytes | str, sync: bool = True) -> Path:
    """``data`` in the file ``path``, whole or not at all: a temporary neighbour, then a rename.

    ``sync`` flushes to the disk first. Without it a power failure may leave a torn file: only for content that carries
    its own hash.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = unfinished(path)
    try:
        with open(part, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def unfinished(path: Path) -> Path:
    """The neighbour as which ``path`` is written until it is whole: this process's own, on this of several machines."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")


def write_if_changed(path: str | Path, data: bytes | str) -> bool:
    """Write only if the content differs, so that the file's time stamp tells when it last changed."""
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomically(path, data)
    return True


def bare_name(name: str, what: str) -> str:
    """``name`` if it is one visible part of a path. what: what it names, for the message.

    Raises UsageError for an empty name, a path, a name that begins with a dot, and control characters.
    """
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise UsageError(
            f"{what}: expected a bare name, got {name!r}; "
            "a name has no slash, no dot at its start and no control character"
        )
    return name


def remove_folder(folder: Path, root: Path) -> None:
    """Removes ``folder``, if it exists, with all it holds. The only place where rdbench removes a folder.

    root: the folder that everything removed must lie below. A symbolic link goes, what it points to stays. Raises
    RdbenchError for ``root`` itself and for a folder outside it.
    """
    real = folder.parent.resolve() / folder.name
    if folder.name in ("", "..") or root.resolve() not in real.parents:
        raise RdbenchError(f"removing {folder}: expected a folder below {root}, this is {real}; nothing was removed")
    if real.is_symlink():
        real.unlink()
    else:
        shutil.rmtree(real, ignore_errors=True)


def to_json(value: Any, indent: int | None = 1) -> str:
    """``value`` as JSON with sorted keys and a final newline: equal values give equal bytes."""
    return plain_text(json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False)) + "\n"


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_pixels(image: Any) -> str:
    """sha256 of an image's shape and samples (uint8, H x W x 3): equal pixels, equal hash, whatever the file format."""
    digest = hashlib.sha256("x".join(map(str, image.shape)).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
