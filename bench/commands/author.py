"""Commands for writing a codec: create one, try it on an image, and complete commands in the shell."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

import codecs_wrappers
from bench.commands import DEVICE, Commands, add_command, argument, show, table_rows
from bench.commands.completion import SHELLS
from bench.errors import RdbenchError, UsageError
from bench.progress import say


def _new_codec(args: argparse.Namespace) -> None:
    from bench.author.newcodec import create
    from bench.author.newprogram import Programs, missing_programs, parse_values

    if bool(args.command) != bool(args.decode):
        raise UsageError("new-codec: expected both --command and --decode, got only one of them")
    if not args.command and (args.points or args.images or args.extension or args.version_command):
        raise UsageError("new-codec: --points, --images, --extension and --version-command need --command")
    programs = None
    if args.command:
        given = (parse_values(args.points), args.images or "", args.extension or "", args.version_command or "")
        programs = Programs(args.command, args.decode, *given)
    absent = " and ".join(missing_programs(programs)) if programs else ""
    if absent:
        say(f"new-codec: {absent} not found here, so the wrapper is written without trying it")
    path = create(args.name, programs=programs)
    kind = f"a codec called {args.name} that needs {absent}" if absent else f"a working codec called {args.name}"
    found = path.parent.resolve() in map(Path, codecs_wrappers.__path__)
    export = "" if found else f"export RDBENCH_WRAPPERS={shlex.quote(str(path.parent))} && "
    text = f"{path}: {kind}. Next: {export}rdbench try {args.name} photo.png --against jpeg"
    show(args, [{"codec": args.name, "wrapper": path}], text)


def _try(args: argparse.Namespace) -> None:
    from bench.author import tryout
    from bench.errors import Missing
    from bench.rd.curves import CURVE_METRICS, column_of, why_null

    if args.metric not in CURVE_METRICS:
        raise UsageError(f"try --metric: expected {', '.join(CURVE_METRICS)}, got {args.metric!r}")
    anchors = [name for name in dict.fromkeys(args.against.split(",")) if name not in ("", args.codec)]
    frame = tryout.measure([args.codec, *anchors], args.image, args.metric)
    failed = frame[frame.status == "failed"]
    compared, picture = [], None
    missing = ""
    mine = frame[(frame.codec == args.codec) & (frame.status == "ok")]
    if len(mine):
        if mine[column_of(args.metric)].isna().all():
            why = why_null(mine, args.metric) or f"no point of {args.codec} has one"
            raise UsageError(f"try: {args.image} has no {args.metric}: {why}; choose another --metric")
        compared = tryout.compare(frame, args.codec, anchors, args.metric)
        out = args.out or tryout.default_picture(args.codec, args.image)
        try:
            picture = tryout.draw(frame, args.codec, anchors, args.metric, out)
        except Missing as nothing:  # a lossless codec on its own has a table but no curve
            missing = f"no picture: {nothing}\n"
    width = shutil.get_terminal_size().columns
    text = tryout.as_text(frame, args.codec, compared, args.metric, width) + (f"{picture}\n" if picture else missing)
    show(args, table_rows(frame), text, bd=compared, picture=picture)
    if len(failed):
        first = failed.iloc[0]
        where = f"{first.codec} at {first.point}" if first.point else first.codec
        raise RdbenchError(f"try: {len(failed)} of {len(frame)} points failed; {where}: {first.reason}")


def _completion(args: argparse.Namespace) -> None:
    from bench.commands.completion import shell_code

    code = shell_code(args.shell)
    show(args, [{"shell": args.shell, "code": code}], code)


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    add_command(
        commands,
        "new-codec",
        _new_codec,
        "Create codecs_wrappers/NAME.py, a working wrapper to edit: around two programs, or a codec in Python.",
        argument("name"),
        argument("--command", metavar="LINE", help="the encoder, with {in}, {out} and a setting such as {q}"),
        argument("--decode", metavar="LINE", help="the decoder, with {in} and {out}"),
        argument("--points", default="", metavar="VALUE,...", help="values of the setting"),
        argument(
            "--images", choices=("png", "ppm"), help="what the programs read and write (default: the first that works)"
        ),
        argument("--extension", help="of its bitstream files (default: .NAME)"),
        argument("--version-command", metavar="LINE", help="prints the version (default: hashes of the programs)"),
        example="""rdbench new-codec mine
  rdbench new-codec mine --command 'enc -q {q} {in} {out}' --decode 'dec {in} {out}' --points 10,20,40,80""",
    )
    add_command(
        commands,
        "try",
        _try,
        "One image at every operating point of a codec: table, plot in the terminal, and PNG.",
        argument("codec", help="a name from `rdbench list`"),
        argument("image", type=Path),
        argument(
            "--against", default="", metavar="CODEC,...", help="other codecs to draw and to compute the BD-rate against"
        ),
        argument("--metric", default="psnr_rgb_db", help="a quality column of the records (%(default)s)"),
        argument("--out", type=Path, metavar="PNG", help="the plot (default: ./try_IMAGE_CODEC.png)"),
        DEVICE,
        example="rdbench try avif photo.png --against jpeg,webp",
    )
    add_command(
        commands,
        "completion",
        _completion,
        "Print the shell code that completes commands, codecs, points and datasets.",
        argument("shell", choices=SHELLS),
        example=""". <(rdbench completion bash)     # in ~/.bashrc; zsh likewise
  rdbench completion fish | source # in ~/.config/fish/config.fish""",
    )
