"""Every figure that figures.yaml specifies, for one run: SVG, PDF, PNG, and a CSV of exactly the plotted numbers.

The same records give the same bytes: no dates, fixed fonts and salts. A figure carries the first digits of the sha256
of its CSV, which therefore names the numbers it shows. Which codecs are drawn, and how, stands in figures.yaml.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import yaml
from matplotlib.figure import Figure

from bench import records
from bench.errors import UsageError
from bench.files import sha256, to_json, write_atomically, write_if_changed
from bench.plots import gain, per_image, pictures, rd, speed, study
from bench.plots.context import Context, Missing
from bench.plots.style import RC, placeholder, stamp, styles
from bench.published import load_published

SPECIFICATION = Path(__file__).parent.parent / "figures.yaml"
KINDS: dict[str, Any] = {
    **{"rd": rd, "gain": gain, "per_image": per_image, "speed": speed},
    **{"pictures": pictures, "lines": study.Lines, "parts": study.Parts},
}
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_NEEDED = {"name", "kind", "metric"}
_ANCHORED = {"gain", "per_image", "speed"}


def read_specification(path: str | Path = SPECIFICATION) -> dict[str, Any]:
    """figures.yaml: ``figures`` (list), ``styles`` (codec or source/codec -> look), ``datasets`` (name -> title).

    Raises UsageError that names the figure for a missing field, an unknown kind, or a name used twice.
    """
    with open(path, encoding="utf-8") as file:
        specification = {"figures": [], "styles": {}, "datasets": {}} | (yaml.safe_load(file) or {})
    seen = set()
    for number, spec in enumerate(specification["figures"], 1):
        where = f"{path}, figure {number} ({spec.get('name', 'without a name')})"
        if spec.get("kind") not in KINDS:
            raise UsageError(f"{where} is of kind {spec.get('kind')!r}; there are {sorted(KINDS)}")
        needed = getattr(KINDS[spec["kind"]], "NEEDED", _NEEDED | ({"anchor"} if spec["kind"] in _ANCHORED else set()))
        if needed - set(spec):
            raise UsageError(f"{where} lacks {sorted(needed - set(spec))}")
        if spec["name"] in seen:
            raise UsageError(f"{where}: an earlier figure has this name")
        seen.add(spec["name"])
    return specification


def draw_all(
    folder: str | Path,
    figures_yaml: str | Path = SPECIFICATION,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Draws every figure of a run's ``folder`` into ``folder/figures`` and returns what each is, also in index.json.

    An entry has name, kind, dataset, metric, x, anchor, title, caption, codecs and claimed (those drawn), left_out
    (codec -> reason), sources (of claimed curves), columns and sha256 (of the CSV), files (extension -> path relative
    to ``folder``), and status: ``ok``, or ``missing`` with a reason, for which a small picture holds the place.
    ``progress`` is called with the number of figures done and the number of all.
    """
    folder, specification = Path(folder), read_specification(figures_yaml)
    context = _context(folder, specification)
    wanted = list(_wanted(specification, context.records))
    entries = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        for number, (spec, dataset) in enumerate(wanted):
            if progress:
                progress(number, len(wanted))
            entries.append(_draw(spec, dataset, context, folder))
    if progress:
        progress(len(wanted), len(wanted))
    write_atomically(folder / "figures" / "index.json", to_json(entries))
    return entries


def _context(folder: Path, specification: dict[str, Any]) -> Context:
    frame = records.read(folder / "records.parquet")
    times, compared = sorted((folder / "timing").glob("*/*.parquet")), folder / "bd.csv"
    studied = sorted((folder / "studies").glob("*/*.json"))
    labels = {path.stem: json.loads(path.read_text()).get("label", "") for path in (folder / "status").glob("*.json")}
    claimed = {name for spec in specification["figures"] for name in spec.get("claimed", [])}
    return Context(
        records=frame,
        timing=pd.concat([pd.read_parquet(path) for path in times], ignore_index=True) if times else None,
        compared=pd.read_csv(compared, float_precision="round_trip") if compared.is_file() else None,
        published=load_published(),
        folder=folder,
        studies={(path.stem, path.parent.name): json.loads(path.read_bytes()) for path in studied},
        styles=styles(set(frame.codec) | claimed, specification["styles"], labels),
        names=specification["datasets"],
    )


def _wanted(specification: dict[str, Any], frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], str]]:
    """(specification, dataset) of every figure, datasets in name order where a figure asks for all.

    Of several anchors the first that was measured is taken, so that a run of a few codecs has its figures too.
    """
    measured = set(frame[frame.status == "ok"].groupby(["dataset", "codec"]).groups)
    for spec in specification["figures"]:
        asked = spec.get("datasets", "all")
        for dataset in sorted(set(frame.dataset)) if asked == "all" else asked:
            anchors = spec.get("anchor") or [None]
            anchors = [anchors] if isinstance(anchors, str) else anchors
            yield (
                spec | {"anchor": next((name for name in anchors if (dataset, name) in measured), anchors[0])},
                dataset,
            )


def _draw(spec: dict[str, Any], dataset: str, context: Context, folder: Path) -> dict[str, Any]:
    kind = KINDS[spec["kind"]]
    entry: dict[str, Any] = {key: spec.get(key) for key in ("kind", "metric", "x", "anchor")}
    entry |= {"name": f"{spec['name']}_{dataset}", "dataset": dataset, "title": context.title(spec, dataset)}
    entry |= {
        "caption": context.fill(spec.get("caption", ""), spec, dataset),
        "left_out": {} if "study" in spec else context.left_out(spec, dataset),
    }
    try:
        if not (context.records.dataset == dataset).any():
            raise Missing(f"dataset {dataset} is not part of this run")
        if not ((context.records.dataset == dataset) & (context.records.status == "ok")).any():
            raise Missing(f"nothing was measured on {dataset}")
        frame = kind.table(context, spec, dataset)
        figure = kind.draw(frame, context, spec, dataset)
        extra = {"webp": kind.animation(frame, context, spec)} if spec.get("animate") else {}
        entry |= {"status": "ok", "reason": ""}
    except Missing as missing:
        frame, figure = pd.DataFrame(columns=kind.COLUMNS), placeholder(entry["title"], str(missing))
        extra = {}
        entry |= {"status": "missing", "reason": str(missing)}
    return entry | _curves(frame, context) | _save(figure, frame, folder, entry["name"], extra)


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


def _save(figure: Figure, frame: pd.DataFrame, folder: Path, name: str, extra: Mapping[str, bytes]) -> dict[str, Any]:
    numbers = frame.to_csv(index=False, lineterminator="\n").encode()
    digest = sha256(numbers)
    stamp(figure, digest, f"{name}.csv")
    files = {"csv": f"figures/{name}.csv"}
    write_if_changed(folder / files["csv"], numbers)
    for extension, metadata in METADATA.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=extension, metadata=metadata)
        files[extension] = f"figures/{name}.{extension}"
        write_if_changed(folder / files[extension], buffer.getvalue())
    for extension, content in extra.items():
        files[extension] = f"figures/{name}.{extension}"
        write_if_changed(folder / files[extension], content)
    return {"files": files, "sha256": digest}
