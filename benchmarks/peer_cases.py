"""The pieces of work that peers.py measures, each with what both sides must agree on.

Peers are used as their documentation says, with one process and one thread on both sides.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Case, Result
from PIL import Image as PillowImage

from bench.codec import Codec, Image
from bench.discovery import load
from bench.metrics import Reference, measure, psnr_rgb_db

ROOT = Path(__file__).resolve().parent.parent
QUALITIES = tuple(range(5, 100, 5))
PAIRS, DRAWS, POINTS = 24, 2_000, 19


def _pixels(folder: Path) -> list[Image]:
    return [np.asarray(PillowImage.open(path)) for path in sorted(folder.iterdir())]


# BD-rate


def _bjontegaard(folder: Path) -> Iterator[Case]:
    import bjontegaard

    from bench.rd.bjontegaard import bd_rate, bd_rates

    random = np.random.default_rng(0)
    quality = 26 + np.sort(random.uniform(0, 19, (PAIRS, POINTS)), axis=1)
    anchor = random.uniform(0.5, 2, (PAIRS, 1)) * 2 ** ((quality - 30) / 5)
    rate, curve = 0.9 * anchor, quality + 0.3 + 0.2 * np.sin(quality)
    for method in ("pchip", "cubic", "akima"):
        yield Case(
            f"bd {method}",
            f"BD-rates of {PAIRS} pairs of curves of {POINTS} points",
            "bjontegaard.bd_rate",
            lambda method=method: [
                bd_rate(*four, method=method).value for four in zip(anchor, quality, rate, curve, strict=True)
            ],
            lambda method=method: [
                bjontegaard.bd_rate(*four, method=method, min_overlap=0)
                for four in zip(anchor, quality, rate, curve, strict=True)
            ],
            partial(_close, tolerance=1e-6, what="every BD-rate within 1e-6 %"),
            ("bjontegaard",),
            "Here the overlap is judged and the curve repaired as well",
        )
    rows = random.integers(0, PAIRS, DRAWS)
    yield Case(
        "bd bootstrap",
        f"{DRAWS} BD-rates of resampled curves of {POINTS} points, PCHIP",
        "bjontegaard.bd_rate in a loop",
        lambda: bd_rates(anchor[rows], quality[rows], rate[rows], curve[rows]),
        lambda: [bjontegaard.bd_rate(anchor[i], quality[i], rate[i], curve[i], "pchip", min_overlap=0) for i in rows],
        partial(_close, tolerance=1e-6, what="every BD-rate within 1e-6 %"),
        ("bjontegaard",),
    )


# Bare loops


def _pillow(folder: Path) -> Iterator[Case]:
    images = _pixels(folder)
    for name, kind, options in (
        ("jpeg_standard", "JPEG", {"subsampling": "4:2:0"}),
        ("webp_m4", "WEBP", {"method": 4}),
    ):
        codec = load(name)

        def bare(quality: int, image: Image, kind: str = kind, options: dict[str, Any] = options) -> tuple:
            buffer = io.BytesIO()
            PillowImage.fromarray(image).save(buffer, kind, quality=quality, **options)
            return buffer.getvalue(), np.asarray(PillowImage.open(io.BytesIO(buffer.getvalue())).convert("RGB"))

        yield Case(
            f"pillow {kind.lower()}",
            f"{len(images)} images encoded to memory and decoded at qualities 25, 50, 75",
            "Pillow, a bare loop",
            lambda codec=codec: [_round_trip(codec, f"q{q}", image) for image in images for q in (25, 50, 75)],
            lambda bare=bare: [bare(q, image) for image in images for q in (25, 50, 75)],
            _same_streams,
            ("pillow",),
        )


def _imagecodecs(folder: Path) -> Iterator[Case]:
    import imagecodecs

    codec, images = load("jpegxl"), _pixels(folder)[:2]
    options = {"effort": 10, "lossless": False, "numthreads": 1}  # the wrapper's, for images of up to 6 megapixels

    def bare(image: Image) -> tuple[bytes, Image]:
        bitstream = imagecodecs.jpegxl_encode(image, distance=2.5, **options)
        return bitstream, imagecodecs.jpegxl_decode(bitstream, numthreads=1)

    yield Case(
        "imagecodecs jpegxl",
        f"{len(images)} images encoded to memory and decoded at distance 2.5",
        "imagecodecs, a bare loop",
        lambda: [_round_trip(codec, "d2.5", image) for image in images],
        lambda: [bare(image) for image in images],
        _same_streams,
        ("imagecodecs",),
    )


def _round_trip(codec: Codec, point: str, image: Image) -> tuple[bytes, Image]:
    bitstream = codec.encode(image, codec.point(point))
    return bitstream, codec.decode(bitstream)


def _same_streams(ours: list[tuple[bytes, Image]], theirs: list[tuple[bytes, Image]]) -> str:
    for (bitstream, pixels), (other, other_pixels) in zip(ours, theirs, strict=True):
        if bitstream != other or not np.array_equal(pixels, other_pixels):
            raise ValueError(f"other bitstreams or pixels: {len(bitstream)} bytes here, {len(other)} there")
    return f"every byte of {len(ours)} bitstreams and their pixels"


# CompressAI, learned


def _learned(folder: Path) -> Iterator[Case | Result]:
    codec = load("mean_scale")
    runs, reason = codec.available()
    if not runs:
        yield Result("learned", "", "CompressAI", "skipped", reason=reason)
        return
    import torch
    from compressai.utils.eval_model.__main__ import inference

    from codecs_wrappers.learned.hyperprior import networks

    torch.set_num_threads(1)
    point, image = codec.points[-1], _pixels(folder)[0]
    model = codec.model(codec.entry_of(point))
    network = networks.build({"family": "mean_scale", "N": model.N, "M": model.M})
    network = networks.load_weights(network, model.network.state_dict()).eval()
    network.update(force=True)
    last = network.to(memory_format=torch.channels_last)
    x = torch.from_numpy(image.copy()).permute(2, 0, 1).float().div(255)
    height, width = (size // 64 * 64 for size in image.shape[:2])
    cut, x_cut = np.ascontiguousarray(image[:height, :width]), x[:, :height, :width][None]
    x_cut = x_cut.contiguous(memory_format=torch.channels_last)
    about = f"the same {codec.label.split()[0]} network (N {model.N}, M {model.M}), one image of {width} x {height}"
    with torch.inference_mode():
        bitstream, theirs = codec.encode(cut.copy(), point), last.compress(x_cut)
    yield Case(
        "learned encode",
        f"{about} to bytes",
        "compress(), channels last",
        lambda: codec.encode(cut.copy(), point),  # a copy: the analysis of a read-only array is kept
        lambda: _inferred(lambda: last.compress(x_cut)),
        lambda ours, theirs: _near(len(ours), _length(theirs), 0.01, "bytes"),
        ("compressai", "torch"),
        "Here header and checksum are in the bytes, and they are the same on every device",
    )
    yield Case(
        "learned decode",
        f"{about} from bytes to 8-bit pixels, there to floats",
        "decompress(), channels last",
        lambda: codec.decode(bitstream),
        lambda: _inferred(lambda: last.decompress(**theirs))["x_hat"],
        lambda ours, theirs: _near(psnr_rgb_db(cut, ours), psnr_rgb_db(cut, _to_image(theirs)), 0.002, "dB of PSNR"),
        ("compressai", "torch"),
    )

    def whole() -> dict[str, float]:
        coded = codec.encode(image.copy(), point)
        metrics = measure(Reference(image), codec.decode(coded))
        return {"bpp": 8 * len(coded) / image[..., 0].size, "psnr": metrics["psnr_rgb_db"]}

    yield Case(
        "learned eval_model",
        f"encode, decode and measure one image of {image.shape[1]} x {image.shape[0]} with the same network",
        "compressai.utils.eval_model's inference()",
        whole,
        lambda: inference(network, x),
        lambda ours, theirs: (
            _near(ours["bpp"], theirs["bpp"], 0.02, "bpp") + "; " + _near(ours["psnr"], theirs["psnr-rgb"], 0.005, "dB")
        ),
        ("compressai", "torch"),
        "Here five metrics, there two",
    )


def _inferred(call: Callable[[], Any]) -> Any:
    import torch

    with torch.inference_mode():
        return call()


def _length(compressed: dict[str, Any]) -> int:
    return sum(len(strings[0]) for strings in compressed["strings"])


def _to_image(x_hat: Any) -> Image:
    return x_hat[0].mul(255).round().clamp(0, 255).permute(1, 2, 0).contiguous().byte().numpy()


# CompressAI, classical: whole processes, start-up included


def _bench(folder: Path) -> Iterator[Case]:
    count = len(list(folder.iterdir()))
    for theirs, ours in (("jpeg", "jpeg_standard"), ("webp", "webp_m4")):
        yield Case(
            f"bench {theirs}",
            f"{count} images at {len(QUALITIES)} qualities, coded and measured; whole processes",
            f"python -m compressai.utils.bench {theirs} -j 1",
            partial(_run, ours, folder),
            partial(_run_bench, theirs, folder),
            partial(_close, tolerance=1e-6, what="bpp at every quality within 1e-6"),
            ("compressai", "pillow"),
            "Here bitstreams on disk, a second process that decodes, hashes, and five metrics instead of two",
        )


def _run(codec: str, folder: Path) -> list[float]:
    """Mean bpp at every point by `rdbench run`, with an empty cache."""
    import pandas as pd

    with tempfile.TemporaryDirectory(prefix="rdbench-peers-") as scratch:
        out = Path(scratch, "records.parquet")
        environment = {**os.environ, "RDBENCH_CACHE": str(Path(scratch, "cache"))}
        command = [sys.executable, "-m", "bench.cli", "run", codec, "--dataset", f"folder:{folder}", "--out", str(out)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        return pd.read_parquet(out).groupby("point_index").bpp.mean().tolist()


def _run_bench(codec: str, folder: Path) -> list[float]:
    """Mean bpp at every quality by CompressAI's bench."""
    qualities = ",".join(map(str, QUALITIES))
    command = [sys.executable, "-W", "ignore", "-m", "compressai.utils.bench", codec, str(folder)]
    done = subprocess.run([*command, "-q", qualities, "-j", "1"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["results"]["bpp"]


def _close(ours: Any, theirs: Any, tolerance: float, what: str) -> str:
    worst = float(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max())
    if not worst <= tolerance:
        raise ValueError(f"expected {what}, they differ by {worst:g}")
    return what


def _near(ours: float, theirs: float, tolerance: float, unit: str) -> str:
    if not abs(ours / theirs - 1) <= tolerance:
        raise ValueError(f"expected {unit} within {100 * tolerance:g} %, got {ours:g} here and {theirs:g} there")
    return f"{unit} within {100 * tolerance:g} % ({ours:.6g} here, {theirs:.6g} there)"


GROUPS: dict[str, tuple[str, Callable[[Path], Iterator[Case | Result]]]] = {  # the package each needs
    "bd": ("bjontegaard", _bjontegaard),
    "pillow": ("PIL", _pillow),
    "imagecodecs": ("imagecodecs", _imagecodecs),
    "learned": ("compressai", _learned),
    "bench": ("compressai", _bench),
}
