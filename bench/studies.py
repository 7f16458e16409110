"""Studies: tables that a wrapper family adds to the RD records, for figures of its own.

A wrapper module lists them in ``STUDIES``; the workflow runs each on every dataset, and figures.yaml draws them. A
study looks inside a codec (where its bits go, what another order of its elements would give). Whatever can be measured
from a bitstream alone belongs in the records.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.codec import Image, check_image
from bench.data.datasets import Manifest
from bench.data.images import load_verified
from bench.discovery import discover, load
from bench.errors import RdbenchError, UsageError, is_transient
from bench.files import to_json, write_if_changed
from bench.names import did_you_mean
from bench.progress import Progress
from bench.sampling import evenly_spaced

log = logging.getLogger(__name__)

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Study:
    """One table. ``run`` gives the rows of one image; every row gets the image's name in the column `image`.

    codec: the study runs again when this codec's availability, version, code or weights change. images: how many images
    of a dataset it uses, evenly spaced, where all of them would take too long; 0 means all. exclusive: it measures
    times, so no other job of the run may run at the same time.
    """

    name: str
    codec: str
    columns: tuple[str, ...]
    run: Callable[[Image], Rows]
    description: str = ""
    images: int = 0
    exclusive: bool = False


def studies() -> dict[str, Study]:
    """Every study of every wrapper that could be imported, by name."""
    modules = (wrapper.imported for wrapper in discover())
    return {study.name: study for module in modules for study in getattr(module, "STUDIES", ())}


def run_study(
    name: str, manifest: Manifest, out: Path, progress: Progress | None = None, at_most: int = 0
) -> dict[str, Any]:
    """Run the study on a dataset's images and write it to ``out`` as JSON. at_most: the most images; 0 for no limit.

    {study, codec, dataset, status (`ok`, `skipped` or `failed`), reason, columns, rows}. Raises UsageError for a name
    that no wrapper declares.
    """
    known = studies()
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise UsageError(f"no study is called {name!r}{did_you_mean(name, known)}; the wrappers declare {names}")
    study = known[name]
    result: dict[str, Any] = {
        "study": name,
        "codec": study.codec,
        "dataset": manifest.name,
        "columns": ["image", *study.columns],
    }
    try:
        result |= {"status": "ok", "reason": "", "rows": _rows(study, manifest, progress, at_most)}
    except _Skipped as skipped:
        result |= {"status": "skipped", "reason": str(skipped), "rows": []}
    except Exception as error:  # whatever a wrapper raises becomes the result of its study; the others continue
        if is_transient(error):
            raise
        log.exception("%s on %s", name, manifest.name)
        reason = str(error) if isinstance(error, RdbenchError) else f"{type(error).__name__}: {error}"
        result |= {"status": "failed", "reason": reason, "rows": []}
    write_if_changed(out, to_json(result))
    return result


class _Skipped(Exception):
    pass


def _rows(study: Study, manifest: Manifest, progress: Progress | None, at_most: int) -> list[list[Any]]:
    available, reason = load(study.codec).available()
    if not available:
        raise _Skipped(f"{study.codec}: {reason}")
    if manifest.status != "ok":
        raise _Skipped(manifest.reason)
    images = evenly_spaced(manifest.images, min(filter(None, (study.images, at_most)), default=0))
    rows = []
    for number, image in enumerate(images):
        if progress:
            progress(number, len(images))
        for row in study.run(check_image(load_verified(image.path, image.sha256))):
            rows.append([image.name, *(row[column] for column in study.columns)])
    if progress:
        progress(len(images), len(images))
    return rows
