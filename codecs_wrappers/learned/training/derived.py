"""What is derived from a network (STanH's quantizers, QSF's factors), and which of it is older than the network now is.

A derivation's manifest entry names the files it was trained from by sha256, so that this can be asked of any checkout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from bench.discovery import codecs
from bench.errors import UsageError
from bench.files import remove_folder
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.ship import ship

FOLDER = Path("results/derived")


def parents(name: str) -> list[str]:
    """The models whose files the training of the derivation ``name`` reads: its network, and its anchor if it has one.

    Empty for a network, which is trained on its own even if it started from another.
    """
    values = configs.read(name)
    if values.get("scheme") not in configs.FINITE:
        return []
    starts = [source.removeprefix("model:") for source in values.get("start_from", ()) if source.startswith("model:")]
    return list(dict.fromkeys([*([values["base"]] if "base" in values else []), *starts[:1]]))


def names() -> list[str]:
    """Every derivation that a codec uses, after what it is derived from."""
    used = {entry for codec in codecs().values() for key in ("entries", "missing") for entry in getattr(codec, key, ())}
    graph = {name: parents(name) for name in used & set(configs.names())}
    return [name for name in TopologicalSorter(graph).static_order() if graph.get(name)]


def outdated(name: str) -> str:
    """Why the derivation ``name`` has to be trained again, in words; empty if its committed file fits its parents.

    Reads the manifest, not the files. A parent without weights is no reason: nothing could be trained from it.
    """
    manifest = weights.manifest()
    parts = parents(name)
    if any(part not in manifest for part in parts):
        return ""
    if name not in manifest:
        return "it has no weights yet"
    entry = manifest[name]
    base, start = entry.get("base", {}), entry.get("started_from", {})
    if base.get("name", parts[0]) != parts[0]:
        return f"it was derived from {base['name']}, and is to be derived from {parts[0]}"
    known = {parts[-1]: start.get("sha256"), base.get("name"): base.get("sha256")}
    changed = [part for part in parts if known.get(part) != weights.sha256(part)]
    return f"{' and '.join(changed)} changed" if changed else ""


def derive(
    data: Sequence[str | Path],
    validation: Sequence[str | Path],
    say: Callable[[str], None] = print,
    **options: Any,
) -> list[str]:
    """Train and ship every derivation that is out of date, each after what it is derived from; returns their names.

    options: as for :func:`trainer.train`. A training that is stopped ends this with UsageError; the same call goes on
    with it. Imports torch only if there is something to train.
    """
    done = []
    for name in names():
        if not (reason := outdated(name)):
            continue
        say(f"{name}: {reason}")
        from codecs_wrappers.learned.training.trainer import train

        folder = FOLDER / name
        outcome = train(name, data, validation, out=folder, **options)
        if outcome.weights is None:
            raise UsageError(f"deriving {name} was stopped at step {outcome.step}; the same command goes on with it")
        say(f"{name}: {outcome.start} at the start, {outcome.best} best; {ship(name, folder)}")
        remove_folder(folder, FOLDER)  # the committed file is what others start from
        done.append(name)
    return done
