"""Commands that take in other people's results, give out a run's, and compare the two."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands import DEVICE, Commands, add_command, argument, decibels, duration, show, table_rows
from bench.errors import RdbenchError, UsageError
from bench.progress import Progress, log_to, say

if TYPE_CHECKING:
    import pandas as pd

AVERAGINGS = ("mean-of-psnrs", "psnr-of-mean-mse", "unknown")


def _import(args: argparse.Namespace) -> None:
    from bench.data.datasets import specification
    from bench.exchange.formats import read_curves
    from bench.exchange.imported import drawn, facts_of, import_files
    from bench.rd.published import user_folder

    files = [(path, read_curves(path, args.metric)) for path in args.files]
    given = {"title": args.source, "url": args.url, "dataset": args.dataset, "averaging": args.averaging}
    facts = facts_of(files, {key: value for key, value in given.items() if value})
    name = args.name or args.files[0].stem
    frame = import_files(name, files, facts, args.codec, args.licence, args.note, args.replace)
    for note in dict.fromkeys(note for _, curves in files for note in curves.notes):
        say(f"import: {note}")
    if facts["dataset"] not in specification():
        say(f"import: no set of datasets.yaml is called {facts['dataset']}; only runs with such a set show the curve")
    rows, text = [], f"{user_folder() / name}.csv, claimed, averaging {facts['averaging']}, on {facts['dataset']}:\n"
    for (codec, metric), part in drawn(frame).groupby(["codec", "metric"]):
        row = {"curve": f"{name}/{codec}", "dataset": facts["dataset"], "metric": metric, "points": len(part)}
        rows.append(row | {"bpp_low": part.bpp.min(), "bpp_high": part.bpp.max(), "kind": "claimed"})
        text += f"  {name}/{codec}: {metric}, {len(part)} points, {part.bpp.min():.4g} to {part.bpp.max():.4g} bpp\n"
    show(args, rows, text, source=name, folder=user_folder(), **facts)


def _run_of(args: argparse.Namespace) -> tuple[Path, pd.DataFrame, list[str]]:
    """The run's folder, its records of the codecs and datasets asked for, and the datasets."""
    from bench import records
    from bench.rd import compare

    folder, dataset = args.folder, args.dataset
    if folder is None:
        folder, dataset = compare.find_run(dataset or "sample")
    elif dataset:
        dataset = compare.name_in_run(dataset, folder)
    frame = records.read(folder / "records.parquet")
    datasets = [dataset] if dataset else sorted(set(frame.dataset))
    frame = frame[frame.dataset.isin(datasets)].reset_index(drop=True)
    wanted = [*args.codecs, *([args.anchor] if args.anchor else [])] or sorted(set(frame.codec))
    if missing := sorted(set(wanted) - set(frame.codec)):
        there = ", ".join(sorted(set(frame.codec))) or "none"
        raise UsageError(f"{folder} has no codec {', '.join(missing)} on {', '.join(datasets)}; it has {there}")
    return folder, frame[frame.codec.isin(wanted)].reset_index(drop=True), datasets


def _export(args: argparse.Namespace) -> None:
    from bench import records
    from bench.exchange import written
    from bench.files import write_atomically
    from bench.run.contents import joined, times_of

    about: dict[str, Any] = {"out": args.out}
    if args.curve:
        if args.format != "compressai":
            raise UsageError("--curve: a published curve can be exported as compressai; the other formats need a run")
        write_atomically(args.out, written.compressai(written.of_published(args.curve, args.dataset or "")))
        show(args, [{"format": args.format, "curve": args.curve, **about}], str(args.out))
        return
    folder, frame, datasets = _run_of(args)
    codecs = sorted(set(frame.codec))
    if args.format == "compressai":
        if len(datasets) != 1 or len(codecs) != 1:
            raise UsageError(
                f"export compressai: one file has one codec on one dataset; choose with --codecs "
                f"({', '.join(codecs)}) and --dataset ({', '.join(datasets)})"
            )
        document = written.of_run(frame, codecs[0], datasets[0], joined(times_of(folder)))
        write_atomically(args.out, written.compressai(document))
        about["points"] = len(document["results"]["bpp"])
    elif args.format == "csv":
        import pandas as pd

        make = written.averaged_table if args.averaged else written.per_image_table
        table = pd.concat([make(frame, dataset, codecs) for dataset in datasets], ignore_index=True)
        if table.empty:
            raise UsageError(f"exporting {folder}: it has no measured row of what was named; nothing is written")
        records.write_csv(table, args.out)
        about["rows"] = len(table)
    elif args.format == "jvet":
        about |= _spreadsheet(args, frame, datasets)
    else:
        from bench.exchange.bundle import write_bundle

        about |= write_bundle(folder, args.out, frame, args.images)
    facts = ", ".join(f"{value} {key}" for key, value in about.items() if key != "out")
    show(args, [{"format": args.format, "folder": folder, **about}], f"{args.out}: {facts}")


