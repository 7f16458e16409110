"""Commands of the blind test: its page, and the scale from its answers."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bench.commands import Commands, add_command, argument, count, seed, show, table_rows
from bench.progress import Progress, log_to, say

SAID = 5  # the rows left out that are said one by one


def _page(args: argparse.Namespace) -> None:
    from bench.blind.page import Wanted, key_path, make_page

    log_to(args.log)
    wanted = Wanted(
        args.folder,
        tuple(args.codecs),
        tuple(args.rates),
        args.questions,
        dataset=args.dataset,
        images=tuple(args.images),
        crop=tuple(args.crop),
        seed=args.seed,
        traps=not args.no_traps,
    )
    key, notes = make_page(wanted, args.page, args.log or Path(os.devnull), Progress("blind test", args.log))
    for note in notes:
        say(f"study-page: {note}")
    kinds = [question["kind"] for question in key["questions"]]
    page, beside = (args.page / "index.html").resolve(), key_path(args.page.resolve())
    row = {"page": page, "key": beside, "study": key["study"], "questions": len(kinds)}
    row |= {"traps": kinds.count("trap"), "repeats": kinds.count("repeat"), "pictures": len(key["conditions"])}
    text = f"{page}: {len(kinds)} questions, of them {row['traps']} traps and {row['repeats']} repeats\n"
    show(args, [row], f"{text}{beside}: the key; do not give it away with the page\n", notes=notes)


def _scale(args: argparse.Namespace) -> None:
    from bench import records
    from bench.blind.answers import read_answers, read_key, screen
    from bench.blind.table import scale_table
    from bench.errors import UsageError

    key = read_key(args.key)
    read = read_answers(args.answers, key)
    for fault in read.faults[:SAID]:
        say(f"study-scale: {fault}")
    if len(read.faults) > SAID:
        say(f"study-scale: {len(read.faults) - SAID} more rows left out")
    table = read.table
    modes = table["mode"].value_counts().to_dict()
    if args.mode:
        table = table[table["mode"] == args.mode]
        if table.empty:
            raise UsageError(f"study-scale: no answer was given in the mode {args.mode!r}; there are {modes}")
    elif len(modes) > 1:
        say(f"study-scale: answers of two ways of looking are mixed: {modes}; --mode takes one of them")
    people = screen(table, any(question["kind"] == "trap" for question in key["questions"]), args.least)
    for row in people[people.reason != ""].itertuples():
        say(f"study-scale: participant {row.participant!r} is left out: {row.reason}")
    kept = people[people.reason == ""]
    if kept.empty:
        raise UsageError(
            f"study-scale: of {len(people)} participants none is left; collect more answers, or lower --least-traps"
        )
    folder = args.folder or Path(key["folder"])
    if args.folder is None and not (folder / "records.parquet").is_file():
        say(f"study-scale: {folder} has no records any more, so the table has no metrics; name the run with --folder")
        folder = None
    found = scale_table(table[table.participant.isin(kept.participant)], key, folder, args.draws)
    records.write_csv(found, args.out)
    text = f"{args.out}: {len(found)} rows from {len(kept)} of {len(people)} participants\n"
    for row in found[found.scope == "all"].itertuples():
        known = f"[{row.jnd_low:.2f}, {row.jnd_high:.2f}]" if row.jnd_low == row.jnd_low else "no interval"
        text += f"  {row.codec} at {row.wanted_bpp:g} bpp: {row.jnd:.2f} JND {known}, {row.answers} answers\n"
    about = {"out": args.out, "study": key["study"], "modes": modes, "left_out_rows": read.faults}
    show(args, table_rows(found), text, **about, participants=table_rows(people))


def _share(text: str) -> float:
    """An option's value from 0 to 1; argparse reports any other with the option's name."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got {text!r}")
    return value


def _rate(text: str) -> float:
    """An option's value in bits per pixel; argparse reports any other with the option's name."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected bits per pixel above 0, got {text!r}")
    return value


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    log = argument("--log", type=Path, help="a file for messages")
    add_command(
        commands,
        "study-page",
        _page,
        "Make the static page of a blind test from a run's bitstreams. docs/blind-test.md.",
        argument("--folder", type=Path, required=True, help="the run's folder, results/<config>"),
        argument("--codecs", nargs="+", required=True, metavar="CODEC"),
        argument(
            "--rates", nargs="+", type=_rate, required=True, metavar="BPP", help="the nearest bitstreams are taken"
        ),
        argument("--questions", type=count, required=True, metavar="N", help="traps and repeats counted"),
        argument(
            "--out", dest="page", type=Path, required=True, help="the page's folder; its key is written next to it"
        ),
        argument("--dataset", default="", help="of the run, if it has several"),
        argument("--images", nargs="+", default=[], metavar="IMAGE", help="(default: all of the dataset)"),
        argument(
            "--crop",
            nargs=2,
            type=count,
            default=[620, 800],
            metavar=("WIDTH", "HEIGHT"),
            help="the middle of an image that is larger (default: 620 800)",
        ),
        argument("--seed", type=seed, default=0, help="of the choice and order of questions (%(default)s)"),
        argument("--no-traps", action="store_true", help="without questions whose answer is known"),
        log,
        example="rdbench study-page --folder results/sample --codecs jpeg webp --rates 0.5 --questions 40 --out page",
    )
    add_command(
        commands,
        "study-scale",
        _scale,
        "Turn a blind test's answers into a scale in JND with 95 %% intervals, joined to the run's records.",
        argument("answers", nargs="+", type=Path, metavar="ANSWERS.csv", help="what the page's participants sent"),
        argument("--key", type=Path, required=True, help="the .key.json that study-page wrote"),
        argument("--out", type=Path, required=True, help="the CSV file to write"),
        argument("--folder", type=Path, help="the run's folder (default: the one in the key)"),
        argument("--mode", choices=("flicker", "by hand"), help="only answers given this way (default: all)"),
        argument(
            "--least-traps",
            dest="least",
            type=_share,
            default=0.75,
            metavar="SHARE",
            help="of the traps that a participant must get right (%(default)s)",
        ),
        argument("--draws", type=count, default=1000, help="of the bootstrap (%(default)s)"),
        example="rdbench study-scale answers-*.csv --key page.key.json --out jnd.csv",
    )
