"""Puts the files of a set, with verified hashes, into its data folder: from a mirror, their URLs or an archive."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from bench.data.archive import archive_fault, extract_images, is_archive
from bench.data.download import Source, is_url, obtain
from bench.data.images import BrokenImageError, load_image
from bench.data.store import Store, digest_of, hash_mismatch, quarantine
from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.files import remove_folder

if TYPE_CHECKING:
    from bench.data.transfer import Transfers

MAX_MB, MAX_ARCHIVE_MB = 100, 16_000  # of a file and of an archive, unless datasets.yaml says otherwise

log = logging.getLogger(__name__)


def acquire(name: str, entry: Mapping[str, Any], store: Store, *, quiet: bool, wait_s: float) -> list[Path]:
    """The paths of the set's files, all present and verified. Raises UnavailableError or RdbenchError if one is not."""
    return _Acquisition(name, entry, store).complete(quiet, wait_s)


class _Acquisition:
    """The acquisition of one set. published: name -> hash, or "" if none is published."""

    def __init__(self, name: str, entry: Mapping[str, Any], store: Store):
        self.name, self.store = name, store
        self.urls: list[str] = entry.get("urls", [])
        self.max_bytes = 1_000_000 * entry.get("max_mb", MAX_MB if "archive" not in entry else MAX_ARCHIVE_MB)
        self.archive: Mapping[str, Any] = entry.get("archive", {})
        self.mirror = mirror_root()
        self.below = entry.get("mirror", name)
        self.published = {n: digest or "" for key, digest in entry.get("files", {}).items() for n in expand(key)}
        self.notes: dict[str, str] = {}  # file -> what was wrong with the copy found there

    def complete(self, quiet: bool, wait_s: float) -> list[Path]:
        """The paths of all files; missing or wrong ones are fetched."""
        missing = self._missing()
        if missing or not self._names():
            from bench.data.transfer import (
                Transfers,
            )  # imports the HTTP library, which is not needed if all files are here

            with Transfers(quiet=quiet, wait_s=wait_s) as transfers:
                done = self._fetch_singly(transfers, missing)
                if self.archive and not (done and self._names()):
                    self._unpack(transfers)
        for name in self._names():
            self._trust(name)
        return [self.store.folder / name for name in self._names()]

    def _names(self) -> list[str]:
        """The set's files. If the entry names none, they are known once the archive has been unpacked."""
        return sorted(self.published) or sorted(name for name in self.store.lock if not is_archive(name))

    def _expected(self, name: str) -> str:
        return self.published.get(name) or self.store.lock.get(name, "")

    def _missing(self) -> list[str]:
        """The files that are missing or have the wrong hash; a wrong one is renamed to ``.bad``."""
        missing = []
        for name in self._names():
            path, expected = self.store.folder / name, self._expected(name)
            if path.is_file():
                got = self.store.check(path, expected)
                if not got:
                    continue
                self.notes[name] = f"{path}: expected {expected}, got {got}, kept as {quarantine(path)}"
                log.warning("%s", self.notes[name])
            missing.append(name)
        return missing

    def _fetch_singly(self, transfers: Transfers, names: list[str]) -> bool:
        """Fetches file by file; False if that failed for one and the archive may still contain it."""
        for name in names:
            path, expected = self.store.folder / name, self._expected(name)
            sources = self._sources(name, expected)
            notes = [self.notes[name]] if name in self.notes else []
            try:
                obtain(transfers, path, sources, self._what(name), notes=notes, validate=image_fault)
            except RdbenchError as error:
                if not self.archive:
                    raise self._advice(error, name) from error
                if not isinstance(error, UnavailableError) and sources:
                    self.notes[name] = str(error)
                return False
            if expected:
                self.store.record_match(path, expected)
        return True

    def _sources(self, name: str, digest: str) -> list[Source]:
        """The mirror first (the file, then an archive that contains it), then the file's own URLs."""
        urls = [url.format(file=quote(name)) for url in self.urls]
        sources = []
        if self.mirror:
            sources.append(Source(self._mirrored(f"{self.below}/{name}"), digest, False, self.max_bytes))
            packed = [self._mirrored(base_name(url)) for url in urls if is_archive(url)]
            sources += [Source(archive, digest, True, self.max_bytes) for archive in packed]
        return sources + [Source(url, digest, is_archive(url), self.max_bytes) for url in urls]

    def _unpack(self, transfers: Transfers) -> None:
        """Fetches the whole set as an archive. Every image is checked before the first is moved into place."""
        places = {place["url"]: place["hash"] or "" for place in self.archive["sources"]}
        digests = {base_name(url): digest or self.store.lock.get(base_name(url), "") for url, digest in places.items()}
        sources = []
        if self.mirror:
            for below in (f"{self.below}/", ""):
                places_here = {self._mirrored(below + name): digest for name, digest in digests.items()}
                sources += [Source(place, digest, False, self.max_bytes) for place, digest in places_here.items()]
        sources += [Source(url, digests[base_name(url)], False, self.max_bytes) for url in places]
        path = self.store.folder / next(iter(digests))
        if not path.is_file() or hash_mismatch(path, digests[path.name]):  # a killed process may have left it
            notes = self.notes.values()
            try:
                obtain(transfers, path, sources, self._what(path.name), notes=notes, validate=archive_fault)
            except RdbenchError as error:
                raise self._advice(error, path.name) from error
        scratch = self.store.folder / ".unpacked"
        try:
            self._accept(extract_images(path, scratch, folder=self.archive.get("folder", "")))
            if len(digests) == 1 and not any(places.values()):
                self.store.trust(path.name, digest_of(path))
        finally:
            remove_folder(scratch, self.store.folder)
            path.unlink(missing_ok=True)

    def _accept(self, images: list[Path]) -> None:
        """Moves unpacked images into place, all or none. Raises RdbenchError if their number or one of them is
        wrong.
        """
        images = [image for image in images if not self.published or image.name in self.published]
        count = len(self.published) or self.archive["count"]
        if len(images) != count:
            raise RdbenchError(f"dataset {self.name}: expected {count} images in its archive, found {len(images)}")
        for image in images:
            expected = self._expected(image.name)
            got = hash_mismatch(image, expected)
            fault = f"expected {expected}, got {got}" if got else "" if expected else image_fault(image)
            if fault:
                aside = image.replace(self.store.folder / f"{image.name}.bad")
                error = RdbenchError(f"fetching {self._what(image.name)}: {fault}; kept as {aside}")
                raise self._advice(error, image.name)
        for image in images:
            self._trust(image.replace(self.store.folder / image.name).name)

    def _trust(self, name: str) -> None:
        """Records the hash of a file without a published one."""
        if not self._expected(name):
            path = self.store.folder / name
            self.store.trust(name, digest_of(path))
            self.store.record_match(path, self.store.lock[name])

    def _advice(self, error: RdbenchError, name: str) -> RdbenchError:
        """``error``, with advice where it is not obvious what to do."""
        if isinstance(error, UnavailableError):
            if self.mirror or self.urls or self.archive:
                return error
            return UnavailableError(
                f"unreachable: {self.name} has no public URL; set RDBENCH_MIRROR to a folder or URL that contains "
                f"{self.below}/"
            )
        if self.published.get(name) or name not in self.store.lock:
            return error
        return RdbenchError(
            f"{error}; the expected hash is that of the first download. If the publisher has changed the file and you "
            f"accept the new one, delete {name!r} from {self.store.lock_file}"
        )

    def _what(self, file: str) -> str:
        return f"{file} of {self.name}"

    def _mirrored(self, file: str) -> str:
        return f"{self.mirror}/{quote(file) if is_url(self.mirror) else file}"


def image_fault(path: Path) -> str:
    """What is wrong with ``path`` if it is not an image or is damaged; empty for an image, even a refused one."""
    try:
        load_image(path)
    except BrokenImageError as error:
        return str(error)
    except UsageError:
        return ""
    return ""


def mirror_root() -> str:
    """RDBENCH_MIRROR without a trailing slash, a path as absolute. Raises UsageError if it is not a folder or URL."""
    mirror = os.environ.get("RDBENCH_MIRROR", "").rstrip("/")
    if not mirror or is_url(mirror):
        return mirror
    folder = Path(mirror).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(
            f"reading RDBENCH_MIRROR: expected a folder or an http(s) URL, got {mirror!r}; {folder} is not a folder"
        )
    return str(folder)


def base_name(url: str) -> str:
    return Path(urlsplit(url).path).name


def expand(name: str) -> list[str]:
    """The hundred names in ``image_{001..100}.png``; any other name unchanged."""
    match = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", name)
    if not match:
        return [name]
    head, first, last, tail = match.groups()
    return [f"{head}{number:0{len(first)}d}{tail}" for number in range(int(first), int(last) + 1)]
