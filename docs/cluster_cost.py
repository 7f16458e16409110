"""What the paper's configuration takes on 1, 8 and 64 workers: `python docs/cluster_cost.py` prints the page's table.

docs/cluster_cost.csv has the CPU seconds of each codec, which `python docs/cluster_cost.py --measure` measures on one
core: encoding, decoding and metrics of one photograph at every operating point, and apart from it what a job takes to
start. CPU time counts, so a busy machine gives about the same as an idle one.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

HERE = Path(__file__).resolve().parent
TABLE = HERE / "cluster_cost.csv"
WORKERS, SCATTERS = (1, 8, 64), (4, 16)
# Width x height of every image of config/paper.yaml's sets; clic does not say its sizes, and is taken as 2048 x 1365.
SIZES = {"kodak": [768 * 512] * 24, "clic": [2048 * 1365] * 41, "tecnick": [1200 * 1200] * 100}
SIDE = 384  # of the photograph that is measured: embedded coffee's middle


def cpu_s() -> float:
    """CPU seconds so far of this process and of those it started that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def start_s(codec: str, photograph: Image.Image) -> float:
    """CPU seconds of `rdbench run` on 16 x 16 pixels: two workers, their imports, the weights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        photograph.crop((0, 0, 16, 16)).save(folder / "images" / "coffee.png")
        words = [
            "rdbench",
            "run",
            codec,
            "--dataset",
            f"folder:{folder / 'images'}",
            "--out",
            str(folder / "out.parquet"),
        ]
        begin = cpu_s()
        environment = {**os.environ, "RDBENCH_CACHE": str(folder / "cache")}
        subprocess.run(words, env=environment, check=True, capture_output=True)
        return cpu_s() - begin


def image_s(name: str, photograph: Image.Image) -> float:
    """CPU seconds of one image at all points, a first one apart that warms up."""
    from bench.discovery import load
    from bench.metrics import Reference, measure

    codec, pixels = load(name), np.asarray(photograph)
    codec.prepare()
    measure(Reference(pixels), codec.decode(codec.encode(pixels, codec.points[0])))
    begin, reference = cpu_s(), Reference(pixels)
    for point in codec.points:
        measure(reference, codec.decode(codec.encode(pixels, point)))
    return cpu_s() - begin


def measure_all() -> None:
    """Writes the table: a codec's seconds to start, and its seconds a megapixel of one image at all points."""
    from skimage import data

    from bench.run.codec_state import all_codec_states
    from bench.run.environment import device_name

    os.environ["RDBENCH_DEVICE"] = "cpu"
    coffee = Image.fromarray(data.coffee()).crop((108, 8, 108 + SIDE, 8 + SIDE))
    start = {True: start_s("mean_scale", coffee), False: start_s("jpeg", coffee)}  # with torch, and without
    left_out = yaml.safe_load((HERE.parent / "config" / "paper.yaml").read_text())["leave_out"]
    with open(TABLE, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["codec", "start_cpu_s", "cpu_s_per_mpixel", "machine"])
        for name, state in sorted(all_codec_states().items()):
            if not state.available or state.role == "validation" or name in left_out:
                continue
            seconds = image_s(name, coffee) / (SIDE * SIDE / 1e6)
            table.writerow([name, f"{start[bool(state.weights_sha256)]:.1f}", f"{seconds:.2f}", device_name()])
            file.flush()


def sizes() -> dict[str, list[int]]:
    """Pixels of each image, by set. The JPEG AI set's file names say them."""
    sets = yaml.safe_load((HERE.parent / "datasets.yaml").read_text())
    names = {name: name for name in sets["jpegai"]["files"]}
    names |= {name: crop["to"] for name, crop in sets["jpegai_plonq"]["crop"].items()}
    found = [re.search(r"(\d+)x(\d+)", name) for name in names.values()]
    return {**SIZES, "jpegai_plonq": [int(match[1]) * int(match[2]) for match in found if match]}


def jobs(rows: Iterable[dict[str, str]], scatter: int) -> list[float]:
    """CPU seconds of each job, in the order Snakemake has them."""
    return [
        float(row["start_cpu_s"]) + float(row["cpu_s_per_mpixel"]) * sum(pixels[part::scatter]) / 1e6
        for pixels in sizes().values()
        for row in rows
        for part in range(scatter)
    ]


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last job is done if each worker takes the next one as soon as it is free."""
    free = [0.0] * workers
    for job in seconds:
        heapq.heapreplace(free, free[0] + job)
    return max(free)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure on this machine first: minutes")
    parser.add_argument("--price", type=float, default=0.05, help="of one core for an hour (%(default)s)")
    args = parser.parse_args()
    if args.measure:
        measure_all()
    with open(TABLE, newline="") as file:
        rows = list(csv.DictReader(file))
    print(
        "| scatter | workers | jobs | hours | longest job, hours | core hours | cost |\n|---|---|---|---|---|---|---|"
    )
    for scatter in SCATTERS:
        each = jobs(rows, scatter)
        for workers in WORKERS:
            hours, total, longest = makespan(each, workers) / 3600, sum(each) / 3600, max(each) / 3600
            facts = [f"{hours:.1f}", f"{longest:.2f}", f"{total:.1f}", f"{total * args.price:.2f}"]
            print(f"| {scatter} | {workers} | {len(each)} | {' | '.join(facts)} |")


if __name__ == "__main__":
    main()
