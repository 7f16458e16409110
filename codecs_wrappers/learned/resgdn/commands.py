"""`rdbench resgdn-points`: determines ResGDN's operating points (points.py) on a validation set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.codec import Image, check_image
from bench.commands import add_command, argument, count
from bench.device import requested_device
from bench.errors import UsageError
from bench.files import write_atomically
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.resgdn.points import PATH, QPS

if TYPE_CHECKING:
    from codecs_wrappers.learned.resgdn.coding import Model

AFFECTS_BITSTREAM = False  # no codec hash covers this code (bench/run/codec_state.py)
SHARES = (0.02, 0.34, 0.52, 0.68, 0.76)  # the residual's share of the rate at the paper's five points (section 3)
BITS = (2, 3, 4, 5, 6)  # the paper's five depths are lost in its text
ALLOCATED_QPS = (51, 45, 39, 34, 30, 27, 24, 21)
LEAST_SLOPE = 1.0  # dB per bit/pixel: beyond that, more depth only costs rate
_COMMENT = (
    "# Written by `rdbench resgdn-points`: bits of the code map, QP of the residual, and the averages they gave.\n"
)


def choose(
    model: Model, images: Sequence[Image], bits: Sequence[int] = BITS, shares: Sequence[float] = SHARES
) -> list[dict[str, Any]]:
    """For each bit depth the point whose residual's share is nearest to the wanted one, with its averages.

    Rates are means over ``images`` (uint8, H x W x 3) in bit/pixel, shares those of the mean rates. The rate falls as
    the QP rises, so bisection finds the point.
    """
    return [_choose(model, images, depth, share) for depth, share in zip(bits, shares, strict=True)]


def _choose(model: Model, images: Sequence[Image], bits: int, wanted: float) -> dict[str, Any]:
    from codecs_wrappers.learned.resgdn.coding import encode_base, enhance

    bases = [encode_base(model, image, bits) for image in images]
    tried: dict[int, dict[str, Any]] = {}

    def share(qp: int) -> float:
        if qp not in tried:
            rates = np.zeros(2)  # bit/pixel of the base and of both layers
            for base, image in zip(bases, images, strict=True):
                both = len(enhance(base, image, qp)[0])
                rates += 8 * np.array([len(base.bitstream), both]) / (image[..., 0].size * len(images))
            values = {"share": 1 - rates[0] / rates[1], "base_bpp": rates[0], "bpp": rates[1]}
            tried[qp] = {key: round(float(value), 4) for key, value in values.items()}
        return tried[qp]["share"]

    low, high = QPS[0], QPS[-1]  # the share falls as the QP rises
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if share(middle) > wanted else (low, middle)
    best = min((low, high), key=lambda qp: abs(share(qp) - wanted))
    return {"bits": bits, "qp": best, "wanted_share": wanted, **tried[best]}


def allocate(
    model: Model, images: Sequence[Image], bits: Sequence[int] = BITS, qps: Sequence[int] = ALLOCATED_QPS
) -> list[dict[str, Any]]:
    """The pairs of a bit depth and a QP on the upper convex hull of (mean bit/pixel, mean PSNR), by increasing rate.

    Each maximises PSNR minus weight times rate for some weight (Shoham and Gersho 1988) of ``LEAST_SLOPE`` or more.
    """
    from bench.metrics import psnr_rgb_db
    from codecs_wrappers.learned.resgdn.coding import encode_base, enhance

    tried: dict[tuple[int, int], np.ndarray] = {(depth, qp): np.zeros(2) for depth in bits for qp in qps}
    for image in images:
        for depth in bits:
            base = encode_base(model, image, depth)
            for qp in qps:
                bitstream, picture = enhance(base, image, qp)
                rate_and_quality = 8 * len(bitstream) / image[..., 0].size, psnr_rgb_db(image, picture)
                tried[depth, qp] += np.array(rate_and_quality) / len(images)
    hull: list[tuple[int, int]] = []
    for pair in sorted(tried, key=lambda pair: tuple(tried[pair])):
        if hull and tried[pair][1] <= tried[hull[-1]][1]:
            continue
        while len(hull) > 1 and _slope(tried[hull[-2]], tried[hull[-1]]) <= _slope(tried[hull[-1]], tried[pair]):
            hull.pop()
        hull.append(pair)
    while len(hull) > 1 and _slope(tried[hull[-2]], tried[hull[-1]]) < LEAST_SLOPE:
        hull.pop()
    keys = ("bits", "qp", "bpp", "psnr_rgb_db")
    return [dict(zip(keys, (*pair, *tried[pair].round(4).tolist()), strict=True)) for pair in hull]


def _slope(low: np.ndarray, high: np.ndarray) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])


def write(
    points: Sequence[Mapping[str, Any]],
    allocated: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    path: Path = PATH,
) -> Path:
    """Write the file that points.py reads. facts: the weights and images that the points were chosen with."""
    import yaml

    lists = {"points": [dict(point) for point in points], "allocated": [dict(point) for point in allocated]}
    return write_atomically(path, _COMMENT + yaml.safe_dump({**facts, **lists}, sort_keys=False))


def _chosen_with(path: Path) -> str:
    """The sha256 of the weights that the points in ``path`` were chosen with; empty without such a file."""
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8")).get("weights", "") if path.is_file() else ""


def add_commands(subparsers: Any) -> None:
    """Add `rdbench resgdn-points` to the command line's ``subparsers``; imports no torch."""
    add_command(
        subparsers,
        "resgdn-points",
        main,
        "For each bit depth of the code map, find the QP at which the residual has the paper's share; and the pairs of "
        "depth and QP that are best in PSNR.",
        argument("images", nargs="*", metavar="IMAGE", help="folders or files, not of a test set"),
        argument(
            "--textured",
            nargs="+",
            default=[],
            metavar="FOLDER",
            help="of the training's images: the most textured ones, which a training holds out, count too",
        ),
        argument("--entry", default="resgdn", help="of the weights manifest (default: resgdn)"),
        argument("--bits", nargs="+", type=int, default=BITS, help="one depth per point (default: 2 3 4 5 6)"),
        argument("--shares", nargs="+", type=float, default=SHARES, help="one per point, 0..1 (default: the paper's)"),
        argument("--every", type=count, default=1, metavar="N", help="take only every Nth image"),
        argument("--if-changed", action="store_true", help="only if the points were chosen with other weights"),
        argument("--out", type=Path, default=PATH, help=f"default: {PATH.name} next to the weights"),
        example="rdbench resgdn-points DATA/held_out --every 5 --textured DATA/train",
    )


