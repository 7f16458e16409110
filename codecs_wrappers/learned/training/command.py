"""The command line of the trainer, for ``python -m codecs_wrappers.learned.training`` and ``rdbench train``."""

from __future__ import annotations

import argparse
from typing import Any

from bench.errors import UsageError
from codecs_wrappers.learned.training import config

OVERRIDES = {"steps": int, "batch": int, "crop": int, "lr": float, "seed": int, "precision": str}
OVERRIDES |= {"hyperprior_steps": int, "validate_every": int, "validation_images": int}
OVERRIDES |= {"hyperprior_crop": int, "hyperprior_batch": int, "hyperprior_lr": float, "quantisation": str}
OVERRIDES |= {"steep_lr": float, "lr_last": float, "decay_from": float, "warm_up_steps": int}
OVERRIDES |= {"ema_decay": float, "log_every": int}
DESCRIPTION = "Train a learned codec's network and export the best average of its weights."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trainer's arguments on ``parser``."""
    parser.add_argument(
        "name", metavar="NAME", help=f"{', '.join(config.names())}, a yaml file, or next (of queue.yaml)"
    )
    parser.add_argument("--data", nargs="+", required=True, metavar="FOLDER", help="folders of training images")
    parser.add_argument("--validation", nargs="+", required=True, metavar="FOLDER", help="images to judge by")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--minutes", type=float, help="budget in wall time over all calls, instead of steps")
    parser.add_argument("--pause-after", type=float, metavar="MINUTES", help="save and return after so long")
    parser.add_argument("--out", help="folder of the results (default: results/training/NAME)")
    parser.add_argument("--fresh", action="store_true", help="begin again though there is a checkpoint")
    parser.add_argument("--start-from", nargs="+", metavar="SOURCE", help="linear, default, model:NAME or file:PATH")
    parser.add_argument("--threads", type=int, help="of the CPU (default: torch's)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="instead of any key's value"
    )
    for key, kind in OVERRIDES.items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=kind, help=f"instead of the configuration's {key}")


def setting(text: str) -> tuple[str, Any]:
    """(key, value) of ``KEY=VALUE``, the value as in yaml. Raises UsageError for a text without a key."""
    import yaml

    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--set takes KEY=VALUE, got {text!r}")
    try:
        return key, float(value) if "e" in value.lower() else yaml.safe_load(value)  # to yaml, 1e-4 is a text
    except ValueError:
        return key, yaml.safe_load(value)


def main(args: argparse.Namespace) -> int:
    """Train as the parsed ``args`` say; the exit code. Raises RdbenchError for what can be explained."""
    import torch

    from codecs_wrappers.learned.training.trainer import train

    if args.threads:
        torch.set_num_threads(args.threads)
    outcome = train(
        config.next_in_queue() if args.name == "next" else args.name,
        args.data,
        args.validation,
        device=args.device,
        minutes=args.minutes,
        out=args.out,
        resume=not args.fresh,
        pause_after=args.pause_after,
        start_from=tuple(args.start_from) if args.start_from else None,
        **({key: getattr(args, key) for key in OVERRIDES} | dict(map(setting, args.set))),
    )
    print(f"{outcome.status} at step {outcome.step}: {outcome.start} at the start, {outcome.best} best")
    return 0
