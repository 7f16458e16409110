"""What is known about the files in a set's data folder, so that nothing is hashed or decoded twice.

``verified.json`` holds the hashes and pixel hashes of files by size and modification time; it may be deleted.
``lock.json`` holds the hashes, at the first download, of files without a published hash; a later change is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from PIL import Image

from bench.data.images import RULES_VERSION, load_image
from bench.errors import RdbenchError, UsageError
from bench.files import cache_dir, sha256, sha256_file, sha256_pixels, to_json, why_unreadable, write_atomically
from bench.progress import say

log = logging.getLogger(__name__)


def data_folder(name: str) -> Path:
    """The folder of a set's files: $RDBENCH_DATA/<name>, else one in the cache."""
    root = os.environ.get("RDBENCH_DATA")
    return (Path(root).absolute() if root else cache_dir() / "datasets") / name


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """The file's hash with its algorithm in front: "sha256:0f3a..."."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def hash_mismatch(path: Path, digest: str) -> str:
    """The actual digest of ``path`` if it is not ``digest``; empty if it is right or ``digest`` is unknown."""
    if not digest:
        return ""
    got = digest_of(path, digest.partition(":")[0])
    return "" if got == digest.lower() else got


def quarantine(path: Path, name: str = "") -> Path:
    """Renames a wrong file to ``<name>.bad``, so that a person can look at it; returns the new path."""
    return path.replace(path.with_name(f"{name or path.name}.bad"))


class Store:
    """The two records of one data folder, read once and written by :meth:`save`; made by :func:`locked_store`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.lock_file, self.record_file = folder / "lock.json", folder / "verified.json"
        self.lock: dict[str, str] = self._read_lock()
        self.record: dict[str, dict[str, Any]] = self._read_record()
        self._saved = (dict(self.lock), dict(self.record))

    def facts(self, path: Path, ignore_profile: bool = False) -> dict[str, Any]:
        """The facts of an image file: file_sha256; width, height, sha256 of the pixels, or the reason in
        ``refused``.
        """
        facts = self._known(path)
        rules = [RULES_VERSION, ignore_profile]
        if facts.get("rules") != rules:
            try:
                file_sha256 = sha256_file(path)
            except OSError as error:  # not recorded: a change of permissions changes neither size nor time
                return {"refused": f"reading {path}: {error.strerror}; make it readable, or remove it from the folder"}
            try:
                image = load_image(path, ignore_profile=ignore_profile)
                seen = {"width": image.shape[1], "height": image.shape[0], "sha256": sha256_pixels(image)}
            except UsageError as error:
                seen = {"refused": str(error)}
            facts = {**stamp(path), "file_sha256": file_sha256, "rules": rules, **seen}
            facts["right"] = self._known(path).get("right", [])
            self.record[self._key(path)] = facts
        return facts

    def check(self, path: Path, digest: str) -> str:
        """The actual hash of ``path`` if it is not ``digest``, else empty. A file seen before is not read again."""
        if not digest or digest in self._known(path).get("right", ()):
            return ""
        got = hash_mismatch(path, digest)
        if not got:
            self.record_match(path, digest)
        return got

    def record_match(self, path: Path, digest: str) -> None:
        """Records that ``path`` has the hash ``digest``."""
        known = self._known(path)
        self.record[self._key(path)] = {**known, **stamp(path), "right": sorted({digest, *known.get("right", ())})}

    def trust(self, name: str, digest: str) -> None:
        """Records the hash of a file without a published one, on first use."""
        if name not in self.lock:
            log.info("%s: no published hash; from now on only %s is accepted (%s)", name, digest, self.lock_file)
            self.lock[name] = digest

    def prepare(self, source: Path, facts: dict[str, Any], name: str, box: list[int] | None) -> Path:
        """A PNG of an image, cropped to ``box`` (left, top, right, bottom), without its profile; made once."""
        path = self.folder / "prepared" / f"{name}.png"
        made_from = f"{facts['sha256']} {box}"
        if self._known(path).get("made_from") == made_from:
            return path
        image = load_image(source, ignore_profile=True)
        if box is not None:
            left, top, right, bottom = box
            if not (0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]):
                raise RdbenchError(
                    f"cropping {source.name} to {box}: expected a box (left, top, right, bottom) within its "
                    f"{image.shape[1]} x {image.shape[0]} pixels; correct it in datasets.yaml"
                )
            image = image[top:bottom, left:right]
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        Image.fromarray(image).save(part, format="PNG", compress_level=3)
        part.replace(path)
        self.record.pop(self._key(path), None)
        self.record[self._key(path)] = {**self.facts(path), "made_from": made_from}
        return path

    def save(self) -> None:
        """Writes the records that have changed."""
        lock, record = self._saved
        if self.lock != lock:
            write_atomically(self.lock_file, to_json(self.lock))
        if self.record != record:
            write_atomically(self.record_file, to_json(self.record))
        self._saved = (dict(self.lock), dict(self.record))

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)

    def _known(self, path: Path) -> dict[str, Any]:
        facts = self.record.get(self._key(path), {})
        return facts if facts and path.is_file() and stamp(path).items() <= facts.items() else {}

    def _read_lock(self) -> dict[str, str]:
        """The recorded hashes. They must be readable: starting from nothing would accept any file."""
        if not self.lock_file.is_file():
            return {}
        try:
            return dict(json.loads(self.lock_file.read_bytes()))
        except (ValueError, TypeError) as error:
            raise RdbenchError(
                f"reading {self.lock_file}: expected JSON, name -> hash ({why_unreadable(error)}); "
                "restore it, or delete it to accept the files that are in its folder now"
            ) from error

    def _read_record(self) -> dict[str, dict[str, Any]]:
        try:
            record = json.loads(self.record_file.read_bytes())
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in record.items() if isinstance(v, dict)} if isinstance(record, dict) else {}


def stamp(path: Path) -> dict[str, int]:
    """What changes when a file does. A copy may keep size and mtime, but not ctime."""
    status = path.stat() if path.exists() else path.lstat()  # a broken link is listed and then refused
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def folder_store(folder: Path) -> Path:
    """The folder for the record of a user's own folder, which itself is left alone."""
    return cache_dir() / "datasets" / "folders" / sha256(str(folder).encode())[:16]


@contextmanager
def locked_store(folder: Path) -> Iterator[Store]:
    """The store of a data folder, locked against other processes. It is saved even if the block raises an error."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".in-use")
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            say(f"another process is using {folder}; waiting for it")
            held = lock.acquire()
        with held:
            store = Store(folder)
            try:
                yield store
            finally:
                store.save()
    except OSError as error:
        raise RdbenchError(
            f"storing data in {folder}: {error.strerror or error}; set RDBENCH_DATA to another folder"
        ) from error