def _spreadsheet(args: argparse.Namespace, frame: pd.DataFrame, datasets: list[str]) -> dict[str, Any]:
    from bench.exchange.spreadsheet import CHOSEN_BY, write_spreadsheet

    if not args.anchor or len(args.codecs) != 1:
        raise UsageError("export jvet: expected an anchor and one codec, as in --anchor jpeg2000 --codecs bpg444")
    pairs = write_spreadsheet(frame, datasets, args.anchor, args.codecs[0], args.out)
    for it in pairs:
        names = [
            ", ".join(table.points[at] for at in chosen)
            for table, chosen in zip(it.tables[CHOSEN_BY], it.chosen, strict=True)
        ]
        say(f"{it.dataset}: points of {args.anchor}: {names[0]}; of {args.codecs[0]}: {names[1]}")
    return {"classes": len(pairs), "sequences": sum(len(it.tables[CHOSEN_BY][0].images) for it in pairs)}


def _verify(args: argparse.Namespace) -> None:
    import tempfile

    from bench import records
    from bench.exchange.bundle import open_bundle
    from bench.exchange.verify import summary, verify

    log_to(args.log)
    originals = {}
    if args.dataset:
        from bench.data.datasets import fetch

        originals = {image.sha256: Path(image.path) for image in fetch(args.dataset).images}
    with tempfile.TemporaryDirectory(prefix="rdbench-bundle-") as folder:
        bundle = open_bundle(args.bundle, Path(folder))
        table = verify(bundle, originals, args.timeout, Progress("verify", args.log))
        text, fault = summary(table, bundle)
    if args.out:
        records.write_csv(table, args.out)
    about = {key: bundle.manifest.get(key) for key in ("run", "rdbench")}
    show(args, table_rows(table), text, **about, notes=bundle.notes)
    if fault:
        raise RdbenchError(f"verifying {args.bundle}: {fault}")


