"""A small run's folder without the workflow: real bitstreams of a few codecs on crops of two photographs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

from bench.discovery import load
from bench.files import sha256, sha256_pixels, to_json, write_atomically
from bench.metrics import METRIC_VERSIONS_JSON, Reference, measure
from bench.run.codec_state import codec_state


def write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def small_run(
    base: Path, codecs: Sequence[str], images: Mapping[str, np.ndarray] | None = None
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder (dataset manifest, statuses, environment, bitstreams) and the rows of its records, not yet written.

    images: other ones than the two photographs, by name, uint8 H x W x 3.
    """
    folder = base / "results" / "small"
    manifest: dict[str, Any] = {
        "name": "photos",
        "status": "ok",
        "reason": "",
        "licence": "CC0",
        "source": "scikit-image",
        "images": [],
    }
    photographs = images or {"astronaut": data.astronaut()[60:236, 150:342], "coffee": data.coffee()[100:265, 200:401]}
    for name, pixels in photographs.items():
        path = base / "originals" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        facts = {"name": name, "path": str(path), "width": pixels.shape[1], "height": pixels.shape[0]}
        manifest["images"].append({**facts, "sha256": sha256_pixels(pixels), "file_sha256": ""})
    rows = [
        row for codec in codecs for name, pixels in photographs.items() for row in coded(folder, codec, name, pixels)
    ]
    write(folder / "datasets" / "photos.json", to_json(manifest))
    write(folder / "environment.json", to_json({"git_commit": "a" * 40, "git_dirty": True, "processor": "one"}))
    for codec in codecs:
        codec_state(load(codec)).write(folder / "status")
    return folder, rows


def coded(folder: Path, name: str, image: str, pixels: np.ndarray) -> Iterator[dict[str, Any]]:
    """The rows of one codec and image, with their bitstreams on disk. Every sixth point, to save time."""
    codec, reference = load(name), Reference(pixels)
    for index, point in list(enumerate(codec.points))[:: 6 if len(codec.points) > 1 else 1]:
        data = codec.encode(pixels, point)
        path = folder / "bitstreams" / "photos" / name / f"{image}.{point.name}{codec.extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        decoded = codec.decode(data)
        yield {
            "dataset": "photos",
            "image": image,
            "image_sha256": sha256_pixels(pixels),
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "codec": name,
            "role": codec.role,
            "point": point.name,
            "point_index": index // 6,
            "parameters": point.to_json(),
            "status": "ok",
            "bytes": len(data),
            "bpp": 8 * len(data) / (pixels.shape[0] * pixels.shape[1]),
            "bitstream": str(path.relative_to(folder)),
            "bitstream_sha256": sha256(data),
            "reconstruction_sha256": sha256_pixels(decoded),
            "metric_versions": METRIC_VERSIONS_JSON,
            **measure(reference, decoded),
        }
