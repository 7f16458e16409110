"""The numbers in README.md and the docs, made from the published reports and the weights' manifest.

`python docs/facts.py` writes them between the marks `<!-- facts NAME -->` and `<!-- end -->` of every Markdown file;
`--check` only says which are out of date. No number of this kind is typed by hand.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench import records
from bench.claims.evidence import Evidence
from bench.claims.ledger import HEADLINE
from bench.claims.quantities import loss
from bench.claims.tables import measured
from bench.data.datasets import specification
from bench.discovery import codecs
from bench.rd.bjontegaard import bd_rate
from bench.rd.curves import averaged_curve
from bench.rd.published import published_curve

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import cluster_cost  # noqa: E402
import codec_facts  # noqa: E402
import targets  # noqa: E402

BLOCK = re.compile(r"(<!-- facts (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PAGES = ("README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))))
# What a user would choose from, and the papers' codecs; variants of them are on the page.
CODECS = ["bpg444", "avif", "heic", "jpegxl", "jpeg2000", "spiht", "webp", "jpeg"]
CODECS += ["mean_scale", "resgdn", "stanh", "qsf", "naive_scaling", "plonq", "nested_dropout"]
PUBLISHED = ("compressai/mbt2018-mean_mse_8bit", "MeanScale with CompressAI's published weights")


@cache
def report_records(name: str) -> pd.DataFrame:
    """The records behind a published report, out of the data of its explorer: one dataset, every measured codec."""
    text = (ROOT / "reports" / name / "explore.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', text, re.DOTALL)
    if found is None:
        raise SystemExit(f"reports/{name}/explore.html holds no data of an explorer; publish it again")
    data = json.loads(found[1])
    ((dataset, measured),) = data["measured"].items()
    rows = []
    for codec, about in measured.items():
        for image, columns in about["images"].items():
            width, height = data["sizes"][dataset][image]
            for index, point in enumerate(about["points"]):
                if (size := columns["bytes"][index]) is None:
                    continue
                row: dict[str, Any] = {"dataset": dataset, "image": image, "codec": codec, "role": "codec"}
                row |= {"status": "ok", "point": point, "point_index": index, "bytes": size}
                row |= {"bpp": 8 * size / (width * height), "saturated": index in columns.get("saturated", ())}
                for key in ("psnr_rgb_db", "ms_ssim_db", "ms_ssim"):
                    row[key] = float(columns[key][index]) if columns.get(key, [None])[index] is not None else None
                rows.append(row)
    return records.table(rows)


def kodak_bd() -> str:
    """BD-rates of the published Kodak report, the mean of the images' with its 95 % interval."""
    frame = report_records("kodak")
    measured = [name for name in CODECS if name in set(frame.codec)]
    labels = {name: codec.label or name for name, codec in codecs().items()}
    columns = [("jpeg2000", "psnr_rgb_db"), ("bpg444", "psnr_rgb_db"), ("jpeg2000", "ms_ssim_db")]
    tables = []
    for anchor, metric in columns:
        table = codec_facts.bd_rates(frame, anchor, [name for name in measured if name != anchor], metric)
        tables.append({name: codec_facts.percent(row) for name, row in table.iterrows()})
        if not tables[1:]:
            order = table.bd_rate_percent.to_dict() | {"jpeg2000": 0.0}
    lines = [
        "| Codec | against JPEG 2000, PSNR | against BPG 4:4:4, PSNR | against JPEG 2000, MS-SSIM |",
        "|---|---|---|---|",
    ]
    for name in sorted(measured, key=lambda name: order.get(name, float("inf"))):
        lines.append(f"| {labels[name]} | {' | '.join(table.get(name, '0') for table in tables)} |")
    lines.append(f"| *{PUBLISHED[1]}, as published, not measured here* | {_claimed(frame)} | – |")
    return "\n".join([*lines, ""])


def _claimed(frame: pd.DataFrame) -> str:
    """BD-rates of the published curve against the averaged curves of two anchors."""
    curve = published_curve(PUBLISHED[0], "kodak", "psnr_rgb_db")
    cells = []
    for anchor in ("jpeg2000", "bpg444"):
        own = averaged_curve(frame, "kodak", anchor, "psnr_rgb_db")
        found = bd_rate(own.bpp, own.value, curve.bpp, curve.value)
        cells.append("none" if found.value is None else f"*{codec_facts.signed(found.value)} %*")
    return " | ".join(cells)


