"""A few items, evenly spaced, where all of them would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spaced(items: Sequence[T], count: int, ends: bool = False) -> list[T]:
    """``count`` of the items, evenly spaced and in order; all of them for 0 or where there are no more.

    They start at the first item. With ``ends`` they include the last one too; a single one is then the middle one.
    """
    if not count or count >= len(items):
        return list(items)
    if not ends:
        return [items[number * len(items) // count] for number in range(count)]
    if count == 1:
        return [items[len(items) // 2]]
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]
