"""How long measuring takes on one core. Target: 60 ms for a 768 x 512 image once its reference is prepared."""

import subprocess
import sys

import numpy as np
import pytest

from bench.metrics import Reference, measure


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A 768 x 512 picture and a disturbed one."""
    y, x = np.mgrid[0:512, 0:768]
    original = np.stack([(x * 3 + y) % 256, (x * y // 11) % 256, (x + y * 2) % 256], axis=2).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 6, original.shape)
    return original, np.clip(original + noise, 0, 255).astype(np.uint8)


def test_prepare_a_reference(benchmark, pair):
    benchmark(Reference, pair[0])


def test_measure_one_reconstruction(benchmark, pair):
    reference = Reference(pair[0])
    assert benchmark(measure, reference, pair[1])["ms_ssim"] < 1


def test_measure_9_megapixels_under_1_gib(benchmark):
    code = """
import resource
import numpy as np
from bench.metrics import Reference, measure
image = np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), np.uint8)
measure(Reference(image), 255 - image)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def peak_mib() -> float:
        printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        return int(printed) / 1024

    peak = benchmark.pedantic(peak_mib, rounds=1)
    benchmark.extra_info["peak_rss_mib"] = peak
    assert peak < 1024
