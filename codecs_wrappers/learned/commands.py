"""The command line of the learned codecs: `rdbench train`, `rdbench ship-weights`, `rdbench fetch-weights`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def _ship(args: argparse.Namespace) -> None:
    from codecs_wrappers.learned.training.ship import ship

    print(
        f"{ship(args.name, args.folder)}: committed weights, their entry, curve and queue are as trained; commit them"
    )


def _fetch(args: argparse.Namespace) -> None:
    from codecs_wrappers.learned import weights

    for name in args.names:
        print(weights.fetch(name))


def add_commands(subparsers: Any) -> None:
    """Add the family's commands to the command line's ``subparsers``; imports no torch."""
    from codecs_wrappers.learned.training import command

    train = subparsers.add_parser("train", help="train a learned codec's network", description=command.DESCRIPTION)
    command.add_arguments(train)
    train.set_defaults(call=command.main)

    text = "Put a finished training's weights, manifest entry, curve and steps where they are committed."
    ship = subparsers.add_parser(
        "ship-weights", help="make a training's result the committed weights", description=text
    )
    ship.add_argument("name", metavar="NAME", help="of the model")
    ship.add_argument("folder", nargs="?", type=Path, help="of the training (default: results/training/NAME)")
    ship.set_defaults(call=_ship)

    text = "Download published weights that the manifest knows into the cache; nothing else ever downloads weights."
    fetch = subparsers.add_parser("fetch-weights", help="download published weights", description=text)
    fetch.add_argument("names", nargs="+", metavar="NAME", help="of the weights manifest")
    fetch.set_defaults(call=_fetch)