def training() -> str:
    """What the committed weights had."""
    own = [entry for entry in codec_facts.manifest().values() if "hours" in entry]
    hours = sum(entry["hours"] for entry in own)
    papers = yaml.safe_load((ROOT / "claims.yaml").read_text(encoding="utf-8"))["papers"]
    days = [paper["training"]["gpu_days"] for paper in papers.values() if "training" in paper]
    span = f"{min(days):g} to {max(days):g}"
    devices = " and a ".join(sorted({entry["device"].split(",")[0] for entry in own}))
    return (
        f"The {len(own)} committed weights were trained for {hours:.1f} hours in all on a {devices}, the papers' for\n"
        f"{span} days of a GPU (estimated for an A100). They are far from what their architecture reaches; the\n"
        "last row of the table says how far.\n"
    )


def sets() -> str:
    """Size and cost of the image sets, from the CPU seconds of docs/cluster_cost.csv."""
    with open(cluster_cost.TABLE, newline="") as file:
        per_megapixel = sum(float(row["cpu_s_per_mpixel"]) for row in csv.DictReader(file))
    entries = specification()
    lines = ["| Set | images | megapixels | core hours, every codec |", "|---|---|---|---|"]
    for name, pixels in cluster_cost.sizes().items():
        megapixels = sum(pixels) / 1e6
        hours = megapixels * per_megapixel / 3600
        title = entries[name]["title"]
        lines.append(f"| `{name}`: {title} | {len(pixels)} | {megapixels:.1f} | {hours:.1f} |")
    return "\n".join([*lines, ""])


RATE_WEIGHTS = {"0.00513": 0.00513, "0.0154": 0.01538, "0.0277": 0.0277, "0.0513": 0.0513}  # of networks on Kodak


def kodak_loss() -> str:
    """What a network is trained for, bpp + rate weight 255^2 MSE, of real bitstreams, next to classical codecs.

    Of a network at its own rate weight; of a classical codec, whose setting is free, the least on each image's curve.
    """
    data = kodak()
    points = list(data.table("mean_scale", "psnr_rgb_db").points)
    names = ["jpeg2000", "bpg444"]
    labels = " | ".join(codecs()[name].label for name in names)
    lines = [f"| rate weight | network | {labels} |", "|---|---|---|---|"]
    for text, weight in RATE_WEIGHTS.items():
        if (point := f"lambda{weight:g}") in points:
            own = loss(data, "mean_scale", weight, points.index(point)).value
            least = (loss(data, name, weight).value for name in names)
            lines.append(f"| {text} | {own:.3f} | " + " | ".join(f"{each:.3f}" for each in least) + " |")
    return "\n".join([*lines, ""])


@cache
def kodak() -> Evidence:
    """The published Kodak report."""
    return targets.evidence(ROOT / "reports" / "kodak", report_records("kodak"))


def headlines() -> str:
    """The papers' main claims on Kodak: verdict, number, and what the controls say of its reason."""
    found = json.loads((ROOT / "reports/kodak/claims/claims.json").read_text(encoding="utf-8"))
    lines = ["| claim | verdict on Kodak | measured | measured reason |", "|---|---|---|---|"]
    for paper, about in found["papers"].items():
        lines.append(f"| **{about['title'].partition(':')[0]}** | | | |")
        for claim in found["claims"]:
            if claim["paper"] == paper and claim["kind"] == HEADLINE:
                number = next(filter(None, map(measured, claim["parts"])), "").replace("-", "−")
                lines.append(f"| {claim['says']} | {claim['verdict']} | {number} | {claim.get('cause', '')} |")
    return "\n".join([*lines, ""])


TRUNK = ROOT / "codecs_wrappers/learned/weights/averages/mean_scale_0.0277.yaml"
HELD_OUT = {"validation": "gb82, 5 photographs", "textured": "24 textured crops"}
LEAST_JUDGEMENTS = 5  # for a fit
PIXELS_PER_HOUR = 3.9e9  # of a training step on two idle cores, codecs_wrappers/learned/training/ABLATION.md


