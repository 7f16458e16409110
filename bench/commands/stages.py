"""The stages of a run up to its tables, which the jobs of the Snakefile call; you can call them as well."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from bench.commands import DEVICE, Commands, add_command, argument, count, duration, show, table_rows, threads
from bench.errors import RdbenchError, UsageError
from bench.progress import Progress, log_to, say


def _fetch(args: argparse.Namespace) -> None:
    from bench.data.datasets import fetch, manifest_or_reason, write_manifest

    log_to(args.log)
    if args.manifest is None:
        rows, text = [], ""
        for name in args.names:
            manifest = fetch(name)
            folder = Path(manifest.images[0].path).parent
            row = {"dataset": name, "images": len(manifest.images), "folder": folder, "status": manifest.status}
            rows.append(row | {"refused": manifest.refused})
            text += f"{name}: {row['images']} images in {folder}\n"
            text += f"{len(manifest.refused)} refused:\n" if manifest.refused else ""
            text += "".join(f"  {image['name']}: {image['reason']}\n" for image in manifest.refused)
        show(args, rows, text)
        return
    if len(args.names) != 1:
        raise UsageError(f"fetch --manifest: expected one dataset, got {len(args.names)}")
    manifest = manifest_or_reason(args.names[0], rename=args.as_)
    if manifest.status != "ok":
        say(f"dataset {args.names[0]} skipped: {manifest.reason}")
    for image in manifest.refused:
        say(f"dataset {args.names[0]}, {image['name']} refused: {image['reason']}")
    write_manifest(manifest, args.manifest)
    about = {"status": manifest.status, "reason": manifest.reason, "manifest": args.manifest}
    show(args, [{"dataset": manifest.name, "images": len(manifest.images), **about}])


def manifest_of(args: argparse.Namespace) -> Any:
    """The manifest that ``--manifest`` names, or that of ``--dataset``."""
    from bench.data.datasets import manifest_or_reason, read_manifest
    from bench.data.slugs import slug

    if args.manifest:
        return read_manifest(args.manifest)
    return manifest_or_reason(args.dataset, rename=slug(args.dataset))


def _run(args: argparse.Namespace) -> None:
    from bench import records
    from bench.metrics import extra
    from bench.run.job import Job, part_of

    log_to(args.log)
    wanted = extra(args.metrics)
    check_exists(args.codec)
    manifest = manifest_of(args)
    folder = args.folder or args.out.parent
    log = args.log or folder / "logs" / f"{args.codec}.log"
    progress = Progress(f"{args.codec} on {manifest.name}", log)
    images = part_of(manifest.images, args.part)
    refused = manifest.refused if args.part.startswith("1-") else []
    job = Job(args.codec, manifest, folder, log, images, refused, timeout_s=args.timeout, threads=args.threads)
    job.on_progress, job.accept_failures, job.points = progress, args.accept_failures, args.points
    job.metrics = wanted
    frame = records.table(job.rows(), wanted)
    records.write(frame, args.out)
    for status, rows in frame[frame.status != "ok"].groupby("status"):
        say(f"{args.codec} on {manifest.name}: {len(rows)} {status}: {rows.reason.iloc[0]}")
    show(args, table_rows(frame), out=args.out)


def check_exists(codec: str) -> None:
    """Raises UsageError for an unknown codec; one whose wrapper cannot be imported becomes a row with the reason."""
    from bench.discovery import discover, load

    try:
        load(codec)
    except UsageError:
        if codec not in {wrapper.module for wrapper in discover() if wrapper.error}:
            raise


def _time(args: argparse.Namespace) -> None:
    from bench import records
    from bench.run import timing

    log_to(args.log)
    manifest = manifest_of(args)
    frame = timing.time_codec(
        args.codec,
        manifest,
        args.log or Path(os.devnull),
        images=args.images,
        points=args.points,
        repeats=args.repeats,
        threads=args.threads,
    )
    records.write(frame, args.out, timing.SCHEMA)
    lines = [
        f"{row.image} at {row.point}, {row.threads} thread{'s' * (row.threads != 1)}: "
        + (
            f"encode {row.encode_s_median:.4f} s, decode {row.decode_s_median:.4f} s\n"
            if row.status == "ok"
            else f"{row.reason}\n"
        )
        for row in frame.itertuples()
    ]
    show(args, table_rows(frame), "".join(lines), out=args.out)


def _variable_rate(args: argparse.Namespace) -> None:
    from bench import records
    from bench.rd.variable_rate import summary
    from bench.run import variable_rate

    log_to(args.log)
    manifest = manifest_of(args)
    if manifest.status != "ok":
        raise UsageError(f"dataset {manifest.name} is unavailable: {manifest.reason}")
    frame = variable_rate.variable_rate(
        args.codec, manifest, args.log or Path(os.devnull), images=args.images, targets=args.targets
    )
    if args.out:
        records.write(frame, args.out, variable_rate.SCHEMA)
    table = summary(frame)
    show(args, table_rows(table), table.T.to_string(header=False), out=args.out)


def _decode_matrix(args: argparse.Namespace) -> None:
    import pandas as pd

    from bench import records
    from bench.run import decode_matrix

    log_to(args.log)
    manifest = manifest_of(args)
    if manifest.status != "ok":
        raise UsageError(f"dataset {manifest.name} is unavailable: {manifest.reason}")
    images = manifest.images[: args.images]
    tables = []
    for codec in _codecs_with_weights(args.codecs):
        progress = Progress(f"{codec.name} on {manifest.name}", args.log)
        log = args.log or Path(os.devnull)
        tables.append(decode_matrix.decode_matrix(codec, images, log, points=args.points, on_progress=progress))
    table = pd.concat(tables, ignore_index=True)
    if args.out:
        records.write_csv(table, args.out)
    show(args, table_rows(table), decode_matrix.as_text(table))
    if not table.ok.all():
        bad = table[~table.ok]
        names = ", ".join(sorted(set(bad.codec)))
        raise RdbenchError(f"decode-matrix: {len(bad)} of {len(table)} pairs of devices failed: {names}")


def _codecs_with_weights(names: list[str]) -> list[Any]:
    """The named codecs, which must be available; without names, all codecs that have weights here."""
    from bench.discovery import codecs, load_available
    from bench.run.codec_state import codec_state

    if names:
        return [load_available(name) for name in names]
    found = [codec for codec in codecs().values() if codec_state(codec).weights_sha256 and codec.role == "codec"]
    if not found:
        raise UsageError(
            "decode-matrix: no codec with weights is available here (`rdbench list` says why); name some codecs"
        )
    return found


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    codec = argument("codec", help="a name from `rdbench list`")
    manifest = argument("--manifest", type=Path, help="a dataset as written by `rdbench fetch --manifest`")
    dataset = argument("--dataset", default="sample", help="a name in datasets.yaml, or folder:PATH (%(default)s)")
    out = argument("--out", type=Path, required=True, help="the file to write")
    log = argument("--log", type=Path, help="a file for messages")
    add_command(
        commands,
        "fetch",
        _fetch,
        "Download and verify datasets. RDBENCH_MIRROR names a folder or URL that is tried first.",
        argument("names", nargs="+", help="names in datasets.yaml, or folder:PATH"),
        argument(
            "--manifest", type=Path, help="write the list of images here, with the reason if the set is unavailable"
        ),
        argument("--as", dest="as_", help="the dataset's name in the manifest"),
        log,
        example="RDBENCH_MIRROR=/data/images rdbench fetch kodak clic",
    )
    add_command(
        commands,
        "run",
        _run,
        "Encode one dataset with one codec, decode it in another process, and measure.",
        codec,
        manifest,
        dataset,
        out,
        log,
        argument("--folder", type=Path, help="where bitstreams are linked (default: the folder of --out)"),
        argument("--part", default="1-of-1", help="k-of-n: every n-th image from the k-th on (%(default)s)"),
        argument("--points", type=int, default=0, help="at most so many operating points (default: all)"),
        argument("--metrics", nargs="*", default=[], metavar="METRIC", help="extra ones to measure (docs/metrics.md)"),
        argument("--timeout", type=duration, default=600.0, help="seconds for one encode or decode (%(default)s)"),
        argument("--threads", type=count, default=1, help="for the codec's libraries (%(default)s)"),
        argument(
            "--accept-failures",
            action="store_true",
            help="failures of the machine (killed process, timeout, full disk) become rows instead of exit code 1",
        ),
        DEVICE,
        example="rdbench run webp --dataset sample --out webp.parquet",
    )
    add_command(
        commands,
        "time",
        _time,
        "Measure encoding and decoding times; leave the machine otherwise idle.",
        codec,
        manifest,
        dataset,
        out,
        log,
        argument("--images", type=count, default=1, help="how many of the dataset (%(default)s)"),
        argument("--points", type=count, default=3, help="how many of the RD curve (%(default)s)"),
        argument("--repeats", type=count, default=3, help="after one warm-up call (%(default)s)"),
        argument(
            "--threads",
            type=threads,
            nargs="+",
            default=[1],
            metavar="N",
            help="of the codec's libraries: numbers, or all for all cores; each is measured (1)",
        ),
        DEVICE,
        example="rdbench time webp --dataset sample --out time.parquet",
    )
    add_command(
        commands,
        "variable-rate",
        _variable_rate,
        "Measure a codec under the variable-rate condition (docs/variable-rate.md); leave the machine otherwise idle.",
        codec,
        manifest,
        dataset,
        argument("--images", type=count, default=1, help="how many of the dataset (%(default)s)"),
        argument("--targets", type=count, default=20, help="random rates for each image (%(default)s)"),
        argument("--out", type=Path, help="a Parquet file for all rows"),
        log,
        DEVICE,
        example="rdbench variable-rate naive_scaling --dataset sample",
    )
    add_command(
        commands,
        "decode-matrix",
        _decode_matrix,
        "Encode on every device here and decode on every other; exit code 1 on a failure or a difference over 1.",
        argument("codecs", nargs="*", metavar="CODEC", help="(default: all with weights here)"),
        manifest,
        dataset,
        argument("--images", type=count, help="how many of the dataset (default: all)"),
        argument("--points", type=count, default=3, help="how many of the RD curve (%(default)s)"),
        argument("--out", type=Path, help="a CSV file"),
        log,
        DEVICE,
        example="rdbench decode-matrix --dataset kodak --out devices.csv",
    )
