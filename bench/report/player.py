"""Pictures for the progressive player: what the first bytes of an embedded bitstream give, step by step.

The steps are operating points of the run: real bitstreams, each the prefix of the next, whose reconstructions have the
hashes in the records.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.report.gallery import Picture, make_pictures, picture_facts, picture_path
from bench.report.originals import Originals
from bench.report.run import Run

STEPS = 12  # at most, denser where there are few bytes


def build_player(
    run: Run,
    originals: Originals,
    folder: Path,
    *,
    steps: int = STEPS,
    published: bool = False,
    may_show: Callable[[str], bool] = lambda dataset: True,
    processes: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes pictures of each dataset's first shown image below ``folder``/images.

    {dataset: {"image", "codecs": {codec: [facts by rising bytes]}}} with the embedded codecs of the run, facts as in
    the gallery; no entry for a dataset of which nothing may be shown or on which no embedded codec was measured.
    """
    embedded = {name for name, status in run.statuses.items() if status.get("embedded")}
    wanted: dict[tuple[str, str], list[Picture]] = {}
    for dataset, images in originals.items():
        image = next((name for name, pixels in images.items() if not isinstance(pixels, str)), None)
        if image is None or not may_show(dataset):
            continue
        rows = run.measured[(run.measured.dataset == dataset) & (run.measured.image == image)]
        rows = rows[rows.codec.isin(embedded) & (rows.role == "codec") & ~rows.saturated.eq(True)]
        for codec, part in rows.groupby("codec", sort=True):
            part = part.sort_values("bytes").iloc[_spaced(len(part), steps)]
            wanted[dataset, str(codec)] = [Picture(row, picture_path(folder, row)) for _, row in part.iterrows()]
    reasons = make_pictures(run, [it for pictures in wanted.values() for it in pictures], may_show, progress, processes)
    player: dict[str, Any] = {}
    for (dataset, codec), pictures in wanted.items():
        entry = player.setdefault(dataset, {"image": pictures[0].row.image, "codecs": {}})
        entry["codecs"][codec] = [
            picture_facts(it.row, it.path.relative_to(folder), reasons.get(it.path), not published) for it in pictures
        ]
    return player


def _spaced(count: int, steps: int) -> list[int]:
    """Up to ``steps`` places out of ``count``, first and last among them, the gaps growing in proportion."""
    return [int(place) - 1 for place in np.unique(np.geomspace(1, count, min(count, steps)).round())]
