"""`rdbench match`: images coded at equal rates, for the pictures of the page and of the figures."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from bench.commands import Commands, add_command, argument, count, show, table_rows
from bench.files import root_file
from bench.progress import Progress, log_to


def _match(args: argparse.Namespace) -> None:
    import pandas as pd

    from bench import records
    from bench.data.manifest import read_manifest
    from bench.figures.demands import figure_demands
    from bench.figures.spec import read_specification
    from bench.report.originals import page_demands
    from bench.run.equal_rates import WANTED, Demand, equal_rate_rows
    from bench.run.job import Job

    log_to(args.log)
    parts = args.records if args.only else [args.folder / "records.parquet"]
    frame = records.read(*parts) if parts else records.table([])
    demands = set(figure_demands(read_specification(args.spec), frame, args.only))
    if not args.only:
        demands |= set(page_demands(frame, args.gallery_bpp, args.gallery_count))
    ordered = sorted(demands, key=attrgetter("dataset", "codec", "image", "bpp"))
    jobs = [(of, list(own)) for of, own in groupby(ordered, attrgetter("dataset", "codec"))]
    networks = records.with_weights(frame)
    jobs.sort(key=lambda job: job[0][1] not in networks)  # the longest first
    folder, log = args.folder, args.log or args.folder / "logs" / "match.log"
    manifests = {name: read_manifest(folder / "datasets" / f"{name}.json") for name, _ in dict(jobs)}
    progress = Progress("equal rates", log)

    def rows_of(job: tuple[tuple[str, str], list[Demand]]) -> list[dict[str, object]]:
        (dataset, codec), own = job
        images = manifests[dataset].images
        return equal_rate_rows(Job(codec, manifests[dataset], folder, log, images, timeout_s=args.timeout), own, frame)

    rows = []
    with ThreadPoolExecutor(args.processes) as pool:
        for number, found in enumerate(pool.map(rows_of, jobs), 1):
            rows += found
            progress(number, len(jobs))
    table = pd.DataFrame(rows, columns=WANTED.names).sort_values(["dataset", "codec", "image", "wanted_bpp"])
    records.write(table, args.out, WANTED)
    show(args, table_rows(table[["dataset", "codec", "image", "wanted_bpp", "bpp", "point"]]), out=args.out)


def add(commands: Commands) -> None:
    """Adds the command of this module."""
    add_command(
        commands,
        "match",
        _match,
        "Code images at equal rates, for pictures that are to be compared.",
        argument("--folder", type=Path, required=True, help="the run's folder, results/<config>"),
        argument("--out", type=Path, required=True, help="the Parquet file to write"),
        argument("--spec", type=Path, default=root_file("figures.yaml"), help="the figures (default: figures.yaml)"),
        argument("--only", nargs="+", default=[], metavar="NAME", help="for these figures only, and not for the page"),
        argument("--records", nargs="*", type=Path, help="with --only: the records to start from (the run's)"),
        argument("--gallery-bpp", nargs="+", type=float, default=[0.25, 0.75], help="the rates of the page's pictures"),
        argument("--gallery-count", type=count, help="how many images of a set the page shows (default: 8, or 4)"),
        argument("--timeout", type=float, default=600.0, help="seconds for one encode or decode (%(default)g)"),
        argument("--processes", type=count, default=1, help="codecs at the same time (%(default)s)"),
        argument("--log", type=Path, help="a file for messages"),
        example="rdbench match --folder results/sample --out results/sample/matched.parquet",
    )
