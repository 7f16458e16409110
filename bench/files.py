"""Atomic writes, file names, hashes, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.errors import RdbenchError, UsageError

LONGEST_NAME = 255  # bytes, of the common file systems
NOT_WRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.EEXIST,
    errno.ELOOP,
}


def cache_dir() -> Path:
    """The folder of finished pieces and downloads: $RDBENCH_CACHE, else .cache/rdbench in the current folder."""
    return Path(os.environ.get("RDBENCH_CACHE", ".cache/rdbench")).absolute()


def root_file(name: str) -> Path:
    """The path of ``name``: datasets.yaml, figures.yaml, claims.yaml or validation.yaml.

    The file in the working folder, else the one in the checkout, else the one in the installed wheel.
    """
    package = Path(__file__).resolve().parent
    places = (Path(name).absolute(), package.parent / name, package / "specifications" / name)
    return next((place for place in places if place.is_file()), places[1])


def write_atomically(path: str | Path, data: bytes | str, sync: bool = True) -> Path:
    """Writes ``data`` to ``path`` completely or not at all: to a temporary file next to it, which is then renamed.

    ``sync`` flushes to the disk first. Without it a power failure may leave a partial file, so leave it out only for
    content that carries its own hash. A device or a pipe is written to directly; for a link, the file it points to is
    replaced. Raises UsageError if the path cannot be written.
    """
    path, whole = Path(path), data.encode() if isinstance(data, str) else data
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(whole)
        else:
            _replace(Path(os.path.realpath(path)) if path.is_symlink() else path, whole, sync)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            error.filename = error.filename or str(path)  # so that the message about a full disk names the file
            raise
        raise UsageError(f"writing {printable(str(path))}: {error.strerror}; choose another place") from error
    return path


def _replace(path: Path, data: bytes, sync: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temp_path(path)
    try:
        with open(part, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def check_output(path: Path | None, *inputs: Path) -> None:
    """Raises UsageError if ``path`` cannot be written or is one of the ``inputs``, before any work is done."""
    if path is None:
        return
    refuse_input(path, inputs)
    shown = printable(str(path))
    if path.is_dir():
        raise UsageError(f"writing {shown}: expected a file, got a folder; name a file in it")
    home = path if path.exists() else next((it for it in path.absolute().parents if it.exists()), path)
    if not os.access(home if path.exists() or home.is_dir() else home.parent, os.W_OK) or not (
        path.exists() or home.is_dir()
    ):
        raise UsageError(f"writing {shown}: {printable(str(home))} is not a writable folder; choose another place")


def refuse_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raises UsageError if ``path`` is one of the ``inputs``."""
    if any(given.exists() and path.exists() and given.samefile(path) for given in inputs):
        raise UsageError(
            f"writing {printable(str(path))}: this is also the input, which would be lost; choose another name"
        )


def temp_path(path: Path) -> Path:
    """Where to write ``path`` until it is complete: in the same folder, unique to this process and this machine."""
    return path.with_name(file_name(f".{path.name}", f".{socket.gethostname()[:64]}.{os.getpid()}.part"))


def file_name(name: str, ending: str = "") -> str:
    """``name`` plus ``ending`` as a file name; one too long for file systems is cut and gets a hash."""
    whole = name + ending
    if len(os.fsencode(whole)) <= LONGEST_NAME:
        return whole
    mark = f"~{sha256(os.fsencode(whole))[:12]}"
    room = LONGEST_NAME - len(os.fsencode(mark + ending))
    return os.fsencode(name)[:room].decode("utf-8", "ignore") + mark + ending


def printable(text: str) -> str:
    """``text`` as valid UTF-8: a byte of a file name that is not UTF-8 becomes ``\\xe9``."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def why_unreadable(error: Exception) -> str:
    """Why a file could not be read, in words: an operating system's reason without its number and the path again."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "it is not JSON"
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    if isinstance(error, TypeError | AttributeError | IndexError):
        return "its fields are others"
    return " ".join(str(error).split())


def write_if_changed(path: str | Path, data: bytes | str) -> bool:
    """Writes only if the content differs, so that the file's modification time is that of its last change."""
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomically(path, data)
    return True


def bare_name(name: str, what: str) -> str:
    """``name`` if it is a single, visible component of a path. what: what it names, for the message.

    Raises UsageError for an empty name, a path, a name that begins with a dot, and control characters.
    """
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise UsageError(
            f"{what}: expected a bare name, got {name!r}; use no slash, no dot at the start and no control character"
        )
    return name


def remove_folder(folder: Path, root: Path) -> None:
    """Removes ``folder``, if it exists, with its contents. The only place where rdbench removes a folder.

    root: ``folder`` must lie below it. A symbolic link is removed, and its target is left alone. Raises RdbenchError
    for ``root`` itself and for a folder outside it.
    """
    real = folder.parent.resolve() / folder.name
    if folder.name in ("", "..") or root.resolve() not in real.parents:
        raise RdbenchError(f"removing {folder}: expected a folder below {root}, got {real}; nothing was removed")
    if real.is_symlink():
        real.unlink()
    else:
        shutil.rmtree(real, ignore_errors=True)


def to_json(value: Any, indent: int | None = 1) -> str:
    """``value`` as JSON with sorted keys and a final newline: equal values give equal bytes."""
    text = json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False) + "\n"
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)  # from a path that is not UTF-8


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
