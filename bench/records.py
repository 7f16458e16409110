"""The tidy table: one row per dataset, image, codec and operating point.

A row has a status: ``ok``, ``skipped`` (something is missing, with the reason) or ``failed`` (with reason and log). A
missing number is null, never a sentinel. The table holds nothing that differs between two runs of the same code (times
are measured separately, by `rdbench time`), so the same run gives the same file, byte for byte.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import UsageError, plain_text
from bench.files import why_unreadable, write_atomically

_S, _I, _F, _B = pa.string(), pa.int64(), pa.float64(), pa.bool_()

FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet would compute, after any apostrophes
RETURN = re.compile(r"[^\r]*\r")
SCHEMA = pa.schema(
    [
        ("dataset", _S),
        ("image", _S),  # file name without extension; null in a row for the whole dataset
        ("image_sha256", _S),  # of the pixels
        ("width", _I),
        ("height", _I),
        ("codec", _S),
        ("role", _S),  # codec, lossless, control, validation
        ("point", _S),
        ("point_index", _I),  # place on the RD curve, 0 = lowest rate
        ("parameters", _S),  # of the point, canonical JSON
        ("status", _S),  # ok, skipped, failed
        ("reason", _S),  # why not ok
        ("log", _S),  # file with the details
        ("bytes", _I),  # size of the bitstream file, with all its headers
        ("bpp", _F),  # 8 * bytes / (width * height)
        ("target_bpp", _F),  # rate that the point asks of an embedded codec
        ("saturated", _B),  # the whole embedded stream is shorter than the target
        ("psnr_rgb_db", _F),  # +inf for an identical reconstruction
        ("psnr_y_db", _F),
        ("psnr_611_db", _F),
        ("ms_ssim", _F),  # 0..1; null on images whose short side is 160 px or less
        ("ms_ssim_db", _F),
        ("ssimulacra2", _F),  # null without its package
        ("identical", _B),
        ("metric_notes", _S),  # why a metric is null
        ("bitstream", _S),  # path relative to the run's folder
        ("bitstream_sha256", _S),
        ("encoder_reconstruction_sha256", _S),  # null if the encoder gives none
        ("reconstruction_sha256", _S),
        ("codec_version", _S),
        ("code_sha256", _S),  # of the wrapper and everything it imports from codecs_wrappers
        ("weights_sha256", _S),
        ("device", _S),  # where its networks ran, "cpu" or a GPU's name; null for a codec without weights
        ("metric_versions", _S),  # canonical JSON
    ]
)

# Columns behind the others, each only in a table of a run that asked for it: what `metrics:` may name beyond the above.
EXTRA_METRICS = (
    "psnr_hvs_m_db",  # +inf for an identical reconstruction
    "fsim",
    "vif",
    "nlpd",  # smaller is better, 0 for an identical reconstruction
    "iw_ssim",
    "vmaf",  # 97.4 for an identical reconstruction
    "vmaf_neg",
    "ciede2000",  # dB; +inf for an identical reconstruction
    "butteraugli",  # smaller is better
    "lpips",  # smaller is better
    "lpips_vgg",  # smaller is better
    "dists",  # smaller is better
)

KEY = ["dataset", "codec", "image", "point_index"]


def table(rows: Iterable[Mapping[str, Any]], extra: Iterable[str] = ()) -> pd.DataFrame:
    """Rows as a DataFrame with every column of SCHEMA and those of EXTRA_METRICS that ``extra`` or a row has.

    Columns and rows have a fixed order. Unknown columns raise ValueError.
    """
    rows = list(rows)
    given = {name for row in rows for name in row} | set(extra)
    if unknown := given - {*SCHEMA.names, *EXTRA_METRICS}:
        raise ValueError(f"records have no column {sorted(unknown)}; SCHEMA in {__name__} lists them")
    schema = schema_of(given)
    columns = {name: [_storable(row.get(name)) for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema).to_pandas().sort_values(KEY, ignore_index=True)


def schema_of(names: Iterable[str]) -> pa.Schema:
    """SCHEMA, and behind it the columns of EXTRA_METRICS that ``names`` has."""
    named = set(names)
    return pa.schema([*SCHEMA, *((name, _F) for name in EXTRA_METRICS if name in named)])


def _storable(value: Any) -> Any:
    return plain_text(value) if isinstance(value, str) else value


def write(frame: pd.DataFrame, path: str | Path, schema: pa.Schema | None = None) -> None:
    """``frame`` as a Parquet file, atomically. schema: that of the records if absent."""
    write_atomically(path, to_parquet(frame, schema))


def to_parquet(frame: pd.DataFrame, schema: pa.Schema | None = None) -> bytes:
    """``frame`` as Parquet. Same rows, same bytes. schema: that of the records if absent."""
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=schema or schema_of(frame.columns), preserve_index=False)
    pq.write_table(table.replace_schema_metadata(), buffer)
    return buffer.getvalue()


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """``frame`` as CSV, atomically: see :func:`to_csv`."""
    write_atomically(path, to_csv(frame))


def to_csv(frame: pd.DataFrame, **options: Any) -> str:
    """``frame`` as CSV: one header line, \\n line ends, nulls empty.

    A string that a spreadsheet would take for a formula gets an apostrophe in front; :func:`plain_texts` removes it.
    """
    safe = frame.copy(deep=False)
    for column in _text_columns(frame):
        safe[column] = frame[column].map(_escape_formula)
    if _text_columns(frame, RETURN):  # pandas quotes a line feed, but not a carriage return
        options["quoting"] = csv.QUOTE_NONNUMERIC
    return safe.to_csv(index=False, lineterminator="\n", **options)


def plain_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """A table read from the output of :func:`to_csv`, with its strings restored."""
    found = frame.copy(deep=False)
    for column in _text_columns(frame):
        found[column] = frame[column].map(_unescape_formula)
    return found


def _text_columns(frame: pd.DataFrame, pattern: re.Pattern[str] = FORMULA) -> list[Any]:
    """The columns with a string that matches ``pattern`` at its start."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return [name for name in texts if any(isinstance(cell, str) and pattern.match(cell) for cell in frame[name])]


