"""Progress lines on standard error: what is being done, how much is left, and where the log is."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

INTERVAL_S = 5.0
FEWEST = 3  # pieces before an estimate of the time left: the first may be the longest


class Progress:
    """A line at most every five seconds, and one at the end, because several jobs may share the terminal.

    ``progress(done, total, cached)`` counts pieces; ``cached`` of them came from the cache.
    """

    def __init__(self, what: str, log: Path | None = None):
        self.what, self.log = what, log
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int, cached: int = 0) -> None:
        now = time.monotonic()
        if done < total and now - self.last < INTERVAL_S:
            return
        self.last = now
        made, seconds = done - cached, now - self.start
        line = f"{self.what}: {done} of {total} ({100 * done // max(total, 1)} %)"
        if cached:
            line += f", {cached} from the cache"
        if done < total:
            left = f"about {seconds / made * (total - done):.0f} s" if made >= FEWEST else "time not known yet"
            line += f", left: {left}" + (f", log: {self.log}" if self.log else "")
        else:
            line += f" in {seconds:.1f} s"
        say(line)


def say(line: str) -> None:
    """Prints one line on standard error."""
    print(line, file=sys.stderr, flush=True)


def log_to(path: Path | None) -> None:
    """Sends messages of level INFO and above to ``path``, which is emptied first, and warnings to standard error
    too.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8", errors="backslashreplace"))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", handlers=handlers, force=True)
