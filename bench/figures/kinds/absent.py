"""A figure of a paper that cannot be drawn because nobody here knows what it shows: its reason in its place."""

from __future__ import annotations

from typing import Any, NoReturn

from bench.figures.context import Context, Missing

COLUMNS: list[str] = []


def table(context: Context, spec: dict[str, Any], dataset: str) -> NoReturn:
    """Raises Missing with the reason that figures.yaml gives."""
    raise Missing(spec["reason"])
