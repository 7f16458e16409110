"""Measured curves compared with published ones at the published settings, as validation.yaml lists them.

A passed check says that the harness measures what others measured: the same bits, the same metric, the same averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.errors import UsageError
from bench.files import root_file
from bench.rd.published import load_published, published_curve

SPECIFICATION = root_file("validation.yaml")
COLUMNS = [
    "dataset",
    "metric",
    "codec",
    "published",
    "check",
    "expected",
    "measured",
    "unit",
    "limit",
    "ok",
    "reason",
    "note",
]
_FIELDS = {"codec", "published", "dataset", "metric", "check", "note"}
_LIMITS = {"points": {"limit_bpp", "limit_value"}, "bd": {"limit_percent"}, "information": {"expected_percent"}}


def read_specification(path: str | Path = SPECIFICATION) -> dict[str, Any]:
    """validation.yaml: ``images`` (dataset -> number of images) and ``checks``. Raises UsageError for a wrong field."""
    with open(path, encoding="utf-8") as file:
        specification = yaml.safe_load(file)
    for number, check in enumerate(specification["checks"], 1):
        expected = _FIELDS | _LIMITS.get(check.get("check"), set())
        if check.get("check") not in _LIMITS or set(check) != expected:
            raise UsageError(
                f"{path}, check {number}: check must be one of {sorted(_LIMITS)} with the fields {sorted(expected)}, "
                f"it has {sorted(check)}"
            )
    return specification


def validated_pairs(path: str | Path = SPECIFICATION) -> set[tuple[str, str]]:
    """(codec, dataset) of every check: where a codec whose role is `validation` has to run."""
    return {(check["codec"], check["dataset"]) for check in read_specification(path)["checks"]}


def validate(records: pd.DataFrame, path: str | Path = SPECIFICATION) -> pd.DataFrame:
    """One row per check and compared quantity: COLUMNS.

    For ``points`` measured is the largest difference between a published point and the measured point nearest in
    rate, once in bpp and once in the metric. For ``bd`` and ``information`` it is the BD-rate in percent (PCHIP) of the
    measured averaged curve, with the published curve as anchor. ok is None where nothing could be judged (``reason``
    says why) and for ``information``, which has no limit.
    """
    specification = read_specification(path)
    published = load_published()
    rows = []
    for check in specification["checks"]:
        about = {key: check[key] for key in ("dataset", "metric", "codec", "published", "check", "note")}
        target = published_curve(check["published"], check["dataset"], check["metric"], published)
        curve, reason = _measured_curve(records, check, specification["images"].get(check["dataset"]))
        if target.empty:
            reason = f"{check['published']} has no {check['metric']} on {check['dataset']}"
        compare = _compare_points if check["check"] == "points" else _compare_bd
        rows += [about | row for row in compare(check, target, None if reason else curve, reason)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"ok": object})


def _measured_curve(
    records: pd.DataFrame, check: Mapping[str, Any], images: int | None
) -> tuple[pd.DataFrame | None, str]:
    """The averaged curve, or the reason why there is none that may be compared."""
    from bench.rd.curves import averaged_curve  # here, so that planning a run does not import SciPy

    of_set = records[records.dataset == check["dataset"]]
    if of_set.empty:
        return None, f"dataset {check['dataset']} was not run"
    of_codec = of_set[of_set.codec == check["codec"]]
    if of_codec.empty:
        return None, f"codec {check['codec']} was not run"
    if not (of_codec.status == "ok").any():
        return None, f"codec {check['codec']} was {of_codec.status.iloc[0]}: {of_codec.reason.iloc[0]}"
    curve = averaged_curve(records, check["dataset"], check["codec"], check["metric"])
    if curve.empty:
        return None, f"no point of {check['codec']} was reached by every image"
    if images is not None and (curve.n_images != images).any():
        return None, f"the published average is over {images} images, measured were {curve.n_images.min()}"
    return curve, ""


def _compare_points(
    check: Mapping[str, Any], target: pd.DataFrame, curve: pd.DataFrame | None, reason: str
) -> list[dict[str, Any]]:
    unit = "dB" if check["metric"].endswith("_db") else ""
    differences: dict[str, float | None] = {"bpp": None, "value": None}
    if curve is not None:
        distance = np.abs(target.bpp.to_numpy()[:, None] - curve.bpp.to_numpy()[None, :])
        nearest = curve.iloc[distance.argmin(axis=1)]
        differences = {
            column: float(np.abs(target[column].to_numpy() - nearest[column].to_numpy()).max())
            for column in differences
        }
    return [
        {
            "expected": 0.0,
            "measured": difference,
            "unit": "bpp" if column == "bpp" else unit,
            "limit": check[f"limit_{column}"],
            "ok": None if difference is None else bool(difference <= check[f"limit_{column}"]),
            "reason": reason,
        }
        for column, difference in differences.items()
    ]


def _compare_bd(
    check: Mapping[str, Any], target: pd.DataFrame, curve: pd.DataFrame | None, reason: str
) -> list[dict[str, Any]]:
    percent, limit = None, check.get("limit_percent")
    if curve is not None:
        from bench.rd.bd_table import bd_rate

        result = bd_rate(target.bpp, target.value, curve.bpp, curve.value)
        percent, reason = result.value, result.reason
    return [
        {
            "expected": check.get("expected_percent", 0.0),
            "measured": percent,
            "unit": "%",
            "limit": limit,
            "ok": None if percent is None or limit is None else bool(abs(percent) <= limit),
            "reason": reason,
        }
    ]
