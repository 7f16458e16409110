"""Shell completion: commands, options, and the names of codecs, operating points and datasets.

argcomplete does the work; `rdbench completion bash` prints the shell code that enables it. Names come from a small file
in the cache, because importing every wrapper would take too long.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import codecs_wrappers
from bench.files import cache_dir, sha256, to_json, write_atomically

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
CODEC_ARGUMENTS = ("codec", "codecs", "anchor", "anchors", "against")
DATASET_ARGUMENTS = ("dataset", "names")


def shell_code(shell: str) -> str:
    """The output of `rdbench completion SHELL`, to be sourced in the shell's start-up file."""
    import argcomplete

    return argcomplete.shellcode(["rdbench"], shell=shell)


def complete(parser: Callable[[bool], argparse.ArgumentParser]) -> None:
    """Answers the shell and ends the process. ``parser(families)`` makes the command line's parser.

    The shell calls rdbench with the line typed so far in COMP_LINE.
    """
    import argcomplete

    names = completions()
    word = [*os.environ.get("COMP_LINE", "").split(), "", ""][1]
    top = parser(
        word in names["commands"]
    )  # options of a family's command need its wrapper; the command's name does not
    commands = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for name in names["commands"]:
        if name not in commands.choices:
            commands.add_parser(name)
    for command in commands.choices.values():
        for action in command._actions:
            _offer(action, names)
    argcomplete.autocomplete(top)


def completions() -> dict[str, Any]:
    """``codecs`` (name -> names of points) and ``commands`` (of families), recomputed when a wrapper changes."""
    files = sorted(path for folder in codecs_wrappers.__path__ for path in Path(folder).glob("*.py"))
    key = sha256(to_json([[str(path), path.stat().st_mtime_ns] for path in files]).encode())
    kept = cache_dir() / "completion.json"
    try:
        names = json.loads(kept.read_bytes())
        if names["key"] == key:
            return names
    except (OSError, ValueError, KeyError):
        pass  # none yet, or damaged: recomputed below
    names = {"key": key, **_names()}
    write_atomically(kept, to_json(names), sync=False)
    return names


def _names() -> dict[str, Any]:
    from bench.discovery import codecs, family_commands

    points = {name: [point.name for point in codec.points] for name, codec in codecs().items()}
    families = argparse.ArgumentParser().add_subparsers()
    for add in family_commands():
        add(families)
    return {"codecs": points, "commands": sorted(families.choices)}


def _offer(action: Any, names: dict[str, Any]) -> None:
    """Gives an argument a completer, which argcomplete asks for its values."""
    if action.dest in CODEC_ARGUMENTS:
        action.completer = lambda **_: names["codecs"]
    elif action.dest == "point":
        action.completer = lambda parsed_args, **_: names["codecs"].get(getattr(parsed_args, "codec", ""), [])
    elif action.dest in DATASET_ARGUMENTS:
        action.completer = lambda **_: _datasets()


def _datasets() -> list[str]:
    from bench.data.datasets import specification

    return list(specification())