def _escape_formula(cell: Any) -> Any:
    if not isinstance(cell, str) or not FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _unescape_formula(cell: Any) -> Any:
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell


def read_csv(path: str | Path) -> pd.DataFrame:
    """The records in a CSV file written by :func:`write_csv`; columns may be missing."""
    texts = {field.name: str for field in SCHEMA if field.type == _S}
    stored = plain_texts(pd.read_csv(path, dtype=texts).astype(object))
    return table(stored.where(stored.notna(), None).to_dict("records"))


def with_weights(frame: pd.DataFrame) -> set[str]:
    """The codecs of ``frame`` (records) that have weights, whose jobs take longest."""
    return set(frame.codec[frame.weights_sha256.notna()])


def read(*paths: str | Path) -> pd.DataFrame:
    """The records in the given Parquet files, concatenated and sorted. Raises UsageError if it is not such a file.

    A column of EXTRA_METRICS that only some of the files have is null in the rows of the others.
    """
    tables = []
    for path in paths:
        try:
            tables.append(pq.read_table(path, schema=schema_of(pq.read_schema(path).names)))
        except (OSError, pa.ArrowInvalid) as error:
            raise UsageError(
                f"reading records: expected a Parquet file from `rdbench run` or a whole run, got {path}: "
                f"{why_unreadable(error)}"
            ) from error
    names = {name for part in tables for name in part.column_names}
    whole = pa.concat_tables(tables, promote_options="default").select(schema_of(names).names)
    return whole.to_pandas().sort_values(KEY, ignore_index=True)


def read_run(folder: Path) -> pd.DataFrame:
    """The records of the run in ``folder``. Raises UsageError, saying how to make them, if there are none."""
    path = folder / "records.parquet"
    if not path.is_file():
        raise UsageError(f"no records at {path}; make them with: snakemake --cores all {path}")
    return read(path)


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with a measurement."""
    return frame[frame.status == "ok"]
