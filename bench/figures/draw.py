"""Every figure that figures.yaml specifies, for one run: SVG, PDF, PNG, and a CSV of exactly the plotted numbers.

The same records give the same bytes: no dates, fixed fonts and salts. A figure carries the first digits of the sha256
of its CSV, which therefore names the numbers it shows; one for a paper has them in its metadata. Which codecs are
drawn, and how, is specified in figures.yaml.
"""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from bench import records
from bench.errors import Missing, RdbenchError, UsageError
from bench.figures.colour import apart_in_grey
from bench.figures.context import Context
from bench.figures.kinds import (
    absent,
    bd_rates,
    gain,
    lossless,
    panels,
    per_image,
    pictures,
    rd,
    speed,
    study,
    tables,
    variable_rate,
)
from bench.figures.layout import PAGE, PAPER, Layout
from bench.figures.source import read_source
from bench.figures.spec import SPECIFICATION, anchors_of, codecs_of, datasets_of, subjects_of
from bench.files import sha256, to_json, write_atomically, write_if_changed
from bench.names import with_suggestions

KINDS: dict[str, Any] = {
    "rd": rd,
    "panels": panels,
    "gain": gain,
    "per_image": per_image,
    "speed": speed,
    "lossless": lossless,
    "variable_rate": variable_rate,
    "bd": bd_rates,
    "pictures": pictures,
    "lines": study.Lines,
    "parts": study.Parts,
    "table": tables,
    "absent": absent,
}
MOST_IN_GREY = 8  # codecs of a figure that are all given a lightness of their own for print
PACKAGE = Path(__file__).parents[1]  # bench/
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def draw_all(
    folder: str | Path,
    figures_yaml: str | Path = SPECIFICATION,
    progress: Callable[[int, int], None] | None = None,
    only: Sequence[str] = (),
    parts: Sequence[str | Path] | None = None,
    datasets: Sequence[str] = (),
    processes: int = 1,
    matched: str | Path | None = None,
    paper: bool = False,
) -> list[dict[str, Any]]:
    """Draws every figure of a run's ``folder`` (or those that ``only`` names) into ``folder/figures``.

    Returns what each is; without ``only`` this is also written to index.json. An entry has name, kind, dataset, metric,
    x, anchor, title, caption, codecs and claimed (those drawn), left_out (codec -> reason), sources (of claimed
    curves), columns and sha256 (of the CSV), files (extension -> path relative to ``folder``), cells (of a table, as
    text), and status: ``ok``, or with a reason ``missing`` (there is nothing to draw) or ``failed`` (drawing it raised
    an error; the others are drawn). What was not drawn has no files, those of an earlier run included.

    progress: is called with the number of figures done and of all. parts: Parquet files of records to draw from, in
    place of the run's records and its BD table. datasets: of the run, where its records do not tell. processes: that
    draw at the same time. matched: rows coded at equal rates, by default the run's matched.parquet. paper: for a paper,
    in one column and in two, without title and hash, in figures/paper. Raises UsageError for a name in ``only`` that no
    figure has.
    """
    folder = Path(folder)
    matched = Path(matched or folder / "matched.parquet")
    source = (folder, Path(figures_yaml), None if parts is None else tuple(map(Path, parts)), tuple(datasets), matched)
    wanted = _wanted(*read_source(*source), only)
    processes = min(processes, len(wanted))
    if progress:
        progress(0, len(wanted))
    with ExitStack() as stack:
        stack.callback(read_source.cache_clear)
        draw: Callable[..., Any] = map
        if processes > 1:  # started afresh: a fork of a process with threads can hang
            draw = stack.enter_context(ProcessPoolExecutor(processes, get_context("spawn"))).map
        # Pictures first, which take longest: their codecs decode them.
        order = sorted(range(len(wanted)), key=lambda index: wanted[index][0]["kind"] != "pictures")
        drawn = {}
        for index, entry in zip(order, draw(partial(_draw, source, paper), [wanted[i] for i in order]), strict=True):
            drawn[index] = entry
            if progress:
                progress(len(drawn), len(wanted))
        entries = [drawn[index] for index in range(len(wanted))]
    if not only:
        write_atomically(folder / place_of(paper) / "index.json", to_json(entries))
    return entries


