"""Speed of entropy coding on one core: a Kodak image's latent (491,520 symbols, 256 tables), and building tables.

Run with --benchmark-only. The limits are on processor time, so that a busy machine does not fail them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder
from codecs_wrappers.learned.entropy.gaussian import SCALES, SIGMA_UNIT, gaussian_tables, scale_index
from codecs_wrappers.learned.entropy.tables import Tables

ROOT = Path(__file__).resolve().parents[1]
N = 320 * 48 * 32
SPREADS = {"0.1 bpp": -3.5, "1 bpp": -1.4, "3 bpp": 0.25}  # mean of ln sigma
PROCESSOR_TIME = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(params=SPREADS)
def latent(request) -> tuple[np.ndarray, np.ndarray]:
    """(symbols, scale indices), drawn from their own tables' densities."""
    rng = np.random.default_rng(0)
    sigma = np.exp(rng.normal(SPREADS[request.param], 1.2, N))
    which = scale_index(np.rint(sigma * SIGMA_UNIT).astype(np.int64))
    return np.rint(rng.normal(0, SCALES[which])).astype(np.int32), which


@PROCESSOR_TIME
def test_encodes_30_million_symbols_a_second(benchmark, latent):
    def encode() -> bytes:
        encoder = RangeEncoder()
        encoder.encode(*latent, gaussian_tables())
        return encoder.finish()

    benchmark.pedantic(encode, rounds=15, warmup_rounds=2)
    benchmark.extra_info["million symbols/s"] = N / benchmark.stats["min"] / 1e6
    assert N / benchmark.stats["min"] > 30e6


@PROCESSOR_TIME
@pytest.mark.parametrize("prefix", [False, True], ids=["whole", "prefix"])
def test_decodes_15_million_symbols_a_second(benchmark, latent, prefix):
    encoder = RangeEncoder()
    encoder.encode(*latent, gaussian_tables())
    data = encoder.finish()
    got = benchmark.pedantic(
        lambda: RangeDecoder(data, prefix).decode(latent[1], gaussian_tables()), rounds=15, warmup_rounds=2
    )
    assert np.array_equal(got, latent[0])
    benchmark.extra_info["million symbols/s"] = N / benchmark.stats["min"] / 1e6
    assert N / benchmark.stats["min"] > 15e6


@PROCESSOR_TIME
@pytest.mark.parametrize("steps", [1, 320], ids=["one step", "a step a channel"])
def test_scale_indices_of_half_a_million_elements_take_under_10_ms(benchmark, steps):
    sigma = np.random.default_rng(0).integers(1, 1 << 22, (320, 48, 32))
    benchmark.pedantic(scale_index, (sigma, np.linspace(1, 4, steps)), rounds=15, warmup_rounds=2)
    assert benchmark.stats["min"] < 0.010


@PROCESSOR_TIME
def test_five_thousand_tables_are_built_in_under_50_ms(benchmark):
    rng = np.random.default_rng(0)
    pmfs = [rng.random(rng.integers(1, 60)) for _ in range(5000)]
    minimums, escape = rng.integers(-30, 1, 5000), [0.01] * 5000
    benchmark.pedantic(Tables.from_pmfs, (pmfs, minimums, escape), rounds=10, warmup_rounds=2)
    assert benchmark.stats["min"] < 0.050


@PROCESSOR_TIME
def test_gaussian_tables_are_built_in_under_50_ms(benchmark):
    benchmark.pedantic(gaussian_tables.__wrapped__, rounds=10, warmup_rounds=2)
    assert benchmark.stats["min"] < 0.050


def test_first_encode_and_decode_with_a_cold_cache_take_under_10_s(benchmark, tmp_path):
    script = (
        "import time; begun = time.process_time(); import numpy as np;"
        "from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder;"
        "from codecs_wrappers.learned.entropy.gaussian import gaussian_tables, scale_index;"
        "which = scale_index(np.arange(1000)); encoder = RangeEncoder();"
        "encoder.encode(np.arange(1000), which, gaussian_tables());"
        "RangeDecoder(encoder.finish()).decode(which, gaussian_tables()); print(time.process_time() - begun)"
    )

    def cold() -> float:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-c", script]
        return float(subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment).stdout)

    assert benchmark.pedantic(cold, rounds=1) < 10
