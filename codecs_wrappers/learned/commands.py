"""The command line of the learned codecs: `rdbench train`, `rdbench ship-weights`, `rdbench fetch-weights`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.commands import add_command, argument
from bench.errors import UsageError

AFFECTS_BITSTREAM = False  # so no codec hash covers this code (bench/run/codec_state.py)


def _ship(args: argparse.Namespace) -> None:
    from codecs_wrappers.learned.training import ship

    if args.name and args.finished:
        raise UsageError("ship-weights takes the NAME of a model or --finished, not both")
    if args.finished:
        for name, line in ship.ship_finished(args.folder or Path("results/training")):
            print(f"{name}: {line}")
        return
    if not args.name:
        raise UsageError("ship-weights needs the NAME of a model, or --finished: see --help")
    if args.average:
        from codecs_wrappers.learned.training import average

        print("{}, {}: commit both".format(*average.commit(args.name, args.folder, measure=args.measure)))
        return
    print(f"{ship.ship(args.name, args.folder)}: weights, manifest entry and curve are in place; commit them")


def _derive(args: argparse.Namespace) -> None:
    from codecs_wrappers.learned.training import derived

    if args.dry_run:
        for name in derived.names():
            if reason := derived.outdated(name):
                print(f"{name}: {reason}")
        return
    if not (args.data and args.validation):
        if stale := [name for name in derived.names() if derived.outdated(name)]:
            raise UsageError(f"{', '.join(stale)} have to be trained again: give --data and --validation; see --help")
        return
    print(f"trained again: {', '.join(derived.derive(args.data, args.validation)) or 'none, all fit their networks'}")


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
        argument("name", metavar="NAME", nargs="?", help="of the model"),
        argument("folder", nargs="?", type=Path, help="of the training (default: results/training/NAME)"),
        argument("--average", action="store_true", help="a trunk's best average, to continue it elsewhere"),
        argument("--measure", type=Path, metavar="FOLDER", help="with --average: its loss on these test images, too"),
        argument("--finished", action="store_true", help="every finished training that is better than what is shipped"),
        example="rdbench ship-weights mean_scale_0.0154",
    )
    add_command(
        subparsers,
        "derive-weights",
        _derive,
        "Train again and ship what is derived from a network (STanH's quantizers, QSF's factors) where the network has "
        "changed.",
        argument("--data", nargs="+", metavar="FOLDER", help="folders of training images"),
        argument("--validation", nargs="+", metavar="FOLDER", help="images to validate on"),
        argument("--dry-run", action="store_true", help="only list what is out of date, and why"),
        example=f"rdbench derive-weights {data}",
    )
    add_command(
        subparsers,
        "fetch-weights",
        _fetch,
        "Download published weights that the manifest knows into the cache; nothing else ever downloads weights.",
        argument("names", nargs="+", metavar="NAME", help="of the weights manifest, or of a metric: lpips, dists"),
        example="rdbench fetch-weights mbt2018_mean_1",
    )
