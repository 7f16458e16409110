"""`rdbench plonq-levels` and `rdbench plonq-orders`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from bench.commands import add_command, argument, count

AFFECTS_BITSTREAM = False  # so no codec hash covers this code (bench/run/codec_state.py)


def add_commands(subparsers: Any) -> None:
    """Add both to the command line's ``subparsers``; imports no torch."""
    shared = (
        argument("--codec", default="plonq", help="whose weights to use (%(default)s)"),
        argument("--dataset", default="sample", help="in datasets.yaml, or folder:PATH (%(default)s)"),
        argument("--images", type=count, help="how many of the dataset; all if absent"),
        argument("--crop", type=count, help="of each image only the middle, so many pixels square"),
        argument("--bpp", type=float, nargs="+", help="rates to cut the bitstreams at"),
        argument("--out", type=Path, help="a CSV file of all curves"),
    )
    add_command(
        subparsers,
        "plonq-levels",
        partial(_study, "compare_levels"),
        "Compare families of PLONQ's nested levels: BD-rate and area between curves.",
        *shared,
        argument("--levels", nargs="+", metavar="LEVELS", help="instead: '4,7 2,3 1,1' and so on"),
        example="rdbench plonq-levels --dataset folder:DATA/held_out --crop 256",
    )
    add_command(
        subparsers,
        "plonq-orders",
        partial(_study, "compare_orders"),
        "Compare the orders in which PLONQ refines: coding unit by criterion.",
        *shared,
        argument("--slope", action="store_true", help="the slow criterion dD/dR too"),
        example="rdbench plonq-orders --images 2 --crop 256",
    )


def _study(name: str, args: argparse.Namespace) -> None:
    from codecs_wrappers.learned.plonq import variants

    getattr(variants, name)(args)
