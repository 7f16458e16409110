"""The command that runs a study of a wrapper family."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.commands import DEVICE, Commands, add_command, argument, show


def _study(args: argparse.Namespace) -> None:
    from bench.data.datasets import manifest_or_reason, read_manifest
    from bench.data.slugs import slug
    from bench.progress import Progress, log_to, say
    from bench.studies import run_study

    log_to(args.log)
    manifest = (
        read_manifest(args.manifest) if args.manifest else manifest_or_reason(args.dataset, rename=slug(args.dataset))
    )
    progress = Progress(f"{args.study} on {manifest.name}", args.log)
    result = run_study(args.study, manifest, args.out, progress, args.images)
    if result["status"] != "ok":
        say(f"{args.study} on {manifest.name}: {result['status']}: {result['reason']}")
    rows = [dict(zip(result["columns"], row, strict=True)) for row in result.pop("rows")]
    show(args, rows, **result, out=args.out)


def add(commands: Commands) -> None:
    """Add the command to ``commands``."""
    add_command(
        commands,
        "study",
        _study,
        "Run a study that a wrapper family declares (a look inside a codec) and write its table.",
        argument("study", help="its name; an unknown one lists all"),
        argument("--dataset", default="sample", help="a name in datasets.yaml, or folder:PATH (%(default)s)"),
        argument("--manifest", type=Path, help="a dataset as written by `rdbench fetch --manifest`"),
        argument("--images", type=int, default=0, help="the most images to use (default: the study's own number)"),
        argument("--out", type=Path, required=True, help="the JSON file to write"),
        argument("--log", type=Path, help="a file for messages"),
        DEVICE,
        example="rdbench study code_length --dataset sample --out code_length.json",
    )
