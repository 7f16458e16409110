"""Trained weights: how they came about, and whether their bitstreams decode alike on every device."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.run import Run
from bench.run.codec_state import TRAINING_NUMBERS, TRAINING_TEXTS

COLUMNS = (*TRAINING_TEXTS, *TRAINING_NUMBERS)


def weights(run: Run) -> list[dict[str, Any]]:
    """A row for each weights file behind a measured codec, and the labels of the codecs that use it."""
    rows: dict[str, dict[str, Any]] = {}
    for codec in run.codecs:
        for facts in run.statuses.get(codec, {}).get("training", ()):
            row = rows.setdefault(facts["name"], dict.fromkeys(COLUMNS) | facts | {"codecs": []})
            row["codecs"].append(run.label_of(codec))
    for row in rows.values():
        row["device"] = row["device"] and row["device"].replace("1 threads", "1 thread")  # as older weights have it
    return sorted(rows.values(), key=lambda row: (row["base"] or row["name"], row["base"] is not None, row["name"]))


def devices(run: Run) -> list[dict[str, Any]]:
    """Rows of the decode matrices in ``devices/``, one for each dataset, codec and pair of devices."""
    tables = [
        pd.read_csv(path, keep_default_na=False).assign(dataset=path.stem)
        for path in sorted((run.folder / "devices").glob("*.csv"))
    ]
    rows = pd.concat(tables).to_dict("records") if tables else []
    return [{**row, "label": run.label_of(row["codec"])} for row in rows]
