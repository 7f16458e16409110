"""The page of the gate's memory: a line over the commits for every series, regressions marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.files import write_atomically
from bench.gate.history import MEASURES, Entry, by_series, regressions
from bench.report.build import BASE_STYLES, HERE, templates

WIDTH, HEIGHT, MARGIN = 220, 44, 5  # px of one line's drawing


def build_history(entries: Sequence[Entry], out: Path) -> Path:
    """Writes the page ``out`` (HTML, with its styles inside) from entries of bench.gate.history, oldest first."""
    marked = regressions(entries)
    series = [_series(name, found, marked) for name, found in sorted(by_series(entries).items())]
    style = "\n".join((HERE / "assets" / name).read_text(encoding="utf-8") for name in BASE_STYLES)
    shown = [mark | {"title": MEASURES[mark["what"]][0], "name": " ".join(mark["series"][1:])} for mark in marked]
    commits = list(dict.fromkeys(entry["commit"] for entry in entries))
    page = (
        templates()
        .get_template("history.html")
        .render(series=series, regressions=shown[::-1], commits=commits, style=style)
    )
    write_atomically(out, page)
    return out


def _series(name: tuple[str, ...], entries: list[Entry], marked: list[dict[str, Any]]) -> dict[str, Any]:
    of_series = [mark for mark in marked if mark["series"] == name]
    lines = []
    for key, (title, factor, unit, digits) in MEASURES.items():
        values = [(entry["commit"], entry[key] * factor) for entry in entries if entry.get(key) is not None]
        if values:
            bad = {mark["commit"] for mark in of_series if mark["what"] == key}
            latest, first = values[-1][1], values[0][1]
            text = {
                "title": title,
                "unit": unit,
                "latest": f"{latest:.{digits}f}",
                "change": f"{latest - first:+.{digits}f}",
            }
            lines.append(text | {"drawing": _drawing(values, bad), "count": len(values)})
    worst = entries[-1].get("worst") or []
    return {
        "kind": name[0],
        "name": " ".join(name[1:]),
        "lines": lines,
        "worst": worst,
        "anchor": entries[-1].get("anchor"),
    }


def _drawing(values: list[tuple[str, float]], bad: set[str]) -> dict[str, Any]:
    """Points of a polyline in a box of WIDTH x HEIGHT, each with commit, value and whether it is a regression."""
    numbers = [value for _, value in values]
    low, high = min(numbers), max(numbers)
    span, steps = high - low or 1.0, max(1, len(values) - 1)
    points = []
    for index, (commit, value) in enumerate(values):
        x = MARGIN + (WIDTH - 2 * MARGIN) * index / steps
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * ((value - low) / span if high > low else 0.5)
        points.append(
            {"x": round(x, 1), "y": round(y, 1), "commit": commit, "value": f"{value:.4g}", "bad": commit in bad}
        )
    return {"width": WIDTH, "height": HEIGHT, "points": points}
