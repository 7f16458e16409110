"""The losses of classical codecs on the held-out images, for comparison in a training's log.

J = bpp + rate_weight * 255^2 MSE of real bitstreams, for each image at the codec's best point, averaged over images.
Points are coded once per set of images and kept in the cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from bench.discovery import load
from bench.errors import RdbenchError
from bench.files import cache_dir, sha256, sha256_pixels, to_json, write_atomically

CODECS = {"jpeg2000": "JPEG 2000", "bpg444": "BPG"}


def losses(images: Sequence[Tensor], rate_weight: float) -> dict[str, float]:
    """J of each of CODECS by its label, on uint8 images (3, H, W); codecs that are not available are omitted."""
    found = {}
    for name, label in CODECS.items():
        try:
            curves = _curves(name, [image.permute(1, 2, 0).contiguous().numpy() for image in images])
        except RdbenchError:
            continue
        found[label] = sum(min(bpp + rate_weight * mse for bpp, mse in curve) for curve in curves) / len(curves)
    return found


def _curves(name: str, images: Sequence[np.ndarray]) -> list[list[tuple[float, float]]]:
    """(bpp, MSE of 0..255) of every image at every point of the codec."""
    codec = load(name)
    available, reason = codec.available()
    if not available:
        raise RdbenchError(f"{name} is not available: {reason}")
    key = sha256(" ".join([name, codec.version(), *map(sha256_pixels, images)]).encode())
    path = cache_dir() / "training" / f"anchor-{name}-{key[:16]}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    curves = []
    for image in images:
        curve = []
        for point in codec.points:
            bitstream = codec.encode(image, point)
            error = codec.decode(bitstream).astype(np.float64) - image
            curve.append((8 * len(bitstream) / (image.shape[0] * image.shape[1]), float(np.square(error).mean())))
        curves.append(curve)
    write_atomically(path, to_json(curves))
    return curves
