"""A figure of a paper that cannot be drawn because its content is not known here; figures.yaml gives the reason."""

from __future__ import annotations

from typing import Any, NoReturn

from bench.errors import Missing
from bench.figures.context import Context

COLUMNS: list[str] = []


def table(context: Context, spec: dict[str, Any], dataset: str) -> NoReturn:
    """Raises Missing with the reason that figures.yaml gives."""
    raise Missing(spec["reason"])
