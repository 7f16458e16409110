"""The tests of claims.yaml, parsed: comparisons of quantities with numbers, and nothing else that Python could do.

    test        comparison ("and" comparison)*
    comparison  quantity OP number | number OP quantity [OP number]         OP: < <= > >=
    quantity    FUNCTION(argument, ...) | quantity + - * / quantity | number | - quantity | (quantity)
    argument    a name, a text in quotes, a number, or NAME=argument

The text is parsed by :mod:`ast` and walked; it is never run.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.claims.evidence import Evidence
from bench.claims.quantities import CHOICES, FREE_COLUMNS, FUNCTIONS, Quantity, combine
from bench.errors import UsageError

_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARE: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Comparison:
    """A quantity and what it has to be. bounds: (operator, number), the quantity on the operator's left."""

    text: str
    quantity: ast.expr
    bounds: tuple[tuple[str, float], ...]

    def holds(self, value: float, tolerance: float = 0.0) -> bool:
        """Does ``value`` keep every bound, or go beyond one by no more than ``tolerance``?"""
        return all(_HOLDS[sign](value, bound) or abs(value - bound) <= tolerance > 0 for sign, bound in self.bounds)

    def misses(self, low: float, high: float, tolerance: float = 0.0) -> bool:
        """Does everything from ``low`` to ``high`` go beyond the same bound, by more than ``tolerance``?"""
        ends = {"<": low, "<=": low, ">": high, ">=": high}  # the end that comes nearest to keeping it
        return any(
            not _HOLDS[sign](ends[sign], bound) and (abs(ends[sign] - bound) > tolerance or not tolerance)
            for sign, bound in self.bounds
        )

    @property
    def is_strict(self) -> bool:
        """Is it "better than" one bound, rather than "as good as" or between two?"""
        return len(self.bounds) == 1 and self.bounds[0][0] in "<>"

    def evaluate(self, data: Evidence) -> Quantity:
        """The quantity. Raises Missing if the run lacks what it needs, UsageError for what has no meaning."""
        return _evaluate(self.quantity, data)

    def curves(self) -> set[str]:
        """The codecs that the quantity names as ``codec`` or ``anchor``, without studies and published curves."""
        named = {"codec", "anchor"}
        found = {
            str(value)
            for node in ast.walk(self.quantity)
            if isinstance(node, ast.Call)
            for key, value in _bind(node).arguments.items()
            if key in named
        }
        return {name for name in found if "/" not in name}

    def columns(self) -> set[tuple[str, str]]:
        """(study, column) of everything it asks of a study, columns that rows are chosen by included."""
        found = set()
        for node in ast.walk(self.quantity):
            if isinstance(node, ast.Call) and "study" in (arguments := _bind(node).arguments):
                names = {arguments["column"], *arguments.get("filters", {})} - {"number"}
                found |= {(str(arguments["study"]), str(name)) for name in names}
        return found


def parse(text: str) -> tuple[Comparison, ...]:
    """The comparisons of a test. Raises UsageError that says what is not allowed or not known."""
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"{text!r} is not an expression: {error.msg}") from error
    parts = body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]
    return tuple(_comparison(part) for part in parts)


def _comparison(node: ast.expr) -> Comparison:
    text = ast.unparse(node)
    if not isinstance(node, ast.Compare) or not all(type(op) in _COMPARE for op in node.ops):
        raise UsageError(f"{text!r} is not a comparison: QUANTITY < NUMBER expected, or <=, >, >=, joined by `and`")
    sides, signs = [node.left, *node.comparators], [_COMPARE[type(op)] for op in node.ops]
    quantities = [side for side in sides if any(isinstance(part, ast.Call) for part in ast.walk(side))]
    if len(quantities) != 1 or len(sides) > 3 or (len(sides) == 3 and sides[1] is not quantities[0]):
        raise UsageError(f"{text!r}: expected one quantity, compared with a number or lying between two")
    place = sides.index(quantities[0])
    bounds = [(_TURNED[signs[0]], _number(sides[0]))] if place == 1 else []
    bounds += [(signs[place], _number(sides[place + 1]))] if place + 1 < len(sides) else []
    _check(quantities[0])
    return Comparison(text, quantities[0], tuple(bounds))


def _number(node: ast.expr) -> float:
    value: Any = None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        value = -value if isinstance(value, int | float) else None
    elif isinstance(node, ast.Constant):
        value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{ast.unparse(node)!r}: expected a number")
    return float(value)


def _check(node: ast.expr) -> None:
    """Raises UsageError unless ``node`` is a quantity."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _check(node.left)
        _check(node.right)
    elif isinstance(node, ast.Call):
        _check_arguments(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        _check(node.operand)
    else:
        _number(node)


def _bind(node: ast.Call) -> inspect.BoundArguments:
    """The arguments of a call of one of FUNCTIONS, as plain values."""
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if name not in FUNCTIONS:
        raise UsageError(f"{name!r} is not a quantity; the quantities are {', '.join(FUNCTIONS)}")
    if any(keyword.arg is None for keyword in node.keywords):
        raise UsageError(f"{ast.unparse(node)!r}: ** is not allowed")
    keywords = {str(keyword.arg): _argument(keyword.value) for keyword in node.keywords}
    try:
        return inspect.signature(FUNCTIONS[name]).bind(None, *map(_argument, node.args), **keywords)
    except TypeError as error:
        raise UsageError(f"{ast.unparse(node)}: {error}") from error


def _check_arguments(node: ast.Call) -> None:
    arguments = _bind(node).arguments
    if not isinstance(number := arguments.get("number", 0), int):
        raise UsageError(f"{ast.unparse(node)}: number is a whole number, not {number!r}")
    weight = arguments.get("rate_weight", 1)
    if isinstance(weight, str) or weight <= 0:
        raise UsageError(f"{ast.unparse(node)}: rate_weight is a number above 0, not {weight!r}")
    free = {"column"} if ast.unparse(node.func) in FREE_COLUMNS else set()
    for name in (CHOICES.keys() & arguments.keys()) - free:
        if arguments[name] not in CHOICES[name]:
            raise UsageError(f"{ast.unparse(node)}: {name} is one of {', '.join(sorted(CHOICES[name]))}")


def _argument(node: ast.expr) -> str | float:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    number = _number(node)
    return int(number) if number.is_integer() else number


def _evaluate(node: ast.expr, data: Evidence) -> Quantity:
    if isinstance(node, ast.BinOp):
        return combine(_ARITHMETIC[type(node.op)], _evaluate(node.left, data), _evaluate(node.right, data))
    if isinstance(node, ast.Call):
        bound = _bind(node)
        return FUNCTIONS[node.func.id](data, *bound.args[1:], **bound.kwargs)  # type: ignore[attr-defined]
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        return combine("*", Quantity.constant(-1.0), _evaluate(node.operand, data))
    return Quantity.constant(_number(node))
