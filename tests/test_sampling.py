"""Evenly spaced items: which ones, with and without both ends."""

from __future__ import annotations

import pytest

from bench.sampling import evenly_spaced


@pytest.mark.parametrize(
    ("count", "ends", "expected"),
    [
        (3, False, "ace"),
        (1, False, "a"),
        (0, False, "abcdefg"),
        (9, False, "abcdefg"),
        (3, True, "adg"),
        (2, True, "ag"),
        (1, True, "d"),
        (9, True, "abcdefg"),
    ],
)
def test_items_are_evenly_spaced(count, ends, expected):
    assert "".join(evenly_spaced("abcdefg", count, ends)) == expected
