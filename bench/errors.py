"""The errors rdbench raises on purpose.

Each message says what was being done, what was expected, what came, and what to do. The command line turns
:class:`UsageError` into exit code 2 and every other :class:`RdbenchError` into exit code 1, without a traceback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

LONGEST = 400  # characters of a library's message in one of ours


class RdbenchError(Exception):
    """A failure rdbench can explain."""


class UsageError(RdbenchError):
    """The user asked for something that cannot be done: a wrong name, a wrong file, a wrong value."""


class BitstreamError(RdbenchError, ValueError):
    """A bitstream that is truncated, corrupted, or of another codec."""


class UnavailableError(RdbenchError):
    """Something the run could do without is missing (a network, a binary, weights): the row becomes `skipped`."""


def in_words(error: BaseException) -> str:
    """One line that says what happened: the message of an error raised on purpose, else with the error's type."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "UnidentifiedImageError":  # Pillow's, which tells an address in memory
        return "these bytes are no file of its format"
    if isinstance(error, RdbenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def explained(doing: str, keep: type[RdbenchError] = UsageError) -> Iterator[None]:
    """Whatever a codec's library raises inside becomes one sentence that says what was being done.

    Errors of the type ``keep``, which have a sentence of their own, and what is unavailable pass as they are.
    """
    try:
        yield
    except (keep, UsageError, UnavailableError):
        raise
    except Exception as error:
        text = in_words(error)
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        raise UsageError(f"{doing}: {text}") from error
