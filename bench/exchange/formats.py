"""Rate-distortion results as other tools write them, read into one form.

Four formats are told apart by their content:

compressai       {"name", "description", "results": {"bpp": [...], "psnr-rgb": [...], ...}}: a list for each quantity
lists            the same lists without "results", as STF and STanH publish them
codec-compare    {"constant_descriptions", "constant_values", "field_descriptions", "field_values"}: a row an image
csv              a header with bpp (or bytes, width, height) and metrics, with or without a column of images; or two
                 columns of numbers without a header, as TensorFlow Compression publishes them
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.exchange import per_image
from bench.exchange.curves import METRICS, Curves
from bench.files import printable, why_unreadable

LARGEST = 256 * 2**20  # bytes of a file
UNNAMED = ("value", "quality_value", "distortion")  # of a column whose metric --metric has to say
RATES = ("bpp", "bits_per_pixel", "rate_bpp")


def read_curves(path: Path, metric: str = "") -> Curves:
    """The curves in ``path``. metric: what its column of unnamed quality is, or its PSNR if that is not of RGB.

    Raises UsageError for a file in none of the formats, and for numbers that no curve can have.
    """
    if metric and metric not in METRICS.values():
        raise UsageError(f"--metric: expected one of {', '.join(sorted(set(METRICS.values())))}, got {metric!r}")
    where = f"reading {printable(str(path))}"
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{where}: expected at most {LARGEST:,} bytes, got {path.stat().st_size:,}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{where}: expected JSON or CSV, got a file that is not text") from None
    try:
        found = _json(text, metric) if text.lstrip()[:1] in ("{", "[") else _csv(text, metric)
        return _checked(found)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    except RecursionError:
        raise UsageError(f"{where}: its brackets are nested too deeply") from None


def metric_of(name: str, metric: str = "") -> str:
    """The metric that a name stands for; empty if it stands for none. metric: what `--metric` says."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if metric and (plain in UNNAMED or (plain == "psnr" and metric.startswith("psnr"))):
        return metric
    return METRICS.get(plain, "")


def _json(text: str, metric: str) -> Curves:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"it is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError("expected an object of lists, got other JSON")
    if "field_values" in data:
        return per_image.averaged(*_codec_compare(data, metric))
    if isinstance(data.get("results"), dict):
        return _lists(data["results"], data, metric, "compressai")
    return _lists(data, {}, metric, "lists")


def _lists(results: dict[str, Any], head: dict[str, Any], metric: str, format: str) -> Curves:
    """A list for each quantity: every list of numbers is kept, so that the file can be written again."""
    lists = {key: value for key, value in results.items() if _numbers(value)}
    if "bpp" not in lists:
        raise UsageError(f"expected lists of numbers with bpp among them, got {_names(results)}")
    lengths = {key: len(value) for key, value in lists.items()}
    if len(set(lengths.values())) > 1 or not lengths["bpp"]:
        raise UsageError(f"expected lists of one length, got {lengths}")
    keys: dict[str, str] = {}  # a second list of one metric goes by its own name
    for key in lists:
        known = metric_of(key, metric)
        keys |= {key: known if known and known not in keys.values() else key} if key != "bpp" else {}
    if not set(keys.values()) & set(METRICS.values()):
        raise UsageError(f"expected a metric ({', '.join(METRICS)}), got {_names(results)}")
    name = str(head.get("name") or "")
    rows = [
        {"codec": name, "metric": keys[key], "point": point, "bpp": float(bpp), "value": float(value)}
        for key in keys
        for point, (bpp, value) in enumerate(zip(lists["bpp"], lists[key], strict=True))
    ]
    meta = head.get("meta")
    said = {"codec": name, **({} if not isinstance(meta, dict) else meta)}
    keys_of_facts = {"title": "source", "url": "url", "dataset": "dataset", "codec": "codec"}
    facts = {fact: said[key] for fact, key in keys_of_facts.items() if isinstance(said.get(key), str) and said[key]}
    kept = {key: value for key, value in head.items() if key != "results"}
    order = [[key, "bpp" if key == "bpp" else keys[key]] for key in lists]
    layout = {"head": list(head), "kept": kept, "keys": order, "integers": _integers(lists)}
    return Curves(format, pd.DataFrame(rows), None, facts, layout)


def _integers(lists: dict[str, list[Any]]) -> dict[str, list[int]]:
    """Positions of whole numbers in a list, written without a decimal point."""
    places = {key: [at for at, it in enumerate(value) if isinstance(it, int)] for key, value in lists.items()}
    return {key: found for key, found in places.items() if found}


def _numbers(value: Any) -> bool:
    right = (int, float)
    return isinstance(value, list) and all(isinstance(it, right) and not isinstance(it, bool) for it in value)


def _names(values: Any) -> str:
    return ", ".join(sorted(map(str, values)))[:200] or "nothing"


