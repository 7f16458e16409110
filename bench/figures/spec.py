"""figures.yaml: what is drawn, of which codecs, datasets and studies. Reading it imports no plotting library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UsageError
from bench.files import root_file
from bench.names import with_suggestions
from bench.rd.published import imported_curves

SPECIFICATION = root_file("figures.yaml")
NEEDED = {  # the fields of each kind, besides name and kind
    "rd": {"metric"},
    "panels": {"metric", "panels"},
    "gain": {"metric", "anchor"},
    "per_image": {"metric", "anchor"},
    "speed": {"metric", "anchor"},
    "variable_rate": {"codecs"},
    "bd": {"metrics", "pairs"},
    "lossless": {"codecs"},
    "pictures": {"codecs"},
    "lines": {"study", "series", "at", "x_column", "y_column", "x_label", "y_label"},
    "parts": {"study", "series", "part", "value", "x_label"},
    "table": {"study", "by", "columns"},
    "absent": {"reason"},
}
FIELDS = {"name", "kind", "datasets", "study", "metric", "codecs", "role", "anchor", "x", "xlim", "claimed", "title"}
FIELDS |= {"caption", "legend", "marked", "mark_label", "together", "rates", "match", "between", "images", "crop"}
FIELDS |= {"shown", "animate", "sides", "by_label", "note"}.union(*NEEDED.values())


def read_specification(path: str | Path = SPECIFICATION) -> dict[str, Any]:
    """figures.yaml: ``figures`` (list), ``styles`` (codec or source/codec -> look), ``datasets`` (name -> title),
    ``remarks`` (dataset -> sentence), ``page`` (what the report's first screen shows).

    The user's own published curves are among the ``claimed`` of every plot of all codecs that shows some. Raises
    UsageError that names the figure for a missing or unknown field, an unknown kind, or a name used twice.
    """
    specification = _sections(path)
    seen, imported = set(), imported_curves()
    for number, spec in enumerate(specification["figures"], 1):
        if not isinstance(spec, dict) or not isinstance(spec.get("name", ""), str):
            raise UsageError(f"{path}, figure {number}: expected fields, with a text as its name, got {spec!r:.60}")
        where = f"{path}, figure {number} ({spec.get('name', 'without a name')})"
        if spec.get("kind") not in NEEDED:
            raise UsageError(f"{where} is of kind {spec.get('kind')!r}; there are {', '.join(sorted(NEEDED))}")
        if lacking := ({"name"} | NEEDED[spec["kind"]]) - set(spec):
            raise UsageError(f"{where} lacks {', '.join(sorted(lacking))}")
        if unknown := sorted(map(str, spec.keys() - FIELDS)):
            known = sorted(FIELDS)
            asked = with_suggestions(unknown, known)
            raise UsageError(f"{where} has no field called {asked}; there are {', '.join(known)}")
        if spec["name"] in seen:
            raise UsageError(f"{where}: an earlier figure has this name")
        seen.add(spec["name"])
        if spec["kind"] == "rd" and "claimed" in spec and codecs_of(spec) is None:
            spec["claimed"] = [*spec["claimed"], *(name for name in imported if name not in spec["claimed"])]
    return specification


def _sections(path: str | Path) -> dict[str, Any]:
    """The sections of the file, an empty one for each that it lacks. Raises UsageError for one of the wrong type."""
    with open(path, encoding="utf-8") as file:
        read = yaml.safe_load(file) or {}
    if not isinstance(read, dict):
        raise UsageError(f"reading {path}: expected sections such as figures and styles")
    empty: dict[str, Any] = {"figures": [], "styles": {}, "datasets": {}, "remarks": {}, "page": {}}
    sections = {name: empty.get(name) if value is None else value for name, value in read.items()}
    for name, default in empty.items():
        if not isinstance(sections.setdefault(name, default), type(default)):
            kind = "list" if isinstance(default, list) else "mapping"
            raise UsageError(f"reading {path}: expected a {kind} under {name}, got {sections[name]!r:.60}")
    return sections


def datasets_of(spec: Mapping[str, Any], run: Iterable[str]) -> list[str]:
    """The datasets of a figure: those it lists, `all` standing for those of the ``run``, in name order."""
    asked = spec.get("datasets", "all")
    names = [asked] if isinstance(asked, str) else asked
    found = [name for entry in names for name in (sorted(run) if entry == "all" else [entry])]
    return list(dict.fromkeys(found))


def anchors_of(spec: Mapping[str, Any]) -> list[str]:
    """The anchors a figure may take, the first measured one first."""
    anchors = spec.get("anchor") or []
    return [anchors] if isinstance(anchors, str) else list(anchors)


def codecs_of(spec: Mapping[str, Any]) -> list[str] | None:
    """The codecs a figure names, anchors apart; None where it draws every codec of the run, [] where none."""
    if "panels" in spec:
        return list(dict.fromkeys(codec for panel in spec["panels"] for codec in panel["codecs"]))
    if "pairs" in spec:
        return list(dict.fromkeys(codec for pair in spec["pairs"] for codec in pair))
    if "metric" not in spec and "codecs" not in spec:
        return []
    return None if spec.get("codecs", "all") == "all" else list(spec["codecs"])


def subjects_of(spec: Mapping[str, Any]) -> list[str]:
    """The codecs that a figure is about, one of which has to be there: the first it names, of each of its panels."""
    if "panels" in spec:
        return [panel["codecs"][0] for panel in spec["panels"]]
    return (codecs_of(spec) or [])[:1] if "pairs" not in spec else []


def named_pairs(specification: Mapping[str, Any], run: Iterable[str]) -> set[tuple[str, str]]:
    """(codec, dataset) of every codec that a figure names on a dataset of the ``run``."""
    run = set(run)
    return {
        (codec, dataset)
        for spec in specification["figures"]
        for dataset in run.intersection(datasets_of(spec, run))
        for codec in codecs_of(spec) or ()
    }


@dataclass(frozen=True)
class Needs:
    """What a figure is made of. pairs: (codec, dataset); studies, timed and variable: (study or codec, dataset)."""

    pairs: tuple[tuple[str, str], ...]
    studies: tuple[tuple[str, str], ...]
    timed: tuple[tuple[str, str], ...]
    variable: tuple[tuple[str, str], ...] = ()


def needs(
    spec: Mapping[str, Any],
    run: Iterable[str],
    pairs: Iterable[tuple[str, str]],
    studied: Iterable[tuple[str, str]],
    timed: Iterable[tuple[str, str]],
    variable: Iterable[tuple[str, str]] = (),
) -> Needs:
    """What of a run's ``pairs``, ``studied``, ``timed`` and ``variable`` a figure is made of.

    run: its datasets.
    """
    datasets, codecs = set(datasets_of(spec, run)), codecs_of(spec)
    wanted = None if codecs is None else {*codecs, *anchors_of(spec)}

    def of_figure(every: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple((codec, name) for codec, name in every if name in datasets and (wanted is None or codec in wanted))

    studies = tuple((study, name) for study, name in studied if study == spec.get("study") and name in datasets)
    times = of_figure(timed) if spec["kind"] in ("speed", "lossless") else ()
    rates = of_figure(variable) if spec["kind"] == "variable_rate" else ()
    return Needs(of_figure(pairs), studies, times, rates)
