"""`rdbench plonq-levels` and `rdbench plonq-orders`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from bench.commands import add_command, argument, count

AFFECTS_BITSTREAM = False  # no codec hash covers this code (bench/run/codec_state.py)


def add_commands(subparsers: Any) -> None:
    """Add both to the command line's ``subparsers``; imports no torch."""
    shared = (
        argument("--codec", default="plonq", help="whose weights to use (%(default)s)"),
        argument("--dataset", default="sample", help="in datasets.yaml, or folder:PATH (%(default)s)"),
        argument("--images", type=count, help="how many of the dataset's images (default: all)"),
        argument("--crop", type=count, help="only the middle of each image, CROP x CROP pixels"),
        argument("--bpp", type=float, nargs="+", help="rates at which the bitstreams are truncated"),
        argument("--out", type=Path, help="write all curves to this CSV file"),
        argument("--table", type=Path, help="write the comparison and the network's hash to this CSV file"),
    )
    add_command(
        subparsers,
        "plonq-levels",
        partial(_study, "compare_levels"),
        "Compare families of PLONQ's nested levels: BD-rate and area between curves.",
        *shared,
        argument("--levels", nargs="+", metavar="LEVELS", help="levels to compare instead, such as '4,7 2,3 1,1'"),
        example="rdbench plonq-levels --dataset folder:DATA/held_out --crop 256",
    )
    add_command(
        subparsers,
        "plonq-orders",
        partial(_study, "compare_orders"),
        "Compare PLONQ's refinement orders: each coding unit with each criterion.",
        *shared,
        argument("--slope", action="store_true", help="include the slow criterion dD/dR"),
        example="rdbench plonq-orders --images 2 --crop 256",
    )


def _study(name: str, args: argparse.Namespace) -> None:
    from codecs_wrappers.learned.plonq import variants

    getattr(variants, name)(args)
