"""A file from the first of several places that gives it right: verified before it stands under its name."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.archive import ArchiveError, extract_one
from bench.data.store import hash_mismatch, quarantine
from bench.errors import RdbenchError, UnavailableError

if TYPE_CHECKING:
    from bench.data.transfer import Transfers  # the HTTP library takes a while to import

MAX_BYTES = 16_000_000_000  # of a download of which nothing more is known

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One place a file can be had from. location: URL or path; digest: "sha256:..." or "" if unknown.

    unpack: the location is an archive that holds the file; the digest is then that of the file, not of the archive.
    max_bytes: what comes is refused above it.
    """

    location: str
    digest: str = ""
    unpack: bool = False
    max_bytes: int = MAX_BYTES


def is_url(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def obtain(
    transfers: Transfers,
    path: Path,
    sources: Sequence[Source],
    what: str,
    *,
    notes: Iterable[str] = (),
    validate: Callable[[Path], str] = lambda path: "",
) -> None:
    """``path``, whole and with the right hash, from the first source that gives it.

    what: the file in words, for messages; notes: what was already found wrong; validate(path) says what is wrong with
    a file no hash is known of, or nothing. A wrong file is kept as ``<name>.bad`` and the next source tried. Raises
    RdbenchError, with both hashes, if all that was got was wrong, and UnavailableError if nothing was got.
    """
    bad, unreachable = list(notes), []
    for source in sources:
        try:
            fault = _from(transfers, path, source, validate)
        except ArchiveError as error:
            fault = str(error)
        except UnavailableError as error:
            log.info("%s: %s", what, error)
            unreachable.append(str(error))
            continue
        except OSError as error:
            cause = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
            raise RdbenchError(f"fetching {what}: {cause} ({error.filename or path.parent})") from error
        if not fault:
            log.info("%s: got from %s", what, source.location)
            return
        log.warning("%s from %s: %s", what, source.location, fault)
        bad.append(f"{source.location}: {fault}")
    tried = "; ".join(bad + unreachable)
    if bad:
        raise RdbenchError(f"fetching {what}: no source gave the right file: {tried}")
    raise UnavailableError(f"unreachable: {what}: {tried or 'no source is known'}")


def _from(transfers: Transfers, path: Path, source: Source, validate: Callable[[Path], str]) -> str:
    """Puts the file at ``path``; or says what is wrong with what was got, and keeps that aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    packed = path.with_name(f".{path.name}.archive.part") if source.unpack else part
    while True:
        resumed = transfers.get(source.location, packed, source.max_bytes)
        if source.unpack:
            try:
                extract_one(packed, path.name, part)
            finally:
                packed.unlink(missing_ok=True)
        got = hash_mismatch(part, source.digest)
        fault = "" if source.digest else validate(part)
        if got:
            fault = f"expected {source.digest}, got {got}"
        if not fault:
            part.replace(path)
            return ""
        if not resumed:
            return f"{fault}, kept as {quarantine(part, path.name)}"
        log.warning("%s: wrong after a resumed download, starting over", source.location)
        part.unlink()
