"""Coding compared with the same network's compress() and decompress() in CompressAI, up to 9 megapixels."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage import data

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from codecs_wrappers.learned import weights
from codecs_wrappers.learned.bitstream import read
from codecs_wrappers.learned.hyperprior import coding, networks
from codecs_wrappers.learned.hyperprior.model import Model

ROOT = Path(__file__).resolve().parents[1]
TRAINED = "mean_scale_0.1538"
SIZES = {"0.4": (512, 768), "2": (1152, 1728), "9": (2456, 3680)}
LIMIT_MIB = 8192
PHOTOGRAPH = np.concatenate([data.astronaut(), data.astronaut()[:, :256]], 1)  # 512 x 768


def best_of(rounds: int, **runs: Callable[[], object]) -> dict[str, float]:
    """Seconds of each run at its best, in turns, so that a busy machine is busy for all of them."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def test_no_slower_than_compressais_compress_and_decompress(benchmark):
    model = Model.load(TRAINED, "cpu")
    library = networks.load_weights(
        networks.build({"family": "mean_scale", "N": model.N, "M": model.M}), model.network.state_dict()
    )
    library = library.eval().to(memory_format=torch.channels_last)  # the faster form on a CPU; it is not its default
    library.update(force=True)
    x = torch.from_numpy(PHOTOGRAPH).permute(2, 0, 1)[None].float().div(255)
    x = x.contiguous(memory_format=torch.channels_last)
    bitstream, _ = coding.encode(model, PHOTOGRAPH, "mean_scale")
    header = read(bitstream, "mean_scale")
    with torch.inference_mode():
        theirs = library.compress(x)
        assert np.isclose(len(bitstream), sum(len(s[0]) for s in theirs["strings"]), rtol=0.01)
        runs = {
            "encode": lambda: coding.encode(model, np.roll(PHOTOGRAPH, 1, 0), "mean_scale"),
            "compress": lambda: library.compress(x),
            "decode": lambda: coding.decode(model, bitstream, header),
            "decompress": lambda: library.decompress(**theirs),
        }
        best = benchmark.pedantic(best_of, (5,), runs, rounds=1)
    benchmark.extra_info |= {f"{name}_s": round(seconds, 3) for name, seconds in best.items()}
    print("\n" + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in best.items()))
    assert best["encode"] <= best["compress"]
    assert best["decode"] <= best["decompress"]


@pytest.mark.parametrize("megapixels", SIZES)
@pytest.mark.parametrize("step", ["encode", "decode"])
def test_memory_stays_under_eight_gibibytes(benchmark, megapixels, step):
    if not weights.available(TRAINED)[0]:
        pytest.skip("needs the trained model")
    height, width = SIZES[megapixels]
    script = f"""
import resource, time, numpy as np
from codecs_wrappers.learned.hyperprior.model import Model
model, (height, width) = Model.load({TRAINED!r}, "cpu"), ({height}, {width})
random = np.random.default_rng(1)
y_shape, z_shape = model.latent_shapes(height, width)
start = time.perf_counter()
if {step!r} == "encode":
    model.hyper(model.analyse(random.integers(0, 256, (height, width, 3), np.uint8))[1])
else:
    model.hyper(random.integers(-9, 10, z_shape, np.int32))
    model.synthesise(random.standard_normal(y_shape, np.float32), height, width)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

    def run() -> tuple[float, float]:
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds, mib = map(float, done.stdout.split())
        return height * width / 1e6 / seconds, mib

    rate, mib = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info |= {"megapixels_per_s": round(rate, 3), "peak_rss_mib": round(mib)}
    print(f"\n{step} {megapixels} Mpx: {rate:.2f} Mpx/s, {mib:.0f} MiB")
    assert mib < LIMIT_MIB
