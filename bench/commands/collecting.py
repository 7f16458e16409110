"""Commands for the tables of a run: those of codecs that are left out, and all of them joined."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.commands import Commands, add_command, argument, show, table_rows
from bench.commands.stages import check_exists, manifest_of
from bench.errors import UsageError
from bench.progress import log_to


def _leave_out(args: argparse.Namespace) -> None:
    from bench import records
    from bench.run.job import Job, part_of

    log_to(args.log)
    reasons: dict[str, str] = {}
    for text in args.codecs:
        codec, _, reason = text.partition("=")
        if not codec or not reason:
            raise UsageError(f"leaving a codec out: expected CODEC=REASON, got {text!r}")
        if codec in reasons:
            raise UsageError(f"leaving a codec out: {codec} is named twice")
        check_exists(codec)
        reasons[codec] = reason
    for part in args.parts:
        part_of([], part)
    manifest = manifest_of(args)
    rows, text = [], ""
    for codec, reason in reasons.items():
        job = Job(codec, manifest, args.folder, args.folder / "leave-out.log", left_out=reason)
        table = records.table(job.rows())
        for part in args.parts:
            path = args.folder / codec / f"{part}.parquet"
            records.write(table, path)
            rows.append({"codec": codec, "reason": reason, "table": path})
        text += f"{codec}: {reason}\n"
    show(args, rows, text)


def _collect(args: argparse.Namespace) -> None:
    from bench import records
    from bench.files import to_json, write_atomically
    from bench.run.environment import environment

    log_to(args.log)
    frame = records.read(*args.parts)
    write_atomically(args.folder / "environment.json", to_json(environment()))
    records.write_csv(frame, args.folder / "records.csv")
    records.write(frame, args.folder / "records.parquet")
    counts = frame.groupby(["dataset", "codec", "status"]).size().rename("rows").reset_index()
    show(args, table_rows(counts), records=args.folder / "records.parquet")


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    manifest = argument("--manifest", type=Path, help="a dataset as written by `rdbench fetch --manifest`")
    dataset = argument("--dataset", default="sample", help="a name in datasets.yaml, or folder:PATH (%(default)s)")
    log = argument("--log", type=Path, help="a file for messages")
    add_command(
        commands,
        "leave-out",
        _leave_out,
        "Write tables like those of `run` for codecs that are not run: one row that gives the reason.",
        argument("codecs", nargs="+", metavar="CODEC=REASON"),
        manifest,
        dataset,
        argument("--folder", type=Path, required=True, help="of the tables, FOLDER/CODEC/PART.parquet"),
        argument("--parts", nargs="+", default=["1-of-1"], metavar="PART", help="their names (%(default)s)"),
        log,
        example='rdbench leave-out "vvc420=it takes hours" --dataset sample --folder parts',
    )
    add_command(
        commands,
        "collect",
        _collect,
        "Join tables written by `run` into the records of a run.",
        argument("parts", nargs="+", type=Path),
        argument("--folder", type=Path, required=True, help="the run's folder, results/<config>"),
        log,
        example="rdbench collect results/kodak/parts/kodak/*/*.parquet --folder results/kodak",
    )
