"""Commands of the gate's memory."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.commands import Commands, add_command, argument, show
from bench.errors import UsageError

HISTORY = Path("results", "history.jsonl")


def _history(args: argparse.Namespace) -> None:
    from bench.gate import history

    if args.action == "add":
        _add(args)
        return
    entries = history.read(args.history)
    if not entries:
        raise UsageError(f"{args.history} has no entries yet; after a run: rdbench history add --folder results/gate")
    if args.action == "page":
        from bench.files import check_output
        from bench.report.history import build_history

        out = args.out or args.history.with_suffix(".html")
        check_output(out, args.history)
        page = build_history(entries, out)
        show(args, [{"page": page.resolve()}], str(page.resolve()))
        return
    found = history.regressions(entries)
    rows = [mark | {"series": " ".join(mark["series"])} for mark in found]
    names = {"bd_rate_percent": "BD-rate [%]", "median_s": "median [s]"}
    names |= {f"{side}_s_per_mpixel": f"{side} [s/MP]" for side in ("encode", "decode")}
    head = f"{'commit':14} {'what got worse':40} {'measure':16} before -> now\n"
    lines = [
        f"{r['commit']:14} {r['series']:40} {names[r['what']]:16} {r['before']:.4g} -> "
        f"{'none' if r['now'] is None else format(r['now'], '.4g')}\n"
        for r in rows
    ]
    commits = len({entry["commit"] for entry in entries})
    nothing = f"nothing got worse over {commits} commits\n" if commits > 1 else "one commit: nothing to compare yet\n"
    show(args, rows, head + "".join(lines) if rows else nothing, entries=len(entries), history=args.history)


def _add(args: argparse.Namespace) -> None:
    from bench import records
    from bench.gate import history

    if not args.folder and not args.benchmarks:
        raise UsageError("history add: expected a run's --folder, a --benchmarks file, or both")
    frame = records.read_run(args.folder) if args.folder else None
    about = {"commit": args.commit, "date": None} if args.commit else history.commit_of()
    entries = history.of_benchmarks(args.benchmarks, about) if args.benchmarks else []
    if frame is not None:
        entries += history.of_run(args.folder, frame, args.anchor, about)
    count = history.add(args.history, entries)
    text = f"{args.history}: {len(entries)} entries of {about['commit']}, {count} in all\n"
    show(args, entries, text, history=args.history)


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    add_command(
        commands,
        "history",
        _history,
        "Keep what each commit gave (add), list what got worse (show), draw it (page). docs/gate.md.",
        argument("action", choices=["add", "show", "page"]),
        argument("--history", type=Path, default=HISTORY, metavar="FILE", help="the entries (%(default)s)"),
        argument("--folder", type=Path, help="add: a run's folder, results/<config>"),
        argument("--benchmarks", type=Path, metavar="FILE", help="add: what pytest --benchmark-json wrote"),
        argument("--anchor", default="jpeg", metavar="CODEC", help="add: of the BD-rates (%(default)s)"),
        argument("--commit", metavar="NAME", help="add: in place of git's"),
        argument("--out", type=Path, metavar="FILE", help="page: (default: next to the entries, as HTML)"),
        example="rdbench history add --folder results/gate",
    )