def trunk() -> str:
    """How the held-out losses of the trunk fall with the pixels seen, and how many it takes to reach other codecs.

    A power law through the judgements since the last restart settled, with a bootstrap over them.
    """
    about = yaml.safe_load(TRUNK.read_text(encoding="utf-8"))
    trunk_rows = [row for row in about["curve"] if not row.get("decayed")]
    curve = [row for row in trunk_rows if row["start"] == trunk_rows[-1]["start"]][1:]
    if len(curve) < LEAST_JUDGEMENTS:
        return "It has not been judged often enough for a fit since it was last restarted.\n"
    pixels = np.log([row["pixels"] for row in curve])
    resamples = np.random.default_rng(1).integers(0, len(curve), (2000, len(curve)))
    draws = [draw for draw in resamples if len(set(draw)) > 2]
    later = [row for row in about["curve"] if row.get("decayed") and row["pixels"] > curve[-1]["pixels"]][-1:]
    checks = []
    lines = ["| held-out images | loss | each doubling of the pixels | to reach | pixels | hours of two cores |"]
    lines.append("|---|---|---|---|---|---|")
    for name, title in HELD_OUT.items():
        values = np.log([row[name] for row in curve])
        fits = [np.polyfit(pixels[draw], values[draw], 1) for draw in draws]
        slope = np.polyfit(pixels, values, 1)[0]
        low, high = (100 * (2**each - 1) for each in np.quantile([fit[0] for fit in fits], [0.025, 0.975]))
        for row in later:
            said = np.exp(np.quantile([np.polyval(fit, np.log(row["pixels"])) for fit in fits], [0.025, 0.975]))
            checks.append(f"{row[name]:.4f} instead of {said[0]:.4f} to {said[1]:.4f} ({title})")
        for label, other in sorted(about["others"][name].items(), reverse=True):
            if np.log(other) >= values[-1]:
                cells = "reached | |"
            else:
                wanted = [(np.log(other) - fit[1]) / fit[0] if fit[0] < 0 else np.inf for fit in fits]
                span = np.exp(np.quantile(wanted, [0.025, 0.975]))
                cells = " | ".join(_span(each) for each in (span, (span - np.exp(pixels[-1])) / PIXELS_PER_HOUR)) + " |"
            lines.append(
                f"| {title} | {np.exp(values[-1]):.4f} | {100 * (2**slope - 1):.1f} % [{low:.1f}, {high:.1f}] "
                f"| {label}, {other:.3f} | {cells}".replace("-", "−")
            )
    if checks:
        trust = f"A branch decayed to {later[0]['pixels']:.2g} pixels has shown how far the law can be trusted"
        lines += ["", f"{trust}: {'; '.join(checks)}."]
    return "\n".join([*lines, ""])


def _span(ends: Sequence[float]) -> str:
    low, high = (f"{end:.2g}" if np.isfinite(end) and end < 1e15 else "more" for end in ends)
    return f"{low} to {high}"


def networks() -> str:
    """The committed networks: size, training, and losses on the held-out photographs."""
    lines = ["| weights | MB | rate weight | pixels seen | hours | loss | JPEG 2000 | BPG |", "|" + 8 * "---|"]
    for name, entry in sorted(codec_facts.manifest().items()):
        if "base" in entry:
            continue
        pixels, score = entry["crops"] * entry["crop"] ** 2, entry["validation"]
        others = [f"{score['others'][label]:.3f}" if "others" in score else "" for label in ("JPEG 2000", "BPG")]
        size, weight = f"{entry['bytes'] / 1e6:.1f}", str(entry.get("rate_weight", ""))
        facts = [size, weight, f"{pixels:.1e}", f"{entry['hours']:.1f}", f"{score['loss']:.3f}", *others]
        lines.append(f"| `{name}` | {' | '.join(facts)} |")
    return "\n".join([*lines, ""])


FACTS: dict[str, Callable[[], str]] = {
    "kodak_bd": kodak_bd,
    "kodak_loss": kodak_loss,
    "headlines": headlines,
    "training": training,
    "trunk": trunk,
    "networks": networks,
    "sets": sets,
    "targets": lambda: targets.table(kodak()),
    "stanh_weights": codec_facts.stanh_weights,
    "stanh_bd": lambda: codec_facts.stanh_bd(report_records("kodak")),
    "resgdn_bd": lambda: codec_facts.resgdn_bd(report_records("kodak")),
    "resgdn_bits": lambda: codec_facts.resgdn_bits(report_records("kodak")),
    "resgdn_training": codec_facts.resgdn_training,
    "plonq_levels": lambda: codec_facts.plonq("levels"),
    "plonq_orders": lambda: codec_facts.plonq("orders"),
}


def filled(text: str) -> str:
    """A Markdown text with its blocks written again. Raises KeyError for a block that has no such facts."""
    return BLOCK.sub(lambda found: f"{found[1]}{FACTS[found['name']]()}{found[3]}", text)


def main() -> None:
    """Writes the blocks, or with --check names the files that are out of date and exits with 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    check = parser.parse_args().check
    old = []
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            old.append(name)
            if not check:
                (ROOT / name).write_text(new, encoding="utf-8")
    print(f"{'out of date' if check else 'written'}: {', '.join(old) or 'none'}")
    sys.exit(int(check and bool(old)))


if __name__ == "__main__":
    main()
