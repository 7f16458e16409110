"""Tables of ResGDN beside its RD curves: the residual layer's share of the rate, and the time of its three parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from bench.codec import Image
from codecs_wrappers.learned import resgdn_points
from codecs_wrappers.learned.resgdn_layers import ResGdn

LAYERS = ("point", "base_bpp", "residual_bpp", "bpp", "residual_share", "paper_share")
TIMES = ("part", "point", "ms", "ms_least", "ms_most", "pixels", "threads", "device")
REPEATS = 5  # after one warm-up call


def layers(codec: ResGdn, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the rate of both layers at every point, and the residual's share of it beside the paper's (0..1)."""
    from codecs_wrappers.learned.resgdn_codec import enhancement_bytes

    pixels = image[..., 0].size
    wanted = {(point["bits"], point["qp"]): point.get("wanted_share") for point in resgdn_points.read()}
    for point in codec.points:
        bitstream = codec.encode(image, point)
        size, residual = len(bitstream), enhancement_bytes(bitstream)
        rates = (8 * (size - residual) / pixels, 8 * residual / pixels, 8 * size / pixels)
        shares = (residual / size, wanted.get((point["bits"], point["qp"])))
        yield dict(zip(LAYERS, (point.name, *rates, *shares), strict=True))


def times(codec: ResGdn, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the milliseconds that encoder, quantizer and decoder take: the parts the paper times (section 3).

    The quantizer makes levels of the code map and values of the levels, at the middle one of the codec's points. The
    lossless coder and the residual layer are in none of them; the codec's own times have those.
    """
    import torch

    from codecs_wrappers.learned.affine import affine_of, dequantize, quantize

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
    """Median, least and most of REPEATS calls. Every part ends with its result in the CPU's memory."""
    run()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - start))
    return median(taken), min(taken), max(taken)