def _wanted(specification: dict[str, Any], context: Context, only: Sequence[str]) -> list[tuple[dict[str, Any], str]]:
    """(specification, dataset) of every figure, datasets in name order where a figure asks for all.

    Of several anchors the first that was measured is taken, so that a run of a few codecs has its figures too.
    """
    frame = context.records
    measured = set(frame[frame.status == "ok"].groupby(["dataset", "codec"]).groups)
    known = [spec["name"] for spec in specification["figures"]]
    if unknown := sorted(set(only) - set(known)):
        raise UsageError(f"no figure is called {with_suggestions(unknown, known)}; there are {', '.join(known)}")
    wanted = []
    for spec in specification["figures"]:
        if only and spec["name"] not in only:
            continue
        for dataset in datasets_of(spec, context.datasets):
            anchors = anchors_of(spec)
            anchor = next((name for name in anchors if (dataset, name) in measured), (*anchors, None)[0])
            wanted.append((spec | {"anchor": anchor}, dataset))
    return wanted


def place_of(paper: bool) -> str:
    """The folder of the figures in a run's: those for the page, or those for a paper."""
    return "figures/paper" if paper else "figures"


def _draw(source: tuple[Any, ...], paper: bool, what: tuple[dict[str, Any], str]) -> dict[str, Any]:
    context = read_source(*source)[1]
    entry: dict[str, Any] = {}
    for layout in PAPER if paper else (PAGE,):
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(layout.rc)
            drawn = _entry(*what, replace(context, layout=layout))
        entry = drawn | {"files": entry.get("files", {}) | drawn["files"]}
    return entry


def _entry(spec: dict[str, Any], dataset: str, context: Context) -> dict[str, Any]:
    kind, name = KINDS[spec["kind"]], f"{spec['name']}_{dataset}"
    entry: dict[str, Any] = {key: spec.get(key) for key in ("kind", "metric", "x", "anchor")}
    entry |= {"name": name, "dataset": dataset, "title": context.title(spec, dataset)}
    codecs, caption = codecs_of(spec), context.fill(spec.get("caption", ""), spec, dataset)
    entry |= {
        "caption": " ".join(filter(None, (caption, context.remarks.get(dataset, "")))),
        "left_out": context.left_out({**spec, "codecs": "all" if codecs is None else codecs}, dataset),
    }
    try:
        rows = context.records[context.records.dataset == dataset]
        if dataset not in context.datasets:
            raise Missing(f"dataset {dataset} is not part of this run")
        if codecs != [] and not (rows.status == "ok").any():
            raise Missing(f"nothing was measured on {dataset}")
        frame = kind.table(context, spec, dataset)
        about = subjects_of(spec)
        if about and not set(about) & set(rows[rows.status == "ok"].codec):
            raise Missing(f"the figure is about {context.in_words(context.left_out({'codecs': about}, dataset))}")
        if not context.layout.explains:
            context = _in_print(frame, context)
        draws = context.layout.explains or not hasattr(kind, "cells")  # a paper's table is text
        figure = kind.draw(frame, context, spec, dataset) if draws else None
        extra = kind.extras(frame, context, spec) if hasattr(kind, "extras") else {}
        entry |= {"status": "ok", "reason": "", "cells": kind.cells(frame, spec) if hasattr(kind, "cells") else None}
        entry |= _curves(frame, context)
        return entry | _save(figure, frame, context, entry, extra)
    except Missing as missing:
        entry |= {"status": "missing", "reason": str(missing)}
    except Exception as error:  # one figure must not take the others and the page with it
        entry |= {"status": "failed", "reason": _why(error)}
    for path in (context.folder / place_of(not context.layout.explains)).glob(f"{name}.*"):
        path.unlink()  # of an earlier run that had what this one lacks
    nothing = pd.DataFrame(columns=kind.COLUMNS)
    return entry | _curves(nothing, context) | {"cells": None, "files": {}, "sha256": None}


