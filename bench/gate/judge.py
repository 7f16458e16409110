"""The regression gate: the records of a run against a stored baseline (bench/gate/baseline.py).

A codec measured by other metric versions or on other pixels than in its baseline is `new`: nothing is compared.
Otherwise three layers look at it:

bits        a codec that promises equal bits (no weights, not declared inexact) has the hashes of the baseline; another
            version, or other weights, promise nothing of the kind, and this layer leaves them out
bpp, psnr   at no image and operating point does the rate rise, or the PSNR fall, by more than a tolerance
bd          the BD-rate against the baseline, mean of the images', is not above a threshold with its whole 95 %
            interval above zero; where one image leaves no interval, the threshold alone decides. In PSNR, MS-SSIM, and
            every extra metric that both measured by the same version

Three more findings fail a codec: `run`, it was measured before and now is not; `file`, a bitstream on disk is not the
one that was measured; and `metrics`, an equal reconstruction has another PSNR or MS-SSIM although the metric's version
is the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import records
from bench.errors import UsageError
from bench.files import sha256_file
from bench.gate.baseline import HASHES, KEY, METRICS, Baseline, Key, Origin, origin_of, small
from bench.rd import bd_table
from bench.rd.curves import curve_table

METRIC_TOLERANCE_DB = 0.001  # the baseline has six digits: 0.0005 dB above 100 dB


@dataclass(frozen=True)
class Limits:
    """What fails. bits: other hashes; bpp_percent, psnr_db: at one image and point; bd_percent: BD-rate, in any
    metric; new: a codec that could not be compared. inf turns a number off."""

    bits: bool = True
    bpp_percent: float = 1.0
    psnr_db: float = 0.05
    bd_percent: float = 0.5
    new: bool = False


@dataclass(frozen=True)
class Finding:
    """What one layer saw. value: in percent or dB; interval: 95 %, of a BD-rate."""

    layer: str  # run, file, new, version, bits, metrics, bpp, psnr, bd
    text: str
    breached: bool = False
    value: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one codec on one dataset: `same`, `changed`, `new` or `failed`, and why."""

    dataset: str
    codec: str
    verdict: str
    findings: tuple[Finding, ...]

    @property
    def detail(self) -> str:
        """One line; what was breached comes first."""
        ordered = sorted(self.findings, key=lambda finding: not finding.breached)
        return " ".join("; ".join(finding.text for finding in ordered).split())

    @property
    def breached(self) -> tuple[str, ...]:
        """The layers that failed it."""
        return tuple(dict.fromkeys(finding.layer for finding in self.findings if finding.breached))


def limits(texts: Sequence[str]) -> Limits:
    """The limits that ``texts`` change: "bd:0.5%", "bpp:1%", "psnr:0.05dB", "bits:off", "new:on"; "off" for any.

    Raises UsageError for anything else.
    """
    numbers = {"bd": ("bd_percent", "%"), "bpp": ("bpp_percent", "%"), "psnr": ("psnr_db", "dB")}
    found: dict[str, Any] = {}
    for text in texts:
        layer, _, value = text.partition(":")
        if layer in ("bits", "new") and value in ("on", "off"):
            found[layer] = value == "on"
        elif layer in numbers and (match := re.fullmatch(rf"off|(\d+(?:\.\d+)?){numbers[layer][1]}", value)):
            found[numbers[layer][0]] = float(match[1]) if match[1] else inf
        else:
            raise UsageError(
                f"--fail takes limits such as bd:0.5%, bpp:1%, psnr:0.05dB, psnr:off, bits:off or new:on; got {text!r}"
            )
    return Limits(**found)


def judge(
    current: pd.DataFrame,
    baseline: Baseline,
    limits: Limits = Limits(),
    codecs: Collection[str] = (),
    folder: Path | None = None,
) -> list[Verdict]:
    """One verdict for every dataset and codec that has a baseline, or was measured or failed in the run.

    current: records; codecs: these only, all if empty; folder: of the run, whose bitstreams, where present, are
    compared with the records. Raises UsageError for a codec that is in neither.
    """
    tried = current[current.status != "skipped"]
    keys = set(baseline.origins) | set(zip(tried.dataset, tried.codec, strict=True))
    if missing := sorted(set(codecs) - {codec for _, codec in keys}):
        raise UsageError(f"neither the run nor the baseline has {', '.join(missing)}; they have {_names(keys)}")
    verdicts = []
    for key in sorted(key for key in keys if not codecs or key[1] in codecs):
        rows = current[(current.dataset == key[0]) & (current.codec == key[1])]
        dataset, codec = key
        findings = _findings(rows, baseline.of(key), baseline.origins.get(key), limits)
        findings += _files(records.measured(rows), folder) if folder else []
        kinds = {finding.layer for finding in findings} - {"version"}
        passed = "new" if "new" in kinds else "changed" if kinds else "same"
        if not kinds:
            findings.insert(0, Finding("bits", f"{len(baseline.of(key))} bitstreams and reconstructions"))
        breached = any(finding.breached for finding in findings)
        verdicts.append(Verdict(dataset, codec, "failed" if breached else passed, tuple(findings)))
    return verdicts


