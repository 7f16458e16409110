"""Commands for who writes a codec: begin one, try it on an image, and completion of what is typed."""

from __future__ import annotations

import argparse

from bench.commands import Commands, add_command, argument, show


def _new_codec(args: argparse.Namespace) -> None:
    from bench.newcodec import create

    path = create(args.name)
    text = f"{path}: a working codec called {args.name}. Edit it, then: snakemake --cores"
    show(args, [{"codec": args.name, "wrapper": path}], text)


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
