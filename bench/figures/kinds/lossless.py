"""A table of lossless codecs: bits per pixel and speed."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.errors import Missing
from bench.figures.context import Context
from bench.figures.kinds import tables
from bench.rd.lossless import COLUMNS as MEASURED
from bench.rd.lossless import lossless_table

COLUMNS = ["kind", "label", *MEASURED[1:]]
LAYOUT: dict[str, Any] = {
    "by": "label",
    "by_label": "Codec",
    "columns": [
        {"column": "bpp", "title": "Rate [bit/pixel]", "digits": 3},
        {"column": "bpp_least", "title": "Min. [bit/pixel]", "digits": 2},
        {"column": "bpp_most", "title": "Max. [bit/pixel]", "digits": 2},
        {"column": "raw_percent", "title": "Share of 24 bit/pixel [%]", "digits": 1},
        {"column": "encode_mb_per_s", "title": "Encoding [MB/s]", "digits": 1},
        {"column": "decode_mb_per_s", "title": "Decoding [MB/s]", "digits": 1},
    ],
}


def table(context: Context, spec: dict[str, Any], dataset: str) -> pd.DataFrame:
    """COLUMNS of :func:`bench.rd.lossless.lossless_table`, with labels, of the codecs of the specification."""
    frame = lossless_table(context.records, context.timing, dataset)
    frame = frame[frame.codec.isin(context.codecs(spec, dataset))]
    if frame.empty:
        raise Missing(f"no lossless codec was measured on {dataset}")
    labels = [context.style(codec).label for codec in frame.codec]
    return frame.assign(kind="measured", label=labels)[COLUMNS].reset_index(drop=True)


def cells(frame: pd.DataFrame, spec: dict[str, Any]) -> list[list[str]]:
    """The table as text: the header, then the rows."""
    return tables.cells(frame, spec | LAYOUT)


def extras(frame: pd.DataFrame, context: Context, spec: dict[str, Any]) -> dict[str, bytes]:
    """The same table as Markdown, and for a paper as LaTeX."""
    return tables.extras(frame, context, spec | LAYOUT)


def draw(frame: pd.DataFrame, context: Context, spec: dict[str, Any], dataset: str) -> Figure:
    """The table as a picture."""
    timed = frame[frame.n_timed.notna()]
    how = "no times were measured"
    if len(timed):
        threads = int(timed.threads.max())
        how = f"{threads} thread{'s' * (threads != 1)}, {'; '.join(dict.fromkeys(timed.device))}"
    return tables.draw(frame, context, spec | LAYOUT | {"how": how}, dataset)
