"""The static page of a blind test, its pictures under neutral names, and next to it the key that says what they are."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
from filelock import FileLock

from bench import records
from bench.blind import design
from bench.blind.design import Condition, Question
from bench.data.images import load_verified
from bench.data.manifest import images_of_run
from bench.errors import UsageError
from bench.files import remove_folder, sha256, sha256_pixels, to_json, write_atomically
from bench.run.job import decode_files

FORMAT = "rdbench blind test 1"
ASSETS = Path(__file__).parent / "assets"
CHANGE_MS = 100  # from one picture to the other, ten changes a second; docs/blind-test.md on where that is from
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Wanted:
    """What a page is made of. dataset: "" where the run has one; images: () for all; crop: width, height in pixels."""

    folder: Path
    codecs: tuple[str, ...]
    rates_bpp: tuple[float, ...]
    questions: int
    dataset: str = ""
    images: tuple[str, ...] = ()
    crop: tuple[int, int] = (620, 800)
    seed: int = 0
    traps: bool = True


def key_path(out: Path) -> Path:
    """The key of the page in ``out``: next to the folder, so that the folder can be given away."""
    return out.with_name(f"{out.name}.key.json")


def make_page(wanted: Wanted, out: Path, log: Path, progress: Progress) -> tuple[dict[str, Any], list[str]]:
    """Writes the page into the new folder ``out`` and its key next to it; returns the key and notes on the rates.

    Every reconstruction is decoded in another process and its pixels compared with the hash in the records. Raises
    UsageError for what the run lacks, for pixels that are not those of the records, and for an ``out`` that is taken.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"writing {out}: expected a new or empty folder; choose another, or remove this one")
    measured, matched = _rows(wanted)
    images = wanted.images or tuple(sorted(set(measured.image)))
    conditions, notes = design.choose(measured, matched, wanted.codecs, images, wanted.rates_bpp)
    traps = design.trap_conditions(measured, wanted.codecs, images) if wanted.traps else []
    asked = design.questions(conditions, traps, wanted.questions, wanted.seed, wanted.traps)
    every = [*conditions, *traps]
    key = _key(wanted, every, asked)
    _check_key(key_path(out), key)
    used = {index for question in asked for index in question.pictures}
    used |= {index for index, condition in enumerate(conditions) if not condition.codec}
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name[:100]}.", dir=out.parent))
    try:
        files = _pictures(wanted, {index: every[index] for index in sorted(used)}, log, progress)
        for question in key["questions"]:
            for name, index in zip(question["names"], question["shown"], strict=True):
                write_atomically(part / "pictures" / f"{name}.png", files[index][0], sync=False)
        for index, entry in enumerate(key["conditions"]):
            entry["crop"] = files[index][1] if index in files else None
        _write_page(part, key)
        part.chmod(0o755)
        with FileLock(out.with_name(f".{out.name[:100]}.lock")):  # of two processes one has both the page and its key
            _check_key(key_path(out), key)
            if out.exists() and any(out.iterdir()):
                raise UsageError(f"writing {out}: another process has made it meanwhile; choose another folder")
            write_atomically(key_path(out), to_json(key))
            os.replace(part, out)
        out.with_name(f".{out.name[:100]}.lock").unlink(missing_ok=True)
    finally:
        remove_folder(part, out.parent)
    return key, notes


def _check_key(path: Path, key: dict[str, Any]) -> None:
    """Raises UsageError where the key of another page would be lost, and with it what its answers mean."""
    try:
        before = json.loads(path.read_bytes())["study"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError):
        before = "unknown"
    if before != key["study"]:
        raise UsageError(
            f"writing {path}: it is the key of another study ({before}), without which its answers mean nothing; "
            f"choose another --out, or move it"
        )


def _rows(wanted: Wanted) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The run's measured rows of the dataset, and its rows at equal rates if it has any."""
    folder = wanted.folder
    extra = folder / "matched.parquet"
    measured = records.measured(records.read_run(folder))
    datasets = sorted(set(measured.dataset))
    if wanted.dataset:
        datasets = [name for name in datasets if name == wanted.dataset]
    if len(datasets) != 1:
        there = ", ".join(sorted(set(measured.dataset))) or "none"
        raise UsageError(f"choosing a dataset: expected one of the run's ({there}); name it with --dataset")
    matched = pd.read_parquet(extra) if extra.is_file() else None
    return measured[measured.dataset == datasets[0]].reset_index(drop=True), matched


