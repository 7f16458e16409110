"""The parameters an operating point may set: a codec declares them, and any other is refused."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError

WORDS = {int: "a whole number", float: "a number", str: "one of"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a codec's operating points: ``Parameter("quality", int, (1, 100), "libjpeg's quality")``.

    type: int, float (which includes whole numbers) or str. range: the lowest and the highest number, inclusive
    (``math.inf`` for no limit); for a str, every allowed value. meaning: a few words, with the unit.
    """

    name: str
    type: type
    range: tuple[Any, ...]
    meaning: str = ""

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` has the type and is in the range. NaN, infinity and booleans are never accepted."""
        if self.type is str:
            return isinstance(value, str) and value in self.range
        numbers = int if self.type is int else (int, float)
        if not isinstance(value, numbers) or isinstance(value, bool):
            return False
        return bool(abs(value) <= sys.float_info.max and self.range[0] <= value <= self.range[1])

    def __str__(self) -> str:
        """``quality (a whole number from 1 to 100)``."""
        if self.type is str:
            return f"{self.name} ({WORDS[str]} {', '.join(self.range)})"
        low, high = self.range
        return f"{self.name} ({WORDS[self.type]} from {low:g}{f' to {high:g}' if math.isfinite(high) else ' up'})"

    def to_json(self) -> dict[str, Any]:
        """Its fields for JSON: the type by name, and null for an infinite limit."""
        limits = [None if isinstance(end, float) and math.isinf(end) else end for end in self.range]
        return {"name": self.name, "type": self.type.__name__, "range": limits, "meaning": self.meaning}

    def check(self, codec: str) -> None:
        """Raises UsageError for an invalid declaration: no name, another type, an empty or reversed range."""
        whole = self.name.isidentifier() and self.type in WORDS and bool(self.range)
        if whole and self.type is str:
            whole = all(isinstance(text, str) for text in self.range)
        elif whole:
            whole = len(self.range) == 2 and not math.isnan(sum(self.range)) and self.range[0] <= self.range[1]
        if not whole:
            raise UsageError(
                f"{codec} declares {self!r}: expected a name, int, float or str, and the lowest and the highest number "
                "(for str, every allowed value)"
            )


def check_values(codec: str, allowed: Iterable[Parameter], given: Mapping[str, Any], where: str = "") -> None:
    """Raises UsageError if ``given`` has a parameter that is not ``allowed``, or a value outside its range.

    The message lists what is allowed; ``where`` says where the values come from, such as an operating point.
    """
    known = {parameter.name: parameter for parameter in allowed}
    at = f"{codec}{f', {where}' if where else ''}"
    for name, value in given.items():
        if name not in known:
            has = f"it has {', '.join(map(str, known.values()))}" if known else "it has none"
            raise UsageError(f"{at}: no parameter is called {name!r}; {has}")
        if not known[name].accepts(value):
            raise UsageError(f"{at}: expected {known[name]}, got {value!r}")


def parameters_from_points(points: Iterable[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """Parameters inferred from operating points, each ranging over the values found there.

    For a codec that declares none. Raises UsageError for values that are neither all numbers nor all strings.
    """
    values: dict[str, list[Any]] = {}
    for point in points:
        for name, value in point.items():
            values.setdefault(name, []).append(value)
    found = []
    for name, of_name in values.items():
        if all(isinstance(value, str) for value in of_name):
            found.append(Parameter(name, str, tuple(dict.fromkeys(of_name))))
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in of_name):
            whole = all(isinstance(value, int) for value in of_name)
            found.append(Parameter(name, int if whole else float, (min(of_name), max(of_name))))
        else:
            raise UsageError(
                f"parameter {name!r}: expected numbers at every operating point, or strings at every one, got {of_name}"
            )
    return tuple(found)
