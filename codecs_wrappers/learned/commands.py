"""The command line of the learned codecs: `rdbench train`."""

from __future__ import annotations

import argparse
from typing import Any


def add_commands(subparsers: Any) -> None:
    """Add the family's commands to the command line's ``subparsers``; imports no torch."""
    from codecs_wrappers.learned.training import command

    train: argparse.ArgumentParser = subparsers.add_parser(
        "train", help="train a learned codec's network", description=command.DESCRIPTION
    )
    command.add_arguments(train)
    train.set_defaults(call=command.main)
