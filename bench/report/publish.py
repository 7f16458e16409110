"""Reports to keep: the page of results/<config>, built again in reports/<config> so that it can be committed.

reports/index.html lists them all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench.errors import UsageError
from bench.files import bare_name, remove_folder, to_json, write_if_changed
from bench.report.build import BASE_STYLES, HERE, build, identity, templates
from bench.report.claims import MARKS, verdicts
from bench.report.run import read_run

# What is committed stays small: one embedded photograph at one rate.
GALLERY_IMAGES = ("astronaut",)
GALLERY_BPP = (0.25,)


def publish(name: str, results: Path = Path("results"), reports: Path = Path("reports")) -> Path:
    """The published report of the run ``name``; returns its index.html.

    Pictures of images other than the embedded ones, the bitstreams and the logs stay behind: their hashes are in the
    records. The plotting library's script is shared by all published reports. Raises UsageError for
    a name that is a path, and where there is no run.
    """
    bare_name(name, "publishing a run")
    if not (results / name / "records.parquet").is_file():
        known = ", ".join(sorted(path.parent.name for path in results.glob("*/records.parquet"))) or "none yet"
        raise UsageError(
            f"no run called {name!r} in {results}; there are: {known}. Make one first: snakemake --cores all"
        )
    if (reports / name).exists() and not (reports / name / "report.json").is_file():
        raise UsageError(
            f"{reports / name} is not a published report, so publishing does not replace it; rename the run"
        )
    part = reports / f".{name}.part"
    remove_folder(part, reports)
    build(results / name, out=part, published=True, gallery_bpp=GALLERY_BPP, gallery_images=GALLERY_IMAGES)
    run = read_run(results / name)
    facts = {"name": name, **identity(run), "verdicts": verdicts(run)}
    (part / "report.json").write_text(to_json(facts), encoding="utf-8")
    remove_folder(reports / name, reports)
    os.replace(part, reports / name)
    _index(reports)
    return reports / name / "index.html"


def _index(reports: Path) -> None:
    """``reports``/index.html: a line for each published report, from the report.json in its folder."""
    found = [json.loads(path.read_bytes()) for path in sorted(reports.glob("*/report.json"))]
    page = templates().get_template("published.html").render(reports=found, verdicts=tuple(MARKS))
    for style in BASE_STYLES:
        write_if_changed(reports / "assets" / style, (HERE / "assets" / style).read_bytes())
    write_if_changed(reports / "index.html", page)