def _in_print(frame: pd.DataFrame, context: Context) -> Context:
    """The context with the figure's measured codecs in colours that differ in print without colour too."""
    if "codec" not in frame:
        return context
    measured = frame[frame.kind == "measured"] if "kind" in frame else frame
    codecs = list(dict.fromkeys(measured.codec))
    codecs = sorted(codecs, key=lambda codec: codec not in context.bold)  # these first: they share the lightnesses best
    bold = [codec for codec in codecs if codec in context.bold]
    leading = codecs if len(codecs) <= MOST_IN_GREY or not bold else bold
    colours = apart_in_grey([context.style(codec).colour for codec in leading])
    drawn = {codec: replace(context.style(codec), colour=it) for codec, it in zip(leading, colours, strict=True)}
    return replace(context, styles={**context.styles, **drawn})


def _why(error: Exception) -> str:
    """The error; for an unexpected one also where in this project it came from."""
    if isinstance(error, RdbenchError):
        return str(error)
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    own = [(path.relative_to(PACKAGE.parent), line) for path, line in files if path.is_relative_to(PACKAGE)]
    where = f" ({own[-1][0]}, line {own[-1][1]})" if own else ""
    return f"{type(error).__name__}: {error}{where}"


def _curves(frame: pd.DataFrame, context: Context) -> dict[str, Any]:
    claimed = sorted(set(frame[frame.kind == "claimed"].codec)) if "kind" in frame else []
    measured = frame[frame.kind == "measured"] if "kind" in frame else frame
    sources = []
    for name in claimed:
        source, _, codec = name.partition("/")
        rows = context.published[(context.published.source == source) & (context.published.codec == codec)]
        about = rows[["averaging", "url", "licence", "note"]].iloc[0].to_dict()
        sources.append({"curve": name, "label": context.style(name).label} | about)
    return {
        "codecs": sorted(set(measured.codec)) if "codec" in frame else [],
        "claimed": claimed,
        "sources": sources,
        "columns": list(frame.columns),
    }


def _save(
    figure: Figure | None, frame: pd.DataFrame, context: Context, entry: dict[str, Any], extra: Mapping[str, bytes]
) -> dict[str, Any]:
    """Writes a figure's files; a paper's have the layout in their names, the CSV is the same for all."""
    numbers, layout, name = records.to_csv(frame).encode(), context.layout, entry["name"]
    digest, place = sha256(numbers), place_of(not layout.explains)
    files = {"csv": f"{place}/{name}.csv"}
    write_if_changed(context.folder / files["csv"], numbers)
    if figure is not None:
        layout.finish(figure, digest, f"{name}.csv")
        for extension, metadata in _metadata(layout, entry, digest, str(figure.get_label())).items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=extension, metadata=metadata)
            key = extension if layout.explains else f"{layout.name}.{extension}"
            files[key] = f"{place}/{name}.{key}"
            write_if_changed(context.folder / files[key], buffer.getvalue())
    for extension, content in extra.items():
        files[extension] = f"{place}/{name}.{extension}"
        write_if_changed(context.folder / files[extension], content)
    return {"files": files, "sha256": digest}


def _metadata(layout: Layout, entry: dict[str, Any], digest: str, subtitle: str) -> dict[str, dict[str, Any]]:
    """Of each file format; for a paper title, caption and hash, which are not in the picture."""
    if layout.explains:
        return METADATA
    about = f"{subtitle}. {entry['caption']}".strip(". ")
    data = f"sha256 of {entry['name']}.csv: {digest}"
    return {
        "svg": METADATA["svg"] | {"Title": entry["title"], "Description": about, "Identifier": data},
        "pdf": METADATA["pdf"] | {"Title": entry["title"], "Subject": about, "Keywords": data},
    }
