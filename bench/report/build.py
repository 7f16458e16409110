"""A run's folder turned into static pages: index.html, explore.html, records.html, and what they refer to.

The pages need no network and no server: scripts and styles are files next to them, data is in the HTML. The same
inputs give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from bench.files import write_if_changed
from bench.report import checks, tables, trained
from bench.report.bdtable import bd_tables
from bench.report.claims import claim_tables
from bench.report.data import curves_data, records_data, short
from bench.report.explore import explorer_data, make_thumbs, pairs_of_pictures
from bench.report.figures import EXTENSIONS, PUBLISHED_EXTENSIONS, figures, why_off
from bench.report.gallery import build_gallery, sweep
from bench.report.message import fewer_points, headline_claims, training_sentences
from bench.report.originals import load_originals
from bench.report.overview import overview
from bench.report.player import STEPS, build_player
from bench.report.run import Run, read_run

HERE = Path(__file__).parent
EMBEDDED = "sample"  # the one dataset whose pictures may be committed
BASE_STYLES = ("report.css", "tables.css", "controls.css")  # of every page, in this order
STYLES = (*BASE_STYLES, "result.css", "claims.css", "explore.css", "viewer.css")
SHARED_SCRIPTS = ("report.js", "result.js", "records.js")
EXPLORER_SCRIPTS = (
    "bd.js",
    "state.js",
    "plots.js",
    "bdtable.js",
    "gallery.js",
    "viewer.js",
    "player.js",
    "status.js",
    "keys.js",
)
PLOTLY = "plotly-basic.min.js"  # the npm package plotly.js-basic-dist-min; CONTRIBUTING.md says how to renew it
PUBLISHED_STEPS = 6  # of the progressive player: what is committed stays small


def build(
    folder: str | Path,
    *,
    gallery_bpp: Sequence[float] = (0.25, 0.75),
    gallery_images: Sequence[str] | None = None,
    gallery_count: int | None = None,
    offline: bool = True,
    out: str | Path | None = None,
    published: bool = False,
    processes: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """The page made from the run in ``folder``: ``out``/index.html, by default ``folder``/report/index.html.

    gallery_bpp: rates at which images are compared; gallery_images: their names (default: all of a set of up to eight,
    else the first four); gallery_count: how many, in place of eight and four. offline: plotly.js is next to the page;
    otherwise it is loaded from plotly's CDN, pinned by its hash. published: the page will be moved away from its run,
    so nothing links to bitstreams or logs, only the embedded dataset's pictures are shown, and plotly.js lies one
    folder up, where several reports share it.
    processes: that decode pictures at the same time. Raises UsageError if ``folder`` holds no records.
    """
    run = read_run(Path(folder))
    target = Path(out) if out is not None else run.folder / "report"

    def may_show(dataset: str) -> bool:
        return not published or dataset == EMBEDDED

    originals = load_originals(run, gallery_images, gallery_count)
    pictures: dict[str, Any] = {
        "published": published,
        "may_show": may_show,
        "processes": processes,
        "progress": progress,
    }
    gallery = build_gallery(run, originals, target, gallery_bpp, **pictures)
    player = build_player(run, originals, target, steps=PUBLISHED_STEPS if published else STEPS, **pictures)
    thumbs = make_thumbs(run, target, may_show)
    sweep(target, gallery, player, thumbs)
    curves = curves_data(run)
    bd, claims = bd_tables(run), claim_tables(run, target)
    first_screen = overview(run, curves, bd)
    shared = {"run": run, "identity": identity(run), "published": published}
    page = (
        templates()
        .get_template("index.html")
        .render(
            **shared,
            metrics=curves["metrics"],
            overview=first_screen,
            remarks=[remark for remark in (*map(run.remark_on, run.measured_datasets), fewer_points(run)) if remark],
            training=training_sentences(run, (run.claims or {}).get("papers", {})),
            papers=headline_claims(claims, run.measured_datasets[0]) if run.measured_datasets else [],
            claims=claims,
            bd_tables=bd,
            events=tables.events(run),
            refused=tables.refused_images(run),
            controls=checks.controls(run, originals),
            ceilings=checks.ceilings(run, originals),
            ceiling_images={dataset: len(images) for dataset, images in originals.items()},
            curve_tables=tables.curve_tables(run, curves),
            figures=figures(run, target, may_show, PUBLISHED_EXTENSIONS if published else EXTENSIONS),
            why_off=partial(why_off, datasets=run.datasets),
            pairs_of_pictures=pairs_of_pictures(run, gallery, thumbs),
            weights=trained.weights(run),
            devices=trained.devices(run),
            speed=tables.speed(run),
            variable_rates=tables.variable_rates(run),
            validation=tables.validation_rows(run),
            validation_left_out=tables.validation_left_out(run),
            datasets=tables.datasets(run),
        )
    )
    explorer = (
        templates()
        .get_template("explore.html")
        .render(
            **shared,
            plotly=_plotly(target, offline, published),
            scripts=EXPLORER_SCRIPTS,
            data={
                **explorer_data(run, curves, gallery, player, thumbs),
                "presets": first_screen["presets"] if first_screen else [],
            },
        )
    )
    first, *others = records_data(run, links=not published)
    records = templates().get_template("records.html").render(**shared, data=first)
    _write_pieces(others, target / "records")
    assets = (*STYLES, *SHARED_SCRIPTS, *EXPLORER_SCRIPTS)
    for path in (target / "assets").glob("*"):
        if path.name not in (*assets, PLOTLY):
            path.unlink()  # of an earlier version's page
    for name in assets:
        write_if_changed(target / "assets" / name, (HERE / "assets" / name).read_bytes())
    write_if_changed(target / "explore.html", explorer)
    write_if_changed(target / "records.html", records)
    write_if_changed(target / "index.html", page)
    (target / "index.html").touch()  # newer than its inputs, as Snakemake wants it
    return target / "index.html"


def _write_pieces(pieces: Sequence[dict[str, Any]], folder: Path) -> None:
    """The records' further pieces as scripts 1.js, 2.js ... in ``folder``, and no others there."""
    names = {f"{number}.js" for number in range(1, len(pieces) + 1)}
    for path in folder.glob("*.js"):
        if path.name not in names:
            path.unlink()
    for number, piece in enumerate(pieces, 1):
        text = json.dumps(piece, sort_keys=True, separators=(",", ":"), allow_nan=False)
        write_if_changed(folder / f"{number}.js", f"rdbench.piece({number}, {text});\n")


