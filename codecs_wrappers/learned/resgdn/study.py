"""Studies of ResGDN: rate of its layers, times of its parts, rounding, trainings, channels."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.codec import Image
from bench.studies import Study
from codecs_wrappers.learned.resgdn import points
from codecs_wrappers.learned.resgdn.codec import ResGdn, ResGdnBase

AFFECTS_BITSTREAM = False

LAYERS = ("point", "base_bpp", "residual_bpp", "bpp", "residual_share", "paper_share")
TIMES = ("part", "point", "ms", "ms_least", "ms_most", "pixels", "threads", "device")
ROUNDING = ("rounding", "bits", "greatest_bias_steps", "zero_error")
CONVERGENCE = ("network", "step", "loss")
CHANNELS = ("channels", "bits", "target_bpp", "bpp", "psnr_rgb_db")
REPEATS = 5  # after one warm-up call
DRAWS = 10_000  # of a rounding: their mean is within 0.02 steps of the expected value
CURVES = Path(__file__).parents[1] / "weights" / "curves"


def studies(codec: ResGdn, short: Sequence[str]) -> list[Study]:
    """The studies of ``codec``. short: manifest entries of the short trainings, also the names of their codecs."""
    by_channels = {
        "8 channels": ResGdnBase("resgdn_short", "", "", "resgdn_short"),
        "4 channels": ResGdnBase("resgdn_short_n4", "", "", "resgdn_short_n4"),
    }
    return [
        Study("resgdn_layers", codec.name, LAYERS, partial(layers, codec), "rate of ResGDN's two layers"),
        Study(
            "resgdn_times",
            codec.name,
            TIMES,
            partial(times, codec),
            "time of ResGDN's encoder, quantizer and decoder",
            images=3,
            exclusive=True,
        ),
        Study("resgdn_rounding", codec.name, ROUNDING, rounding, "bias of the rounding", images=1),
        Study(
            "resgdn_convergence",
            codec.name,
            CONVERGENCE,
            partial(convergence, short),
            "loss of the short trainings at equal steps",
            images=1,
        ),
        Study(
            "resgdn_channels",
            "resgdn_short",
            CHANNELS,
            partial(channels, by_channels),
            "base layers of 8 and of 4 channels",
            images=8,
        ),
    ]


def layers(codec: ResGdn, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the rate of both layers at every point, and the residual's share (0..1) next to the paper's."""
    from codecs_wrappers.learned.resgdn.coding import enhancement_bytes

    pixels = image[..., 0].size
    wanted = {(point["bits"], point["qp"]): point.get("wanted_share") for point in points.read()}
    for point in codec.points:
        bitstream = codec.encode(image, point)
        size, residual = len(bitstream), enhancement_bytes(bitstream)
        rates = (8 * (size - residual) / pixels, 8 * residual / pixels, 8 * size / pixels)
        shares = (residual / size, wanted.get((point["bits"], point["qp"])))
        yield dict(zip(LAYERS, (point.name, *rates, *shares), strict=True))


def times(codec: ResGdn, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the milliseconds that encoder, quantizer and decoder take: the parts the paper times (section 3).

    The quantizer turns the code map into levels and back, at the middle one of the codec's points. None includes the
    lossless coder or the residual layer; the codec's own times do.
    """
    import torch

    from codecs_wrappers.learned.resgdn.affine import affine_of, dequantize, quantize

    model, point = codec.model(codec.entries[0]), codec.points[len(codec.points) // 2]
    code = model.analyse(image)

    def quantizer() -> None:
        affine = affine_of(code, point["bits"])
        dequantize(quantize(code, affine), affine)

    height, width = image.shape[:2]
    parts = {
        "encoder": lambda: model.analyse(image),
        "quantizer": quantizer,
        "decoder": lambda: model.synthesise(code, height, width),
    }
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "CPU"
    for part, run in parts.items():
        about = (point.name, *_milliseconds(run), height * width, torch.get_num_threads(), device)
        yield dict(zip(TIMES, (part, *about), strict=True))


def _milliseconds(run: Callable[[], object]) -> tuple[float, float, float]:
    """Median, minimum and maximum of REPEATS calls. Every part ends with its result in the CPU's memory."""
    run()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - start))
    return median(taken), min(taken), max(taken)


def rounding(image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the largest bias of the mean of many roundings, in steps, and of the error of zero.

    Both are properties of the quantizer over its whole range, the same for every image.
    """
    import torch

    from codecs_wrappers.learned.resgdn.affine import affine_of, dequantize, quantize

    for bits in (2, 4, 8):
        values = torch.linspace(-1.3, 2.1, 301).reshape(1, 1, 1, -1)
        affine = affine_of(values, bits)
        ends = dequantize(torch.tensor([0.0, affine.highest]), affine).ravel()
        values = values[(values >= ends[0]) & (values <= ends[1])].reshape(1, 1, 1, -1)  # beyond, levels are clipped
        for name, generator in (("nearest", None), ("stochastic", torch.Generator().manual_seed(bits))):
            rounded = dequantize(quantize(values.expand(1, 1, DRAWS, -1), affine, generator), affine)
            bias = (rounded.double().mean(dim=2, keepdim=True) - values.double()) / affine.scale
            zeros = dequantize(quantize(torch.zeros(1, 1, DRAWS, 1), affine, generator), affine)
            row = (name, bits, float(bias.abs().max()), float(zeros.abs().max()))
            yield dict(zip(ROUNDING, row, strict=True))


def convergence(entries: Sequence[str], image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the validation loss at all steps, except the start, at which every training was validated."""
    curves: dict[str, dict[int, float]] = {}
    for entry in entries:
        with open(CURVES / f"{entry}.csv", encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] == "validation"]
        curves[entry] = {int(row["step"]): float(row["loss"]) for row in rows}
    for step in sorted(set.intersection(*map(set, curves.values())) - {0}):
        for entry, losses in curves.items():
            yield dict(zip(CONVERGENCE, (entry, step, losses[step]), strict=True))


def channels(codecs: Mapping[str, ResGdnBase], image: Image) -> Iterator[dict[str, Any]]:
    """Rows of rate and quality of the base layer alone, of code maps with different numbers of channels, 2 to 8 bits.

    target_bpp: the rate before lossless coding, bits times channels per 8 x 8 pixels. One bit is omitted: its pictures
    are useless (10 to 15 dB).
    """
    from bench.metrics import psnr_rgb_db

    for name, codec in codecs.items():
        count = codec.model(codec.entries[0]).channels
        for point in codec.points[1:]:
            bitstream, picture = codec.encode_with_reconstruction(image, point)
            rates = (point["bits"] * count / 64, 8 * len(bitstream) / image[..., 0].size)
            row = (name, point["bits"], *rates, psnr_rgb_db(image, picture))
            yield dict(zip(CHANNELS, row, strict=True))
