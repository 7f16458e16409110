"""The command line of the trainer, for ``python -m codecs_wrappers.learned.training`` and ``rdbench train``."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import re
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from codecs_wrappers.learned.training import config, process

OVERRIDES = {  # keys of a configuration with an option of their own
    "steps": int,
    "batch": int,
    "crop": int,
    "lr": float,
    "seed": int,
    "precision": str,
    "hyperprior_steps": int,
    "lr_last": float,
    "decay_from": float,
    "warm_up_steps": int,
    "validation_images": int,
    "validate_every": int,
    "judge_minutes": float,
    "log_every": int,
}
DESCRIPTION = "Train a learned codec's network; without a budget it never ends, and the same command resumes it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trainer's arguments on ``parser``."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help=f"{', '.join(config.names())}, a yaml file, or next (always the model furthest behind in queue.yaml)",
    )
    parser.add_argument("--data", nargs="+", metavar="FOLDER", help="folders of training images")
    parser.add_argument("--validation", nargs="+", metavar="FOLDER", help="images to validate on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--minutes", type=float, help="budget in wall-clock time over all calls, instead of steps")
    parser.add_argument("--pause-after", type=float, metavar="MINUTES", help="save and exit after so many minutes")
    parser.add_argument(
        "--branch",
        metavar="MINUTES|STEPSsteps",
        help="decay a copy of the trunk NAME in so many minutes (20) or steps (1500steps), and export it",
    )
    parser.add_argument("--rate-weight", type=float, help="of the model to branch to (default: the trunk's own)")
    parser.add_argument("--idle", action="store_true", help="run in the background at the lowest priority")
    parser.add_argument("--status", action="store_true", help="show the state of all trainings, and draw their curves")
    parser.add_argument(
        "--out", help="folder of the results (default: results/training/NAME; with next, of all models)"
    )
    parser.add_argument("--fresh", action="store_true", help="start over even if there is a checkpoint")
    parser.add_argument("--start-from", nargs="+", metavar="SOURCE", help="linear, default, model:NAME or file:PATH")
    parser.add_argument("--threads", type=int, help="of the CPU (default: torch's)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the value of any key"
    )
    for key, kind in OVERRIDES.items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=kind, help=f"overrides the configuration's {key}")


def setting(text: str) -> tuple[str, Any]:
    """(key, value) of ``KEY=VALUE``, the value as in yaml. Raises UsageError for a text without a key."""
    import yaml

    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--set: expected KEY=VALUE, got {text!r}")
    with contextlib.suppress(ValueError):
        if "e" in value.lower():  # yaml reads 1e-4 as text
            return key, float(value)
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {key}: expected a value as in yaml, got {value!r}") from error


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """The configuration keys that the parsed ``args`` change, with their values.

    Raises UsageError for another key, and for one that is given twice.
    """
    from codecs_wrappers.learned.training import branch, trainer

    options = {key: value for key in OVERRIDES if (value := getattr(args, key)) is not None}
    options |= dict(map(setting, args.set))
    own = {name for call in (trainer.train, branch.train_branch) for name in inspect.signature(call).parameters}
    for key in sorted(own - {"steps", "rate_weight"} & set(options)):
        raise UsageError(f"--set {key}: not a key of a configuration; see --help for the command's options")
    if args.branch:
        twice: list[str] = [key for key in ("steps", "rate_weight") if key in options]
        twice += ["minutes"] if args.minutes is not None else []
        if twice:
            raise UsageError(
                "--branch gives a branch's budget and --rate-weight its rate weight: leave out the "
                f"other {' and '.join(twice)}"
            )
    return options


def branch_budget(text: str) -> dict[str, float | int]:
    """{"minutes": 20.0} of "20", {"steps": 1500} of "1500steps". Raises UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(m|min|minutes|steps)?", text.strip())
    if not found or float(found[1]) <= 0 or (found[2] == "steps" and "." in found[1]):
        raise UsageError(f"--branch: expected minutes (20) or steps (1500steps), got {text!r}")
    return {"steps": int(found[1])} if found[2] == "steps" else {"minutes": float(found[1])}


def main(args: argparse.Namespace) -> int:
    """Train as the parsed ``args`` say; returns the exit code. Raises RdbenchError for expected failures."""
    root = Path("results/training")
    if args.status:
        return _status(args, Path(args.out) if args.out else root)
    missing = [name for name in ("name", "data", "validation") if not getattr(args, name)]
    if missing:
        words = {"name": "a NAME", "data": "--data", "validation": "--validation"}
        raise UsageError(f"rdbench train needs {' and '.join(words[name] for name in missing)}: see --help")
    if args.rate_weight is not None and not args.branch:
        raise UsageError("--rate-weight is a branch's rate weight: add --branch, or use --set rate_weight=VALUE")
    if args.idle:
        process.yield_the_cpu()
    import torch

    from codecs_wrappers.learned.training import branch, queue, trainer

    if args.threads is not None:
        if args.threads < 1:
            raise UsageError(f"--threads: expected 1 or more, got {args.threads}")
        torch.set_num_threads(args.threads)
    options: dict[str, Any] = options_of(args) | {"device": args.device, "compare": True}
    if args.start_from:
        options["start_from"] = tuple(args.start_from)
    folders = (args.data, args.validation)
    if args.name == "next":
        if args.branch or args.fresh or args.minutes is not None:
            raise UsageError("next continues with the queue: it takes neither --branch nor --fresh nor --minutes")
        outcome = queue.train_on(*folders, Path(args.out) if args.out else root, args.pause_after, **options)
    elif args.branch:
        options |= {**branch_budget(args.branch), "rate_weight": args.rate_weight, "resume": not args.fresh}
        outcome = branch.train_branch(args.name, *folders, out=args.out, pause_after=args.pause_after, **options)
    else:
        options |= {"minutes": args.minutes, "resume": not args.fresh}
        outcome = trainer.train(args.name, *folders, out=args.out, pause_after=args.pause_after, **options)
    print(f"{outcome.status} at step {outcome.step}: {outcome.start} at the start, {outcome.best} best")
    if outcome.weights:
        print(f"{outcome.weights}: copy it into the repository with rdbench ship-weights NAME")
    return 0


def _status(args: argparse.Namespace, trained: Path) -> int:
    from rich.console import Console
    from rich.table import Table

    from codecs_wrappers.learned.training import status

    rows = status.rows(trained)
    curves = status.draw(trained, trained / "status.svg")
    if getattr(args, "json", False):
        args.result = {"rows": rows, "about": {"curves": str(curves)}}  # as bench.commands.show leaves it
        return 0
    table = Table(title=f"trainings in {trained}")
    for column in status.COLUMNS:
        table.add_column(column, no_wrap=column != "model" and not column.startswith("J "), overflow="fold")
    for row in rows:
        table.add_row(*(row[column] for column in status.COLUMNS))
    Console().print(table)
    print(f"curves: {curves}")
    return 0
