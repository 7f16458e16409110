"""The numbers of docs/stanh.md, resgdn.md and plonq.md: from manifest, curves, the published report and docs/data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.rd.bd_table import compare

ROOT = Path(__file__).resolve().parents[1]
LEARNED = ROOT / "codecs_wrappers" / "learned"
PLONQ = {name: ROOT / "docs" / "data" / f"plonq_{name}.csv" for name in ("levels", "orders")}
RESGDN = ["resgdn", "resgdn_allocated", "resgdn_short"]


def manifest() -> dict[str, Any]:
    """The weights' manifest, without what is downloaded."""
    found = yaml.safe_load((LEARNED / "weights.yaml").read_text(encoding="utf-8"))
    return {name: entry for name, entry in found.items() if entry["source"] == "committed"}


def judgements(name: str) -> pd.DataFrame:
    """The judgements of a committed training on its held-out images, in order of steps."""
    curve = pd.read_csv(LEARNED / "weights" / "curves" / f"{name}.csv")
    return curve[curve.kind == "validation"]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, as it is set."""
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(row: pd.Series) -> str:
    """A BD-rate with its 95 % interval."""
    if pd.isna(row.bd_rate_percent):
        return f"none ({row.reason.replace('_', ' ')})"
    interval = f"[{row.ci_low:.1f}, {row.ci_high:.1f}]".replace("-", "−")
    return f"{signed(row.bd_rate_percent)} % {interval}"


def bd_rates(frame: pd.DataFrame, anchor: str, names: list[str], metric: str) -> pd.DataFrame:
    """The means of the images' BD-rates by PCHIP, indexed by codec."""
    table = compare(frame, anchor, names, metric, str(frame.dataset.iloc[0]))
    return table[(table.averaging == "per_image") & (table.method == "pchip")].set_index("codec")


def stanh_weights() -> str:
    """Every trained pair of quantizers: its loss before and after, and what its file takes."""
    rows = []
    for name, entry in manifest().items():
        if entry.get("scheme") != "stanh":
            continue
        before, score = judgements(name).iloc[0].loss, entry["validation"]
        kind = "anchor" if entry.get("anchor", name) == name else f"of {entry['anchor'].removeprefix('stanh_')}"
        facts = [f"{entry['rate_weight']:g}", entry["base"]["name"], str(entry["steps"]), f"{entry['bytes']:,}"]
        losses = [f"{before:.4f}", f"{score['loss']:.4f}", f"{score['bpp']:.4f}", f"{score['psnr_rgb_db']:.2f}"]
        rows.append([f"`{name}` ({kind})", *facts, *losses])
    head = ["weights", "lambda", "network", "steps", "bytes", "loss before", "loss after", "bit/pixel", "PSNR"]
    return markdown(head, rows)


def stanh_bd(frame: pd.DataFrame) -> str:
    """STanH's codecs against networks for each rate, and against one network scaled, on the images of a report."""
    names = [name for name in sorted(set(frame.codec)) if name.startswith("stanh") and name != "stanh_ms_ssim"]
    return _bd(frame, names, [(anchor, "psnr_rgb_db") for anchor in ("mean_scale", "naive_scaling", "qsf")])


def resgdn_bd(frame: pd.DataFrame) -> str:
    """ResGDN after a long and a short training and with other points, against JPEG 2000."""
    return _bd(frame, RESGDN, [("jpeg2000", "psnr_rgb_db"), ("jpeg2000", "ms_ssim_db")])


def _bd(frame: pd.DataFrame, names: list[str], columns: list[tuple[str, str]]) -> str:
    titles = {"psnr_rgb_db": "PSNR", "ms_ssim_db": "MS-SSIM"}
    cells: dict[str, list[str]] = {name: [] for name in names}
    for anchor, metric in columns:
        table = bd_rates(frame, anchor, names, metric)
        for name in names:
            cells[name].append(percent(table.loc[name]) if name in table.index else "–")
    head = ["codec", *(f"against `{anchor}`, {titles[metric]}" for anchor, metric in columns)]
    return markdown(head, [[f"`{name}`", *row] for name, row in cells.items()])


def resgdn_training() -> str:
    """How loss, rate and quality of ResGDN's base layer changed while the committed network was trained."""
    curve = judgements("resgdn")
    rows = [[f"{row.step:,}", f"{row.loss:.4f}", f"{row.psnr_db:.2f}", f"{row.bpp:.3f}"] for row in curve.itertuples()]
    return markdown(["step", "loss", "PSNR of the base layer, dB", "its rate, bit/pixel"], rows)


def resgdn_bits(frame: pd.DataFrame) -> str:
    """Rate and quality of the base layer at each bit depth: means over the images of a report."""
    own = frame[frame.codec == "resgdn_base"].sort_values("point_index")
    means = own.groupby("point", sort=False)[["bpp", "psnr_rgb_db"]].mean()
    rows = [[point, f"{row.bpp:.3f}", f"{row.psnr_rgb_db:.2f}"] for point, row in means.iterrows()]
    return markdown(["operating point", "bit/pixel", "PSNR, dB"], rows)


def plonq(name: str) -> str:
    """A comparison that `rdbench plonq-levels` or `plonq-orders` wrote to docs/data, and its network."""
    table = pd.read_csv(PLONQ[name])
    rows = [
        [row.variant, signed(row.bd_rate_percent, 2), signed(row.bd_psnr_db, 3)]
        + [signed(row.least_bd_rate_percent, 2), signed(row.greatest_bd_rate_percent, 2)]
        for row in table.itertuples()
    ]
    made = f"{table.images.iloc[0]} images, network {table.network.iloc[0]}.\n\n"
    return made + markdown([name, "BD-rate, %", "BD-PSNR, dB", "least BD-rate", "greatest"], rows)
