"""The commands of `rdbench`.

`single` has the commands for one image and one codec, `author` those for writing a codec, `stages` those that make a
run's tables, `collecting` those that join them as its records, `results` those that use the records, and `gate` those
that compare them with a baseline. A command passes its result to :func:`show`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from bench.device import check_device
from bench.errors import UsageError
from bench.files import check_output, printable, refuse_input

if TYPE_CHECKING:
    import pandas as pd

Commands = Any  # what argparse's add_subparsers() returns; it has no public name
Argument = tuple[tuple[str, ...], dict[str, Any]]


def argument(*flags: str, **options: Any) -> Argument:
    """One argument of a command, as argparse's add_argument takes it."""
    return flags, options


def count(text: str) -> int:
    """An option's value as a whole number of at least 1; argparse reports any other with the option's name."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def threads(text: str) -> int:
    """An option's value as a number of threads, with 0 for "all"; argparse reports any other with the option's name."""
    if text == "all":
        return 0
    if count(text) > (most := os.cpu_count() or 1):
        raise argparse.ArgumentTypeError(f"expected at most {most}, the cores of this machine, got {text}")
    return count(text)


def seed(text: str) -> int:
    """An option's value as a whole number of at least 0; argparse reports any other with the option's name."""
    return 0 if text == "0" else count(text)


def decibels(text: str) -> float:
    """An option's value in dB, finite and at least 0; argparse reports any other with the option's name."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected dB of 0 or more, got {text!r}")


def duration(text: str) -> float:
    """An option's value in seconds above 0; argparse reports any other with the option's name."""
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
    """Adds a command ``name`` that runs ``call`` with its parsed arguments; its help ends with ``example``."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help.replace("%%", "%"),  # argparse formats help, but not description
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flags, options in arguments:
        command.add_argument(*flags, **options)
    command.set_defaults(call=call, command_name=name)
    return command


OUTPUTS = ("out", "log", "index", "junit", "summary")  # the arguments that are files to write


def check_outputs(args: argparse.Namespace) -> None:
    """Raises UsageError for an output that cannot be written, or that would replace what the command reads.

    That is a file among the other arguments, the records or a bitstream of a run named by its folder, or a picture in
    a folder that is the dataset.
    """
    given = vars(args)
    values = [value for name, value in given.items() if name not in OUTPUTS]
    paths = [path for value in values for path in (value if isinstance(value, list) else [value])]
    inputs = [path for path in paths if isinstance(path, Path) and path.is_file()]
    runs = [path for path in paths if isinstance(path, Path) and (path / "records.parquet").is_file()]
    if given.get("command_name") == "run":  # it makes the records
        runs = []
    inputs += [run / "records.parquet" for run in runs]
    for name in OUTPUTS:
        path = given.get(name)
        if not isinstance(path, Path):
            continue
        if name == "out":
            check_output(path, *inputs)
        elif path.exists():
            refuse_input(path, inputs)
        if path.is_file():
            kept = [run / "bitstreams" for run in runs]
            dataset = given.get("dataset")
            if isinstance(dataset, str) and dataset.startswith("folder:"):
                from bench.data.images import SUFFIXES

                kept += [Path(dataset.removeprefix("folder:"))] if path.suffix.lower() in SUFFIXES else []
            if any(path.resolve().is_relative_to(folder.resolve()) for folder in kept):
                raise UsageError(
                    f"writing {path}: this is a part of what is read, and would be lost; choose another name"
                )


def show(args: argparse.Namespace, rows: Iterable[Mapping[str, Any]], text: str = "", **about: Any) -> None:
    """Shows a command's result: ``text`` on standard output, or with --json the rows in the document `main` prints.

    about: facts that do not belong to a single row. docs/json.md describes the document.
    """
    text = printable(text)
    if args.json:
        args.result = {"rows": plain(list(rows)), "about": plain(about)}
    else:
        print(text, end="" if text.endswith("\n") or not text else "\n")


def table_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows for :func:`show`, with nulls as None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def plain(value: Any) -> Any:
    """``value`` as JSON allows it: paths as strings, NumPy numbers as Python's, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, PurePath | str):
        return printable(str(value))
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
