"""The run's figures on the page: which were drawn, where their files are, and in which group they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from bench.files import write_if_changed
from bench.report.gallery import NOT_PUBLISHED
from bench.report.run import Run

EXTENSIONS = ("svg", "pdf", "png", "csv", "webp", "md")
PUBLISHED_EXTENSIONS = tuple(name for name in EXTENSIONS if name not in ("png", "pdf"))  # half of the bytes, no news
PIXELS_PER_POINT = 4 / 3  # of CSS
OPEN = ("rd_psnr", "rd_ms_ssim")  # shown at once; the others are folded
WHAT = {  # a picture's text alternative begins with it
    "rd": "Rate–distortion curves",
    "panels": "Rate–distortion curves in panels",
    "gain": "Rate difference over quality",
    "per_image": "BD-rate of each image",
    "bd": "BD-rates with intervals",
    "speed": "Time against BD-rate",
    "pictures": "Reconstructions next to each other",
    "lines": "Lines of a study",
    "parts": "Stacked bars of a study",
    "table": "Table",
    "lossless": "Table of rates and times",
}


def figures(run: Run, target: Path, may_show: Callable[[str], bool], extensions: Sequence[str]) -> dict[str, Any]:
    """{curves, pictures, cost: [{title, id, open, figures}], off: [entry], failed: [entry]}; files are copied.

    An entry is one of figures/index.json with ``links`` (extension -> address relative to the page), ``alt``, and
    ``size`` (width and height in CSS pixels, so that the page does not move while pictures load; None for a table).
    off: those of which there is nothing to draw, with the reason; failed: those whose drawing raised an error. Files in
    the page's folder that belong to none are removed.
    """
    drawn: list[dict[str, Any]] = []
    off: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    kept: set[Path] = set()
    place = {name: index for index, name in enumerate(run.datasets)}
    for entry in sorted(run.figures, key=lambda entry: place.get(entry["dataset"], len(place))):
        entry = {**entry, "alt": _alt(run, entry)}
        if entry["kind"] == "pictures" and not may_show(entry["dataset"]):
            off.append({**entry, "reason": NOT_PUBLISHED})
        elif entry["status"] != "ok":
            (failed if entry["status"] == "failed" else off).append(entry)
        else:
            links = _copied(run, target, entry, extensions)
            kept |= {target / link for link in links.values()}
            drawn.append({**entry, "links": links, "size": _size(target, links)})
    for path in (target / "figures").glob("*"):
        if path not in kept:
            path.unlink()
    return {**_grouped(run, drawn), "off": off, "failed": failed}


def _copied(run: Run, target: Path, entry: dict[str, Any], extensions: Sequence[str]) -> dict[str, str]:
    links = {}
    for extension in extensions:
        relative = entry.get("files", {}).get(extension)
        if relative and (run.folder / relative).is_file():
            links[extension] = f"figures/{Path(relative).name}"
            write_if_changed(target / links[extension], (run.folder / relative).read_bytes())
    return links


def _size(target: Path, links: dict[str, str]) -> tuple[int, int] | None:
    if "webp" in links:
        with PIL.Image.open(target / links["webp"]) as picture:
            return picture.size
    if "svg" in links:
        with open(target / links["svg"], encoding="utf-8") as file:
            found = re.search(r'<svg [^>]*?width="([0-9.]+)pt" height="([0-9.]+)pt"', file.read(2000))
        return found and (round(float(found[1]) * PIXELS_PER_POINT), round(float(found[2]) * PIXELS_PER_POINT))
    return None


def _grouped(run: Run, drawn: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Curves of all codecs first, then each paper's figures; pictures and times have places of their own."""
    papers = {name: about["title"].partition(":")[0] for name, about in (run.claims or {}).get("papers", {}).items()}
    curves: dict[str, list[dict[str, Any]]] = {"": [], "more": [], **{name: [] for name in papers}}
    pictures, cost = [], []
    for entry in drawn:
        spec = entry["name"].removesuffix(f"_{entry['dataset']}")
        paper = next((name for name in papers if spec.startswith(f"{name}_")), None)
        if entry["kind"] == "pictures":
            pictures.append(entry)
        elif entry["kind"] in ("speed", "lossless"):
            cost.append(entry)
        else:
            curves[paper or ("" if spec in OPEN else "more")].append(entry)
    if not curves[""]:
        curves[""], curves["more"] = curves["more"], []
    titles = {"": "", "more": "More curves: other axes, rate differences, each image"}
    titles |= {name: f"Figures of the {title} paper" for name, title in papers.items()}
    return {
        "curves": [
            {"id": f"figures-{name or 'all'}", "title": titles[name], "figures": found}
            for name, found in curves.items()
            if found
        ],
        "pictures": [{"id": "figures-pictures", "title": "", "figures": pictures}] if pictures else [],
        "cost": [{"id": "figures-cost", "title": "", "figures": cost}] if cost else [],
    }


def _alt(run: Run, entry: dict[str, Any]) -> str:
    """What a reader who cannot see the picture needs to know of it; its numbers are in the CSV next to it."""
    codecs = [run.label_of(codec) for codec in entry.get("codecs", ())]
    what = WHAT.get(entry["kind"], "Figure")
    return f"{what}: {entry['title']}" + (f"; {', '.join(codecs)}" if codecs else "")


def why_off(off: Sequence[dict[str, Any]], datasets: Sequence[str]) -> str:
    """For how many of the figures that are not on the page it is a dataset, a study, codecs or something else."""
    counts: dict[str, int] = {}
    for entry in off:
        if entry["dataset"] not in datasets:
            why = "because their dataset is not part of this run"
        elif entry["reason"] == NOT_PUBLISHED:
            why = "because a published report has no pictures of its dataset"
        elif entry["kind"] == "absent":
            why = "because the paper could not be read"
        elif "study" in entry["reason"]:
            why = "because their study was not run"
        else:
            why = "because their codecs or times were not measured"
        counts[why] = counts.get(why, 0) + 1
    return ", ".join(f"{number} {why}" for why, number in counts.items())