def main(args: argparse.Namespace) -> int:
    """Choose, write and print the points that ``args`` ask for. Raises UsageError for inconsistent arguments."""
    if len(args.bits) != len(args.shares):
        raise UsageError(
            f"choosing points: expected as many --bits as --shares, got {len(args.bits)}, {len(args.shares)}"
        )
    if args.if_changed and _chosen_with(args.out) == weights.sha256(args.entry):
        print(f"{args.out}: chosen with these weights")
        return 0
    if not (args.images or args.textured):
        raise UsageError("choosing points needs images, or --textured with the training's folders: see --help")
    from codecs_wrappers.learned.resgdn.coding import Model
    from codecs_wrappers.learned.training import config
    from codecs_wrappers.learned.training.data import crops, holdout

    files = crops.image_files(args.images)[:: args.every] if args.images else []
    textured = holdout.split(crops.image_files(args.textured))[1] if args.textured else []
    read = [*crops.read_images(files), *holdout.crops(textured, config.Config.jpeg_downscale)]
    images = [check_image(image.permute(1, 2, 0).numpy()) for image in read]
    model = Model.load(args.entry, requested_device())
    points, allocated = choose(model, images, args.bits, args.shares), allocate(model, images, args.bits)
    facts = {
        "entry": args.entry,
        "weights": weights.sha256(args.entry),
        "images": len(files),
        "textured": len(textured),
        "digest": crops.digest([*files, *textured]),
    }
    write(points, allocated, facts, args.out)
    for point in (*points, *allocated):
        print("  ".join(f"{key} {value}" for key, value in point.items()))
    return 0
