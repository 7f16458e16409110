"""What `rdbench` can be told to do.

`single` holds the commands for one image and one codec, `author` those for who writes a codec, `stages` those of a run
up to its records, `results` those that make something of the records, and `gate` those that hold them against a
baseline. A command that has a result gives it to :func:`show`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from bench.device import check_device
from bench.errors import UsageError
from bench.files import printable

if TYPE_CHECKING:
    import pandas as pd

Commands = Any  # what argparse's add_subparsers() returns; it has no public name
Argument = tuple[tuple[str, ...], dict[str, Any]]


def argument(*flags: str, **options: Any) -> Argument:
    """One argument of a command, as argparse's add_argument takes it."""
    return flags, options


def count(text: str) -> int:
    """The whole number of 1 or more that an option says; argparse refuses anything else with the option's name."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def duration(text: str) -> float:
    """The seconds above 0 that an option says; argparse refuses anything else with the option's name."""
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")


def device(text: str) -> str:
    """The name of a device; argparse reports a wrong one with the option's name."""
    try:
        return check_device(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


DEVICE = argument(
    "--device",
    type=device,
    metavar="DEVICE",
    help="where networks run: auto (a GPU if there is one), cpu, cuda or cuda:N (default: RDBENCH_DEVICE, else auto)",
)


def add_command(
    commands: Commands,
    name: str,
    call: Callable[[argparse.Namespace], Any],
    help: str,
    *arguments: Argument,
    example: str,
) -> argparse.ArgumentParser:
    """A command called ``name`` that runs ``call`` with its parsed arguments; its help ends with ``example``."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help.replace("%%", "%"),  # of which argparse formats the help alone
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flags, options in arguments:
        command.add_argument(*flags, **options)
    command.set_defaults(call=call)
    return command


def show(args: argparse.Namespace, rows: Iterable[Mapping[str, Any]], text: str = "", **about: Any) -> None:
    """A command's result: ``text`` on standard output, or with --json the rows in the one document that `main` prints.

    about: what belongs to no single row. docs/json.md describes the document.
    """
    text = printable(text)
    if args.json:
        args.result = {"rows": plain(list(rows)), "about": plain(about)}
    else:
        print(text, end="" if text.endswith("\n") or not text else "\n")


def table_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as :func:`show` takes them, nulls as None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: paths as text, NumPy's numbers as Python's, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, PurePath | str):
        return printable(str(value))
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