def _key(wanted: Wanted, conditions: Sequence[Condition], asked: Sequence[Question]) -> dict[str, Any]:
    """What the page's names stand for. Each question has names of its own, hashes of its number and the study."""
    listed = [condition.as_dict() for condition in conditions]
    pairs = [{"kind": question.kind, "pictures": list(question.pictures)} for question in asked]
    study = sha256(to_json([listed, pairs, wanted.seed, wanted.crop]).encode())[:12]
    originals = {it.image: index for index, it in enumerate(conditions) if not it.codec}
    for number, (question, pair) in enumerate(zip(asked, pairs, strict=True)):
        pair["id"] = sha256(f"{study} {number}".encode())[:10]
        pair["names"] = [sha256(f"{study} {number} {place}".encode())[:16] for place in ("one", "two", "original")]
        pair["shown"] = [*question.pictures, originals[conditions[question.pictures[1]].image]]
    return {
        "format": FORMAT,
        "study": study,
        "folder": str(wanted.folder.resolve()),
        "seed": wanted.seed,
        "change_ms": CHANGE_MS,
        "conditions": listed,
        "questions": pairs,
    }


def _pictures(
    wanted: Wanted, conditions: dict[int, Condition], log: Path, progress: Progress
) -> dict[int, tuple[bytes, list[int]]]:
    """PNG files of the conditions, and the part of the image that each shows: left, top, width, height.

    PNG, because the ending of a lossless WebP file is a codec's name.
    """
    found = {}
    for index, pixels in _pixels(wanted, conditions, log):
        window = crop_window(pixels.shape[1], pixels.shape[0], *wanted.crop)
        left, top, width, height = window
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels[top : top + height, left : left + width]).save(buffer, "png")
        found[index] = buffer.getvalue(), list(window)
        progress(len(found), len(conditions))
    return found


def _pixels(wanted: Wanted, conditions: dict[int, Condition], log: Path) -> Iterator[tuple[int, Any]]:
    """(index, uint8 H x W x 3) of every condition, codec by codec, each with the hash of the records."""
    dataset = next(iter(conditions.values())).dataset
    listed = images_of_run(wanted.folder, dataset)
    by_codec: dict[str, list[int]] = {}
    for index, condition in conditions.items():
        by_codec.setdefault(condition.codec, []).append(index)
    for index in by_codec.pop("", []):
        it = conditions[index]
        if it.image not in listed:
            raise UsageError(f"loading {it.image}: the run's manifest of {dataset} does not list it; run it again")
        yield index, load_verified(listed[it.image].path, it.reconstruction_sha256)
    for codec, indices in by_codec.items():
        paths = [wanted.folder / conditions[index].bitstream for index in indices]
        if gone := [path for path in paths if not path.is_file()]:
            raise UsageError(f"decoding {codec}: the bitstream {gone[0]} is missing; run the codec again")
        for index, pixels in zip(indices, decode_files(codec, paths, log), strict=True):
            it, got = conditions[index], sha256_pixels(pixels)
            if got != it.reconstruction_sha256:
                raise UsageError(
                    f"decoding {codec} on {it.image} at {it.point}: expected pixels with sha256 "
                    f"{it.reconstruction_sha256[:12]}, as recorded, got {got[:12]}; run the codec again"
                )
            yield index, pixels


def crop_window(width: int, height: int, most_wide: int, most_high: int) -> tuple[int, int, int, int]:
    """The middle of an image, at most ``most_wide`` x ``most_high``: left, top, width, height."""
    wide, high = min(width, most_wide), min(height, most_high)
    return (width - wide) // 2, (height - high) // 2, wide, high


def _write_page(folder: Path, key: dict[str, Any]) -> None:
    """index.html with the questions' names, the script and the style. Nothing in them reveals a picture's codec."""
    shown = {
        "study": key["study"],
        "changeMs": key["change_ms"],
        "questions": [[question["id"], *question["names"]] for question in key["questions"]],
    }
    html = (ASSETS / "index.html").read_text(encoding="utf-8")
    write_atomically(folder / "index.html", html.replace("{}", to_json(shown, indent=None).strip()))
    for name in ("blind.js", "blind.css"):
        write_atomically(folder / name, (ASSETS / name).read_bytes())
