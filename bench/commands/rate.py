"""The command that codes an image at a wanted rate or with a wanted quality."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

from bench.commands import DEVICE, Commands, add_command, argument, show
from bench.commands.single import check_decodes, facts_of
from bench.errors import RdbenchError, explain_errors
from bench.progress import say

TARGETS = (
    ("--bpp", "bpp", "bits per pixel of the whole file"),
    ("--psnr", "psnr_rgb_db", "dB of PSNR over all RGB samples, at least"),
    ("--ms-ssim", "ms_ssim", "MS-SSIM, 0 to 1, at least"),
    ("--ssimulacra2", "ssimulacra2", "SSIMULACRA 2, up to 100, at least"),
)


def _rate(args: argparse.Namespace) -> None:
    from bench.codec import check_image
    from bench.data.datasets import load_image
    from bench.discovery import load_available
    from bench.files import write_atomically
    from bench.metrics import psnr_rgb_db
    from bench.run.rate_control import encode_to_quality, encode_to_rate

    codec = load_available(args.codec)
    image = check_image(load_image(args.image))
    codec.prepare()
    start = time.perf_counter()
    column, value = args.target
    wanted = f"{value:g} bpp" if column == "bpp" else f"{column} {value:g}"
    with explain_errors(f"encoding {args.image} as {codec.name} at {wanted}", keep=RdbenchError):
        if column == "bpp":
            reached = encode_to_rate(codec, image, value, args.tolerance / 100)
        else:
            reached = encode_to_quality(codec, image, column, value, args.within)
        seconds = time.perf_counter() - start
        coded, decoded = reached.coded, check_decodes(codec, reached.coded.bitstream, image)
    psnr_db = psnr_rgb_db(image, decoded)
    if args.out:
        write_atomically(args.out, coded.bitstream)
    facts = {"codec": codec.name, "image": args.image, **facts_of(coded.point, coded.bitstream, image)}
    facts |= {"target": column, "target_value": value, "within": reached.within, "continuous": reached.continuous}
    facts |= {"psnr_rgb_db": psnr_db, "identical": math.isinf(psnr_db)}
    facts |= {} if column == "bpp" else {column: coded.quality}
    off = f" ({100 * (coded.bpp / value - 1):+.1f} %)" if column == "bpp" else ""
    what = f", {reached.target.shown(coded)}" if column not in ("bpp", "psnr_rgb_db") else ""
    show(
        args,
        [facts | {"bitstream": args.out, "evaluations": reached.evaluations, "seconds": seconds}],
        f"{coded.point.name}: {len(coded.bitstream)} bytes, {coded.bpp:.4f} bpp{off}, PSNR {psnr_db:.2f} dB{what}, "
        f"{reached.evaluations} bitstream{'s' * (reached.evaluations != 1)} in {seconds:.2f} s",
    )
    if not (reached.within or reached.continuous):
        nearest = "the nearest" if column == "bpp" else "the lowest that reaches the target, of those tried"
        say(f"{codec.name} has only discrete settings: {coded.point.name} is {nearest}")
    if column != "bpp" and not reached.within and reached.continuous:
        say(f"{codec.name} has no file of this image closer to the target; this is the nearest one above it")


def _target(column: str) -> Callable[[str], tuple[str, float]]:
    def number(text: str) -> tuple[str, float]:
        return column, float(text)

    return number


def add(commands: Commands) -> None:
    """Adds the command of this module."""
    command = add_command(
        commands,
        "rate",
        _rate,
        "Code one image at a target rate or quality, found by trying; a codec with steps gives the nearest one.",
        argument("codec", help="a name from `rdbench list`"),
        argument("image", type=Path),
        argument("--tolerance", type=float, default=2.0, metavar="PERCENT", help="of the rate (%(default)s)"),
        argument(
            "--within",
            type=float,
            metavar="D",
            help="how far above its target a quality may be: dB of PSNR (0.05), dB of -10 log10(1 - MS-SSIM) (0.05), "
            "points of SSIMULACRA 2 (0.25)",
        ),
        argument("--out", type=Path, help="a file for the bitstream"),
        DEVICE,
        example="rdbench rate naive_scaling photo.png --bpp 0.5 --out photo.rdl",
    )
    wanted = command.add_mutually_exclusive_group(required=True)
    for flag, column, help in TARGETS:
        wanted.add_argument(flag, dest="target", type=_target(column), metavar="X", help=help)
