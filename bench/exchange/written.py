"""A run's results, or a published curve, as CompressAI's JSON and as CSV."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from bench import __version__
from bench.errors import UsageError
from bench.exchange.imported import stored
from bench.rd.curves import CURVE_METRICS, averaged_curve, column_of

# Metric -> its name in CompressAI's JSON (compressai.utils.eval_model; compressai.utils.plot reads them).
NAMES = {"psnr_rgb_db": "psnr-rgb", "ms_ssim": "ms-ssim-rgb"}
TIMES = {"encoding_time": "encode_s_median", "decoding_time": "decode_s_median"}
PER_IMAGE = ["dataset", "codec", "image", "point", "width", "height", "bytes", "bpp"]
AVERAGED = ["dataset", "codec", "metric", "point", "bpp", "value", "n_images", "averaging"]


def compressai(document: dict[str, Any]) -> str:
    """The JSON text, as CompressAI writes it: indented by 2, without a final newline."""
    return json.dumps(document, indent=2, ensure_ascii=True)


def of_published(name: str, dataset: str = "") -> dict[str, Any]:
    """CompressAI's document for the published or imported curve ``source/codec``.

    A curve that came from such a file gets its name, description, further lists and order back. Raises UsageError for a
    curve that is not there, or whose metrics have different rates.
    """
    rows, about = stored(name, dataset)
    own = about.get("codecs", {}).get(name.partition("/")[2], {}).get("from", {}).get("layout", {})
    by_metric = dict(list(rows.groupby("metric", sort=False)))
    first = next(iter(by_metric.values()))
    if any(list(part.bpp) != list(first.bpp) for part in by_metric.values()):
        raise UsageError(f"writing {name}: its metrics have different rates, which CompressAI's JSON cannot hold")
    keys = own.get("keys") or [*([NAMES.get(metric, metric), metric] for metric in by_metric), ["bpp", "bpp"]]
    whole = own.get("integers", {})
    results = {}
    for key, metric in keys:
        numbers = first.bpp if metric == "bpp" else by_metric[metric].value
        at = whole.get(key, ())
        results[key] = [int(number) if place in at else float(number) for place, number in enumerate(numbers)]
    head = own.get("kept") or {"name": name.partition("/")[2], "description": f"{about['title']}: {about['averaging']}"}
    order = own.get("head") or [*head, "results"]
    return results if "results" not in order else {key: results if key == "results" else head[key] for key in order}


def of_run(records: pd.DataFrame, codec: str, dataset: str, times: pd.DataFrame | None = None) -> dict[str, Any]:
    """CompressAI's document for a measured codec: means over the images at each operating point.

    times: the run's table of times, whose medians over images become seconds, if it has every point. Points with an
    identical reconstruction, whose PSNR is infinite and no JSON, are left out. Raises UsageError without a point.
    """
    rows = records[(records.dataset == dataset) & (records.codec == codec) & (records.status == "ok")]
    parts = {name: averaged_curve(records, dataset, codec, name).set_index("point") for name in NAMES}
    psnr = parts["psnr_rgb_db"][np.isfinite(parts["psnr_rgb_db"].value)]
    if psnr.empty:
        raise UsageError(f"writing {codec} on {dataset}: it has no operating point with a finite mean PSNR")
    results: dict[str, list[float]] = {"psnr-rgb": psnr.value.tolist()}
    if set(psnr.index) <= set(parts["ms_ssim"].index) and (parts["ms_ssim"].n_images.max() == psnr.n_images.max()):
        results["ms-ssim-rgb"] = parts["ms_ssim"].value[psnr.index].tolist()
    results["bpp"] = psnr.bpp.tolist()
    results |= _seconds(times, codec, dataset, list(psnr.index))
    images = f"{int(psnr.n_images.iloc[0])} images of {dataset}"
    what = "PSNR and MS-SSIM of 8-bit RGB, their means over the images; rates are of files"
    version = next(iter(rows.codec_version.dropna()), "")
    return {"name": codec, "description": f"{version}; {images}; {what}; rdbench {__version__}", "results": results}


def _seconds(times: pd.DataFrame | None, codec: str, dataset: str, points: list[str]) -> dict[str, list[float]]:
    """Mean seconds over the timed images at each point; nothing unless every point was timed."""
    if times is None:
        return {}
    own = times[(times.codec == codec) & (times.dataset == dataset)]
    means = own.groupby("point")[list(TIMES.values())].mean().dropna()
    if not set(points) <= set(means.index):
        return {}
    return {key: means.loc[points, column].tolist() for key, column in TIMES.items()}


def per_image_table(records: pd.DataFrame, dataset: str, codecs: list[str]) -> pd.DataFrame:
    """A row for each measured image and point, with every metric that the run measured."""
    rows = records[(records.dataset == dataset) & records.codec.isin(codecs) & (records.status == "ok")]
    metrics = dict.fromkeys(column_of(name) for name in CURVE_METRICS)
    return rows[[*PER_IMAGE, *(name for name in metrics if name in rows and rows[name].notna().any())]]


def averaged_table(records: pd.DataFrame, dataset: str, codecs: list[str]) -> pd.DataFrame:
    """A row for each point of each averaged curve, in every metric that the run measured. More is better throughout."""
    parts = []
    for codec in codecs:
        for metric in CURVE_METRICS:
            curve = averaged_curve(records, dataset, codec, metric)
            named = {"dataset": dataset, "codec": codec, "metric": metric, "averaging": "mean over images at the point"}
            parts.append(curve[np.isfinite(curve.value)].assign(**named)[AVERAGED])
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=AVERAGED)
