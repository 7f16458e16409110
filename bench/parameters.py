"""What an operating point may set: a codec declares its parameters once, and nothing else is ever coded with."""

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

    type: int, float (whole numbers too) or str. range: the least and the greatest number, both allowed, ``math.inf``
    where there is no limit; of a str all the texts that are allowed. meaning: in a few words, with its unit.
    """

    name: str
    type: type
    range: tuple[Any, ...]
    meaning: str = ""

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` is of the type and in the range. Not finite numbers and truth values never are."""
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
        """Its fields as JSON has them: the type's name, and null for a limit that there is not."""
        limits = [None if isinstance(end, float) and math.isinf(end) else end for end in self.range]
        return {"name": self.name, "type": self.type.__name__, "range": limits, "meaning": self.meaning}

    def check(self, codec: str) -> None:
        """Raises UsageError for a declaration that says nothing: no name, another type, an empty range."""
        whole = self.name.isidentifier() and self.type in WORDS and bool(self.range)
        if whole and self.type is str:
            whole = all(isinstance(text, str) for text in self.range)
        elif whole:
            whole = len(self.range) == 2 and not math.isnan(sum(self.range)) and self.range[0] <= self.range[1]
        if not whole:
            raise UsageError(
                f"{codec} declares {self!r}: expected a name, int, float or str, and the least and the greatest number "
                "(of str all texts that are allowed)"
            )


def check_values(codec: str, allowed: Iterable[Parameter], given: Mapping[str, Any], where: str = "") -> None:
    """Raises UsageError if ``given`` has a parameter that is not ``allowed``, or a value out of its range.

    The message names what is allowed; ``where`` says what holds the values, such as an operating point.
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
    """The parameters that operating points have, as far as their values go: of a codec that declares none.

    Raises UsageError for values that are neither all numbers nor all texts.
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
            raise UsageError(f"parameter {name!r} is a number or a text at every operating point, got {of_name}")
    return tuple(found)
