"""Rows of single images, averaged into curves as this project averages: rate and quality over images at each point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.exchange.curves import Curves

AVERAGING = "mean-of-psnrs"
LOSSLESS_DB = 99.0  # what codec-compare writes for an identical picture, which has no place in a mean
# Columns that are neither a setting of the codec nor a metric.
OTHER = {"image", "codec", "point", "point_index", "bpp", "bytes", "width", "height", "depth", "frame_count", "dataset"}
OTHER |= {"encoded_name", "encoded_path", "decoded_name", "decoded_path", "original_path", "preview", "status"}
OTHER |= {"encoding_time", "decoding_time", "raw_decoding_time", "time", "name", "version", "n_images", "averaging"}
OTHER |= {"ssim", "dssim", "butteraugli", "ssimulacra", "flip", "lpips", "p3_norm", "p3norm"}  # metrics not taken
STEPS = ("quality", "qp", "q", "bpp_target", "target_bpp", "lambda", "lmbda")  # settings that step along a curve


def cells(frame: pd.DataFrame, metric_of: Callable[[str, str], str], metric: str) -> pd.DataFrame:
    """The rows as codec, image, point, bpp and a column for each metric.

    frame: a column ``image``, bpp or bytes with width and height, metrics, and settings. Settings other than the one
    that steps along the curve become part of the codec's name. Raises UsageError for what is lacking or no number.
    """
    if "image" not in frame:
        raise UsageError(f"expected a column with the images' names, got {', '.join(map(str, frame.columns))}")
    metrics = {name: metric_of(name, metric) for name in frame.columns if metric_of(name, metric)}
    if not metrics:
        raise UsageError(f"expected a column with a metric, got {', '.join(map(str, frame.columns))}")
    bare = pd.DataFrame({known: _numbers(frame, name) for name, known in metrics.items()})
    if "bpp" in frame:
        bpp = _numbers(frame, "bpp")
    elif {"bytes", "width", "height"} <= set(frame.columns):
        bpp = 8 * _numbers(frame, "bytes") / (_numbers(frame, "width") * _numbers(frame, "height"))
    else:
        raise UsageError(f"expected a column bpp, or bytes, width and height, got {', '.join(map(str, frame.columns))}")
    settings = [it for it in frame.columns if it not in OTHER | set(metrics) and _is_setting(frame, it)]
    step = next((name for name in STEPS if name in frame), None)
    if "point" not in frame and step is None:
        raise UsageError("expected a column point, quality or qp that says which rows of the images belong together")
    codec = frame["codec"].astype(str) if "codec" in frame else pd.Series("", frame.index)
    for name in settings if "point" not in frame else []:
        if name != step:
            codec = codec + f"_{name}" + frame[name].astype(str)
    point = frame["point"] if "point" in frame else frame[step]
    made = pd.DataFrame({"codec": codec, "image": frame["image"].astype(str), "point": point.astype(str), "bpp": bpp})
    made = pd.concat([made, bare], axis=1)
    if (twice := made.duplicated(["codec", "image", "point"])).any():
        row = made[twice].iloc[0]
        raise UsageError(f"image {row.image!r} has two rows at {row.codec} {row.point}; one operating point has one")
    return made


def _is_setting(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column is a setting that the person who ran the codec chose: it varies, and not from image to image."""
    count = frame[name].nunique()
    return count > 1 and count == frame.groupby("image")[name].nunique().max()


def _numbers(frame: pd.DataFrame, name: str) -> pd.Series:
    try:
        return frame[name].astype(float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected numbers in column {name}: {error}") from None


def averaged(format: str, cells: pd.DataFrame, facts: dict[str, str], notes: tuple[str, ...]) -> Curves:
    """The averaged curves of ``cells``, over the images that have every point of their codec."""
    rows, said = [], list(notes)
    metrics = [name for name in cells.columns if name not in ("codec", "image", "point", "bpp")]
    for codec, part in cells.groupby("codec", sort=False):
        for metric in metrics:
            bpp, value = grid(part, metric)
            if value.empty:
                said.append(f"no image has {metric} at every point of {codec or 'the file'}: no curve of it")
                continue
            left = (~np.isfinite(value) | (value >= LOSSLESS_DB) & metric.startswith("psnr")).any()
            if left.any():
                said.append(f"{metric}: {int(left.sum())} points with identical pictures are left out")
            order = bpp.loc[:, ~left].mean().sort_values()
            for number, (point, rate) in enumerate(order.items()):
                row = {"codec": codec, "metric": metric, "point": number, "bpp": rate, "value": value[point].mean()}
                rows.append(row)
            said.append(f"{codec or 'the file'}: {metric} averaged over {len(value)} images")
    points = pd.DataFrame(rows, columns=["codec", "metric", "point", "bpp", "value"])
    return Curves(format, points, cells, {**facts, "averaging": AVERAGING}, {}, tuple(dict.fromkeys(said)))


def grid(part: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """bpp and metric of one codec as images x points, of the images that have both at every point."""
    bpp, value = (part.pivot(index="image", columns="point", values=name) for name in ("bpp", metric))
    whole = bpp.notna().all(axis=1) & value.notna().all(axis=1)
    return bpp[whole], value[whole]
