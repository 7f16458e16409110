"""Copies a finished training into the repository: weights, manifest entry, curve."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.files import sha256_file, write_atomically
from codecs_wrappers.learned.training import config

LEARNED = config.HERE.parent
CURVE = ("kind", "step", "hours", "loss", "bpp", "psnr_db")
CURVE_ROWS = 100  # at most, of the training's: neighbours are averaged; all rows of the validation's


def ship(name: str, folder: Path | None = None, learned: Path = LEARNED) -> Path:
    """Make the export in ``folder`` the committed weights of ``name``.

    folder: by default the last branch's, results/training/NAME/branch, otherwise results/training/NAME. Copies
    NAME.safetensors to weights/, replaces the entry in weights.yaml and writes weights/curves/NAME.csv, all under
    ``learned``. Returns the weights' new path. Raises UsageError if there is no complete export.
    """
    import yaml

    if folder is None:
        trained = config.weights_file(name).parent
        folder = finished(trained.parent).get(name, trained)
    weights, about = folder / f"{name}.safetensors", folder / f"{name}.yaml"
    if not (weights.is_file() and about.is_file()):
        raise UsageError(
            f"shipping {name}: expected {weights} and {about.name}, which are not both there; finish the training first"
        )
    text = about.read_text(encoding="utf-8")
    entry = yaml.safe_load(text)[name]
    if sha256_file(weights) != entry["sha256"]:
        raise UsageError(f"shipping {name}: {weights} does not have the sha256 in {about.name}; export it again")
    target = learned / "weights" / weights.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, target)
    manifest = learned / "weights.yaml"
    write_atomically(manifest, _with_entry(manifest.read_text(encoding="utf-8"), name, text))
    write_atomically(learned / "weights" / "curves" / f"{name}.csv", _curve(folder))
    return target


def finished(trained: Path) -> dict[str, Path]:
    """The models with a complete export in the folder ``trained``, each with the export's folder."""
    found = {}
    for about in [*trained.glob("*/*.yaml"), *trained.glob(f"*/{config.BRANCH}/*.yaml")]:
        folder = about.parent
        name = folder.parent.name if folder.name == config.BRANCH else folder.name
        if about.stem == name and (folder / f"{name}.safetensors").is_file():
            found[name] = folder  # a branch after the training that it left
    return dict(sorted(found.items()))


def ship_finished(trained: Path, learned: Path = LEARNED) -> Iterator[tuple[str, str]]:
    """Ship every export in ``trained`` that is better than the committed weights; yields each model and what was done.

    Where the two were judged on different images, which is said, the new one is shipped.
    """
    for name, folder in finished(trained).items():
        ratio = improvement(name, folder, learned)
        if ratio is not None and ratio >= 1:
            yield name, "committed already" if ratio == 1 else f"kept: the new loss is {ratio:.4f} times the old one"
            continue
        compared = "not comparable with the old one" if ratio is None else f"{ratio:.4f} times the old loss"
        yield name, f"{ship(name, folder, learned)} ({compared})"


def improvement(name: str, folder: Path, learned: Path = LEARNED) -> float | None:
    """The held-out loss of the export in ``folder`` over that of the committed weights: below 1 is better.

    It is the mean over the held-out sets on which both were judged; None without a common one, or without weights.
    """
    import yaml

    new = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))[name]
    old = yaml.safe_load((learned / "weights.yaml").read_text(encoding="utf-8")).get(name, {})
    if old.get("sha256") == new["sha256"]:
        return 1.0
    ratios = []
    for scores, of in ((config.VALIDATION, config.VALIDATION), (config.TEXTURED, "data")):  # textured: part of the data
        digests = {entry.get(of, {}).get("digest") for entry in (new, old)}
        if len(digests) == 1 and None not in digests and scores in new and scores in old:
            ratios.append(new[scores]["loss"] / old[scores]["loss"])
    return sum(ratios) / len(ratios) if ratios else None


def _with_entry(manifest: str, name: str, entry: str) -> str:
    """The manifest's text with the block of ``name`` replaced, or appended; comments are kept."""
    block = re.compile(rf"^{re.escape(name)}:[^\n]*\n(?:(?:[ \t][^\n]*)?\n)*", re.MULTILINE)
    if block.search(manifest):
        return block.sub(lambda _: entry, manifest, count=1)
    return manifest.rstrip("\n") + "\n" + entry


def _curve(folder: Path) -> str:
    train = _rows(folder / "train.csv")
    size = -(-len(train) // CURVE_ROWS) or 1
    kept = [_mean(train[begin : begin + size]) for begin in range(0, len(train), size)]
    judged: dict[str, dict[str, str]] = {}
    for row in _rows(folder / "validation.csv"):  # the better of two averages
        if row["step"] not in judged or float(row["loss"]) < float(judged[row["step"]]["loss"]):
            judged[row["step"]] = row
    validation = [{**row, "psnr_db": row["psnr_rgb_db"]} for row in judged.values()]
    rows = [("train", row) for row in kept] + [("validation", row) for row in validation]
    lines = [",".join([kind, *(row[column] for column in CURVE[1:])]) for kind, row in rows]
    return "\n".join([",".join(CURVE), *lines]) + "\n"


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _mean(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Means of the columns over the rows that have a value; step and hours of the last row."""
    values = {column: [float(row[column]) for row in rows if row[column]] for column in CURVE[3:]}
    means = {column: f"{sum(v) / len(v):.6g}" if v else "" for column, v in values.items()}
    return {"step": rows[-1]["step"], "hours": rows[-1]["hours"], **means}
