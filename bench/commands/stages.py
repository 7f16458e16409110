"""The stages of a run up to its records: what the jobs of the Snakefile call, and a person may."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.commands import DEVICE, Commands, add_command, argument
from bench.errors import UsageError
from bench.progress import Progress, log_to, say


def _fetch(args: argparse.Namespace) -> None:
    from bench.datasets import fetch, manifest_or_reason, write_manifest

    log_to(args.log)
    if args.manifest is None:
        for name in args.names:
            manifest = fetch(name)
            print(f"{name}: {len(manifest.images)} images in {Path(manifest.images[0].path).parent}")
        return
    if len(args.names) != 1:
        raise UsageError("fetch --manifest takes one dataset")
    manifest = manifest_or_reason(args.names[0], rename=args.as_)
    if manifest.status != "ok":
        say(f"dataset {args.names[0]} skipped: {manifest.reason}")
    write_manifest(manifest, args.manifest)


def _manifest(args: argparse.Namespace) -> Any:
    from bench.datasets import manifest_or_reason, read_manifest
    from bench.workflow import slug

    if args.manifest:
        return read_manifest(args.manifest)
    return manifest_or_reason(args.dataset, rename=slug(args.dataset))


def _run(args: argparse.Namespace) -> None:
    from bench import records
    from bench.coding import Job, part_of

    log_to(args.log)
    manifest = _manifest(args)
    folder = args.folder or args.out.parent
    log = args.log or folder / "logs" / f"{args.codec}.log"
    progress = Progress(f"{args.codec} on {manifest.name}", log)
    images = part_of(manifest.images, args.part)
    refused = manifest.refused if args.part.startswith("1-") else []
    job = Job(args.codec, manifest, folder, log, images, refused, args.leave_out, args.timeout, args.threads, progress)
    frame = records.table(job.rows())
    records.write(frame, args.out)
    for status, rows in frame[frame.status != "ok"].groupby("status"):
        say(f"{args.codec} on {manifest.name}: {len(rows)} {status}: {rows.reason.iloc[0]}")


def _collect(args: argparse.Namespace) -> None:
    from bench import records
    from bench.environment import environment
    from bench.files import to_json, write_atomically

    log_to(args.log)
    frame = records.read(*args.parts)
    write_atomically(args.folder / "environment.json", to_json(environment()))
    records.write_csv(frame, args.folder / "records.csv")
    records.write(frame, args.folder / "records.parquet")


def _time(args: argparse.Namespace) -> None:
    from bench import records, timing

    log_to(args.log)
    manifest = _manifest(args)
    frame = timing.time_codec(
        args.codec, manifest, args.log or Path("time.log"), images=args.images, points=args.points, repeats=args.repeats
    )
    records.write(frame, args.out, timing.SCHEMA)


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    codec = argument("codec", help="a name from `rdbench list`")
    manifest = argument("--manifest", type=Path, help="a dataset as written by `rdbench fetch --manifest`")
    dataset = argument("--dataset", default="sample", help="a name in datasets.yaml, or folder:PATH (%(default)s)")
    folder = argument("--folder", type=Path, required=True, help="the run's folder, results/<config>")
    out = argument("--out", type=Path, required=True, help="the file to write")
    log = argument("--log", type=Path, help="a file for messages")
    add_command(
        commands,
        "fetch",
        _fetch,
        "Download and verify datasets. RDBENCH_MIRROR names a folder or URL that is tried first.",
        argument("names", nargs="+", help="names in datasets.yaml, or folder:PATH"),
        argument("--manifest", type=Path, help="write the list of images here; a set that cannot be had says why"),
        argument("--as", dest="as_", help="the dataset's name in the manifest"),
        log,
        example="RDBENCH_MIRROR=/data/images rdbench fetch kodak clic",
    )
    add_command(
        commands,
        "run",
        _run,
        "One codec on one dataset, encoded, decoded in another process, and measured.",
        codec,
        manifest,
        dataset,
        out,
        log,
        argument("--folder", type=Path, help="where bitstreams are linked; beside --out if absent"),
        argument("--part", default="1-of-1", help="k-of-n: every n-th image from the k-th on (%(default)s)"),
        argument("--leave-out", default="", metavar="WHY", help="do not run it; the row says why"),
        argument("--timeout", type=float, default=600.0, help="seconds for one encode or decode (%(default)s)"),
        argument("--threads", type=int, default=1, help="for the codec's libraries (%(default)s)"),
        DEVICE,
        example="rdbench run webp --dataset sample --out webp.parquet",
    )
    add_command(
        commands,
        "collect",
        _collect,
        "Join the tables of `run` in the run's folder.",
        argument("parts", nargs="+", type=Path),
        folder,
        log,
        example="rdbench collect results/kodak/parts/kodak/*/*.parquet --folder results/kodak",
    )
    add_command(
        commands,
        "time",
        _time,
        "Measure encoding and decoding times; leave the machine idle meanwhile.",
        codec,
        manifest,
        dataset,
        out,
        log,
        argument("--images", type=int, default=1, help="how many of the dataset (%(default)s)"),
        argument("--points", type=int, default=3, help="how many of the RD curve (%(default)s)"),
        argument("--repeats", type=int, default=3, help="after one warm-up call (%(default)s)"),
        DEVICE,
        example="rdbench time webp --dataset sample --out time.parquet",
    )