def differences(now: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """The rows of one codec's baseline with those of the run: every row of the baseline, in its order.

    found: whether the run has it; bytes_percent: how many more bytes; psnr_db: how much higher PSNR is; ms_ssim_db the
    same; image, bitstream, reconstruction: whether the hash differs.
    """
    columns = ["bytes", *METRICS, *HASHES]
    taken = small(records.measured(now))[[*KEY, *columns]]
    both = before.merge(taken, on=KEY, how="left", suffixes=("_before", ""), indicator="found", validate="1:1")
    both["found"] = both.found == "both"
    both["bytes_percent"] = 100 * (both.bytes / both.bytes_before - 1)
    for name, short in (("psnr_rgb_db", "psnr_db"), ("ms_ssim_db", "ms_ssim_db")):
        after, was = both[name].to_numpy(float), both[f"{name}_before"].to_numpy(float)
        with np.errstate(invalid="ignore"):  # inf - inf: identical before and now
            both[f"{short}_change"] = np.where(after == was, 0.0, after - was)
    for name in HASHES:
        both[f"other_{name.removesuffix('_sha256')}"] = both[name] != both[f"{name}_before"]
    return both


def _findings(now: pd.DataFrame, before: pd.DataFrame, origin: Origin | None, limits: Limits) -> list[Finding]:
    """What there is to say of one codec; nothing if its bits are those of the baseline."""
    measured, bad = records.measured(now), now[now.status != "ok"]
    if (now.status == "failed").any() or (origin and measured.empty):
        why = bad.sort_values("status").reason.iloc[0] if len(bad) else "it is not in the records"
        log = bad.log.dropna()
        where = f" (log: {log.iloc[0]} in the run's folder)" if len(log) else ""
        return [Finding("run", f"{'measured before, now: ' if origin else 'failed: '}{why}{where}", True)]
    if origin is None:
        return [Finding("new", "it has no baseline", limits.new)]
    measured_by = origin_of(measured)
    pairs = differences(now, before)
    found = pairs[pairs.found]
    other = ""
    after, was = ({name: found.metric_versions[name] for name in METRICS} for found in (measured_by, origin))
    if after != was:
        other = f"metric versions {after}, was {was}"
    elif len(found) and found.other_image.any():
        other = f"image {found[found.other_image].image.iloc[0]} has other pixels"
    if other:
        return [Finding("new", f"not compared: {other}", limits.new)]
    versions = _versions(measured_by, origin)
    if len(found) < len(pairs):
        first = pairs[~pairs.found].iloc[0]
        text = (
            f"{len(pairs) - len(found)} of {len(pairs)} measurements are missing, first {first.image} at {first.point}"
        )
        return [Finding("run", text, True)]
    wrong = _metrics(pairs)
    if not (pairs.other_bitstream | pairs.other_reconstruction).any():
        return [*versions, *wrong]
    same_code = origin.code_sha256 == measured_by.code_sha256
    bits = _bits(pairs, replace(origin, exact=origin.exact and not versions), same_code, limits)
    kept = measured.merge(before[KEY], on=KEY)
    metrics, left = _extra(measured_by, origin, before)
    return [*versions, *left, bits, *wrong, *_tolerances(pairs, limits), *_bd(kept, before, limits, metrics)]


def _extra(now: Origin, before: Origin, rows: pd.DataFrame) -> tuple[list[str], list[Finding]]:
    """The extra metrics of the baseline's ``rows`` that the run measured alike, and a finding for each other one."""
    there = [name for name in records.EXTRA_METRICS if name in rows and rows[name].notna().any()]
    same = [name for name in there if now.metric_versions.get(name) == before.metric_versions.get(name)]
    return same, [
        Finding("version", f"{name} is not compared: measured by another version of it, or not at all")
        for name in there
        if name not in same
    ]


def _versions(now: Origin, before: Origin) -> list[Finding]:
    """Reasons why equal bits are no longer expected: another version, other weights."""
    after, was = now.versions(), before.versions()
    other = [f"{name} {after[name]!r}, was {was[name]!r}" for name in was if after[name] != was[name]]
    return [Finding("version", f"hashes are not compared: {'; '.join(other)}")] if other else []


def _files(measured: pd.DataFrame, folder: Path) -> list[Finding]:
    """A finding if a bitstream in the run's folder is not that of the records; missing files are ignored."""
    named = measured[measured.bitstream.notna()]
    paths = [folder / name for name in named.bitstream]
    wrong = [
        path
        for path, digest in zip(paths, named.bitstream_sha256, strict=True)
        if path.is_file() and sha256_file(path) != digest
    ]
    if not wrong:
        return []
    text = f"{len(wrong)} bitstreams on disk differ from those that were measured, first {wrong[0]}"
    return [Finding("file", text, True)]


def _bits(pairs: pd.DataFrame, origin: Origin, same_code: bool, limits: Limits) -> Finding:
    other = pairs[pairs.other_bitstream | pairs.other_reconstruction]
    text = f"other bits in {len(other)} of {len(pairs)}, first {other.image.iloc[0]} at {other.point.iloc[0]}"
    if not origin.exact or not limits.bits:
        return Finding("bits", text)
    why = "nor has its code: a library, the machine or chance decides" if same_code else "only its code has"
    return Finding("bits", f"{text}, though its version has not changed ({why})", True)


def _metrics(pairs: pd.DataFrame) -> list[Finding]:
    changes = pairs[["psnr_db_change", "ms_ssim_db_change"]].abs().max(axis=1)
    wrong = pairs[~pairs.other_reconstruction & (changes > METRIC_TOLERANCE_DB)]
    if wrong.empty:
        return []
    first = wrong.iloc[0]
    text = f"the same reconstruction of {first.image} at {first.point} has another PSNR or MS-SSIM, {len(wrong)} times"
    return [Finding("metrics", f"{text}: a change of a metric needs a new version of it", True)]


def _tolerances(pairs: pd.DataFrame, limits: Limits) -> list[Finding]:
    findings = []
    for layer, name, sign, unit, limit in (
        ("bpp", "bytes_percent", 1, "%", limits.bpp_percent),
        ("psnr", "psnr_db_change", -1, "dB", limits.psnr_db),
    ):
        worst = pairs.loc[(sign * pairs[name]).idxmax()]
        breached = bool(sign * worst[name] > limit)
        text = f"worst {layer} {worst[name]:+.3f} {unit}, {worst.image} at {worst.point}"
        text += f", limit {sign * limit:+g} {unit}" if breached else ""
        findings.append(Finding(layer, text, breached, float(worst[name])))
    return findings


def _bd(now: pd.DataFrame, before: pd.DataFrame, limits: Limits, extra: Collection[str]) -> list[Finding]:
    """A finding for each metric in which the baseline has a curve. extra: those beyond METRICS to look at."""
    dataset = before.dataset.iloc[0]
    before = before.assign(codec="before", status="ok", saturated=False)
    both = pd.concat([before, now.assign(codec="now")], ignore_index=True)
    findings = []
    for metric, label in (METRICS | {name: name for name in extra}).items():
        if not _has_curve(before, dataset, metric):
            continue
        table = bd_table.compare(both, "before", ["now"], metric, dataset)
        row = table[(table.averaging == "per_image") & (table.method == "pchip")].iloc[0]
        if pd.isna(row.bd_rate_percent):
            breached, text = limits.bd_percent < inf, f"no BD-rate ({label}) against the baseline: {row.reason}"
            findings.append(Finding("bd", text, breached))
            continue
        interval = (float(row.ci_low), float(row.ci_high)) if pd.notna(row.ci_low) else None
        breached = bool(row.bd_rate_percent > limits.bd_percent and (interval is None or interval[0] > 0))
        text = f"BD-rate ({label}) {row.bd_rate_percent:+.3f} %"
        text += f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ""
        text += f", limit {limits.bd_percent:+g} %" if breached else ""
        findings.append(Finding("bd", text, breached, float(row.bd_rate_percent), interval))
    return findings


def _has_curve(before: pd.DataFrame, dataset: str, metric: str) -> bool:
    """Whether BD-rates against these rows exist at all: not for one point, nor where all is identical."""
    table = curve_table(before, dataset, "before", metric)
    curves = (table.image_curve(image) for image in range(len(table.images)))
    return any(bd_table.bd_rate(*curve, *curve).value is not None for curve in curves)


def _names(keys: Collection[Key]) -> str:
    return ", ".join(sorted({codec for _, codec in keys}))
