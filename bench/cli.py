"""The command line, `rdbench COMMAND`: it parses the arguments, calls one function and prints one result.

A wrapper family can add commands of its own with a module-level `add_commands(subparsers)`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from bench import __version__
from bench.commands import (
    author,
    blind,
    check_outputs,
    claims,
    collecting,
    equal_rates,
    exchange,
    gate,
    history,
    rate,
    results,
    single,
    stages,
    studies,
)
from bench.errors import RdbenchError, UsageError
from bench.files import NOT_WRITABLE, printable
from bench.progress import say

DESCRIPTION = """Benchmark and reproduction harness for variable-rate image compression.

Exit codes: 0 for success, 1 for a failure, 2 for a mistake in the command, 128 + n after signal n (130: Ctrl-C).
Messages go to standard error, results to files or to standard output. With --json, standard output is always one
JSON document.
"""
EXAMPLES = """examples:
  rdbench list                                   every codec: availability, version, operating points
  rdbench fetch kodak                            download and verify a dataset
  rdbench encode webp photo.png photo.webp --set quality=60
  rdbench decode webp photo.webp out.png         from the bitstream alone
  rdbench run webp --dataset sample --out webp.parquet
  rdbench compare jpeg webp avif --dataset kodak BD-rates against JPEG
  rdbench try avif photo.png --against jpeg,webp one image at every operating point, compared with others
  rdbench new-codec mine                         a working wrapper to edit
  snakemake --cores all                          everything, with the report
"""


def parser(families: bool) -> argparse.ArgumentParser:
    """All commands with their arguments; with ``families``, those that wrapper families add (which imports them)."""
    top = argparse.ArgumentParser(
        "rdbench", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"rdbench {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    single.add(commands)
    rate.add(commands)
    author.add(commands)
    stages.add(commands)
    collecting.add(commands)
    equal_rates.add(commands)
    results.add(commands)
    exchange.add(commands)
    gate.add(commands)
    history.add(commands)
    studies.add(commands)
    blind.add(commands)
    claims.add(commands)
    if families:
        from bench.discovery import family_commands

        for add in family_commands():
            add(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="one JSON document on standard output (docs/json.md)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for completions
        from bench.commands.completion import complete

        complete(parser)
    for stream in (sys.stdout, sys.stderr):  # file names may hold bytes that are not UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    own = parser(families=False)
    known = next(action.choices for action in own._actions if isinstance(action.choices, dict))
    try:
        args = (own if arguments[:1] and arguments[0] in known else parser(families=True)).parse_args(arguments)
    except UsageError as error:  # from a wrapper that adds commands
        say(f"rdbench: {error}")
        return 2
    if getattr(args, "device", None):
        os.environ["RDBENCH_DEVICE"] = args.device  # for this process and its workers
    with _stopped_by_signals():
        return _as_document(arguments[0], args) if args.json else _call(args)[0]


RESUMING = {"fetch", "fetch-weights", "run", "match", "train"}  # commands that keep their finished pieces


class _Stopped(BaseException):
    """A signal asked the program to stop. No `except Exception` catches it, so workers and folders are cleaned up."""

    def __init__(self, number: int):
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, unless the caller had them ignored (nohup)."""
    before: dict[signal.Signals, Any] = {}

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # do not interrupt the clean-up
        raise _Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _call(args: argparse.Namespace) -> tuple[int, str]:
    """Runs the command; returns its exit code and the error message, empty if there is none."""
    try:
        check_outputs(args)
        args.call(args)
    except RdbenchError as error:
        logging.getLogger(__name__).info("failed: %s", error)
        say(f"rdbench: {error}")
        return 2 if isinstance(error, UsageError) else 1, str(error)
    except BrokenPipeError:
        return 1, "the program reading the output has closed it"
    except (KeyboardInterrupt, _Stopped) as stopped:
        number = stopped.number if isinstance(stopped, _Stopped) else signal.SIGINT
        reason = f"stopped by {signal.Signals(number).name}"
        if getattr(args, "command_name", "") in RESUMING:
            reason += "; finished work is kept, and the same command resumes there"
        say(f"rdbench: {reason}")
        return 128 + number, reason
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{printable(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
        logging.getLogger(__name__).info("failed", exc_info=True)
        say(f"rdbench: {where}{error.strerror}")
        return 2 if error.errno in NOT_WRITABLE else 1, f"{where}{error.strerror}"
    return 0, ""


def _as_document(command: str, args: argparse.Namespace) -> int:
    """Runs the command and prints one JSON document; a command that only prints text gives one row per line."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:  # a codec's library may print too
        try:
            code, error = _call(args)
        except Exception as fault:  # a bug gives a document too; its traceback still goes to standard error
            traceback.print_exc()
            code, error = 1, f"{type(fault).__name__}: {fault}"
    lines = printed.getvalue().splitlines()
    result: dict[str, Any] = getattr(args, "result", {"rows": [{"text": line} for line in lines], "about": {}})
    head = {"command": command, "rdbench": __version__, "exit_code": code, "error": error}
    try:
        print(json.dumps(head | result, indent=1, ensure_ascii=False, allow_nan=False), flush=True)
    except BrokenPipeError:  # the program reading the output has closed it, and Python would write it once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or 1
    return code


if __name__ == "__main__":
    sys.exit(main())
