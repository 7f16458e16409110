"""The stages of a run: what the jobs of the Snakefile call, and a person may."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.commands import Commands, add_command, argument
from bench.errors import RdbenchError, UsageError
from bench.progress import Progress, log_to, say

BASELINES = Path("results", "baselines")


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


def _compare(args: argparse.Namespace) -> None:
    from bench import compare, records

    log_to(args.log)
    if args.folder is None:
        args.folder = compare.folder_of(args.dataset)
    frame = records.read(args.folder / "records.parquet")
    if args.anchor:
        anchors, codecs, datasets = [args.anchor], args.codecs, [args.dataset]
    else:
        anchors, codecs, datasets = args.anchors, None, sorted(frame.dataset.unique())
    table = compare.compare_all(frame, datasets, anchors, args.metrics, codecs)
    if args.out:
        records.write_csv(table, args.out)
    else:
        print(table.to_csv(index=False) if args.csv else compare.as_text(table), end="")


def _validate(args: argparse.Namespace) -> None:
    from bench import records, validation

    log_to(args.log)
    records.write_csv(validation.validate(records.read(args.folder / "records.parquet")), args.out)


def _figures(args: argparse.Namespace) -> None:
    from bench.figures import draw_all

    log_to(args.log)
    draw_all(args.folder, args.spec, progress=Progress("figures", args.log))


def _report(args: argparse.Namespace) -> None:
    from bench.report.build import build

    log_to(args.log)
    print(build(args.folder, gallery_bpp=tuple(args.gallery_bpp)).resolve())


def _gate(args: argparse.Namespace) -> None:
    from bench import gate, records

    limit = gate.limit_percent(args.fail)
    baseline = gate.read_baseline(args.baseline or BASELINES / f"{args.folder.name}.csv")
    verdicts = gate.judge(records.read(args.folder / "records.parquet"), baseline, limit)
    for verdict in verdicts:
        print(f"{verdict.verdict:8} {verdict.codec:20} {verdict.dataset:10} {verdict.detail}")
    failed = [verdict.codec for verdict in verdicts if verdict.verdict == "failed"]
    if failed:
        raise RdbenchError(f"gate: {len(failed)} of {len(verdicts)} failed: {', '.join(failed)}")


def _baseline(args: argparse.Namespace) -> None:
    from bench import gate, records

    path = args.baseline or BASELINES / f"{args.folder.name}.csv"
    gate.write_baseline(records.read(args.folder / "records.parquet"), path, args.reason)
    print(path)


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
        example="rdbench time webp --dataset sample --out time.parquet",
    )
    add_command(
        commands,
        "compare",
        _compare,
        "BD-rates with 95 %% intervals from the records of a run.",
        argument("anchor", nargs="?", help="the codec to measure against"),
        argument("codecs", nargs="*", help="the codecs to measure; all if absent"),
        dataset,
        argument("--folder", type=Path, help="the run's folder; the newest that holds the dataset if absent"),
        argument("--anchors", nargs="+", default=[], help="several anchors, when none is named"),
        argument("--metrics", nargs="+", default=["psnr_rgb_db"], help="columns of the records (%(default)s)"),
        argument("--out", type=Path, help="a CSV file; a table on standard output if absent"),
        argument("--csv", action="store_true", help="CSV on standard output"),
        log,
        example="rdbench compare jpeg webp avif --dataset kodak",
    )
    add_command(
        commands,
        "validate",
        _validate,
        "Compare the records with published curves, at the published settings.",
        folder,
        out,
        log,
        example="rdbench validate --folder results/kodak --out validation.csv",
    )
    add_command(
        commands,
        "figures",
        _figures,
        "Draw every figure of figures.yaml as SVG, PDF, PNG and CSV.",
        folder,
        argument("--spec", type=Path, default=Path("figures.yaml"), help="what to draw (%(default)s)"),
        log,
        example="rdbench figures --folder results/sample",
    )
    add_command(
        commands,
        "report",
        _report,
        "Build the page of a run.",
        folder,
        argument("--gallery-bpp", nargs="+", type=float, default=[0.25, 0.75], help="rates at which images are shown"),
        log,
        example="rdbench report --folder results/sample",
    )
    baseline = argument("--baseline", type=Path, help="results/baselines/<config>.csv if absent")
    add_command(
        commands,
        "gate",
        _gate,
        "Hold a run against its baseline; exit code 1 if a codec lost.",
        folder,
        baseline,
        argument("--fail", default="bd:0.5%", help="the limit: bd:PERCENT%% (%(default)s)"),
        example="rdbench gate --folder results/sample --fail bd:0.5%",
    )
    add_command(
        commands,
        "baseline",
        _baseline,
        "Make a run the baseline of the gate.",
        folder,
        baseline,
        argument("--reason", required=True, help="what changed, and why that is right"),
        example="rdbench baseline --folder results/sample --reason 'libwebp 1.6'",
    )
