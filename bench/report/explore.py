"""The data of the explorer: every measured number of the run by codec, image and point, and what pictures there are.

JSON has no infinity: an infinite value (identical reconstruction) is the text "inf", a missing one null. Numbers keep
every digit, so that what the page computes of them is what the tables hold.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import PIL.Image

from bench.data.datasets import load_image
from bench.errors import RdbenchError
from bench.files import sha256_pixels, write_atomically
from bench.rd.curves import DB_OF_MEAN, to_unit
from bench.report.bdtable import REASONS
from bench.report.data import cell, metrics_of
from bench.report.looks import MARKS
from bench.report.run import Run

THUMB_WIDTH = 240  # pixels
MOST_THUMBS = 100  # of a dataset; a set with more images is listed by name


def explorer_data(
    run: Run, curves: dict[str, Any], gallery: dict[str, Any], player: dict[str, Any], thumbs: dict[str, Any]
) -> dict[str, Any]:
    """All that the explorer's scripts need.

    curves: looks, codecs and claimed curves of :func:`bench.report.data.curves_data`; gallery, player and thumbs as
    :func:`bench.report.gallery.build_gallery`, :func:`bench.report.player.build_player` and :func:`make_thumbs` give.
    """
    metrics: list[dict[str, Any]] = [{**metric, "of_mean": metric["key"] == DB_OF_MEAN} for metric in metrics_of(run)]
    for metric in metrics:
        metric["column"] = "ms_ssim" if metric["of_mean"] else metric["column"]
    columns: list[str] = sorted({metric["column"] for metric in metrics})
    shown = [codec["name"] for codec in curves["codecs"]]
    return {
        "metrics": metrics,
        "datasets": curves["datasets"],
        "codecs": curves["codecs"],
        "looks": curves["looks"],
        "marks": MARKS,
        "claimed": curves["claimed"],
        "anchors": {dataset: _anchor(run, dataset, shown) for dataset in run.measured_datasets},
        "sizes": {dataset: _sizes(run, dataset) for dataset in run.measured_datasets},
        "measured": {dataset: _measured(run, dataset, shown, columns) for dataset in run.measured_datasets},
        "intervals": _intervals(run),
        "gallery": gallery,
        "player": player,
        "player_first": run.specification["player"],
        "thumbs": thumbs,
        "reasons": REASONS,
    }


def _anchor(run: Run, dataset: str, codecs: list[str]) -> str:
    """The first anchor of bd.csv on this dataset; without a table the first codec."""
    named = [] if run.bd is None else list(run.bd[run.bd.dataset == dataset].anchor)
    measured = set(run.measured[run.measured.dataset == dataset].codec)
    return next((codec for codec in [*named, *codecs] if codec in measured), "")


def _intervals(run: Run) -> dict[str, Any]:
    """dataset -> metric -> anchor -> codec -> [low, high] of the headline BD-rate, of those that bd.csv has."""
    found: dict[str, Any] = {}
    if run.bd is None or run.bd.empty:
        return found
    rows = run.bd[(run.bd.averaging == "per_image") & (run.bd.method == "pchip") & run.bd.ci_low.notna()]
    for row in rows.itertuples():
        of_metric = found.setdefault(row.dataset, {}).setdefault(row.metric, {})
        of_metric.setdefault(row.anchor, {})[row.codec] = [cell(row.ci_low), cell(row.ci_high)]
    return found


def _sizes(run: Run, dataset: str) -> dict[str, list[int]]:
    """image -> [width, height]."""
    rows = run.measured[run.measured.dataset == dataset].drop_duplicates("image").sort_values("image")
    return {row.image: [int(row.width), int(row.height)] for row in rows.itertuples()}


def _measured(run: Run, dataset: str, codecs: list[str], columns: list[str]) -> dict[str, Any]:
    """codec -> {points, images: {image: {bytes, one list per column, saturated: places of such points}}}."""
    found: dict[str, Any] = {}
    rows = run.measured[(run.measured.dataset == dataset) & run.measured.codec.isin(codecs)]
    for codec, part in rows.groupby("codec", sort=True):
        points = part[["point_index", "point"]].drop_duplicates().sort_values("point_index")
        place = {index: at for at, index in enumerate(points.point_index)}
        images: dict[str, Any] = {}
        for name, own in part.groupby("image", sort=True):
            places = [place[index] for index in own.point_index]
            row = {"bytes": _spread(own["bytes"], places, len(place))}
            row |= {
                key: _spread(to_unit(own[key], key), places, len(place)) for key in columns if own[key].notna().any()
            }
            saturated = [at for at, flag in zip(places, own.saturated, strict=True) if flag is True]
            images[str(name)] = row | ({"saturated": saturated} if saturated else {})
        found[str(codec)] = {"points": list(points.point), "images": images}
    return found


def _spread(values: Iterable[Any], places: list[int], length: int) -> list[Any]:
    """``values`` at their ``places`` in a list with null elsewhere."""
    spread: list[Any] = [None] * length
    for at, value in zip(places, values, strict=True):
        spread[at] = cell(value)
    return spread


def pairs_of_pictures(run: Run, gallery: dict[str, Any], thumbs: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """[{dataset, title, image, thumb, pairs: [(label, address in the explorer)]}]: what is worth looking at first.

    The pairs are each of figures.yaml's bold codecs next to the first anchor of the run's BD table, on every image that
    the gallery shows.
    """
    found = []
    for dataset, group in gallery.items():
        anchor = _anchor(run, dataset, run.codecs)
        measured = set(run.measured[run.measured.dataset == dataset].codec)
        codecs = [codec for codec in run.specification["page"].get("bold", ()) if codec in measured - {anchor}]
        codecs = codecs or [
            codec for codec in run.codecs if codec in measured - {anchor} and run.role_of(codec) == "codec"
        ]
        for image in group["images"]:
            hash_of = {codec: _hash(dataset=dataset, image=image, a=codec, b=anchor, c="none") for codec in codecs[:3]}
            found.append(
                {
                    "dataset": dataset,
                    "title": run.title_of(dataset),
                    "image": image,
                    "thumb": thumbs.get(dataset, {}).get(image),
                    "pairs": [
                        (f"{run.label_of(codec)} and {run.label_of(anchor)}", f"explore.html#{address}")
                        for codec, address in hash_of.items()
                    ],
                }
            )
    return found


def _hash(**settings: str) -> str:
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in settings.items())


def make_thumbs(run: Run, folder: Path, may_show: Callable[[str], bool]) -> dict[str, dict[str, str]]:
    """dataset -> image -> src of a small lossy picture of the original, relative to ``folder``, where it can be had."""
    thumbs: dict[str, dict[str, str]] = {}
    for dataset in run.measured_datasets:
        rows = run.measured[run.measured.dataset == dataset].drop_duplicates("image")
        paths = {entry["name"]: entry["path"] for entry in run.manifests.get(dataset, {}).get("images", [])}
        thumbs[dataset] = {}
        if len(rows) > MOST_THUMBS or not may_show(dataset):
            continue
        for row in rows.itertuples():
            path = folder / "images" / dataset / f"{row.image}.thumb.{row.image_sha256[:12]}.webp"
            if path.is_file() or (row.image in paths and _make_thumb(paths[row.image], row.image_sha256, path)):
                thumbs[dataset][row.image] = path.relative_to(folder).as_posix()
    return thumbs


def _make_thumb(original: str, sha256: str, path: Path) -> bool:
    try:
        pixels = load_image(original)
    except (OSError, RdbenchError):
        return False  # the gallery says why
    if sha256_pixels(pixels) != sha256:
        return False
    picture, buffer = PIL.Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((THUMB_WIDTH, 10 * THUMB_WIDTH))
    picture.save(buffer, "WEBP", quality=80)
    write_atomically(path, buffer.getvalue(), sync=False)
    return True
