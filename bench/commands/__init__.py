"""What `rdbench` can be told to do.

`single` holds the commands for one image and one codec, `stages` those of a run up to its records, `results` those that
make something of the records, and `gate` those that hold them against a baseline.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Commands = Any  # what argparse's add_subparsers() returns; it has no public name
Argument = tuple[tuple[str, ...], dict[str, Any]]


def argument(*flags: str, **options: Any) -> Argument:
    """One argument of a command, as argparse's add_argument takes it."""
    return flags, options


DEVICE = argument(
    "--device",
    choices=("auto", "cpu", "cuda"),
    help="where networks run; RDBENCH_DEVICE if absent, else auto: a GPU if there is one",
)


def add_command(
    commands: Commands,
    name: str,
    call: Callable[[argparse.Namespace], None],
    help: str,
    *arguments: Argument,
    example: str,
) -> None:
    """A command called ``name`` that runs ``call`` with its parsed arguments; its help ends with ``example``."""
    command = commands.add_parser(
        name,
        help=help,
        description=help,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flags, options in arguments:
        command.add_argument(*flags, **options)
    command.set_defaults(call=call)
