"""Whether the harness itself is sound: control codecs with a known answer. And each codec's conversion ceiling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.codec import Colour
from bench.metrics.colour_ceiling import conversion_ceiling_psnr_rgb_db
from bench.report import tables
from bench.report.originals import Originals
from bench.report.run import Run
from bench.report.tables import records_link

TOLERANCE_DB = 1e-6


def controls(run: Run, originals: Originals) -> dict[str, Any]:
    """{"ok", "checks": [{"codec", "expected", "found", "ok", "link"}]}; ok is False as soon as one control is off.

    A lossless control must give identical pixels and infinite PSNR everywhere. Any other control is one colour, the
    mean of each channel rounded: its PSNR follows from the original alone and is computed again for these originals.
    An image that was refused was coded by no codec and says nothing of the harness; one that a control failed on does.
    """
    rows = run.records[run.records.role == "control"]
    rows = rows[~tables.refused(rows)]
    checks = []
    for (codec, dataset), part in rows.groupby(["codec", "dataset"], sort=True):
        check = _lossless if run.statuses.get(codec, {}).get("lossless") else _one_colour
        about = {"codec": codec, "label": run.label_of(codec), "title": run.title_of(dataset)}
        about["link"] = records_link(dataset=dataset, codec=codec)
        if (part.status == "skipped").all() and part.image.isna().all():
            continue  # the dataset could not be had: nothing was coded, by any codec
        checks.append(about | check(part, _pixels(originals, dataset)))
    kinds = {bool(run.statuses.get(check["codec"], {}).get("lossless")) for check in checks}
    for lossless, name in ((True, "a lossless control codec"), (False, "a one-colour control codec")):
        if lossless not in kinds and len(run.measured):
            checks.append(
                {
                    "codec": "",
                    "label": name,
                    "title": "",
                    "link": "",
                    "expected": "in every run",
                    "found": "absent",
                    "ok": False,
                }
            )
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _lossless(rows: pd.DataFrame, _: Mapping[str, np.ndarray]) -> dict[str, Any]:
    good = (rows.status == "ok") & rows.identical.eq(True) & np.isposinf(rows.psnr_rgb_db.astype(float))
    return {
        "expected": "identical pixels, PSNR infinite",
        "found": f"{int(good.sum())} of {len(rows)} images identical",
        "ok": bool(good.all()),
    }


def _one_colour(rows: pd.DataFrame, originals: Mapping[str, np.ndarray]) -> dict[str, Any]:
    expected = "PSNR as computed from the original's mean colour"
    if not (rows.status == "ok").all():
        return {"expected": expected, "found": f"{int((rows.status != 'ok').sum())} of {len(rows)} failed", "ok": False}
    gaps = [
        _gap(row.psnr_rgb_db, _mean_colour_psnr_rgb_db(originals[row.image]))
        for row in rows.itertuples()
        if row.image in originals
    ]
    if not gaps:
        finite = np.isfinite(rows.psnr_rgb_db.astype(float)).all()
        expected = "a finite PSNR (no original is available to compute it)"
        return {"expected": expected, "found": f"{len(rows)} images", "ok": bool(finite)}
    return {
        "expected": expected,
        "found": f"largest difference {max(gaps):.1e} dB on {len(gaps)} of {len(rows)} images",
        "ok": max(gaps) <= TOLERANCE_DB,
    }


def _gap(found: float, expected: float) -> float:
    return 0.0 if found == expected else abs(found - expected)


def _mean_colour_psnr_rgb_db(image: np.ndarray) -> float:
    error = image - np.rint(image.mean(axis=(0, 1)))
    mean_square = float(np.mean(error * error))
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def ceilings(run: Run, originals: Originals) -> list[dict[str, Any]]:
    """One row per measured codec: its colour conversion and, per dataset, the PSNR (dB) which that alone leaves."""
    colours = {codec: run.statuses.get(codec, {}).get("colour") for codec in run.codecs}
    computed: dict[tuple[str, str], float] = {}
    rows = []
    for codec, fields in colours.items():
        if run.role_of(codec) != "codec" or codec not in run.statuses:
            continue
        colour = Colour(**fields) if fields else None
        values: dict[str, float | None] = {}
        for dataset in originals:
            images = _pixels(originals, dataset)
            if colour is not None and images and (dataset, str(colour)) not in computed:
                computed[dataset, str(colour)] = conversion_ceiling_psnr_rgb_db(images.values(), colour)
            values[dataset] = computed.get((dataset, str(colour))) if colour else None
        rows.append({"label": run.label_of(codec), "colour": str(colour) if colour else "", "values": values})
    return rows


def _pixels(originals: Originals, dataset: str) -> dict[str, np.ndarray]:
    """The originals of ``dataset`` that could be loaded."""
    return {name: pixels for name, pixels in originals.get(dataset, {}).items() if not isinstance(pixels, str)}
