"""Images from zip and tar archives from untrusted sources.

No name in an archive is used as a path: images keep only their base name. An archive that tries to write outside its
folder, contains links or devices, or unpacks to far more than its own size is refused as a whole.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from bench.data.images import SUFFIXES
from bench.errors import RdbenchError
from bench.files import remove_folder

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MEMBERS = 100_000
LONGEST_NAME = 200  # bytes of a file name; file systems allow 255, and a suffix may be added
EXPANSION = 20  # photographs hardly shrink in an archive; BMP files of flat colour shrink to a tenth
ALLOWANCE = 64 * 2**20  # additional bytes, for small archives
CHUNK = 2**20
LARGEST_HEADER = 2**16  # bytes of a PAX header or a long name
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class ArchiveError(RdbenchError):
    """An archive that is corrupt, or that contains what an archive of images has no reason to."""


@dataclass(frozen=True)
class Member:
    """One file of an archive. size: as the archive declares it, in bytes; open: a stream of its content."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_fault(path: Path) -> str:
    """Why ``path`` is neither a zip nor a tar archive (an error page, say); empty if it is one."""
    if zipfile.is_zipfile(path) or _is_tar(path):
        return ""
    with path.open("rb") as file:
        return f"expected a zip or tar archive, got a file that begins with {file.read(24)!r}"


class _Entry(tarfile.TarInfo):
    """A member of a tar archive, with headers limited to LARGEST_HEADER, as tarfile reads them into memory whole."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _LONG_HEADERS and self.size > LARGEST_HEADER:
            raise ArchiveError(
                f"unpacking {Path(str(tar.name)).name}: refused, it has a header of {self.size:,} bytes; at most "
                f"{LARGEST_HEADER:,} are allowed"
            )
        return super()._proc_member(tar)  # type: ignore[misc]  # the hook that tarfile gives to subclasses


def _is_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, tarinfo=_Entry):
            return True
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def extract_images(archive: Path, into: Path, *, folder: str = "", limit: int | None = None) -> list[Path]:
    """Writes the images of ``archive`` under their base names to ``into``; returns their paths in name order.

    folder: take only images directly in a folder of this name (a trailing part of the path counts: "RGB/small").
    limit: bytes the archive may unpack to; by default EXPANSION times its size plus ALLOWANCE.
    Raises ArchiveError for an archive that is corrupt or refused; files written before that stay in ``into``.
    """
    limit = EXPANSION * archive.stat().st_size + ALLOWANCE if limit is None else limit
    into.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    declared = used = 0
    try:
        for number, member in enumerate(members(archive)):
            declared += member.size
            if declared > limit or number >= MEMBERS:
                raise ArchiveError(_bomb(archive, limit))
            name = PurePosixPath(member.name)
            if not _wanted(name, folder):
                continue
            if name.name in written:
                raise ArchiveError(f"unpacking {archive.name}: it contains two images called {name.name!r}")
            written[name.name] = into / name.name
            used += _write(archive, member, into / name.name, limit - used, limit)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise ArchiveError(f"unpacking {archive.name}: the archive is corrupt ({error})") from error
    except OSError as error:
        if error.errno is not None:  # the disk, not the archive
            raise
        raise ArchiveError(f"unpacking {archive.name}: the archive is corrupt ({error})") from error
    return [written[name] for name in sorted(written)]


def members(archive: Path) -> Iterator[Member]:
    """The regular files of a zip or tar archive, after checking that their names and types are harmless."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                _check(archive, info.orig_filename, kind not in (0, stat.S_IFREG, stat.S_IFDIR))
                if info.flag_bits & 1:
                    raise ArchiveError(f"unpacking {archive.name}: {info.filename!r} is encrypted")
                if not info.is_dir():
                    yield Member(info.filename, info.file_size, partial(file.open, info))
    elif _is_tar(archive):
        with tarfile.open(archive, tarinfo=_Entry) as tar:
            for entry in tar:
                _check(archive, entry.name, not (entry.isreg() or entry.isdir()))
                if entry.isreg():
                    yield Member(entry.name, entry.size, partial(tar.extractfile, entry))
    else:
        raise ArchiveError(f"unpacking {archive.name}: {archive_fault(archive)}")


def _check(archive: Path, name: str, special: bool) -> None:
    """Raises ArchiveError for a link or device, and for a name that leads out of the folder it is unpacked to."""
    parts = PureWindowsPath(name)  # knows / and \\ and drives
    if special:
        raise ArchiveError(f"unpacking {archive.name}: refused, its member {name!r} is a link or device, not a file")
    if len(os.fsencode(parts.name)) > LONGEST_NAME:
        raise ArchiveError(
            f"unpacking {archive.name}: refused, its member {name[:40]!r}... has a name of over {LONGEST_NAME} bytes"
        )
    if parts.root or ".." in parts.parts or "\0" in name or parts.drive:
        raise ArchiveError(f"unpacking {archive.name}: refused, its member {name!r} leads out of the archive's folder")


def _wanted(name: PurePosixPath, folder: str) -> bool:
    if name.suffix.lower() not in SUFFIXES or name.name.startswith(".") or "__MACOSX" in name.parts:
        return False
    wanted = PurePosixPath(folder).parts
    return not wanted or name.parent.parts[-len(wanted) :] == wanted


def _write(archive: Path, member: Member, path: Path, left: int, limit: int) -> int:
    """Writes a member; returns its number of bytes, which is limited as the declared size may be wrong."""
    written = 0
    source = member.open()
    if source is None:  # for anything but a regular file, which members has left out
        raise ArchiveError(f"unpacking {archive.name}: {member.name!r} is not a regular file")
    with source, path.open("wb") as target:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > left:
                raise ArchiveError(_bomb(archive, limit))
            target.write(chunk)
    return written


def _bomb(archive: Path, limit: int) -> str:
    return (
        f"unpacking {archive.name}: refused, it contains more than {limit:,} bytes or {MEMBERS:,} members, far too "
        f"many for an archive of {archive.stat().st_size:,} bytes of photographs"
    )


def extract_one(archive: Path, name: str, path: Path) -> None:
    """Unpacks the image called ``name`` (a base name) from ``archive`` to ``path``, completely or not at all."""
    scratch = path.with_name(f".{path.name}.unpacked")
    try:
        found = {image.name: image for image in extract_images(archive, scratch)}
        if name not in found:
            raise ArchiveError(f"unpacking {archive.name}: expected it to contain {name!r}, found {sorted(found)[:5]}")
        found[name].replace(path)
    finally:
        remove_folder(scratch, path.parent)
