"""Copies a URL or path to a file: resumes, retries with back-off, and shows progress on a terminal."""

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
ATTEMPTS = 5  # in a row without new bytes
CONNECT_ATTEMPTS = 2  # to a host that refuses; an unresolved name and a silent host get one
LONGEST_WAIT_S = 8.0
STALL_S = 20.0  # with fewer than LEAST_BYTES: the download has stalled
LEAST_BYTES = 20_000  # 1 kB/s
STALLS = 2  # tolerated, each followed by a new request
TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))

log = logging.getLogger(__name__)


class NotFoundError(UnavailableError):
    """The server answers, but does not have the file."""


class TooLargeError(UnavailableError):
    """The server sends more bytes than the file can have."""


class Transfers(AbstractContextManager):
    """Copies and downloads files. quiet: no progress bars, which otherwise appear on a terminal.

    wait_s: before the second attempt, doubled for each further one. A host that did not answer is not tried again.
    """

    def __init__(self, *, quiet: bool = False, wait_s: float = 0.5):
        self.wait_s = wait_s
        self.dead: dict[str, str] = {}
        self.bars = None if quiet or not sys.stderr.isatty() else _bars()
        self.stack = ExitStack()

    def __enter__(self) -> Transfers:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        headers = {"User-Agent": f"rdbench/{__version__}", "Accept-Encoding": "identity"}  # no compression in transit
        self.client = self.stack.enter_context(httpx.Client(timeout=timeout, headers=headers, follow_redirects=True))
        if self.bars is not None:
            self.stack.enter_context(self.bars)
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    def get(self, location: str, part: Path, max_bytes: int = MAX_BYTES) -> bool:
        """Fetches ``location`` into ``part``; True if it resumed an interrupted transfer.

        Raises NotFoundError, TooLargeError for more than ``max_bytes``, or UnavailableError.
        """
        if not is_url(location):
            if not Path(location).is_file():
                raise NotFoundError(f"{location}: no such file")
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
        raise TooLargeError(f"{location}: refused, expected at most {max_bytes:,} bytes, got more")


class _TryAgain(Exception):
    """An answer that may be different at the next attempt."""


class _Stalled(_TryAgain):
    """The download is too slow to finish."""


class _Transfer:
    """The download of one URL into one file, over several attempts."""

    def __init__(self, transfers: Transfers, url: str, part: Path, max_bytes: int):
        self.transfers, self.url, self.part, self.max_bytes = transfers, url, part, max_bytes
        self.note = part.with_name(part.name + ".json")  # which URL and version the partial file comes from
        self.furthest = self._size()
        self.idle = self.stalls = 0

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def give_up(self, state: tenacity.RetryCallState) -> bool:
        """Whether to stop: counts attempts in a row without new bytes."""
        self.idle = 1 if self._size() > self.furthest else self.idle + 1
        self.furthest = max(self.furthest, self._size())
        error = state.outcome.exception() if state.outcome else None
        self.stalls += isinstance(error, _Stalled)
        if self.stalls >= STALLS or isinstance(error, httpx.ConnectTimeout) or _unresolved(error):
            return True
        return self.idle >= (CONNECT_ATTEMPTS if isinstance(error, httpx.ConnectError) else ATTEMPTS)

    def attempt(self) -> bool:
        """Downloads the rest of the file, or all of it if the server cannot resume."""
        start, validator = self._size(), self._validator()
        ask = {"Range": f"bytes={start}-", "If-Range": validator} if start and validator else {}
        with self.transfers.client.stream("GET", self.url, headers=ask) as answer:
            if answer.status_code == 416:  # no bytes after the partial file's end: it is complete, or of another file
                self._forget()
                raise _TryAgain("the server has no such range")
            if answer.status_code in TRY_AGAIN:
                raise _TryAgain(f"HTTP {answer.status_code} {answer.reason_phrase}")
            if answer.status_code in (404, 410):
                raise NotFoundError(f"{self.url}: HTTP {answer.status_code} {answer.reason_phrase}")
            answer.raise_for_status()
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                if answer.status_code == 206:
                    self._forget()
                    raise _TryAgain("the server sent another range than requested")
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
                # Chunks as they arrive: with a fixed size, an interruption would lose bytes waiting to fill one.
                for chunk in answer.iter_raw():
                    size += len(chunk)
                    self._allow(size)
                    file.write(chunk)
                    if time.monotonic() - since > STALL_S:
                        if size - mark < LEAST_BYTES:
                            raise _Stalled(f"only {size - mark} bytes arrived in {STALL_S:g} s")
                        since, mark = time.monotonic(), size
                    if bars is not None and bar is not None:
                        bars.advance(bar, len(chunk))
        finally:
            if bars is not None and bar is not None:
                bars.remove_task(bar)

    def _allow(self, size: int) -> None:
        """Raises TooLargeError, and deletes the partial file, for more bytes than the file can have."""
        if size > self.max_bytes:
            self._forget()
            _check_size(self.url, size, self.max_bytes)

    def _validator(self) -> str:
        """The server's identifier of this version of the file; without one, resuming is not safe."""
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
    """Whether a host name did not resolve, anywhere in the chain of causes."""
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
