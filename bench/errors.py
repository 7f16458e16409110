"""The errors rdbench raises on purpose.

Each message says what was being done, what was expected, what was found, and what to do. The command line turns
:class:`UsageError` into exit code 2 and every other :class:`RdbenchError` into exit code 1, without a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator

LONGEST = 400  # characters quoted from a library's message


def plain_text(text: str) -> str:
    """``text`` in a form that can be printed and stored: a lone surrogate (from a name that is not UTF-8) is
    escaped.
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class RdbenchError(Exception):
    """A failure rdbench can explain. Its message can always be printed and stored."""

    def __init__(self, *message: object):
        super().__init__(*(plain_text(part) if isinstance(part, str) else part for part in message))


class UsageError(RdbenchError):
    """The user asked for something that cannot be done: a wrong name, a wrong file, a wrong value."""


class BitstreamError(RdbenchError, ValueError):
    """A bitstream that is truncated, corrupted, or of another codec."""


class UnavailableError(RdbenchError):
    """Something the run could do without is missing (a network, a binary, weights): the row becomes `skipped`."""


class TransientError(RdbenchError):
    """A failure of the machine that may not happen again: a full disk, a killed process, a timeout.

    It is never stored as a codec's result: the job fails after its other images are done, and the next run repeats it.
    """


_MACHINE_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.ETXTBSY,
    errno.ESTALE,
    errno.EROFS,
    errno.ENETDOWN,
    errno.ETIMEDOUT,
}
_MACHINE_TEXTS = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)))
# Signals a program raises by its own fault: it would raise them again.
_OWN_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGXFSZ,
    signal.SIGPIPE,
}


def is_transient(error: BaseException) -> bool:
    """Whether ``error``, or an error it was raised from, came from the machine: memory, disk, a killed process.

    A program that a codec runs reports a full disk only as text, so the system's error texts count as well.
    """
    return any(_is_machine_error(cause) for cause in _chain(error))


def _is_machine_error(error: BaseException) -> bool:
    if isinstance(error, TransientError | MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _MACHINE_ERRNOS
    return any(text in str(error) for text in _MACHINE_TEXTS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def killed_externally(returncode: int) -> bool:
    """Whether another process killed the one that ended with ``returncode``: the kernel, a scheduler, a person.

    returncode: as :mod:`subprocess` gives it, or 128 + signal, as a shell gives it. A crash of its own (segmentation
    fault, abort) does not count.
    """
    number = -returncode if returncode < 0 else returncode - 128
    known = number in set(signal.Signals) and number not in _OWN_SIGNALS
    return known and (returncode < 0 or number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT))


def describe_error(error: BaseException) -> str:
    """``error`` in one line: the message of one that rdbench raised on purpose; the type and message of any other."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "UnidentifiedImageError":  # Pillow's message is a memory address
        return "these bytes are not a file in its format"
    if isinstance(error, RdbenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def explain_errors(doing: str, keep: type[RdbenchError] = UsageError) -> Iterator[None]:
    """Turns any error raised inside into a UsageError that begins with ``doing``, what was being done.

    Errors of type ``keep``, UsageError and UnavailableError explain themselves and pass through unchanged.
    """
    try:
        yield
    except (keep, UsageError, UnavailableError):
        raise
    except Exception as error:
        text = describe_error(error)
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        raise UsageError(f"{doing}: {text}") from error


class Missing(RdbenchError):
    """A figure or a claim lacks something that it is made of; the message says what, and stands in its place.

    run: a command that would provide it, or ""; codec: a codec's measurements are what is missing.
    """

    def __init__(self, reason: str, run: str = "", codec: bool = False):
        super().__init__(reason)
        self.run, self.codec = run, codec
