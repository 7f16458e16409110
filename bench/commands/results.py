"""Commands that use a run's records: comparisons, figures, and the page."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.commands import DEVICE, Commands, add_command, argument, count, show, table_rows
from bench.files import root_file
from bench.progress import Progress, log_to, say


def _compare(args: argparse.Namespace) -> None:
    from bench import records
    from bench.rd import compare

    log_to(args.log)
    if args.folder is None:
        args.folder, args.dataset = compare.find_run(args.dataset)
    else:
        args.dataset = compare.name_in_run(args.dataset, args.folder)
    frame = records.read(args.folder / "records.parquet")
    if args.anchor:
        anchors, codecs, datasets = [args.anchor], args.codecs, [args.dataset]
    else:
        anchors, codecs, datasets = args.anchors, None, sorted(frame.dataset.unique())
    table = compare.compare_all(frame, datasets, anchors, args.metrics, codecs)
    if args.out:
        records.write_csv(table, args.out)
    text = records.to_csv(table) if args.csv else compare.as_text(table)
    show(args, table_rows(table), "" if args.out else text, folder=args.folder)


def _lossless(args: argparse.Namespace) -> None:
    import pandas as pd

    from bench import records
    from bench.rd import lossless
    from bench.run.contents import times_of

    frame = records.read(args.folder / "records.parquet")
    times = [pd.read_parquet(path) for path in times_of(args.folder)]
    timing = pd.concat(times, ignore_index=True) if times else None
    table = pd.concat(
        [lossless.lossless_table(frame, timing, dataset) for dataset in sorted(frame.dataset.unique())],
        ignore_index=True,
    )
    text = records.to_csv(table) if args.csv else lossless.as_text(table)
    show(args, table_rows(table), text, folder=args.folder)


def _validate(args: argparse.Namespace) -> None:
    from bench import records
    from bench.claims import validation

    log_to(args.log)
    table = validation.validate(records.read(args.folder / "records.parquet"))
    records.write_csv(table, args.out)
    show(args, table_rows(table), out=args.out)


def _figures(args: argparse.Namespace) -> None:
    from bench.figures.draw import draw_all
    from bench.files import to_json, write_atomically

    log_to(args.log)
    entries = draw_all(
        args.folder,
        args.spec,
        Progress("figures", args.log),
        args.only,
        args.records if args.only else None,
        args.datasets,
        args.processes,
        args.matched,
        args.paper,
    )
    if args.index:
        write_atomically(args.index, to_json(entries))
    for entry in entries:
        if entry["status"] == "failed":
            say(f"figure {entry['name']} could not be drawn: {entry['reason']}")
    show(args, entries)


def _report(args: argparse.Namespace) -> None:
    from bench.report.build import build

    log_to(args.log)
    rates = tuple(args.gallery_bpp)
    page = build(
        args.folder,
        gallery_bpp=rates,
        gallery_images=args.gallery_images,
        gallery_count=args.gallery_count,
        processes=args.processes,
    )
    show(args, [{"page": page.resolve()}], str(page.resolve()))


def _publish(args: argparse.Namespace) -> None:
    from bench.report.publish import publish

    page = publish(args.name)
    show(args, [{"page": page}], str(page))


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    dataset = argument("--dataset", default="sample", help="a name in datasets.yaml, or folder:PATH (%(default)s)")
    folder = argument("--folder", type=Path, required=True, help="the run's folder, results/<config>")
    out = argument("--out", type=Path, required=True, help="the file to write")
    log = argument("--log", type=Path, help="a file for messages")
    add_command(
        commands,
        "compare",
        _compare,
        "BD-rates with 95 %% intervals from the records of a run.",
        argument("anchor", nargs="?", help="the codec to measure against"),
        argument("codecs", nargs="*", help="the codecs to measure (default: all)"),
        dataset,
        argument("--folder", type=Path, help="the run's folder (default: the newest with the dataset)"),
        argument("--anchors", nargs="+", default=[], help="several anchors, if none is given above"),
        argument("--metrics", nargs="+", default=["psnr_rgb_db"], help="columns of the records (%(default)s)"),
        argument("--out", type=Path, help="a CSV file (default: a table on standard output)"),
        argument("--csv", action="store_true", help="CSV on standard output"),
        log,
        example="rdbench compare jpeg webp avif --dataset kodak",
    )
    add_command(
        commands,
        "lossless",
        _lossless,
        "Bits per pixel and speed of the lossless codecs of a run.",
        folder,
        argument("--csv", action="store_true", help="CSV on standard output"),
        example="rdbench lossless --folder results/sample",
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
        argument("--spec", type=Path, default=root_file("figures.yaml"), help="what to draw (default: figures.yaml)"),
        argument("--only", nargs="+", default=[], metavar="NAME", help="these figures only"),
        argument("--records", nargs="*", type=Path, help="with --only: records to draw from (the run's)"),
        argument(
            "--datasets", nargs="*", default=[], help="with --only: the run's datasets, if the records do not show them"
        ),
        argument("--matched", type=Path, help="pictures coded at equal rates (the run's matched.parquet)"),
        argument("--paper", action="store_true", help="for a paper: one and two columns, in figures/paper"),
        argument("--index", type=Path, help="write an index of the figures as JSON"),
        argument("--processes", type=count, default=1, help="figures drawn at the same time (%(default)s)"),
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
        argument("--gallery-images", nargs="+", metavar="IMAGE", help="images shown (default: all of up to 8, or 4)"),
        argument("--gallery-count", type=count, help="how many images of a set to show, unless named"),
        argument("--processes", type=count, default=2, help="codecs that decode at the same time (%(default)s)"),
        DEVICE,
        log,
        example="rdbench report --folder results/sample",
    )
    add_command(
        commands,
        "publish",
        _publish,
        "Copy the report of results/NAME into reports/NAME.",
        argument("name"),
        example="rdbench publish kodak",
    )
