"""How long Snakemake takes to draw the graph of a large run, and in how much memory.

    python tests/cluster/dag.py                       # config/paper.yaml's codecs on 10,000 images, scatter 64
    python tests/cluster/dag.py --images 10000 --scatter 256 --limit-s 60

The images are small PNGs (32 x 32) in folders, one for each of the paper's sets: the graph knows sets and parts, not
pixels. A dry run does all but run jobs. Prints one line of JSON; exit code 1 past --limit-s.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from run import ROOT, project


def image_folders(folder: Path, sets: list[str], images: int) -> list[str]:
    """``images`` PNGs in all, in a folder for each of ``sets``, as datasets of a configuration."""
    rng = np.random.default_rng(1)
    for number in range(images):
        path = folder / sets[number % len(sets)] / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return [f"folder:{folder / name}" for name in sets]


def measure(folder: Path, images: int, scatter: int, *options: str) -> dict[str, float]:
    """Jobs, seconds, CPU seconds and peak MiB of a dry run in ``folder``. Raises RuntimeError if Snakemake fails."""
    settings = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    names = settings["datasets"]
    settings |= {"name": "cluster", "datasets": image_folders(folder / "images", names, images), "scatter": scatter}
    project(folder, settings)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "config/cluster.yaml", *options]
    environment = {**os.environ, "RDBENCH_CACHE": str(folder / "cache")}
    begin = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.monotonic() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr[-2000:]}")
    (jobs,) = set(re.findall(r"^total +(\d+)", done.stdout + done.stderr, re.M))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {"images": images, "scatter": scatter, "jobs": int(jobs), "seconds": round(seconds, 1)}
    return {**facts, "cpu_s": round(used.ru_utime + used.ru_stime, 1), "peak_mib": round(used.ru_maxrss / 1024)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--scatter", type=int, default=64, help="jobs for each codec and set (%(default)s)")
    parser.add_argument("--limit-s", type=float, default=30.0)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rdbench-dag-"))
    try:
        facts = measure(folder, args.images, args.scatter, "--cores", "2")
    finally:
        shutil.rmtree(folder)
    print(json.dumps(facts))
    return int(facts["seconds"] > args.limit_s)


if __name__ == "__main__":
    sys.exit(main())
