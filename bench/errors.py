"""The errors rdbench raises on purpose.

Each message says what was being done, what was expected, what came, and what to do. The command line turns
:class:`UsageError` into exit code 2 and every other :class:`RdbenchError` into exit code 1, without a traceback.
"""


class RdbenchError(Exception):
    """A failure rdbench can explain."""


class UsageError(RdbenchError):
    """The user asked for something that cannot be done: a wrong name, a wrong file, a wrong value."""


class BitstreamError(RdbenchError, ValueError):
    """A bitstream that is truncated, corrupted, or of another codec."""


class UnavailableError(RdbenchError):
    """Something the run could do without is missing (a network, a binary, weights): the row becomes `skipped`."""