def _explain(args: argparse.Namespace) -> None:
    from bench import records
    from bench.exchange import causes
    from bench.exchange.explain import as_rows, as_text, explain
    from bench.exchange.formats import read_curves
    from bench.exchange.theirs import their_curve
    from bench.rd import compare

    log_to(args.log)
    folder, dataset = args.folder, args.dataset
    if folder is None:
        folder, dataset = compare.find_run(dataset)
    else:
        dataset = compare.name_in_run(dataset, folder)
    frame = records.read(folder / "records.parquet")
    curves = read_curves(args.file, args.metric)
    measured = frame[(frame.dataset == dataset) & (frame.codec == args.codec)]
    theirs, metric, images = their_curve(curves, set(measured.image.dropna()), args.curve, args.metric)
    subject = causes.subject(frame, folder, args.codec, dataset, metric, images)
    known = causes.from_records(subject, frame)
    if args.quick or metric != causes.PSNR:
        say("explain: causes that change pixels are not tried" + ("" if args.quick else f" on {metric}"))
    else:
        progress = Progress(f"decoding {args.codec} on {dataset}", args.log)
        try:
            known += causes.from_pixels(subject, args.log or Path(os.devnull), progress)
        except UsageError as error:
            say(f"explain: causes that change pixels are not tried: {error}")
    found = explain(theirs, subject.cells, known, args.floor)
    head = f"{args.file.name} ({len(theirs[0])} points) against {args.codec} on {dataset}"
    head += f" ({len(subject.images)} images, {subject.cells.bpp.shape[1]} points)"
    about = {"verdict": found.verdict, "sentence": found.sentence, "folder": folder, "floor_db": found.floor_db}
    about |= {"rms_db": found.before.rms_db, "mean_db": found.before.mean_db}
    about |= {"bd_rate_percent": found.before.bd_rate_percent, "images": len(subject.images), "metric": metric}
    show(args, as_rows(found), as_text(found, head), **about)


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    log = argument("--log", type=Path, help="a file for messages")
    add_command(
        commands,
        "import",
        _import,
        "Take in other people's curves as `claimed`: CompressAI's JSON, codec-compare's JSON, CSV.",
        argument("files", nargs="+", type=Path, metavar="FILE"),
        argument("--source", default="", metavar="TITLE", help="whose curve it is"),
        argument("--url", default="", help="where it can be looked up"),
        argument("--dataset", default="", help="the image set it was measured on, by its name in your runs"),
        argument("--averaging", default="", choices=AVERAGINGS, help="how it was averaged over images"),
        argument("--name", default="", help="of the source (default: the file's name)"),
        argument("--codec", default="", help="the curve's name (default: as in the file)"),
        argument("--metric", default="", help="what an unnamed column is, such as psnr_rgb_db or psnr_y_db"),
        argument("--licence", default="not stated", help="of the numbers (%(default)s)"),
        argument("--note", default="", help="what a reader has to know"),
        argument("--replace", action="store_true", help="replace an earlier import of this name"),
        example="rdbench import jpeg.json --source CompressAI --url https://github.com/InterDigitalInc/CompressAI "
        "--dataset kodak --averaging mean-of-psnrs",
    )
    add_command(
        commands,
        "export",
        _export,
        "Write a run as CompressAI's JSON, CSV, a JVET spreadsheet, or a bundle that `rdbench verify` checks.",
        argument("format", choices=("compressai", "csv", "jvet", "bundle")),
        argument("--out", type=Path, required=True, help="the file to write"),
        argument("--folder", type=Path, help="the run's folder (default: the newest with the dataset)"),
        argument("--dataset", help="of the run (default: all of --folder's, or sample)"),
        argument("--codecs", nargs="+", default=[], metavar="CODEC", help="these only (default: all)"),
        argument("--anchor", help="jvet: the codec on the left"),
        argument("--averaged", action="store_true", help="csv: the averaged curves, not a row for each image"),
        argument("--images", action="store_true", help="bundle: with the original images"),
        argument("--curve", metavar="SOURCE/CODEC", help="compressai: a published or imported curve, not a run's"),
        example="rdbench export bundle --folder results/sample --out sample.zip",
    )
    add_command(
        commands,
        "verify",
        _verify,
        "Decode a bundle's bitstreams and compare them with its records; exit code 1 if a row is wrong.",
        argument("bundle", type=Path),
        argument("--dataset", help="measure the metrics again on these images (default: on the bundle's, if any)"),
        argument("--out", type=Path, help="write the table as CSV"),
        argument("--timeout", type=duration, default=600.0, help="seconds for one decode (%(default)g)"),
        DEVICE,
        log,
        example="rdbench verify sample.zip",
    )
    add_command(
        commands,
        "explain",
        _explain,
        "Which known cause makes somebody's curve differ from ours, and by how much.",
        argument("file", type=Path, help="their curve, in any format that import reads"),
        argument("--codec", required=True, help="ours"),
        argument("--dataset", default="sample", help="of our run (%(default)s)"),
        argument("--folder", type=Path, help="our run's folder (default: the newest with the dataset)"),
        argument("--curve", default="", help="which curve if the file has several"),
        argument("--metric", default="", help="psnr_rgb_db or ms_ssim, if the file has several or an unnamed column"),
        argument("--floor", type=decibels, default=0.01, metavar="DB", help="a gap this small is noise (%(default)g)"),
        argument("--quick", action="store_true", help="without decoding: causes in averaging and rate only"),
        DEVICE,
        log,
        example="rdbench explain mine.json --codec bpg444 --dataset kodak",
    )
