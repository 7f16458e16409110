"""Fetches a file from the first source that has the right one, and verifies it before it gets its name."""

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
    from bench.data.transfer import Transfers  # imports the HTTP library, which is slow

MAX_BYTES = 16_000_000_000  # of a download without a stated limit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One place to fetch a file from. location: URL or path; digest: "sha256:..." or "" if unknown.

    unpack: the location is an archive that contains the file; the digest is then the file's, not the archive's.
    max_bytes: larger downloads are refused.
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
    """Fetches ``path``, complete and with the right hash, from the first source that has it.

    what: the file in words, for messages; notes: faults found before; validate(path) returns the fault of a file
    without a known hash, or "". A wrong file is kept as ``<name>.bad`` and the next source is tried. Raises
    RdbenchError, with both hashes, if every file received was wrong, and UnavailableError if none was received.
    """
    bad, unreachable = list(notes), []
    for source in sources:
        try:
            fault = _fetch_from(transfers, path, source, validate)
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
            log.info("%s: fetched from %s", what, source.location)
            return
        log.warning("%s from %s: %s", what, source.location, fault)
        bad.append(f"{source.location}: {fault}")
    tried = "; ".join(bad + unreachable)
    if bad:
        raise RdbenchError(f"fetching {what}: no source has the right file: {tried}")
    raise UnavailableError(f"unreachable: {what}: {tried or 'no source is known'}")


def _fetch_from(transfers: Transfers, path: Path, source: Source, validate: Callable[[Path], str]) -> str:
    """Puts the file at ``path`` and returns ""; or quarantines what was received, and returns its fault."""
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
            return f"{fault}; kept as {quarantine(part, path.name)}"
        log.warning("%s: wrong after a resumed download; starting again", source.location)
        part.unlink()
