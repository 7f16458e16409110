"""The command that checks the papers' claims against a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.commands import Commands, add_command, argument, show
from bench.files import root_file


def _claims(args: argparse.Namespace) -> None:
    from bench import records
    from bench.claims import ledger, tables
    from bench.files import write_atomically
    from bench.progress import log_to

    log_to(args.log)
    result = ledger.judge_run(args.folder, args.spec)
    if args.write:
        write_atomically(args.folder / "claims.json", tables.to_json(result))
        records.write_csv(tables.as_table(result), args.folder / "claims.csv")
    text = "" if args.write else tables.as_text(result)
    show(args, result.pop("claims"), text, **result)


def add(commands: Commands) -> None:
    """Add the command to ``commands``."""
    add_command(
        commands,
        "claims",
        _claims,
        "Check every claim of the three papers against a run's records and studies.",
        argument("--folder", type=Path, required=True, help="the run's folder, results/<config>"),
        argument("--spec", type=Path, default=root_file("claims.yaml"), help="the claims (default: claims.yaml)"),
        argument("--write", action="store_true", help="write claims.json and claims.csv into the run's folder instead"),
        argument("--log", type=Path, help="a file for messages"),
        example="rdbench claims --folder results/sample",
    )
