"""`rdbench plonq-levels` and `rdbench plonq-orders`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(subparsers: Any) -> None:
    """`rdbench plonq-levels` and `rdbench plonq-orders`."""
    for name, help in (
        ("levels", "Compare families of PLONQ's nested levels: BD-rate and area between curves."),
        ("orders", "Compare the orders in which PLONQ refines: coding unit by criterion."),
    ):
        command: argparse.ArgumentParser = subparsers.add_parser(f"plonq-{name}", help=help, description=help)
        command.add_argument("--codec", default="plonq", help="whose weights to use (%(default)s)")
        command.add_argument("--dataset", default="sample", help="in datasets.yaml, or folder:PATH (%(default)s)")
        command.add_argument("--images", type=int, help="how many of the dataset; all if absent")
        command.add_argument("--crop", type=int, help="of each image only the middle, so many pixels square")
        command.add_argument("--bpp", type=float, nargs="+", help="rates to cut the bitstreams at")
        command.add_argument("--out", type=Path, help="a CSV file of all curves")
        if name == "levels":
            command.add_argument("--levels", nargs="+", metavar="LEVELS", help="instead: '4,7 2,3 1,1' and so on")
        else:
            command.add_argument("--slope", action="store_true", help="the slow criterion dD/dR too")
        command.set_defaults(call=_study, study=name)


def _study(args: argparse.Namespace) -> None:
    from codecs_wrappers.learned import plonq_study

    {"levels": plonq_study.compare_levels, "orders": plonq_study.compare_orders}[args.study](args)
