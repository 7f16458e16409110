"""The one number in which a codec's operating points differ, and the point at another value of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from bench.codec import Codec, Parameter, Point, VariableRate


def varied_parameter(codec: Codec, parameters: Iterable[str]) -> Parameter | None:
    """The one numeric parameter in which points (parameters as JSON) differ; None if they differ otherwise, or not."""
    points = [json.loads(text) for text in parameters]
    if any(point.keys() != points[0].keys() for point in points):
        return None
    varied = [key for key in points[0] if len({json.dumps(point[key]) for point in points}) > 1]
    declared = {parameter.name: parameter for parameter in codec.parameters}
    if len(varied) != 1 or varied[0] not in declared or declared[varied[0]].type is str:
        return None
    return declared[varied[0]]


def point_with(codec: Codec, varied: Parameter, value: float, common: Mapping[str, Any]) -> Point:
    """The operating point with ``value``; its other parameters are ``common`` to all."""
    if isinstance(codec, VariableRate):
        return codec.at(value)
    typed = int(value) if varied.type is int else value
    return codec.changed(Point("", **common), f"{varied.name}{value:g}", **{varied.name: typed})
