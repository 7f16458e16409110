"""STanH compared with the same network with plain rounding, on a Kodak-sized picture: what its quantizers cost in time.

Both run in turns, so that the machine's load falls on both. Run with `make bench`; a loaded machine spreads the ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from skimage import data

pytest.importorskip("torch", reason="needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="needs the extra rdbench[learned]")

from bench.discovery import load

ROUNDS = 7
ALLOWED = 1.10  # of the time without STanH (issue 6)
PICTURE = np.tile(data.astronaut(), (1, 2, 1))[:, :768].copy()  # 512 x 768


def median_ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Median over the rounds of ours / theirs, in processor time of this thread, each after a warm-up."""
    ours(), theirs()
    ratios = []
    for _ in range(ROUNDS):
        seconds = []
        for call in (ours, theirs):
            start = time.process_time()
            call()
            seconds.append(time.process_time() - start)
        ratios.append(seconds[0] / seconds[1])
    return float(np.median(ratios))


@pytest.fixture(scope="module")
def codecs():
    stanh, plain = load("stanh_1anchor"), load("naive_scaling")
    for codec in (stanh, plain):
        available, reason = codec.available()
        if not available:
            pytest.skip(reason)
    return stanh, plain, stanh.points[-1], plain.at(1)


def test_encoding_takes_no_more_than_a_tenth_longer(benchmark, codecs):
    stanh, plain, point, step = codecs
    ratio = median_ratio(lambda: stanh.encode(PICTURE, point), lambda: plain.encode(PICTURE, step))
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(stanh.encode, (PICTURE, point), rounds=1)
    print(f"\nencoding with STanH takes {ratio:.3f} of the time without")
    assert ratio < ALLOWED


def test_decoding_takes_no_more_than_a_tenth_longer(benchmark, codecs):
    stanh, plain, point, step = codecs
    ours, theirs = stanh.encode(PICTURE, point), plain.encode(PICTURE, step)
    ratio = median_ratio(lambda: stanh.decode(ours), lambda: plain.decode(theirs))
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(stanh.decode, (ours,), rounds=1)
    print(f"\ndecoding with STanH takes {ratio:.3f} of the time without")
    assert ratio < ALLOWED


def test_another_rate_of_a_network_costs_its_tables_alone(benchmark, codecs):
    """A rate that was never used builds its tables; a network takes longer to load by far."""
    stanh, _, _, _ = codecs
    from codecs_wrappers.learned.stanh.coding import PairTables

    backbone = stanh.backbone(stanh.bases[0])
    positions = iter(np.linspace(0.01, 0.99, 64))

    def switch() -> None:
        PairTables.build(stanh.pair(0, round(next(positions), 4)), backbone)

    benchmark.pedantic(switch, rounds=10, warmup_rounds=1)
    assert benchmark.stats.stats.median < 0.2
