"""Studies of STanH: the function itself, the learned levels, and what each rate costs.

Except for the code lengths, none depends on an image's pixels; their rows are the same for every image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.codec import Image, Point
from bench.studies import Study
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.stanh.codec import LADDER, Stanh
from codecs_wrappers.learned.study import code_length_study_with

if TYPE_CHECKING:
    from codecs_wrappers.learned.codelength import CodeLength

AFFECTS_BITSTREAM = False

FUNCTION = ("beta", "x", "STanH(x)")
QUANTIZERS = ("quantizer", "number", "level", "threshold above")
COSTS = ("weights", "trains", "trained_scalars", "bytes", "steps", "hours", "device")
STORAGE = ("kept", "rates", "networks", "scalars", "bytes", "hours", "missing")


def studies(codecs: Sequence[Stanh], by_anchors: Sequence[Stanh]) -> list[Study]:
    """The studies of ``codecs``, the first of them the main one. by_anchors: what the study of storage compares."""
    first = codecs[0]
    return [
        *(code_length_study_with(codec, _code_length) for codec in codecs),
        Study("stanh_function", first.name, FUNCTION, function, images=1),
        Study("stanh_quantizers", first.name, QUANTIZERS, partial(quantizers, first), images=1),
        Study("stanh_costs", first.name, COSTS, costs, images=1),
        Study("stanh_storage", first.name, STORAGE, partial(storage, by_anchors), images=1),
    ]


def _code_length(codec: Stanh, image: Image, point: Point) -> CodeLength:
    from codecs_wrappers.learned.stanh.codelength import code_length

    return code_length(codec, image, point)


def function(image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the paper's Fig. 2: the function of 5 levels for increasing inverse temperatures, and its hard form."""
    import torch

    from codecs_wrappers.learned.stanh.layer import STanH

    x = torch.linspace(-3, 3, 301)
    places, layer = [round(value, 2) for value in x.tolist()], STanH(2)
    for beta in (1.0, 3.0, 10.0, 100.0):
        for value, output in zip(places, layer.soft(x, beta).tolist(), strict=True):
            yield dict(zip(FUNCTION, (f"{beta:g}", value, output), strict=True))
    for value, output in zip(places, layer.hard(x).tolist(), strict=True):
        yield dict(zip(FUNCTION, ("infinite (coding)", value, output), strict=True))


def quantizers(codec: Stanh, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the levels and thresholds of y at every rate of ``codec``."""
    for number, entry in enumerate(codec.quantizers):
        y = codec.pair(number).y
        for k, (level, threshold) in enumerate(zip(y.levels, y.thresholds, strict=False)):
            yield dict(zip(QUANTIZERS, (entry, k - y.middle, level, threshold), strict=True))


def costs(image: Image) -> Iterator[dict[str, Any]]:
    """Rows of what each weights file cost: what its training changed, trained scalars, bytes, steps, hours."""
    for name in weights.names():
        entry = weights.entry(name)
        if entry.get("scheme") == "stanh":
            trains = "quantizers (derivation)" if "_of_" in name else "quantizers (anchor)"
            if "base" not in entry:
                trains = "network and quantizers (anchor)"
        elif entry["source"] == "committed" and entry.get("scheme", entry["architecture"]["family"]) == "mean_scale":
            trains = "network"
        else:
            continue
        scalars = entry.get("trained_scalars") or (_scalars([name]) if weights.available(name)[0] else None)
        facts = (entry.get(key) for key in ("bytes", "steps_run", "hours", "device"))
        yield dict(zip(COSTS, (name, trains, scalars, *facts), strict=True))


def storage(codecs: Iterable[Stanh], image: Image) -> Iterator[dict[str, Any]]:
    """Rows of what all rates need stored and trained: with a network for each rate, then with each of ``codecs``.

    Scalars and bytes of the files, and hours of training. Rates without weights are not counted.
    """
    networks = {f"mean_scale_{rate}": f"mean_scale_{rate}" for rate in LADDER}
    yield _kept("a network for each rate", networks)
    for codec in codecs:
        derived = len(codec.quantizers) + len(codec.missing) - codec.anchors
        what = ", ".join(_count(n, kind) for n, kind in ((codec.anchors, "anchor"), (derived, "derivation")) if n)
        base_of = dict(zip(codec.quantizers, codec.bases, strict=True))
        yield _kept(what, base_of | dict.fromkeys(codec.missing, ""))


def _kept(what: str, network_of: Mapping[str, str]) -> dict[str, Any]:
    """The row of a set of rates. network_of: from each rate's entry to its network's, the same if it is a network."""
    there = [name for name in network_of if weights.available(name)[0]]
    networks = {network_of[name] for name in there}
    files = sorted({*there, *networks})
    sizes = (sum(weights.entry(name)[key] for name in files) for key in ("bytes", "hours"))
    missing = ", ".join(name for name in network_of if name not in there)
    facts = (f"{len(there)} of {len(network_of)}", len(networks), _scalars(files), *sizes, missing)
    return dict(zip(STORAGE, (what, *facts), strict=True))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _scalars(names: Iterable[str]) -> int:
    """The number of scalars in the files."""
    return sum(tensor.numel() for name in names for tensor in weights.load(name).state.values())
