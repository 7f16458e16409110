"""The regression gate: the records of a run against a stored baseline.

For each codec of the baseline, in this order:

1. another library version or metric version than the baseline's: `new`, nothing is compared;
2. the same bitstreams and reconstructions: `same`;
3. the same code and version but other bits: `failed`, the codec is not reproducible;
4. otherwise the BD-rate against the baseline decides: `failed` if it is above the limit and its whole 95 % interval
   above zero, else `changed`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench import bd, records
from bench.errors import UsageError

COLUMNS = [
    *("dataset", "image", "width", "height", "codec", "role", "point", "point_index", "status", "bytes", "bpp"),
    *("target_bpp", "saturated", "psnr_rgb_db", "ms_ssim_db", "identical", "bitstream_sha256", "reconstruction_sha256"),
    *("codec_version", "code_sha256", "weights_sha256", "metric_versions"),
]


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one codec on one dataset: same, changed, new or failed, and why."""

    dataset: str
    codec: str
    verdict: str
    detail: str


def limit_percent(text: str) -> float:
    """The BD-rate limit in percent from "bd:0.5%". Raises UsageError for anything else."""
    match = re.fullmatch(r"bd:([0-9.]+)%", text)
    if not match:
        raise UsageError(f"--fail takes a BD-rate limit such as bd:0.5%; got {text!r}")
    return float(match.group(1))


def write_baseline(frame: pd.DataFrame, path: Path, reason: str) -> None:
    """Stores the measured rows of ``frame`` that the gate compares, and beside them why they are the baseline."""
    if not reason.strip():
        raise UsageError("a baseline needs a reason: what changed, and why that is right")
    records.write_csv(records.measured(frame)[COLUMNS], path)
    with open(path.with_suffix(".reasons.txt"), "a") as file:
        file.write(reason.strip() + "\n")


def read_baseline(path: Path) -> pd.DataFrame:
    """The rows of a baseline. Raises UsageError if there is none."""
    if not path.is_file():
        raise UsageError(f"no baseline at {path}; write one: rdbench baseline --folder results/... --reason '...'")
    return records.read_csv(path)


def judge(current: pd.DataFrame, baseline: pd.DataFrame, limit: float = 0.5) -> list[Verdict]:
    """One verdict for every dataset and codec of the baseline. ``limit``: BD-rate in percent."""
    verdicts = []
    for (dataset, codec), before in baseline.groupby(["dataset", "codec"]):
        rows = current[(current.dataset == dataset) & (current.codec == codec)]
        verdicts.append(Verdict(str(dataset), str(codec), *_judge_codec(rows, before, limit)))
    return verdicts


def _judge_codec(now: pd.DataFrame, before: pd.DataFrame, limit: float) -> tuple[str, str]:
    bad = now[now.status != "ok"]
    if now.empty or len(bad):
        return "failed", f"it was measured before, now: {bad.reason.iloc[0] if len(bad) else 'not in the records'}"
    for column in ("codec_version", "metric_versions", "weights_sha256"):
        if set(now[column].dropna()) != set(before[column].dropna()):
            return (
                "new",
                f"{column} differs from the baseline's: {now[column].iloc[0]!r}, was {before[column].iloc[0]!r}",
            )
    key, bits = ["image", "point"], ["bitstream_sha256", "reconstruction_sha256"]
    pairs = now.merge(before, on=key, how="outer", suffixes=("", "_before"), indicator=True)
    same = (pairs._merge == "both") & (pairs[bits].to_numpy() == pairs[[f"{b}_before" for b in bits]].to_numpy()).all(1)
    if same.all():
        return "same", f"{len(pairs)} bitstreams and reconstructions"
    first = pairs[~same].iloc[0]
    if set(now.code_sha256) == set(before.code_sha256) and (pairs._merge == "both").all():
        return "failed", f"same code, other bits, {(~same).sum()} times; the first: {first.image} at {first.point}"
    return _judge_bd(now, before, limit)


def _judge_bd(now: pd.DataFrame, before: pd.DataFrame, limit: float) -> tuple[str, str]:
    dataset, codec = now.dataset.iloc[0], now.codec.iloc[0]
    both = pd.concat([now, before.assign(codec="baseline")], ignore_index=True)
    table = bd.compare(both, "baseline", [codec], "psnr_rgb_db", dataset)
    row = table[(table.averaging == "per_image") & (table.method == "pchip")].iloc[0]
    if pd.isna(row.bd_rate_percent):
        return "changed", f"other bits; no BD-rate: {row.reason}"
    interval = f" [{row.ci_low:+.3f}, {row.ci_high:+.3f}]" if pd.notna(row.ci_low) else ""
    detail = f"BD-rate {row.bd_rate_percent:+.3f} %{interval} against the baseline, limit {limit:g} %"
    worse = row.bd_rate_percent > limit and not row.ci_low <= 0
    return ("failed" if worse else "changed"), detail
