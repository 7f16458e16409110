"""Comparison of nested levels and orders: RD curves of variants of PLONQ on images, from real prefixes.

`rdbench plonq-levels` compares families of levels, `rdbench plonq-orders` coding units and criteria (PLONQ, figure 4).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.codec import Image
from bench.discovery import load as load_codec
from bench.errors import UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.entropy.coder import RangeEncoder
from codecs_wrappers.learned.hyperprior.coding import quantize
from codecs_wrappers.learned.plonq import coding, ordering
from codecs_wrappers.learned.plonq.levels import Levels, levels_of
from codecs_wrappers.learned.plonq.ordering import Order

if TYPE_CHECKING:
    from codecs_wrappers.learned.hyperprior.model import Model

AFFECTS_BITSTREAM = False  # so no codec hash covers this code (bench/run/codec_state.py)

CROP = 256  # side in pixels of the crop on which an order by slope is measured
BPP = (0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.2, 1.6, 2.0)
UNIFORM = levels_of((27, 27), (9, 9), (3, 3), (1, 1))  # the best of those below on validation images: docs/plonq.md
FAMILIES = (
    coding.LEVELS,
    levels_of((8, 15), (4, 7), (2, 3), (1, 1)),  # the dead zone doubles with the step, as in bit-plane coding
    levels_of((8, 7), (4, 7), (2, 3), (1, 1)),
    levels_of((8, 23), (4, 7), (2, 3), (1, 1)),
    levels_of((8, 11), (4, 3), (2, 3), (1, 1)),
    levels_of((12, 11), (4, 3), (2, 3), (1, 1)),
    levels_of((20, 15), (4, 7), (2, 3), (1, 1)),
    levels_of((24, 31), (8, 15), (4, 7), (2, 3), (1, 1)),
    levels_of((18, 9), (9, 9), (3, 3), (1, 1)),
    levels_of((10, 15), (5, 5), (1, 1)),
    levels_of((12, 23), (4, 7), (2, 3), (1, 1)),
    levels_of((16, 15), (4, 7), (2, 3), (1, 1)),
    levels_of((16, 23), (4, 7), (2, 3), (1, 1)),
    levels_of((16, 31), (8, 15), (4, 7), (2, 3), (1, 1)),
    levels_of((12, 17), (6, 5), (3, 5), (1, 1)),
    levels_of((12, 17), (6, 5), (2, 5), (1, 1)),
    levels_of((9, 11), (3, 5), (1, 1)),
    levels_of((9, 15), (3, 3), (1, 1)),
    levels_of((27, 29), (9, 11), (3, 5), (1, 1)),
    levels_of((27, 33), (9, 15), (3, 3), (1, 1)),
    levels_of((18, 17), (6, 5), (2, 5), (1, 1)),
    # uniform: all bins of a level have equal width
    UNIFORM,
    levels_of((45, 45), (9, 9), (3, 3), (1, 1)),
    levels_of((45, 45), (15, 15), (5, 5), (1, 1)),
    levels_of((45, 45), (15, 15), (3, 3), (1, 1)),
    levels_of((15, 15), (5, 5), (1, 1)),
    levels_of((9, 9), (3, 3), (1, 1)),
    levels_of((1, 1)),  # not nested: each element is refined completely at once
)


class Measured(NamedTuple):
    """One prefix of one variant's bitstream."""

    variant: str
    image: str
    target_bpp: float
    bpp: float
    psnr_rgb_db: float


def measure(
    model: Model, name: str, image: Image, variants: Mapping[str, tuple[Levels, Order]], bpp: Sequence[float]
) -> Iterator[Measured]:
    """The prefixes of each variant's bitstream at each rate of ``bpp`` that it reaches.

    image: uint8, H x W x 3. An order by slope (dD/dR) is measured on the image's middle CROP x CROP pixels, which
    takes a synthesis for each channel and level, 1,280 in all.
    """
    from bench.metrics import psnr_rgb_db

    pixels = image.shape[0] * image.shape[1]
    model = _with_memory(model)
    for variant, (levels, order) in variants.items():
        middle = _middle(image, CROP)
        sent = coding.units_of(model, middle, levels, order) if order.criterion == "slope" else ()
        bitstream = coding.encode(model, image, levels, order, sent)
        header = stream.read(bitstream, coding.SCHEME)
        for target in bpp:
            length = int(target * pixels / 8)
            if header.size <= length < len(bitstream):
                shown = coding.decode(model, bitstream[:length], header)
                yield Measured(variant, name, target, 8 * length / pixels, psnr_rgb_db(image, shown))