def _codec_compare(data: dict[str, Any], metric: str) -> tuple[str, pd.DataFrame, dict[str, str], tuple[str, ...]]:
    """The rows of codec-compare's JSON, one an image and setting, with what the file says as a whole.

    Source: the README and src/entry.ts of github.com/webmproject/codec-compare.
    """
    try:
        fields = [next(iter(entry)) for entry in data["field_descriptions"]]
        names = [next(iter(entry)) for entry in data["constant_descriptions"]]
        constants = dict(zip(names, map(str, data["constant_values"]), strict=True))
        frame = pd.DataFrame([dict(zip(fields, row, strict=True)) for row in data["field_values"]], columns=fields)
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise UsageError(f"it begins like codec-compare's JSON, but is not: {why_unreadable(error)}") from None
    plain = {name: re.sub(r"[^a-z0-9]+", "_", name.lower()) for name in fields}
    frame = frame.rename(columns=plain)
    frame = frame.rename(columns={"source_image": "image", "original_name": "image", "encoded_size": "bytes"})
    facts = {"codec": constants.get("codec") or constants.get("name") or ""}
    notes = () if metric else ("the file does not say over which samples its PSNR is; it is taken for RGB samples",)
    return "codec-compare", per_image.cells(frame, metric_of, metric), facts, notes


def _csv(text: str, metric: str) -> Curves:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise UsageError("it is empty")
    try:
        dialect: Any = csv.Sniffer().sniff("\n".join(lines[:20]), delimiters=",;\t")
        separator = dialect.delimiter
    except csv.Error:
        separator = ","
    first = [cell.strip() for cell in lines[0].split(separator)]
    if all(map(_is_number, first)):
        return _two_columns(lines, separator, metric)
    try:
        frame = pd.read_csv(io.StringIO("\n".join(lines)), sep=separator, float_precision="round_trip", dtype=object)
    except (ValueError, csv.Error) as error:  # pandas' ParserError is a ValueError
        raise UsageError(f"it is not a valid CSV file: {error}") from None
    frame.columns = [re.sub(r"[^a-z0-9]+", "_", str(name).strip().lower()).strip("_") for name in frame.columns]
    if {"metric", "value"} <= set(frame.columns):
        return Curves("csv", _tidy(frame, metric))
    frame = frame.rename(columns={name: "bpp" for name in RATES if name in frame and "bpp" not in frame})
    if "image" in frame:
        return per_image.averaged("csv", per_image.cells(frame, metric_of, metric), {}, ())
    metrics = {name: metric_of(name, metric) for name in frame.columns if metric_of(name, metric)}
    if "bpp" not in frame or not metrics:
        raise UsageError(f"expected columns bpp and a metric ({', '.join(METRICS)}), got {', '.join(frame.columns)}")
    parts = [_columns(frame, name, known) for name, known in metrics.items()]
    return Curves("csv", pd.concat(parts, ignore_index=True))


def _two_columns(lines: list[str], separator: str, metric: str) -> Curves:
    if not metric:
        raise UsageError("it has two columns without a header: use --metric to name the second column")
    rows = [[cell.strip() for cell in line.split(separator)] for line in lines]
    wrong = [line for line, row in zip(lines, rows, strict=True) if len(row) != 2 or not all(map(_is_number, row))]
    if wrong:
        raise UsageError(f"expected two numbers (bpp{separator} quality) in each line, got {wrong[0][:60]!r}")
    frame = pd.DataFrame(rows, columns=["bpp", "value"]).astype(float)
    return Curves("csv", frame.assign(codec="", metric=metric, point=range(len(frame))))


def _columns(frame: pd.DataFrame, name: str, metric: str) -> pd.DataFrame:
    codec = frame["codec"].astype(str) if "codec" in frame else pd.Series("", frame.index)
    points = pd.DataFrame({"codec": codec, "metric": metric, "bpp": frame["bpp"], "value": frame[name]})
    points = points[points.value.notna()]
    return _as_numbers(points.assign(point=points.groupby("codec").cumcount()))


def _tidy(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows that name their metric, as bench/rd/published has them."""
    known = frame["metric"].map(lambda name: metric_of(str(name), metric))
    if "bpp" not in frame or (known == "").any():
        raise UsageError(f"expected a column bpp and metrics of {', '.join(METRICS)}, got {_names(set(frame.metric))}")
    codec = frame["codec"].astype(str) if "codec" in frame else pd.Series("", frame.index)
    points = pd.DataFrame({"codec": codec, "metric": known, "bpp": frame["bpp"], "value": frame["value"]})
    return _as_numbers(points.assign(point=points.groupby(["codec", "metric"]).cumcount()))


def _as_numbers(points: pd.DataFrame) -> pd.DataFrame:
    for name in ("bpp", "value"):
        try:
            points[name] = points[name].astype(float)
        except (TypeError, ValueError) as error:
            raise UsageError(f"expected numbers in column {name}: {error}") from None
    return points


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _checked(curves: Curves) -> Curves:
    """``curves`` if its numbers can be those of curves. Raises UsageError for the first that cannot."""
    points = curves.points
    if points.empty:
        raise UsageError("it holds no operating point")
    of_metric = points[points.metric.isin(METRICS.values())]
    wrong = of_metric[~np.isfinite(of_metric[["bpp", "value"]].to_numpy(float)).all(axis=1) | (of_metric.bpp <= 0)]
    if len(wrong):
        row = wrong.iloc[0]
        raise UsageError(f"expected a positive rate and a finite {row.metric}, got {row.bpp} bpp and {row.value}")
    linear = of_metric[(of_metric.metric == "ms_ssim") & ~of_metric.value.between(0, 1, inclusive="left")]
    if len(linear):
        raise UsageError(
            f"expected MS-SSIM from 0 to below 1, got {linear.value.iloc[0]}; of one in dB, say --metric ms_ssim_db"
        )
    return curves
