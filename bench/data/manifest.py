"""The list of a set's images, as a file that the stages of a run pass on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.errors import UsageError
from bench.files import to_json, why_unreadable, write_atomically


@dataclass(frozen=True)
class ImageFile:
    """One image. name: file name without extension; path: absolute; sha256: of the pixels; file_sha256: of the file."""

    name: str
    path: str
    width: int
    height: int
    sha256: str
    file_sha256: str


@dataclass(frozen=True)
class Manifest:
    """An image set as found. status: "ok", or "skipped" with the reason; refused: {"name", "reason"} per image."""

    name: str
    status: str = "ok"
    reason: str = ""
    licence: str = ""
    source: str = ""
    images: list[ImageFile] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)


def read_manifest(path: str | Path) -> Manifest:
    """A manifest written by :func:`write_manifest`. Raises UsageError for any other file."""
    try:
        fields = json.loads(Path(path).read_bytes())
        return Manifest(**{**fields, "images": [ImageFile(**image) for image in fields["images"]]})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"reading {path}: expected a file written by `rdbench fetch --manifest`; {why_unreadable(error)}"
        ) from error


def images_of_run(folder: Path, dataset: str) -> dict[str, ImageFile]:
    """The images of a dataset of the run in ``folder``, by name. Raises UsageError as :func:`read_manifest`."""
    return {image.name: image for image in read_manifest(folder / "datasets" / f"{dataset}.json").images}


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Writes ``manifest`` as JSON, atomically."""
    return write_atomically(path, to_json(asdict(manifest)))
