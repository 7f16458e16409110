"""What a mistyped name was probably meant to be."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)`` with the known name that is most like ``name``, or nothing if none is.

    Upper and lower case count as equal.
    """
    by_lower = {other.lower(): other for other in known}
    found = get_close_matches(name.lower(), list(by_lower), n=1)
    return f" (did you mean {by_lower[found[0]]}?)" if found else ""


def with_suggestions(unknown: Iterable[str], known: Collection[str]) -> str:
    """The ``unknown`` names in a list, each followed by what was probably meant."""
    return ", ".join(name + did_you_mean(name, known) for name in unknown)
