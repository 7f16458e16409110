"""The regression gate: compares a run with its baseline, and updates the baseline."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import Commands, add_command, argument, count, show
from bench.errors import RdbenchError
from bench.progress import say

if TYPE_CHECKING:
    import pandas as pd

    from bench.gate.worst import Worst

BASELINES = Path("results", "baselines")


def _gate(args: argparse.Namespace) -> None:
    from bench import records
    from bench.files import write_atomically
    from bench.gate import baseline, judge, render, worst

    limits, path = judge.limits(args.fail), _path(args)
    frame = records.read_run(args.folder)
    stored = baseline.read(path)
    found = judge.judge(frame, stored, limits, args.codecs, args.folder)
    lost = worst.worst_images(found, frame, stored, args.worst or worst.COUNT)
    crops = _crops(lost, frame, args) if args.worst else {}
    text = render.as_text(found) + ("" if args.rows else worst.as_text(lost))
    if args.rows:
        for verdict in found:
            key = verdict.dataset, verdict.codec
            now = frame[(frame.dataset == key[0]) & (frame.codec == key[1])]
            if verdict.verdict != "same" and key in stored.origins:
                text += f"\n{verdict.codec} on {verdict.dataset}\n"
                text += render.rows_as_text(judge.differences(now, stored.of(key)))
    rows = [{**asdict(verdict), "breached": verdict.breached} for verdict in found]
    for row in rows:
        row["worst_images"] = lost[key].to_dict("records") if (key := (row["dataset"], row["codec"])) in lost else []
    show(args, rows, text, headline=render.headline(found), baseline=path, folder=args.folder)
    if args.junit:
        write_atomically(args.junit, render.as_junit(found, args.folder, path))
    if args.summary:
        text = render.as_markdown(found, args.folder, path, lost, crops)
        with open(args.summary, "a", encoding="utf-8") as file:  # append, as other steps write to it too
            file.write(text)
    failed = [verdict.codec for verdict in found if verdict.verdict == "failed"]
    for command, what in render.advice(found, args.folder, path):
        say(f"  {command}\n      {what}")
    if failed:
        raise RdbenchError(f"gate: {len(failed)} of {len(found)} failed: {', '.join(failed)}")
    say(f"gate: {render.headline(found)}")


def _crops(lost: Worst, frame: pd.DataFrame, args: argparse.Namespace) -> dict[tuple[str, str, str], str]:
    """The crops' addresses: relative to the summary, if there is one in a file of its own."""
    from bench.gate.crops import write_crops

    made = write_crops(lost, frame, args.folder)
    for path in made.values():
        say(f"gate: {path}")
    root = args.summary.resolve().parent if args.summary else Path.cwd()
    return {key: Path(os.path.relpath(path.resolve(), root)).as_posix() for key, path in made.items()}


def _baseline(args: argparse.Namespace) -> None:
    from bench import records
    from bench.gate import baseline

    path = _path(args)
    if args.action == "show":
        origins = sorted(baseline.read(path).origins.items())
        lines = [f"{key[1]:20} {key[0]:10} {it.codec_version}\n{'':32}because: {it.reason}\n" for key, it in origins]
        rows = [{"dataset": key[0], "codec": key[1], **asdict(origin)} for key, origin in origins]
        show(args, rows, "".join(lines), baseline=path)
        return
    frame = records.read_run(args.folder)
    done = baseline.update(frame, path, args.reason or "", args.codecs, inexact=args.inexact, remove=args.remove)
    lines = [f"{what:10} {codec:20} {dataset}\n" for (dataset, codec), what in done.items()]
    rows = [{"dataset": dataset, "codec": codec, "action": what} for (dataset, codec), what in done.items()]
    show(args, rows, "".join(lines), baseline=path)
    say(f"baseline: {path} and {path.with_suffix('.json').name}; commit both")


def _path(args: argparse.Namespace) -> Path:
    return args.baseline or BASELINES / f"{args.folder.resolve().name}.csv"


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    folder = argument(
        "--folder", type=Path, default=Path("results/sample"), help="the run's folder, results/<config> (%(default)s)"
    )
    path = argument("--baseline", type=Path, metavar="FILE", help="(default: results/baselines/<config>.csv)")
    codecs = argument("--codecs", nargs="+", default=[], metavar="CODEC", help="these only (default: all)")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    add_command(
        commands,
        "gate",
        _gate,
        "Compare a run with its baseline; exit code 1 if a codec got worse. docs/gate.md explains the verdicts.",
        folder,
        path,
        codecs,
        argument(
            "--fail",
            nargs="+",
            default=[],
            metavar="LIMIT",
            help="limits other than bd:0.5%% bpp:1%% psnr:0.05dB bits:on new:off; LAYER:off turns one off",
        ),
        argument(
            "--worst", type=count, metavar="N", help="crops of the N images that lost most, as pictures in DIR/worst"
        ),
        argument("--rows", action="store_true", help="print each bitstream that differs, its bytes and PSNR"),
        argument("--junit", type=Path, metavar="FILE", help="write JUnit XML"),
        argument(
            "--summary", type=Path, default=summary, metavar="FILE", help="append Markdown ($GITHUB_STEP_SUMMARY)"
        ),
        example="rdbench gate --folder results/sample --fail bd:0.5%",
    )
    add_command(
        commands,
        "baseline",
        _baseline,
        "Make a run the baseline of the gate, or show the baseline.",
        argument("action", nargs="?", choices=("update", "show"), default="update", help="(%(default)s)"),
        folder,
        path,
        codecs,
        argument("--reason", help="what changed, and why that is right; required by update"),
        argument(
            "--inexact",
            nargs="+",
            default=[],
            metavar="CODEC",
            help="codecs whose bits depend on the machine: compare within tolerances instead of by hash",
        ),
        argument("--remove", nargs="+", default=[], metavar="CODEC", help="remove these from the baseline"),
        example="rdbench baseline update --folder results/sample --reason 'libwebp 1.6'",
    )
