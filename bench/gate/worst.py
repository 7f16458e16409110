"""The images that lost most in a codec the gate refuses: where a person looks first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.gate import judge
from bench.gate.baseline import Baseline
from bench.gate.judge import Verdict
from bench.rd.bd_table import bd_rate

COUNT = 5
Worst = dict[tuple[str, str], pd.DataFrame]  # by dataset and codec


def worst_images(verdicts: list[Verdict], current: pd.DataFrame, baseline: Baseline, count: int = COUNT) -> Worst:
    """Of each failed verdict that has numbers, the ``count`` images that lost most, a row each.

    image; bd_rate_percent: against the baseline in PSNR, NaN where the two curves have none; bytes_percent, psnr_db:
    mean change over its points; point: the one whose rate rose most.
    """
    failed = [verdict for verdict in verdicts if verdict.verdict == "failed"]
    tables = {}
    for key in ((verdict.dataset, verdict.codec) for verdict in failed):
        if key not in baseline.origins:
            continue
        now = current[(current.dataset == key[0]) & (current.codec == key[1])]
        pairs = judge.differences(now, baseline.of(key))
        pairs = pairs[pairs.found & (pairs.other_bitstream | pairs.other_reconstruction)]
        if len(pairs):
            rows = [_row(str(image), part) for image, part in pairs.groupby("image")]
            order = ["bd_rate_percent", "bytes_percent"]
            tables[key] = pd.DataFrame(rows).sort_values(order, ascending=False, ignore_index=True)[:count]
    return tables


def _row(image: str, pairs: pd.DataFrame) -> dict[str, object]:
    pairs = pairs.sort_values("bytes")
    before, now = (
        (pairs[f"bytes{when}"].to_numpy(float), pairs[f"psnr_rgb_db{when}"].to_numpy(float)) for when in ("_before", "")
    )
    value = bd_rate(*before, *now).value
    return {
        "image": image,
        "bd_rate_percent": float("nan") if value is None else value,
        "bytes_percent": float(pairs.bytes_percent.mean()),
        "psnr_db": float(pairs.psnr_db_change.mean()),
        "point": str(pairs.loc[pairs.bytes_percent.idxmax(), "point"]),
    }


def as_text(worst: Worst) -> str:
    """A block for each codec, a line for each image."""
    return "".join(
        f"\n{codec} on {dataset}, the images that lost most:\n" + _lines(t) for (dataset, codec), t in worst.items()
    )


def _lines(table: pd.DataFrame) -> str:
    lines = [f"  {'image':24} {'BD-rate':>10} {'bytes':>10} {'PSNR':>11}  worst point\n"]
    for row in table.itertuples():
        cells = f"{_bd(row.bd_rate_percent):>10} {row.bytes_percent:>+8.2f} % {row.psnr_db:>+8.3f} dB"
        lines.append(f"  {row.image:24} {cells}  {row.point}\n")
    return "".join(lines)


def as_markdown(worst: Worst, crops: Mapping[tuple[str, str, str], str] | None = None) -> list[str]:
    """The lines of a table for each codec; crops: the address of a picture, by dataset, codec and image."""
    lines = []
    for (dataset, codec), table in worst.items():
        lines += [f"The images of {dataset} that lost most with {codec}:", ""]
        lines += ["| image | BD-rate (PSNR) | bytes | PSNR | worst point |", "|---|---:|---:|---:|---|"]
        for row in table.itertuples():
            cells = f"{_bd(row.bd_rate_percent)} | {row.bytes_percent:+.2f} % | {row.psnr_db:+.3f} dB"
            lines.append(f"| {cell(row.image)} | {cells} | {row.point} |")
        lines.append("")
        for row in table.itertuples():
            if address := (crops or {}).get((dataset, codec, row.image)):
                lines += [
                    f"{cell(row.image)} at {row.point}, original left, now right:",
                    "",
                    f"![{cell(row.image)}]({address})",
                    "",
                ]
    return lines


def _bd(value: float) -> str:
    return "none" if pd.isna(value) else f"{value:+.2f} %"


def cell(text: str) -> str:
    """``text`` as a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
