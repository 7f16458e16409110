"""Rate-distortion curves from the records: of one image, or averaged over the images at each operating point.

A curve uses only images that have a value at every point where the codec has any; otherwise an image with a failed
point would be in one mean and not in the next. Two cases are not failures:

* a saturated point (an embedded stream that ended before the requested rate) is left out of averaged curves for all
  images, so that every mean is over the same ones;
* an infinite value (identical reconstruction) is left out of the means of rate and value at its point, and counted.

Metrics are the columns of the records. ``ms_ssim_db`` averages the dB of each image (as STanH does),
``ms_ssim_db_of_mean`` is the dB of the mean MS-SSIM (as CompressAI and TensorFlow Compression do).

More is better on every curve: of a metric that is a distance (DISTANCES) it holds the value with its sign turned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.records import EXTRA_METRICS

DB_OF_MEAN = "ms_ssim_db_of_mean"
NUMBERS = {"bpp": float, "value": float}  # their dtypes in a table without a row, which pandas cannot tell
CURVE_METRICS = (
    "psnr_rgb_db",
    "psnr_y_db",
    "psnr_611_db",
    "ms_ssim_db",
    DB_OF_MEAN,
    "ms_ssim",
    "ssimulacra2",
    *EXTRA_METRICS,
)
DISTANCES = frozenset(("nlpd", "butteraugli", "lpips", "lpips_vgg", "dists"))  # 0 for identical, smaller is better
WORST_PERCENT = 5


@dataclass(frozen=True)
class CurveTable:
    """One codec on one dataset: images x points, with every cell measured."""

    metric: str
    images: tuple[str, ...]
    points: tuple[str, ...]
    point_index: np.ndarray  # int, P
    bpp: np.ndarray  # float, I x P
    value: np.ndarray  # float, I x P, in the unit of the averaged column
    saturated: np.ndarray  # bool, I x P

    def select(self, images: list[str]) -> CurveTable:
        """The table of the named images only, in that order."""
        rows = [self.images.index(image) for image in images]
        return replace(
            self, images=tuple(images), bpp=self.bpp[rows], value=self.value[rows], saturated=self.saturated[rows]
        )

    def image_curve(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """bpp and value of one image at each point, in the metric's own unit."""
        return self.bpp[image], to_unit(self.value[image], self.metric)

    def averaged(self, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean bpp and mean value at each point that every image reached; +inf where all images are identical.

        counts: draws x I, how often each image enters the mean; the results are then draws x P. Default: once each.
        """
        once = np.ones((1, len(self.images)))
        weights = once if counts is None else counts.astype(float)
        reached = ~self.saturated.any(axis=0)
        bpp, value = self.bpp[:, reached], self.value[:, reached]
        finite = np.isfinite(value)
        sums = weights @ finite
        with np.errstate(invalid="ignore"):
            mean_value = (weights @ np.where(finite, value, 0.0)) / sums
            mean_bpp = (weights @ np.where(finite, bpp, 0.0)) / sums
        none = sums == 0
        mean_value = np.where(none, np.inf, to_unit(mean_value, self.metric))
        mean_bpp = np.where(none, (weights @ bpp) / weights.sum(axis=1, keepdims=True), mean_bpp)
        return (mean_bpp[0], mean_value[0]) if counts is None else (mean_bpp, mean_value)

    def worst(self) -> np.ndarray:
        """At each point that every image reached the value that 5 % of the images are below, in the metric's own unit.

        Of the images that are in the mean; +inf where all of them are identical. Linear between two images' values.
        """
        value = to_unit(self.value[:, ~self.saturated.any(axis=0)], self.metric)
        finite = [column[np.isfinite(column)] for column in value.T]
        return np.array([np.percentile(column, WORST_PERCENT) if column.size else np.inf for column in finite])


def curve_table(records: pd.DataFrame, dataset: str, codec: str, metric: str) -> CurveTable:
    """Rate and metric of one codec on one dataset; without images if nothing was measured, as in a run that did not ask
    for the metric.

    Raises UsageError for a metric that does not exist.
    """
    if metric not in CURVE_METRICS:
        raise UsageError(f"no curve of metric {metric!r}; expected {', '.join(CURVE_METRICS)}")
    column = column_of(metric)
    rows = records[(records.dataset == dataset) & (records.codec == codec) & (records.status == "ok")]
    rows = rows[rows[column].notna()] if column in rows else rows[:0].assign(**{column: np.nan})
    points = rows[["point_index", "point"]].drop_duplicates().sort_values("point_index")
    grid = {
        name: rows.pivot(index="image", columns="point_index", values=name) for name in ("bpp", column, "saturated")
    }
    whole = grid["bpp"].index[grid["bpp"].notna().all(axis=1)]
    return CurveTable(
        metric,
        tuple(whole),
        tuple(points.point),
        points.point_index.to_numpy(int),
        grid["bpp"].loc[whole].to_numpy(float),
        grid[column].loc[whole].to_numpy(float),
        grid["saturated"].loc[whole].eq(True).to_numpy(bool),
    )


def column_of(metric: str) -> str:
    """The column of the records that a curve's metric is computed from."""
    return "ms_ssim" if metric == DB_OF_MEAN else metric


def averaged_curve(records: pd.DataFrame, dataset: str, codec: str, metric: str) -> pd.DataFrame:
    """The averaged curve: point, point_index, bpp, value, n_images, n_identical, worst; one row per point every image
    reached.

    n_images are in the means, n_identical were left out because their value is infinite. Where all are identical, value
    is +inf and bpp the mean over them all. worst: see :meth:`CurveTable.worst`. No row if nothing was measured.
    """
    table = curve_table(records, dataset, codec, metric)
    columns = ["point", "point_index", "bpp", "value", "n_images", "n_identical", "worst"]
    if not table.images:
        return pd.DataFrame(columns=columns).astype(NUMBERS | {"worst": float})
    reached = ~table.saturated.any(axis=0)
    bpp, value = table.averaged()
    identical = np.isinf(table.value[:, reached]).sum(axis=0)
    names = [name for name, kept in zip(table.points, reached, strict=True) if kept]
    cells = (names, table.point_index[reached], bpp, value, len(table.images) - identical, identical, table.worst())
    return pd.DataFrame(dict(zip(columns, cells, strict=True)))


def why_null(records: pd.DataFrame, metric: str) -> str:
    """Why rows have no value of a metric, from its notes ("short side 100 px, ..."); empty without a note."""
    name = column_of(metric)
    for note in records.metric_notes.dropna():
        for part in note.split("; "):
            subject, _, reason = part.partition(": ")
            if name.startswith(subject):
                return reason
    return ""


def to_unit(value: np.ndarray, metric: str) -> np.ndarray:
    """A column's values as the curve holds them: in dB, or with their sign turned, where ``metric`` says so."""
    if metric != DB_OF_MEAN:
        return -value if metric in DISTANCES else value
    with np.errstate(divide="ignore"):
        return -10 * np.log10(1 - value)
