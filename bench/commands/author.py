"""Commands for who writes a codec: begin one, and try it on an image."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from bench.commands import DEVICE, Commands, add_command, argument, show, table_rows
from bench.errors import RdbenchError, UsageError


def _new_codec(args: argparse.Namespace) -> None:
    from bench.newcodec import create

    path = create(args.name)
    text = f"{path}: a working codec called {args.name}. Edit it, then: snakemake --cores"
    show(args, [{"codec": args.name, "wrapper": path}], text)


def _try(args: argparse.Namespace) -> None:
    from bench import tryout
    from bench.curves import CURVE_METRICS

    if args.metric not in CURVE_METRICS:
        raise UsageError(f"try: no curve of metric {args.metric!r}; there are {', '.join(CURVE_METRICS)}")
    anchors = [name for name in dict.fromkeys(args.against.split(",")) if name not in ("", args.codec)]
    frame = tryout.measure([args.codec, *anchors], args.image)
    failed = frame[frame.status == "failed"]
    compared, picture = [], None
    if (frame[frame.codec == args.codec].status == "ok").any():
        compared = tryout.compare(frame, args.codec, anchors, args.metric)
        out = args.out or tryout.default_picture(args.codec, args.image)
        picture = tryout.draw(frame, args.codec, anchors, args.metric, out)
    width = shutil.get_terminal_size().columns
    text = tryout.as_text(frame, args.codec, compared, args.metric, width) + (f"{picture}\n" if picture else "")
    show(args, table_rows(frame), text, bd=compared, picture=picture)
    if len(failed):
        first = failed.iloc[0]
        where = f"{first.codec} at {first.point}" if first.point else first.codec
        raise RdbenchError(f"try: {len(failed)} of {len(frame)} points failed; {where}: {first.reason}")


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    add_command(
        commands,
        "new-codec",
        _new_codec,
        "Make codecs_wrappers/NAME.py, a working wrapper to edit.",
        argument("name"),
        example="rdbench new-codec mine",
    )
    add_command(
        commands,
        "try",
        _try,
        "One image at every operating point of a codec: table, plot in the terminal, and PNG.",
        argument("codec", help="a name from `rdbench list`"),
        argument("image", type=Path),
        argument("--against", default="", metavar="CODEC,...", help="others to draw and to take the BD-rate against"),
        argument("--metric", default="psnr_rgb_db", help="a quality column of the records (%(default)s)"),
        argument("--out", type=Path, metavar="PNG", help="the picture; ./IMAGE.CODEC.png if absent"),
        DEVICE,
        example="rdbench try avif photo.png --against jpeg,webp",
    )
