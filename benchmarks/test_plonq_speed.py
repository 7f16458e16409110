"""Speed and memory of PLONQ against plain coding with the same network: 768 x 512 on one core of the CPU.

Run with --benchmark-only. The limits are on processor time, so that a busy machine does not fail them.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage import data

from bench.discovery import load
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.entropy.coder import RangeDecoder
from codecs_wrappers.learned.entropy.gaussian import SCALES
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperprior import coding as meanscale
from codecs_wrappers.learned.plonq import coding as plonq
from codecs_wrappers.learned.plonq import levels

KODAK = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "kodak"
pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(scope="module")
def coded():
    """(model, image, its plain bitstream, its PLONQ bitstream)."""
    codec = load("plonq")
    available, reason = codec.available()
    if not available:
        pytest.skip(reason)
    path = KODAK / "kodim13.png"
    image = (
        np.asarray(PillowImage.open(path).convert("RGB")) if path.is_file() else np.tile(data.astronaut(), (1, 2, 1))
    )
    image = image[:512, :768].copy()  # one that may be written: nothing of its analysis is kept between calls
    model = codec.model(codec.entries[0])
    return model, image, meanscale.encode(model, image, "mean_scale")[0], plonq.encode(model, image)


def least_s(*calls: Callable[[], object], rounds: int = 5) -> list[float]:
    """The least processor time of each call, called in turn, so that what else the machine does hits all alike."""
    seconds = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, seconds, strict=True):
            begun = time.process_time()
            call()
            taken.append(time.process_time() - begun)
    return [min(taken) for taken in seconds]


def test_encoding_takes_at_most_half_as_long_again_as_plain_coding(benchmark, coded):
    model, image, *_ = coded
    calls = (lambda: plonq.encode(model, image)), (lambda: meanscale.encode(model, image, "mean_scale"))
    ours, plain = benchmark.pedantic(least_s, calls, rounds=1)
    benchmark.extra_info["times plain coding"] = ours / plain
    assert ours < 1.5 * plain


@pytest.mark.parametrize("percent", [10, 100])
def test_decoding_a_prefix_takes_at_most_three_tenths_longer_than_plain_decoding(benchmark, coded, percent):
    model, _, plain_bitstream, bitstream = coded
    prefix, header = bitstream[: len(bitstream) * percent // 100], stream.read(bitstream, "plonq")
    plain_header = stream.read(plain_bitstream, "mean_scale")
    calls = (
        lambda: plonq.decode(model, prefix, header),
        lambda: meanscale.decode(model, plain_bitstream, plain_header),
    )
    ours, plain = benchmark.pedantic(least_s, calls, rounds=1)
    benchmark.extra_info["times plain decoding"] = ours / plain
    assert ours < 1.3 * plain


def latent(height: int, width: int) -> meanscale.Latent:
    """A latent of 320 channels for an image of that size, drawn from its own model."""
    random = np.random.default_rng(0)
    shape = (320, height // 16, width // 16)
    indices = np.clip(random.normal(100, 50, shape), 0, 255).astype(np.uint8)
    symbols = np.rint(random.normal(size=shape) * SCALES[indices]).astype(np.int32)
    return meanscale.Latent(np.zeros((1, height // 64, width // 64), np.int32), symbols, 0 * symbols, indices)


class OneTable:
    """All that coding a given latent asks of a model."""

    z_tables = Tables.from_pmfs([np.ones(2)], [0])


def order_and_tables(drawn: meanscale.Latent) -> list[plonq.Section]:
    return list(plonq.sections(OneTable, None, drawn, plonq.LEVELS, plonq.BY_SIGMA))


def test_ordering_and_finding_the_tables_takes_under_50_ms(benchmark):
    drawn = latent(512, 768)
    benchmark.pedantic(order_and_tables, (drawn,), rounds=10, warmup_rounds=1)
    assert benchmark.stats["min"] < 0.05


def test_building_the_tables_of_four_levels_takes_under_100_ms(benchmark):
    benchmark.pedantic(levels.stages.__wrapped__, (plonq.LEVELS,), rounds=5, warmup_rounds=1)
    assert benchmark.stats["min"] < 0.1


def test_memory_grows_no_faster_than_the_image(benchmark):
    def peak_bytes(drawn: meanscale.Latent) -> int:
        tracemalloc.start()
        made = order_and_tables(drawn)
        encoder = plonq.RangeEncoder()
        for section in made:
            encoder.encode(section.symbols, section.which, section.tables)
        decoder = RangeDecoder(encoder.finish())
        decoder.decode(made[0].which, OneTable.z_tables)
        plonq._decode_elements(decoder, drawn.indices, levels.stages(plonq.LEVELS), plonq.BY_SIGMA, False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small = peak_bytes(latent(256, 384)) / (256 * 384)
    large = benchmark.pedantic(lambda: peak_bytes(latent(1024, 1536)) / (1024 * 1536), rounds=1)
    benchmark.extra_info["bytes a pixel"] = large
    assert large < 1.2 * small
    assert large < 150
