"""The command line: `rdbench COMMAND --help`. Thin: it reads arguments, calls one function, writes one result.

Exit codes: 0, 2 for a user's mistake, 1 for a failure. Messages go to standard error, results to files or to standard
output. A wrapper family may add commands of its own with a module-level `add_commands(subparsers)`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from bench import __version__
from bench.commands import claims, gate, results, single, stages, studies
from bench.errors import RdbenchError, UsageError
from bench.progress import say

EXAMPLES = """examples:
  rdbench list                                   every codec: available here? which version? which points?
  rdbench fetch kodak                            download and verify a dataset
  rdbench encode webp photo.png photo.webp --set quality=60
  rdbench decode webp photo.webp out.png         from the bitstream alone
  rdbench run webp --dataset sample --out webp.parquet
  rdbench compare jpeg webp avif --dataset kodak BD-rates against JPEG
  rdbench new-codec mine                         a working wrapper to edit
  snakemake --cores                              everything, with the report
"""


def parser(families: bool) -> argparse.ArgumentParser:
    """All commands with their arguments; with ``families``, those that wrapper families add (which imports them)."""
    top = argparse.ArgumentParser(
        "rdbench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"rdbench {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    single.add(commands)
    stages.add(commands)
    results.add(commands)
    gate.add(commands)
    studies.add(commands)
    claims.add(commands)
    if families:
        from bench.codec import family_commands

        for add in family_commands():
            add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    own = parser(families=False)
    known = next(action.choices for action in own._actions if isinstance(action.choices, dict))
    try:
        args = (own if arguments[:1] and arguments[0] in known else parser(families=True)).parse_args(arguments)
        if getattr(args, "device", None):
            os.environ["RDBENCH_DEVICE"] = args.device  # for this process and its workers
        args.call(args)
    except UsageError as error:
        return _fail(error, 2)
    except RdbenchError as error:
        return _fail(error, 1)
    except BrokenPipeError:
        return 1
    return 0


def _fail(error: RdbenchError, code: int) -> int:
    logging.getLogger(__name__).info("failed: %s", error)
    say(f"rdbench: {error}")
    return code


if __name__ == "__main__":
    sys.exit(main())
