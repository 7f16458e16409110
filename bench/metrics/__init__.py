"""The quality of a reconstruction against its original, metric by metric: which there are, and measuring by them.

All are of the 8-bit images, per image. A file of this folder has one metric, or a few that are computed together. The
default set (PSNR, MS-SSIM, SSIMULACRA 2) is measured in every run; EXTRA is measured where a run asks for it
(``metrics:`` in the configuration, `rdbench run --metrics`). docs/metrics.md describes them all.

Each metric has a version, which enters the records and decides what is taken from the cache: change the version
whenever a change could move a number.

An identical reconstruction has the value that its metric says (PSNR +inf, MS-SSIM 1 and +inf dB). A metric that has no
value is None, and `metric_notes` says why.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from bench.codec import Image, check_image
from bench.errors import RdbenchError, UsageError
from bench.metrics import ms_ssim, psnr, ssimulacra2
from bench.metrics.metric import Metric, NoValue
from bench.metrics.psnr import psnr_rgb_db as psnr_rgb_db
from bench.names import with_suggestions

DEFAULT: tuple[Metric, ...] = (psnr.METRIC, ms_ssim.METRIC, ssimulacra2.METRIC)
METRICS: dict[str, str | None] = {column: metric.version() for metric in DEFAULT for column in metric.columns}
METRIC_VERSIONS_JSON = json.dumps(METRICS, sort_keys=True, separators=(",", ":"))

# Column -> the file of this folder that computes it, which is imported only where it is asked for. The columns are
# those of bench.records.EXTRA_METRICS.
EXTRA: Mapping[str, str] = {
    "psnr_hvs_m_db": "psnr_hvs_m",
    "fsim": "fsim",
    "vif": "vif",
    "nlpd": "nlpd",
    "iw_ssim": "iw_ssim",
    "vmaf": "vmaf",
    "vmaf_neg": "vmaf",
    "ciede2000": "vmaf",
    "butteraugli": "butteraugli",
    "lpips": "lpips",
    "lpips_vgg": "lpips_vgg",
    "dists": "dists",
}


def extra(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that are extra metrics, each once, in the order of EXTRA.

    Raises UsageError for a name that is not a metric.
    """
    named = set(names)
    if unknown := sorted(named - set(EXTRA) - set(METRICS)):
        known = [*METRICS, *EXTRA]
        raise UsageError(f"no metric is called {with_suggestions(unknown, known)}; there are {', '.join(known)}")
    return tuple(column for column in EXTRA if column in named)


def versions_json(names: Iterable[str] = ()) -> str:
    """The versions of the default set and of the extra metrics named, as canonical JSON."""
    found = METRICS | {column: _metric(EXTRA[column]).version() for column in names}
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


class Reference:
    """An original image, with the part of the metrics that depends only on it, computed once.

    Takes uint8 H x W x 3, and the extra metrics wanted. Holds about 19 bytes per pixel for the default set.
    """

    def __init__(self, image: Image, names: Iterable[str] = ()):
        self.image = check_image(image)
        self.extra = tuple(names)
        modules = dict.fromkeys(EXTRA[name] for name in self.extra)
        self.metrics = (*DEFAULT, *(_metric(module) for module in modules))
        self._prepared: dict[tuple[str, ...], Any] = {}

    def prepared(self, metric: Metric) -> Any:
        """What ``metric`` needs of the original."""
        if metric.columns not in self._prepared:
            self._prepared[metric.columns] = metric.prepare(self.image)
        return self._prepared[metric.columns]

    def columns(self, metric: Metric) -> list[str]:
        """The columns of ``metric`` that are wanted."""
        return [column for column in metric.columns if column in METRICS or column in self.extra]


def measure(reference: Reference, reconstruction: Image) -> dict[str, Any]:
    """Every metric column for one reconstruction (uint8, H x W x 3): the default set's and the reference's extra ones.

    Raises RdbenchError if its shape or dtype differs from the original's.
    """
    original = reference.image
    if reconstruction.shape != original.shape or reconstruction.dtype != np.uint8:
        raise RdbenchError(
            f"measuring a reconstruction: expected uint8 {_shape(original)} as the original, "
            f"got {reconstruction.dtype} {_shape(reconstruction)}; the decoder must return the coded size"
        )
    notes: list[str] = []
    identical = np.array_equal(original, reconstruction)
    values: dict[str, Any] = {}
    for metric in reference.metrics:
        values |= _values(reference, metric, reconstruction, identical, notes)
    return {**values, "identical": identical, "metric_notes": "; ".join(notes) or None}


def _values(
    reference: Reference, metric: Metric, reconstruction: Image, identical: bool, notes: list[str]
) -> dict[str, float | None]:
    columns = reference.columns(metric)
    subjects = columns[:1] if metric in DEFAULT else columns  # of notes: ms_ssim stands for ms_ssim_db too
    if reason := metric.missing() or metric.refusal(*reconstruction.shape[:2]):
        notes += [f"{column}: {reason}" for column in subjects]
        return dict.fromkeys(columns)
    known = metric.of_identical if identical else {}
    found: dict[str, float | None] = {column: known[column] for column in columns if column in known}
    if wanted := [column for column in columns if column not in known]:
        try:
            computed = metric.values(reference.prepared(metric), reconstruction, wanted, notes)
        except NoValue as error:
            notes += [f"{column}: {error}" for column in subjects if column in wanted]
            computed = {}
        found |= {column: computed.get(column) for column in wanted}
    return {column: found[column] for column in columns}


def of_set(measured: Mapping[str, Any], names: Iterable[str] = ()) -> dict[str, Any] | None:
    """Stored measurements cut to the default set and the extra metrics named.

    measured: as :func:`measure` gave them, with ``metric_versions``. None if a metric is not in them in its present
    version.
    """
    wanted = versions_json(names)
    stored, versions = json.loads(measured["metric_versions"]), json.loads(wanted)
    if any(column not in stored or stored[column] != version for column, version in versions.items()):
        return None
    others = set(stored) - set(versions)
    notes = [note for note in (measured["metric_notes"] or "").split("; ") if note.partition(":")[0] not in others]
    kept = {name: value for name, value in measured.items() if name not in others}
    return kept | {"metric_notes": "; ".join(filter(None, notes)) or None, "metric_versions": wanted}


@cache
def _metric(module: str) -> Metric:
    return importlib.import_module(f"bench.metrics.{module}").METRIC


def _shape(image: np.ndarray) -> str:
    return " x ".join(map(str, image.shape))
