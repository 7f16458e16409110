"""JPEG and WebP on Kodak at 19 qualities, two processes: rdbench compared with `python -m compressai.utils.bench`.

rdbench does more: bitstreams on disk, a second process that decodes, hashes, five metrics. Whole processes are timed,
start-up included. Run with `make bench`; it needs Kodak (../shared next to the checkout) and the learned extra.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KODAK = ROOT.parent / "shared" / "datasets" / "kodak"
QUALITIES = ",".join(str(quality) for quality in range(5, 100, 5))


def compressai(folder: Path) -> None:
    for codec in ("jpeg", "webp"):
        command = [sys.executable, "-W", "ignore", "-m", "compressai.utils.bench", codec, str(KODAK)]
        done = subprocess.run([*command, "-q", QUALITIES, "-j", "2"], capture_output=True, text=True, check=True)
        assert '"ms-ssim' in done.stdout and '"psnr' in done.stdout


def rdbench(folder: Path) -> None:
    environment = {**os.environ, "RDBENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "bench.cli", "run"]
    tail = ["--dataset", f"folder:{KODAK}", "--out"]
    runs = [
        subprocess.Popen([*command, codec, *tail, str(folder / f"{codec}.parquet")], cwd=ROOT, env=environment)
        for codec in ("jpeg", "webp")
    ]
    assert [run.wait() for run in runs] == [0, 0]


@pytest.mark.skipif(not KODAK.is_dir(), reason="needs ../shared/datasets/kodak next to the checkout")
def test_no_slower_than_compressais_bench_doing_less(benchmark, tmp_path):
    pytest.importorskip("compressai")
    start = time.perf_counter()
    compressai(tmp_path)
    theirs = time.perf_counter() - start
    benchmark.pedantic(rdbench, (tmp_path,), rounds=1)
    ours = benchmark.stats.stats.median
    benchmark.extra_info |= {"compressai_s": round(theirs, 2), "ratio": round(ours / theirs, 3)}
    print(f"\nrdbench {ours:.1f} s, compressai.utils.bench {theirs:.1f} s, ratio {ours / theirs:.2f}")
    assert ours <= theirs
