"""The page's tables as rows of plain values: skips and failures, times, averaged curves, datasets."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pandas as pd

from bench.figures.style import METRICS
from bench.report.run import Run


def records_link(**filters: str) -> str:
    """A relative link to the records view with these filters set."""
    return "records.html#" + "&".join(f"{key}={quote(str(value), safe='')}" for key, value in filters.items() if value)


def value_or_none(value: Any) -> Any:
    return None if pd.isna(value) else value


def refused(frame: pd.DataFrame) -> pd.Series:
    """Which rows are for an image that could not be used at all: every codec has such a row for it."""
    return (frame.status == "skipped") & frame.image.notna()


def refused_images(run: Run) -> list[dict[str, str]]:
    """Every image that could not be used, once: dataset, title, image, reason, and a link to its rows."""
    rows = run.records[refused(run.records)].drop_duplicates(["dataset", "image", "reason"])
    return [
        {
            "dataset": row.dataset,
            "title": run.title_of(row.dataset),
            "image": row.image,
            "reason": row.reason,
            "link": records_link(dataset=row.dataset, image=row.image, status="skipped"),
        }
        for row in rows.sort_values(["dataset", "image"]).itertuples()
    ]


def events(run: Run) -> list[dict[str, Any]]:
    """Everything skipped or failed, failures first: one entry per dataset, codec and reason, with how many pieces.

    Without the images that could not be used, which no codec has: :func:`refused_images` lists them.
    """
    frame = run.records[(run.records.status != "ok") & ~refused(run.records)]
    found = []
    for (status, dataset, codec, reason), rows in frame.fillna({"reason": "no reason given"}).groupby(
        ["status", "dataset", "codec", "reason"], sort=True
    ):
        images = sorted(set(rows.image.dropna()))
        log = next((path for path in rows.log.dropna() if (run.folder / path).is_file()), None)
        found.append(
            {
                "status": status,
                "dataset": dataset,
                "title": run.title_of(dataset),
                "codec": codec,
                "label": run.label_of(codec),
                "reason": reason,
                "count": len(rows),
                "images": images,
                "whole": not images,
                "log": log,
                "link": records_link(dataset=dataset, codec=codec, status=status),
            }
        )
    for dataset, manifest in run.manifests.items():
        if manifest.get("status") != "ok" and dataset not in {event["dataset"] for event in found}:
            found.append(
                {
                    "status": "skipped",
                    "dataset": dataset,
                    "title": run.title_of(dataset),
                    "codec": "",
                    "label": "all codecs",
                    "reason": manifest.get("reason", ""),
                    "count": 0,
                    "images": [],
                    "whole": True,
                    "log": None,
                    "link": "",
                }
            )
    return sorted(found, key=lambda event: (event["status"] != "failed", event["codec"], event["dataset"]))


def curve_tables(run: Run, data: dict[str, Any]) -> list[dict[str, Any]]:
    """The plotted averages as one table per dataset: a row per codec and point, a column per metric.

    cells are the means, worst the values that 5 % of the images are below.
    """
    tables = []
    for dataset, codecs in data["averaged"].items():
        rows = []
        for codec, metrics in codecs.items():
            for index, point in enumerate(next(iter(metrics.values()))["point"] if metrics else []):
                cells = [_at(curve, point) for curve in metrics.values()]
                worst = [_at(curve, point, "worst") for curve in metrics.values()]
                first = next(iter(metrics.values()))
                rows.append(
                    {
                        "label": run.label_of(codec),
                        "point": point,
                        "bpp": first["bpp"][index],
                        "n": first["n"][index],
                        "cells": cells,
                        "worst": worst,
                        "link": records_link(dataset=dataset, codec=codec, point=point),
                    }
                )
        tables.append({"dataset": dataset, "title": run.title_of(dataset), "rows": rows})
    return tables


def _at(curve: dict[str, list], point: str, key: str = "value") -> float | None:
    return curve[key][curve["point"].index(point)] if point in curve["point"] else None


def speed(run: Run) -> dict[str, Any]:
    """Medians over the timed images and points, per codec, dataset and threads: {"rows", "devices", "networks",
    "reason", and where there are rows "repeats", "medians"}; networks: whether any row has what only networks have;
    medians: whether any time is of more than one call.
    """
    if run.timing is None:
        return {
            "rows": [],
            "devices": [],
            "networks": False,
            "reason": "this run has no times; `rdbench time` measures them",
        }
    timed = run.timing[run.timing.status == "ok"] if "status" in run.timing else run.timing
    if timed.empty:
        reasons = sorted(set(run.timing.reason.dropna())) if "reason" in run.timing else []
        return {
            "rows": [],
            "devices": [],
            "networks": False,
            "reason": "; ".join(reasons) or "no measurement succeeded",
        }
    groups = timed.groupby(["dataset", "codec", "threads"])
    rows = [_speed_row(run, dataset, codec, part) for (dataset, codec, _), part in groups]
    rows.sort(key=lambda row: (row["dataset"], row["role"] == "control", row["decode_s"] or 0.0))
    networks = any(row["parameters"] is not None for row in rows)
    calls = {"repeats": int(timed.repeats.max()), "medians": bool((timed.repeats > 1).any() or groups.size().max() > 1)}
    return {"rows": rows, "devices": sorted(set(timed.device.dropna())), "networks": networks, "reason": ""} | calls


def _speed_row(run: Run, dataset: str, codec: str, part: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"dataset": run.title_of(dataset), "label": run.label_of(codec), "role": run.role_of(codec)}
    row |= {"images": part.image.nunique(), "points": part.point.nunique(), "repeats": int(part.repeats.min())}
    megapixels = part.pixels / 1e6
    for side in ("encode", "decode"):
        seconds = part[f"{side}_s_median"]
        row[f"{side}_s"] = float(seconds.median())
        row[f"{side}_iqr"] = float(part[f"{side}_s_iqr"].median())
        row[f"{side}_rate"] = float((megapixels / seconds).median())
        row[f"{side}_load_s"] = _median(part, f"{side}_load_s", "load_s")
        row[f"{side}_warmup_s"] = _largest(part, f"{side}_warmup_s")  # of the points, the first one warms up
        row[f"{side}_rss"] = _median(part, f"{side}_peak_rss_mib")
        row[f"{side}_gpu"] = _median(part, f"{side}_peak_gpu_mib")
        row[f"{side}_kmac"] = _median(part, f"{side}_kmac_per_pixel")
    row["parameters"], row["weights_bytes"] = (_median(part, name) for name in ("parameters", "weights_bytes"))
    row["device"] = "; ".join(sorted(set(part.device.dropna())))
    return row | {"threads": f"{part.threads.iloc[0]:g}"}


def variable_rates(run: Run) -> list[dict[str, Any]]:
    """A row per codec and dataset of the variable-rate condition, with labels; nulls are None."""
    if run.variable_rate is None:
        return []
    table = run.variable_rate.astype(object).where(run.variable_rate.notna(), None)
    rows = []
    for row in table[table.dataset.isin(run.datasets)].to_dict("records"):
        status = run.statuses.get(row["codec"], {})
        weights = run.timing[run.timing.codec == row["codec"]] if run.timing is not None else pd.DataFrame()
        row |= {"label": run.label_of(row["codec"]), "title": run.title_of(row["dataset"])}
        row |= {"weights_bytes": _median(weights, "weights_bytes"), "counterpart": status.get("counterpart", "")}
        rows.append(row | {"counterpart_label": run.label_of(row["counterpart"]) if row["counterpart"] else ""})
    return rows


def _median(part: pd.DataFrame, *columns: str) -> float | None:
    """The median of the first of ``columns`` that is there and not empty."""
    present = next((part[column].dropna() for column in columns if column in part), pd.Series(dtype=float))
    return float(present.median()) if len(present) else None


def _largest(part: pd.DataFrame, column: str) -> float | None:
    return float(part[column].max()) if column in part and part[column].notna().any() else None


def validation_rows(run: Run) -> list[dict[str, Any]]:
    """The rows of validation.csv for datasets of this run, with labels; ok is True, False or None."""
    if run.validation is None:
        return []
    rows = []
    for row in run.validation[run.validation.dataset.isin(run.datasets)].to_dict("records"):
        ok = {"True": True, "False": False}.get(str(row["ok"]))
        numbers = {key: value_or_none(row[key]) for key in ("expected", "measured", "limit")}
        label = METRICS.get(row["metric"], (row["metric"], ""))[0]
        link = records_link(dataset=row["dataset"], codec=row["codec"])
        rows.append(
            {**row, **numbers, "ok": ok, "metric_label": label, "label": run.label_of(row["codec"]), "link": link}
        )
    return rows


def validation_left_out(run: Run) -> list[str]:
    """Datasets with published curves in validation.csv that are not part of this run."""
    if run.validation is None:
        return []
    return sorted(set(run.validation.dataset) - set(run.datasets))


def datasets(run: Run) -> list[dict[str, Any]]:
    """What the manifests say of each dataset: images, pixels, licence, source."""
    rows = []
    for name in run.datasets:
        manifest = run.manifests.get(name, {})
        images = manifest.get("images", [])
        sides = [(image["width"], image["height"]) for image in images]
        rows.append(
            {
                "name": name,
                "title": run.title_of(name),
                "images": len(images),
                "megapixels": sum(width * height for width, height in sides) / 1e6,
                "smallest": min(sides, key=lambda side: side[0] * side[1], default=None),
                "largest": max(sides, key=lambda side: side[0] * side[1], default=None),
                "licence": manifest.get("licence", ""),
                "source": manifest.get("source", ""),
                "status": manifest.get("status", "no manifest"),
                "reason": manifest.get("reason", ""),
            }
        )
    return rows
