"""The base class of `rdbench new-codec --command`: any encoder and decoder that read and write files, one setting."""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from bench.codec import Image
from bench.errors import BitstreamError
from codecs_wrappers.native.command import CommandCodec

LARGEST_FILE = 1 << 29  # bytes: a damaged header may make a decoder write more, which Pillow would refuse


class ProgramCodec(CommandCodec):
    """A CommandCodec whose version is that of ``version_command`` or, without one, the hashes of the programs' files.

    With hashes, a rebuilt program is measured again. A library that it loads may change unnoticed: name it in
    ``files``, or give a ``version_command``.
    """

    version_command: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # further files that decide the bits, such as a script or a model

    def available(self) -> tuple[bool, str]:
        runs, reason = super().available()
        missing = [path for path in self.files if not Path(path).is_file()]
        return runs and not missing, reason or (f"missing files: {', '.join(missing)}" if missing else "")

    def version(self) -> str:
        if self.version_command:
            return super().version()
        programs = dict.fromkeys((self.encoder[0], self.decoder[0]))
        hashes = [f"{Path(path).name} {_digest(shutil.which(path) or path)}" for path in (*programs, *self.files)]
        # Names, not paths: the same program may be elsewhere on another machine.
        words = [Path(word).name if word in (self.encoder[0], *self.files) else word for word in self.encoder]
        return f"{', '.join(hashes)}; {' '.join(words)}"

    def decode(self, bitstream: bytes) -> Image:
        if not bitstream:  # a program may wait for input, or write nothing and succeed
            raise BitstreamError(f"decoding {self.name}: the bitstream is empty")
        return super().decode(bitstream)

    def _run(self, command: tuple[str, ...], doing: str, check: bool = True) -> subprocess.CompletedProcess:
        with _files_of_at_most(LARGEST_FILE):
            return super()._run(command, doing, check)


@lru_cache(maxsize=64)
def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Within it, the system stops child programs that write larger files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    allowed = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_FSIZE, (min([size, *allowed]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
