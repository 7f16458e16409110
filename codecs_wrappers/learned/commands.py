"""The command line of the learned codecs: `rdbench train`, `rdbench ship-weights`, `rdbench fetch-weights`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.commands import add_command, argument

AFFECTS_BITSTREAM = False  # so no codec hash covers this code (bench/run/codec_state.py)


def _ship(args: argparse.Namespace) -> None:
    from codecs_wrappers.learned.training.ship import ship

    print(f"{ship(args.name, args.folder)}: weights, manifest entry and curve are in place; commit them")


def _fetch(args: argparse.Namespace) -> None:
    from bench.metrics import network_weights
    from codecs_wrappers.learned import weights

    for name in args.names:
        for path in network_weights.fetch(name) if name in network_weights.FETCHED else [weights.fetch(name)]:
            print(path)


def add_commands(subparsers: Any) -> None:
    """Add the family's commands to the command line's ``subparsers``; imports no torch."""
    from codecs_wrappers.learned.training import command

    data = "--data DATA/train --validation DATA/held_out"
    example = f"rdbench train mean_scale_0.0154 {data}"
    command.add_arguments(add_command(subparsers, "train", command.main, command.DESCRIPTION, example=example))
    add_command(
        subparsers,
        "ship-weights",
        _ship,
        "Copy a finished training's weights, manifest entry and curve into the repository.",
        argument("name", metavar="NAME", help="of the model"),
        argument("folder", nargs="?", type=Path, help="of the training (default: results/training/NAME)"),
        example="rdbench ship-weights mean_scale_0.0154",
    )
    add_command(
        subparsers,
        "fetch-weights",
        _fetch,
        "Download published weights that the manifest knows into the cache; nothing else ever downloads weights.",
        argument("names", nargs="+", metavar="NAME", help="of the weights manifest, or of a metric: lpips, dists"),
        example="rdbench fetch-weights mbt2018_mean_1",
    )
