"""Bytes of a URL or path into a file: resumed where it was left, retried with back-off, drawn on a terminal."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from bench import __version__
from bench.data.download import MAX_BYTES, is_url
from bench.errors import UnavailableError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
ATTEMPTS = 5  # in a row without a new byte
CONNECT_ATTEMPTS = 2  # to a host that refuses; a name that does not resolve and a silent host get one
LONGEST_WAIT_S = 8.0
STALL_S = 20.0  # in which fewer than LEAST_BYTES are no download
LEAST_BYTES = 20_000  # 1 kB/s
STALLS = 2  # that are put up with, each followed by a new request
TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))

log = logging.getLogger(__name__)


class MissingError(UnavailableError):
    """The place can be reached, and the file is not there."""


class TooLargeError(UnavailableError):
    """What the place gives is larger than the file can be."""


class Transfers(AbstractContextManager):
    """Copies and downloads. ``quiet`` leaves out the progress bars, which are only drawn on a terminal anyway.

    wait_s: before the second attempt; it doubles from there. A host found dead is not asked again.
    """

    def __init__(self, *, quiet: bool = False, wait_s: float = 0.5):
        self.wait_s = wait_s
        self.dead: dict[str, str] = {}
        self.bars = None if quiet or not sys.stderr.isatty() else _bars()
        self.stack = ExitStack()

    def __enter__(self) -> Transfers:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        headers = {"User-Agent": f"rdbench/{__version__}", "Accept-Encoding": "identity"}  # bytes as they are stored
        self.client = self.stack.enter_context(httpx.Client(timeout=timeout, headers=headers, follow_redirects=True))
        if self.bars is not None:
            self.stack.enter_context(self.bars)
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    def get(self, location: str, part: Path, max_bytes: int = MAX_BYTES) -> bool:
        """All bytes of ``location`` in ``part``; True if it went on from what an interrupted transfer had left.

        Raises MissingError, TooLargeError for more than ``max_bytes``, or UnavailableError.
        """
        if not is_url(location):
            if not Path(location).is_file():
                raise MissingError(f"{location}: no such file")
            _check_size(location, Path(location).stat().st_size, max_bytes)
            shutil.copyfile(location, part)
            return False
        host = urlsplit(location).netloc
        if host in self.dead:
            raise UnavailableError(f"{location}: {self.dead[host]}")
        transfer = _Transfer(self, location, part, max_bytes)
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((httpx.TransportError, _TryAgain)),
            stop=transfer.give_up,
            wait=tenacity.wait_exponential(multiplier=self.wait_s, max=LONGEST_WAIT_S),
            before_sleep=lambda state: log.info("%s: %s; trying again", location, _cause(state)),
            reraise=True,
        )
        try:
            return attempts(transfer.attempt)
        except (httpx.HTTPError, httpx.InvalidURL, _TryAgain) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                self.dead[host] = reason
            raise UnavailableError(f"{location}: {reason}") from error


def _check_size(location: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLargeError(f"{location}: refused, it has more than {max_bytes:,} bytes, and its file cannot have")


class _TryAgain(Exception):
    """An answer that may be better next time."""


class _Stalled(_TryAgain):
    """Bytes come, but so few that it would never end."""


class _Transfer:
    """One URL into one file, over as many attempts as it takes."""

    def __init__(self, transfers: Transfers, url: str, part: Path, max_bytes: int):
        self.transfers, self.url, self.part, self.max_bytes = transfers, url, part, max_bytes
        self.note = part.with_name(part.name + ".json")  # whose bytes the part holds
        self.furthest = self._size()
        self.idle = self.stalls = 0

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def give_up(self, state: tenacity.RetryCallState) -> bool:
        """Counts attempts in a row that brought nothing new."""
        self.idle = 1 if self._size() > self.furthest else self.idle + 1
        self.furthest = max(self.furthest, self._size())
        error = state.outcome.exception() if state.outcome else None
        self.stalls += isinstance(error, _Stalled)
        if self.stalls >= STALLS or isinstance(error, httpx.ConnectTimeout) or _unresolved(error):
            return True
        return self.idle >= (CONNECT_ATTEMPTS if isinstance(error, httpx.ConnectError) else ATTEMPTS)

    def attempt(self) -> bool:
        """The rest of the file, or all of it if the server cannot or will not go on where the part ends."""
        start, validator = self._size(), self._validator()
        ask = {"Range": f"bytes={start}-", "If-Range": validator} if start and validator else {}
        with self.transfers.client.stream("GET", self.url, headers=ask) as answer:
            if answer.status_code == 416:  # nothing after the part's end: whole, or of another file
                self._forget()
                raise _TryAgain("the server has no such range")
            if answer.status_code in TRY_AGAIN:
                raise _TryAgain(f"HTTP {answer.status_code} {answer.reason_phrase}")
            if answer.status_code in (404, 410):
                raise MissingError(f"{self.url}: HTTP {answer.status_code} {answer.reason_phrase}")
            answer.raise_for_status()
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                if answer.status_code == 206:
                    self._forget()
                    raise _TryAgain("the server sent another range than asked for")
                start = 0
            self._remember(answer.headers)
            self._receive(answer, start)
        self.note.unlink(missing_ok=True)
        return start > 0

    def _receive(self, answer: httpx.Response, start: int) -> None:
        left = answer.headers.get("Content-Length", "")
        bars, name = self.transfers.bars, Path(urlsplit(self.url).path).name
        total = start + int(left) if left.isdigit() else None
        self._allow(total or start)
        bar = None if bars is None else bars.add_task(name, total=total, completed=start)
        try:
            with self.part.open("ab" if start else "wb") as file:
                size, since, mark = start, time.monotonic(), start
                # As it comes: with a chunk size given, a cut would lose the bytes that wait to fill one.
                for chunk in answer.iter_raw():
                    size += len(chunk)
                    self._allow(size)
                    file.write(chunk)
                    if time.monotonic() - since > STALL_S:
                        if size - mark < LEAST_BYTES:
                            raise _Stalled(f"only {size - mark} bytes came in {STALL_S:g} s")
                        since, mark = time.monotonic(), size
                    if bars is not None and bar is not None:
                        bars.advance(bar, len(chunk))
        finally:
            if bars is not None and bar is not None:
                bars.remove_task(bar)

    def _allow(self, size: int) -> None:
        """Raises TooLargeError, and keeps nothing, for more bytes than the file can have."""
        if size > self.max_bytes:
            self._forget()
            _check_size(self.url, size, self.max_bytes)

    def _validator(self) -> str:
        """What the server called this very version of the file; without it, a part cannot be continued safely."""
        try:
            note = json.loads(self.note.read_bytes())
        except (OSError, ValueError):
            return ""
        return note["validator"] if isinstance(note, dict) and note.get("url") == self.url else ""

    def _remember(self, headers: httpx.Headers) -> None:
        tag = headers.get("ETag", "")
        validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")  # RFC 9110, 13.1.5
        self.note.write_text(json.dumps({"url": self.url, "validator": validator}))

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _unresolved(error: BaseException | None) -> bool:
    """Whether a host's name did not resolve, somewhere down the chain of causes."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _cause(state: tenacity.RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return str(error) or type(error).__name__


def _bars() -> Any:
    """Progress bars on standard error: name, bar, size, speed, time left."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