def _with_memory(model: Model) -> Model:
    """A copy of ``model`` that runs its hyper-decoder once for each z, which all prefixes that hold it share."""
    copied, known = copy.copy(model), {}

    def hyper(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if z.tobytes() not in known:
            known[z.tobytes()] = model.hyper(z)
        return known[z.tobytes()]

    copied.hyper = hyper  # type: ignore[method-assign]
    return copied


def summary(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """One dict per variant, best first, compared with the first variant: BD-rate and BD-PSNR averaged over images.

    variant, bd_rate_percent, bd_psnr_db (the area between the curves), least_ and greatest_bd_rate_percent (of an
    image), images (with a value).
    """
    from bench.rd.bjontegaard import bd_quality, bd_rate

    curves: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for row in rows:
        bpp, psnr = curves.setdefault(row.variant, {}).setdefault(row.image, ([], []))
        bpp.append(row.bpp)
        psnr.append(row.psnr_rgb_db)
    anchor = curves[rows[0].variant]
    table = []
    for variant, images in curves.items():
        measured = [
            (bd_rate(*anchor[image], *curve), bd_quality(*anchor[image], *curve)) for image, curve in images.items()
        ]
        rates = [rate.value for rate, _ in measured if rate.value is not None]
        gains = [gain.value for _, gain in measured if gain.value is not None]
        if rates and gains:
            table.append(
                {
                    "variant": variant,
                    "bd_rate_percent": float(np.mean(rates)),
                    "bd_psnr_db": float(np.mean(gains)),
                    "least_bd_rate_percent": min(rates),
                    "greatest_bd_rate_percent": max(rates),
                    "images": len(rates),
                }
            )
    return sorted(table, key=lambda row: row["bd_rate_percent"])


def title(levels: Levels) -> str:
    """Levels as (step, centre), coarsest first."""
    return " ".join(map(str, levels))


def parse_levels(text: str) -> Levels:
    """Levels from "8,15 4,7 2,3 1,1". Raises UsageError for other text and for levels that do not nest."""
    try:
        pairs = [tuple(int(value) for value in pair.split(",")) for pair in text.split()]
        return levels_of(*((step, centre) for step, centre in pairs))
    except ValueError as error:
        raise UsageError(f"--levels: expected pairs of step,centre, as in '4,7 2,3 1,1'; got {text!r}") from error


def compare_levels(args: argparse.Namespace) -> None:
    """`rdbench plonq-levels`."""
    families = [parse_levels(text) for text in args.levels] if args.levels else FAMILIES
    _run(args, {title(levels): (levels, coding.BY_SIGMA) for levels in families})


def compare_orders(args: argparse.Namespace) -> None:
    """`rdbench plonq-orders`."""
    variants = {}
    for unit in ordering.UNITS:
        for criterion in ordering.CRITERIA:
            if (unit, criterion) in ordering.INFEASIBLE:
                print(f"{unit} by {criterion} left out: {ordering.INFEASIBLE[unit, criterion]}")
            elif criterion != "slope" or args.slope:
                variants[f"{unit} by {criterion}"] = coding.LEVELS, Order(unit, criterion)
            else:
                print(f"{unit} by {criterion} left out: it takes 1,280 syntheses per image; --slope includes it")
    _run(args, variants)


def orders(model: Model, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the study behind PLONQ's figure 4: each feasible order of the whole ``image``, prefixes at BPP.

    The order of channels by dD/dR is that of the image's middle (:func:`measure`), sent for the whole image.
    """
    pairs = [(unit, criterion) for unit in ordering.UNITS for criterion in ordering.CRITERIA]
    variants = {
        f"{unit} by {criterion}": (coding.LEVELS, Order(unit, criterion))
        for unit, criterion in pairs
        if (unit, criterion) not in ordering.INFEASIBLE
    }
    for row in measure(model, "", image, variants, BPP):
        yield {"order": row.variant, **row._asdict()}


def grids(model: Model, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the study behind PLONQ's section 5: uneven levels and the best uniform ones, as in :func:`orders`."""
    variants = {"uneven": (coding.LEVELS, coding.BY_SIGMA), "uniform": (UNIFORM, coding.BY_SIGMA)}
    for row in measure(model, "", image, variants, BPP):
        yield {"levels": row.variant, **row._asdict()}


def breakdown(model: Model, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the study behind PLONQ's figure 5(a): the rate of each part of the whole bitstream of ``image``."""
    bitstream = coding.encode(model, image)
    header = stream.read(bitstream, coding.SCHEME)
    encoder, pixels = RangeEncoder(), image.shape[0] * image.shape[1]
    bits = {"header and checksum": 8.0 * (header.size + stream.CHECKSUM_BYTES)}
    for section in coding.sections(model, image, quantize(model, image), coding.LEVELS, coding.BY_SIGMA):
        before = encoder.bits
        encoder.encode(section.symbols, section.which, section.tables)
        bits[section.name] = encoder.bits - before
    for part, length in bits.items():
        yield {"stream": "PLONQ", "part": part, "bpp": length / pixels}


def _run(args: argparse.Namespace, variants: Mapping[str, tuple[Levels, Order]]) -> None:
    import pandas as pd

    from bench.data.datasets import fetch
    from bench.data.images import load_verified
    from bench.progress import Progress
    from bench.records import write_csv

    codec: Any = load_codec(args.codec)
    model = codec.model(codec.entries[0])
    images = fetch(args.dataset).images[: args.images]
    progress = Progress("plonq")
    rows: list[Measured] = []
    for number, image in enumerate(images, 1):
        pixels = _middle(load_verified(image.path, image.sha256), args.crop)
        rows += measure(model, image.name, pixels, variants, args.bpp or BPP)
        progress(number, len(images))
    if args.out:
        write_csv(pd.DataFrame(rows, columns=Measured._fields), args.out)
    table = pd.DataFrame(summary(rows))
    if args.table:
        network = codec.entries[0]
        write_csv(table.assign(network=f"{network} ({weights.sha256(network)[:8]})"), args.table)
    print(table.to_string(index=False, float_format="%.3f"))


def _middle(image: Image, side: int | None) -> Image:
    if side is None:
        return image
    top, left = (max(0, (size - side) // 2) for size in image.shape[:2])
    return image[top : top + side, left : left + side]