def identity(run: Run) -> dict[str, Any]:
    """What the page is about, without a date: dataset titles, commit, records hash, counts."""
    commit = run.environment.get("git_commit") or ""
    return {
        "title": ", ".join(run.title_of(name) for name in run.measured_datasets) or run.name,
        "commit": commit,
        "dirty": bool(run.environment.get("git_dirty")),
        "records": run.records_sha256,
        "rows": len(run.records),
        "measured": len(run.measured),
        "images": int(run.measured[["dataset", "image"]].drop_duplicates().shape[0]),
        "codecs": sum(run.role_of(codec) == "codec" for codec in run.codecs),
    }


def _plotly(target: Path, offline: bool, published: bool) -> dict[str, str]:
    """Where the page finds plotly.js; the file is copied next to the page if need be."""
    source = HERE / "assets" / PLOTLY
    code = source.read_bytes()
    if not offline:
        (target / "assets" / PLOTLY).unlink(missing_ok=True)
        version = re.search(rb"plotly\.js \(basic - minified\) v([\d.]+)", code[:200])
        assert version  # its first lines
        return {
            "src": f"https://cdn.plot.ly/plotly-basic-{version[1].decode()}.min.js",
            "integrity": f"sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode()}",
        }
    place = target.parent / "assets" if published else target / "assets"
    write_if_changed(place / PLOTLY, code)
    return {"src": f"{'../' if published else ''}assets/{PLOTLY}", "integrity": ""}


def templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["base_styles"] = BASE_STYLES
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "short": short,
        "path": quote,
        "num": _num,
        "signed": _signed,
        "count": _count,
        "pairs": _pairs,
    }
    return environment


def _num(value: float | None, digits: int = 2) -> str:
    """A number for reading: fixed digits, ∞ for infinity, a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:.{digits}f}".replace("-", "−")


def _signed(value: float | None, digits: int = 1) -> str:
    """A number with its sign; zero has none."""
    text = _num(value, digits)
    if value is None or math.isnan(value):
        return text
    if round(value, digits) == 0:
        return text.removeprefix("−")
    return f"+{text}" if value > 0 else text


def _count(number: int, noun: str, plural: str | None = None) -> str:
    """``3 images``, ``1 image``, ``no images``."""
    return f"{number or 'no'} {noun if number == 1 else plural or noun + 's'}"


def _pairs(rows: Sequence[dict[str, Any]], *keys: str) -> list[tuple[Any, ...]]:
    """The values under ``keys`` of every row, each combination once, in order."""
    return list(dict.fromkeys(tuple(row[key] for key in keys) for row in rows))
