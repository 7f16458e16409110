"""Entropy coding: exact round trips, every prefix, wrong bytes, code lengths against the ideal, tables and indices."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr
from scipy.stats import norm

from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned.entropy import elementary
from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder
from codecs_wrappers.learned.entropy.factorised import cumulative_logits, factorised_tables
from codecs_wrappers.learned.entropy.gaussian import LEVELS, SCALES, SIGMA_UNIT, gaussian_tables, scale_index
from codecs_wrappers.learned.entropy.tables import PRECISION, Tables

KODAK_PIXELS = 768 * 512
KODAK_LATENT = 320 * 48 * 32
ONE = 1 << PRECISION


def some_tables(rng: np.random.Generator, count: int, largest: int) -> Tables:
    """Tables of 1..largest symbols, flat to very skewed, half of them with an escape."""
    pmfs = [rng.random(rng.integers(1, largest + 1)) ** rng.choice([1, 4, 30]) + 1e-12 for _ in range(count)]
    escape = [None if rng.random() < 0.5 else rng.choice([0.0, 1e-3, 0.3]) for _ in range(count)]
    return Tables.from_pmfs(pmfs, rng.integers(-300, 300, count), escape)


def some_symbols(rng: np.random.Generator, tables: Tables, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(symbols, which): as likely as their tables say, a few of them anywhere in 32 bits."""
    which = rng.integers(0, len(tables), n)
    symbols = np.empty(n, np.int64)
    for i, t in enumerate(which):
        counts = tables.counts(t)
        place = rng.choice(len(counts), p=counts / ONE)
        symbols[i] = tables.minimum[t] + place
        if tables.escape[t] and (place == tables.size[t] or rng.random() < 0.05):
            symbols[i] = rng.integers(-(2**31), 2**31) >> rng.integers(0, 31)
    return symbols, which


def encode(symbols: np.ndarray, which: np.ndarray, tables: Tables) -> bytes:
    encoder = RangeEncoder()
    encoder.encode(np.asarray(symbols), np.asarray(which), tables)
    return encoder.finish()


def decode(data: bytes, which: np.ndarray, tables: Tables, prefix: bool = False) -> list[int]:
    return RangeDecoder(data, prefix).decode(np.asarray(which), tables).tolist()


def decode_whole(data: bytes, which: np.ndarray, tables: Tables) -> list[int]:
    decoder = RangeDecoder(data)
    symbols = decoder.decode(np.asarray(which), tables).tolist()
    decoder.finish()
    return symbols


def reference_encode(symbols: np.ndarray, which: np.ndarray, tables: Tables) -> bytes:
    """The coder's bytes by the definition: an interval of unbounded integers, narrowed symbol by symbol."""
    low, span, scale = 0, 1 << 56, 56  # the interval [low, low + span) / 2^scale

    def narrow(below: int, above: int) -> None:
        nonlocal low, span, scale
        low, span = low + below, above - below
        while span <= 1 << 48:
            low, span, scale = low << 8, span << 8, scale + 8

    for symbol, t in zip(symbols.tolist(), which.tolist(), strict=True):
        ends = [0, *np.cumsum(tables.counts(t)).tolist()]
        place = symbol - int(tables.minimum[t])
        size = int(tables.size[t])
        part = place if 0 <= place < size else size
        narrow((span >> 24) * ends[part], span if part == len(ends) - 2 else (span >> 24) * ends[part + 1])
        if part == size:
            distance = -place if place < 0 else place - size + 1
            golomb = "1" * (distance.bit_length() - 1) + "0" + f"{distance:b}"[1:]
            for bit in f"{int(place < 0)}{golomb}":
                narrow(*((span >> 1, span) if bit == "1" else (0, span >> 1)))
    for length in range(scale // 8 + 1):
        rest = scale - 8 * length
        number = -(-low >> rest)
        if (number + 1) << rest <= low + span:
            return number.to_bytes(length, "big")
    raise AssertionError


# ---------------------------------------------------------------------------------------------------- range coder


@pytest.mark.parametrize("seed", range(12))
def test_symbols_come_back_and_the_bytes_are_those_of_unbounded_integer_arithmetic(seed):
    rng = np.random.default_rng(seed)
    tables = some_tables(rng, 40, [2, 8, 300][seed % 3])
    symbols, which = some_symbols(rng, tables, 3000)
    data = encode(symbols, which, tables)
    assert data == reference_encode(symbols, which, tables)
    assert decode_whole(data, which, tables) == symbols.tolist()


def test_the_bytes_of_a_stored_stream_have_not_changed():
    tables = Tables.from_pmfs([np.array([0.2, 0.5, 0.3]), np.array([0.9, 0.05])], [-1, 3], [0.01, None])
    symbols, which = np.array([0, 3, -1, 1, 3, 4, 700, 0, -5]), np.array([0, 1, 0, 0, 1, 1, 0, 0, 0])
    assert encode(symbols, which, tables).hex() == STORED


STORED = "49dbe8219ed398"


def test_a_carry_runs_through_any_number_of_bytes():
    thirds, which = Tables.from_pmfs([np.ones(3)], [0]), np.zeros(340, int)
    around_a_half = decode(b"\x80" + b"\0" * 100, which[:300], thirds)  # 1/2 lies inside the interval all the time
    for last, first_bytes in [(0, b"\x7f" + b"\xff" * 49), (2, b"\x80" + b"\0" * 49)]:
        symbols = [*around_a_half, *[last] * 40]
        data = encode(symbols, which, thirds)
        assert data.startswith(first_bytes)
        assert data == reference_encode(np.array(symbols), which, thirds)
        assert decode_whole(data, which, thirds) == symbols


def test_calls_append_to_one_stream_and_may_be_split_anywhere():
    rng = np.random.default_rng(1)
    tables, others = some_tables(rng, 20, 30), some_tables(rng, 5, 300)
    symbols, which = some_symbols(rng, tables, 500)
    more, of = some_symbols(rng, others, 70_000)
    encoder = RangeEncoder()
    for part in np.array_split(np.arange(500), 37):
        encoder.encode(symbols[part], which[part], tables)
    encoder.encode(np.zeros(0, int), np.zeros(0, int), tables)
    encoder.encode(more, of, others)
    data = encoder.finish()
    assert encoder.finish() == data
    decoder = RangeDecoder(data)
    got = [decoder.decode(which[part], tables) for part in np.array_split(np.arange(500), 11)]
    assert np.array_equal(np.concatenate(got), symbols)
    assert np.array_equal(decoder.decode(of, others), more)
    decoder.finish()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 60), largest=st.sampled_from([1, 2, 5, 200]))
def test_every_prefix_gives_exactly_the_symbols_it_determines(seed, n, largest):
    rng = np.random.default_rng(seed)
    tables = some_tables(rng, 6, largest)
    symbols, which = some_symbols(rng, tables, n)
    data = encode(symbols, which, tables)
    before = 0
    for length in range(len(data) + 1):
        known = decode(data[:length], which, tables, prefix=True)
        assert known == symbols[: len(known)].tolist()
        assert len(known) >= before
        before = len(known)
        if len(known) < n:  # two continuations disagree on the next symbol
            assert next_symbol(data[:length] + b"\0" * 40, which, tables, len(known)) != next_symbol(
                data[:length] + b"\xff" * 40, which, tables, len(known)
            )
    assert before == n


def next_symbol(data: bytes, which: np.ndarray, tables: Tables, at: int) -> int | None:
    """The symbol number ``at``, None for one that no encoder writes."""
    decoder = RangeDecoder(data, prefix=True)
    assert len(decoder.decode(which[:at], tables)) == at
    try:
        return int(decoder.decode(which[at : at + 1], tables)[0])
    except BitstreamError:
        return None


def test_a_prefix_decoder_that_has_ended_gives_nothing_more_even_where_a_symbol_is_free():
    tables = Tables.from_pmfs([np.ones(256), np.ones(1)], [0, 7])
    data = encode(np.array([1, 2, 3]), np.zeros(3, int), tables)
    decoder = RangeDecoder(data[:2], prefix=True)
    assert decoder.decode(np.array([0, 0, 1]), tables).tolist() == [1, 2, 7]
    assert decoder.decode(np.array([0, 1]), tables).tolist() == []
    assert decoder.decode(np.array([1]), tables).tolist() == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 40), tail=st.binary(max_size=20))
def test_a_whole_stream_decodes_whatever_follows_it(seed, n, tail):
    rng = np.random.default_rng(seed)
    tables = some_tables(rng, 6, 20)
    symbols, which = some_symbols(rng, tables, n)
    assert decode(encode(symbols, which, tables) + tail, which, tables) == symbols.tolist()


def test_the_end_costs_at_most_two_bytes():
    rng = np.random.default_rng(3)
    tables = some_tables(rng, 10, 30)
    over = []
    for n in range(1, 600):
        symbols, which = some_symbols(rng, tables, n % 50 + 1)
        over.append(8 * len(encode(symbols, which, tables)) - tables.ideal_bits(symbols, which).sum())
    assert min(over) > -1e-6
    assert max(over) < 16
    assert np.mean(over) < 8.1


def test_nothing_costs_nothing():
    assert encode(np.zeros(0, int), np.zeros(0, int), gaussian_tables()) == b""
    assert decode_whole(b"", np.zeros(0, int), gaussian_tables()) == []


def test_a_table_of_one_symbol_costs_nothing_anywhere_in_a_stream():
    tables = Tables.from_pmfs([np.array([3.0]), np.ones(5)], [-9, 0])
    free = np.zeros(100_000, int)
    assert encode(free - 9, free, tables) == b""
    assert set(decode_whole(b"", free, tables)) == {-9}
    which = np.tile([0, 1, 0], 50)
    symbols = np.where(which == 0, -9, np.arange(150) % 5)
    data = encode(symbols, which, tables)
    assert data == encode(symbols[which == 1], which[which == 1], tables)
    assert decode_whole(data, which, tables) == symbols.tolist()


@pytest.mark.parametrize("index", [0, 20, 100, 255])
def test_the_coder_itself_loses_less_than_a_millionth_of_a_bit_a_symbol(index):
    tables, n = gaussian_tables(), 400_000
    symbols = np.rint(np.random.default_rng(0).normal(0, SCALES[index], n)).astype(np.int32)
    which = np.full(n, index)
    encoder = RangeEncoder()
    encoder.encode(symbols, which, tables)
    assert abs(encoder.bits - math.fsum(tables.ideal_bits(symbols, which))) / n < 1e-6


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60), seed=st.integers(0, 100))
def test_random_bytes_give_symbols_or_an_error_and_what_finishes_is_what_an_encoder_writes(data, seed):
    rng = np.random.default_rng(seed)
    tables = some_tables(rng, 6, 20)
    which = rng.integers(0, 6, 25)
    for prefix in (False, True):
        decoder = RangeDecoder(data, prefix)
        try:
            symbols = decoder.decode(which, tables)
            decoder.finish()
        except BitstreamError:
            continue
        assert encode(symbols, which, tables) == data


def test_an_endless_escape_is_an_error_not_a_hang():
    tables = Tables.from_pmfs([np.array([1e-9])], [0], [1.0])
    with pytest.raises(BitstreamError, match="beyond 32 bits"):
        decode(b"\xff" * 10_000, np.zeros(1000, int), tables)


@pytest.mark.parametrize("minimum", [-(2**31), 0, 2**31 - 2])
def test_escapes_reach_every_integer_of_32_bits(minimum):
    tables = Tables.from_pmfs([np.ones(2)], [minimum], [1e-3])
    symbols = np.array(
        [-(2**31), 2**31 - 1, -1, 0, 1, minimum, minimum + 1] + [s << k for k in range(30) for s in (-1, 1)]
    )
    which = np.zeros(len(symbols), int)
    encoder = RangeEncoder()
    encoder.encode(symbols, which, tables)
    assert encoder.bits == pytest.approx(tables.ideal_bits(symbols, which).sum(), abs=0.01)
    assert decode_whole(encoder.finish(), which, tables) == symbols.tolist()


def test_every_changed_missing_or_added_byte_changes_a_symbol_or_is_an_error():
    rng = np.random.default_rng(5)
    tables = some_tables(rng, 6, 20)
    symbols, which = some_symbols(rng, tables, 120)
    data = encode(symbols, which, tables)
    flipped = [data[:i] + bytes([data[i] ^ 1 << b]) + data[i + 1 :] for i in range(len(data)) for b in range(8)]
    for wrong in [*flipped, *(data + bytes([b]) for b in range(256)), data + b"\0\0"]:
        try:
            assert decode_whole(wrong, which, tables) != symbols.tolist()
        except BitstreamError:
            continue
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="end after"):
            decode(data[:length], which, tables)


def test_a_symbol_without_a_code_is_refused_and_nothing_is_appended():
    tables = Tables.from_pmfs([np.ones(3)], [5])
    encoder = RangeEncoder()
    encoder.encode(np.array([5, 6]), np.array([0, 0]), tables)
    for symbols, which, words in [
        ([5, 8], [0, 0], "symbol 8 .*covers 5..7 and has no escape"),
        ([5], [1], "table numbers"),
        ([5], [-1], "table numbers"),
        ([5, 5], [0], "2 symbols"),
        ([2**31], [0], "32 bits"),
        ([5.0], [0], "integers"),
    ]:
        with pytest.raises(ValueError, match=words):
            encoder.encode(np.array(symbols), np.array(which), tables)
    encoder.encode(np.array([7]), np.array([0]), tables)
    assert encoder.finish() == encode(np.array([5, 6, 7]), np.zeros(3, int), tables)


# ---------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("seed", range(5))
def test_counts_sum_to_the_precision_and_follow_the_masses_with_one_at_least(seed):
    rng = np.random.default_rng(seed)
    pmfs = [rng.random(rng.integers(1, 400)) ** 20 * rng.choice([1e-300, 1, 1e200]) for _ in range(200)]
    escape = [rng.choice([None, 0.0, pmf.sum() / 3]) for pmf in pmfs]
    tables = Tables.from_pmfs(pmfs, [0] * 200, escape)
    for t, (pmf, outside) in enumerate(zip(pmfs, escape, strict=True)):
        mass = pmf if outside is None else np.append(pmf, outside)
        counts = tables.counts(t)
        assert counts.sum() == ONE
        assert counts.min() >= 1
        assert len(counts) == len(mass)
        assert np.abs(counts - mass / mass.sum() * (ONE - len(mass)) - 1).max() <= 1


def test_a_table_does_not_depend_on_those_built_with_it():
    rng = np.random.default_rng(0)
    pmfs = [rng.random(rng.integers(1, 50)) for _ in range(100)]
    together = Tables.from_pmfs(pmfs, range(100), [0.1] * 100)
    for t, pmf in enumerate(pmfs):
        assert np.array_equal(together.counts(t), Tables.from_pmfs([pmf], [0], [0.1]).counts(0))


def test_tables_from_flat_masses_are_those_from_a_list():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 50, 100)
    flat, escape = rng.random(sizes.sum()), np.where(rng.random(100) < 0.5, np.nan, 0.2)
    pmfs = np.split(flat, np.cumsum(sizes)[:-1])
    one = Tables.from_flat(flat, sizes.astype(np.int32), np.arange(100), escape)
    other = Tables.from_pmfs(pmfs, range(100), [None if np.isnan(mass) else mass for mass in escape])
    assert one.digest() == other.digest()
    assert len(one) == 100
    with pytest.raises(ValueError, match="were given"):
        Tables.from_flat(flat[1:], sizes, np.arange(100), escape)


def test_the_digest_is_of_everything_that_decides_the_code():
    pmfs = [np.array([1.0, 2, 3]), np.array([1.0, 1])]
    digests = {
        Tables.from_pmfs(*arguments).digest()
        for arguments in [
            (pmfs, [0, 0]),
            (pmfs, [0, 1]),
            (pmfs[::-1], [0, 0]),
            (pmfs, [0, 0], [0.1, None]),
            (pmfs, [0, 0], [None, 0.1]),
            ([pmfs[0] + 1e-6, pmfs[1]], [0, 0]),
            ([np.append(pmfs[0], pmfs[1])], [0]),
        ]
    }
    assert len(digests) == 7
    assert Tables.from_pmfs(pmfs, [0, 0]).digest() == Tables.from_pmfs(pmfs, [0, 0]).digest()


def test_ideal_bits_count_the_share_and_the_escaped_value():
    tables = Tables.from_pmfs([np.array([1.0, 1.0, 2.0]), np.array([3.0, 1.0])], [-1, 4], [None, 4.0])
    which = np.array([[0, 0, 0], [1, 1, 1]])
    bits = tables.ideal_bits(np.array([[-1, 1, 2], [4, 3, 8]]), which)
    assert bits == pytest.approx(np.array([[2, 1, np.inf], [-math.log2(3 / 8), 1 + 2, 1 + 4]]), abs=1e-5)


@pytest.mark.parametrize(
    ("pmfs", "escape"),
    [([[np.nan, 1]], None), ([[-0.1, 1]], None), ([[0.0, 0]], None), ([[]], None), ([[1.0]], [np.inf]),
     ([[1.0]], [-1.0]), ([np.ones(70_000)], None)],
)  # fmt: skip
def test_masses_that_are_no_probabilities_are_refused(pmfs, escape):
    with pytest.raises(UsageError, match="building table"):
        Tables.from_pmfs([np.array(pmf, float) for pmf in pmfs], [0] * len(pmfs), escape)


def test_tables_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        gaussian_tables().cumulative[3] = 0


# ---------------------------------------------------------------------------------------------------- Gaussian


def compressai_bits(symbols: np.ndarray, sigma: np.ndarray) -> float:
    """-log2 of CompressAI's likelihoods: sigma bounded at 0.11, likelihood at 1e-9."""
    sigma, far = np.maximum(sigma, 0.11), -np.abs(symbols)
    likelihood = ndtr((far + 0.5) / sigma) - ndtr((far - 0.5) / sigma)
    return float(-np.log2(np.maximum(likelihood, 1e-9)).sum())


RATES = {  # sigma of a Kodak image's latent, from rates where nearly all of it is at the bound to over 3 bpp
    "0.002 bpp": lambda rng: np.where(rng.random(KODAK_LATENT) < 0.999, 0.02, 0.8),
    "0.05 bpp": lambda rng: np.where(rng.random(KODAK_LATENT) < 0.97, 0.05, np.exp(rng.uniform(-2.2, 1, KODAK_LATENT))),
    "0.1 bpp, small scales": lambda rng: np.exp(rng.uniform(np.log(0.11), np.log(0.24), KODAK_LATENT)),
    "1 bpp": lambda rng: np.exp(rng.normal(-1.4, 1.2, KODAK_LATENT)),
    "3 bpp": lambda rng: np.exp(rng.normal(0.25, 1.2, KODAK_LATENT)),
    "5 bpp, beyond the grid": lambda rng: np.exp(rng.normal(1.3, 1.5, KODAK_LATENT)),
}


@pytest.mark.parametrize("rate", RATES)
def test_payload_is_within_half_a_percent_and_16_bytes_of_the_ideal_code_length(rate):
    rng = np.random.default_rng(0)
    sigma = np.rint(RATES[rate](rng) * SIGMA_UNIT).astype(np.int64)
    symbols = np.rint(rng.normal(0, np.maximum(sigma / SIGMA_UNIT, 0.11))).astype(np.int32)
    which = scale_index(sigma)
    data = encode(symbols, which, gaussian_tables())
    ideal_bytes = compressai_bits(symbols, sigma / SIGMA_UNIT) / 8
    assert len(data) <= 1.005 * ideal_bytes + 16
    assert 8 * len(data) / KODAK_PIXELS == pytest.approx(float(rate.split()[0]), rel=0.35)
    assert decode_whole(data, which, gaussian_tables()) == symbols.tolist()


def test_tails_far_heavier_than_gaussian_cost_no_more_than_compressais_floor():
    """A value of 20 sigma costs CompressAI's floor of 30 bits; an escape costs 24 bits and twice its logarithm."""
    which = np.arange(LEVELS)
    symbols = np.rint(20 * SCALES).astype(np.int64)
    assert gaussian_tables().ideal_bits(symbols, which)[SCALES < 1].max() < 36
    assert gaussian_tables().ideal_bits(-symbols, which).max() < 24 + 2 + 2 * 13


def test_each_gaussian_table_holds_the_masses_of_rounding_at_its_scale():
    tables = gaussian_tables()
    assert len(tables) == LEVELS
    assert tables.escape.all()
    for t in range(0, LEVELS, 15):
        k = tables.minimum[t] + np.arange(tables.size[t])
        assert k[0] == -k[-1]
        expected = norm.cdf((k + 0.5) / SCALES[t]) - norm.cdf((k - 0.5) / SCALES[t])
        assert np.abs(tables.counts(t)[:-1] / ONE - expected).max() < (len(k) + 2) / ONE
        assert norm.cdf((k[0] - 0.5) / SCALES[t]) <= 1 / ONE


def test_gaussian_tables_are_the_same_on_every_machine():
    assert gaussian_tables().digest().hex() == GAUSSIAN_DIGEST


GAUSSIAN_DIGEST = "3cf50ea2adfc131a5c8476b1da0051d7c7d9bf0bed9136b1251988a93c174389"


@pytest.mark.parametrize("step", [1.0, 0.37, 1.25, 16.0, 0.01, 1e9])
def test_a_scale_index_is_the_nearest_on_the_logarithmic_grid(step):
    rng = np.random.default_rng(0)
    sigma = np.exp(rng.uniform(np.log(1e-3), np.log(1e4), 20_000)) * SIGMA_UNIT * step
    sigma = np.maximum(np.rint(sigma), 1).astype(np.int64)
    got = scale_index(sigma, step)
    position = np.log(sigma / SIGMA_UNIT / step / SCALES[0]) / np.log(SCALES[1] / SCALES[0])
    away = np.abs(position - np.floor(position) - 0.5) > 1e-6  # not on a threshold
    expected = np.clip(np.rint(position), 0, LEVELS - 1)
    assert got.dtype == np.uint8
    assert away.sum() > 10_000
    assert np.array_equal(got[away], expected[away])


def test_a_scale_index_changes_between_two_integers_at_the_geometric_mean_of_neighbours():
    for index in range(LEVELS - 1):
        threshold = math.sqrt(SCALES[index] * SCALES[index + 1]) * SIGMA_UNIT * 3.0
        assert scale_index(np.array([math.floor(threshold)]), 3.0) == [index]
        assert scale_index(np.array([math.ceil(threshold)]), 3.0) == [index + 1]


def test_scales_outside_the_grid_get_its_ends():
    sigma = np.array([-(2**63), -1, 0, 1, round(0.11 * SIGMA_UNIT), 256 * SIGMA_UNIT, 2**62, 2**63 - 1])
    assert scale_index(sigma).tolist() == [0] * 5 + [LEVELS - 1] * 3
    assert scale_index(sigma, 1e-300)[2] == 0
    assert scale_index(sigma[:6], 1e300).max() == 0


def test_steps_may_differ_by_channel():
    sigma = np.random.default_rng(0).integers(0, 1 << 22, (7, 5, 3))
    steps = np.linspace(0.5, 9, 7)
    expected = np.stack([scale_index(plane, float(step)) for plane, step in zip(sigma, steps, strict=True)])
    assert np.array_equal(scale_index(sigma, steps), expected)
    assert np.array_equal(scale_index(sigma, steps[:, None, None]), expected)
    assert np.array_equal(scale_index(sigma, np.float64(2.0)), scale_index(sigma, 2.0))


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, np.inf])
def test_a_step_that_is_not_positive_is_refused(step):
    with pytest.raises(UsageError, match="positive"):
        scale_index(np.ones((2, 3), np.int64), np.array([1.0, step]))


def test_as_many_steps_as_channels_are_expected():
    with pytest.raises(ValueError, match=r"expected one step or one per channel of .2, 3., got 3"):
        scale_index(np.ones((2, 3), np.int64), np.ones(3))


# ---------------------------------------------------------------------------------------------------- factorised prior


def prior(channels: int, seed: int, spread: float = 10.0):
    """CompressAI's entropy bottleneck with parameters that were moved at random, in float64."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("compressai.entropy_models")
    torch.manual_seed(seed)
    layer = models.EntropyBottleneck(channels, init_scale=spread).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        layer.quantiles.copy_(3 * torch.randn_like(layer.quantiles))
    return layer, {name: tensor.numpy().astype(np.float64) for name, tensor in layer.state_dict().items()}


@pytest.mark.parametrize("spread", [0.5, 10.0, 60.0])
def test_factorised_tables_hold_compressais_likelihoods(spread):
    import torch

    layer, state = prior(32, 1, spread)
    tables, medians = factorised_tables(state)
    assert np.array_equal(medians, state["quantiles"][:, 0, 1])
    first, end = int(tables.minimum.min()), int((tables.minimum + tables.size).max())
    values = torch.from_numpy(medians[:, None] + np.arange(first, end))
    with torch.no_grad():
        likelihood = layer(values[None], training=False)[1][0].numpy()
    for c in range(32):
        k = tables.minimum[c] + np.arange(tables.size[c])
        shares = tables.counts(c) / ONE
        assert np.abs(shares[:-1] - likelihood[c, k - first]).max() < 1e-6
        assert shares[-1] < 3e-6
        assert k[0] <= 0 <= k[-1]


def test_logits_are_compressais_to_double_precision():
    import torch

    layer, state = prior(16, 2)
    x = np.linspace(-90, 90, 16 * 41).reshape(16, 41)
    with torch.no_grad():
        expected = layer._logits_cumulative(torch.from_numpy(x)[:, None], stop_gradient=True)[:, 0].numpy()
    assert cumulative_logits(state, x) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_z_costs_its_ideal_code_length():
    """Symbols drawn from the prior itself by inverting its distribution function."""
    _, state = prior(128, 3)
    tables, medians = factorised_tables(state)
    rng, k = np.random.default_rng(0), np.arange(-400, 401)
    below = expit(cumulative_logits(state, medians[:, None] + np.append(k, 401) - 0.5))
    symbols = np.stack([np.searchsorted(below[c], rng.random(96), "right") - 401 for c in range(128)])
    ideal = -np.log2(np.diff(below, axis=1)[np.arange(128)[:, None], symbols + 400]).sum() / 8
    which = np.repeat(np.arange(128), 96)
    data = encode(symbols.ravel(), which, tables)
    assert len(data) <= 1.005 * ideal + 16
    assert decode_whole(data, which, tables) == symbols.ravel().tolist()


def test_a_median_far_from_the_mass_still_gets_a_table():
    _, state = prior(4, 4)
    state["quantiles"] = state["quantiles"] + np.array([0, 500, -500, 5000])[:, None, None]
    tables, _ = factorised_tables(state)
    assert (tables.minimum <= 0).all()
    assert (tables.minimum + tables.size > 0).all()
    symbols = np.array([0, -500, 500, -5000])
    assert decode_whole(encode(symbols, np.arange(4), tables), np.arange(4), tables) == symbols.tolist()


def test_broken_weights_are_named():
    _, state = prior(4, 5)
    for name in ("quantiles", "biases.1", "factors.2"):
        with pytest.raises(UsageError, match=repr(name)):
            factorised_tables({key: value for key, value in state.items() if key != name})
    with pytest.raises(UsageError, match=r"biases\.0"):
        factorised_tables({**state, "biases.0": state["biases.0"] * np.nan})


def test_elementary_functions_are_right_to_a_few_last_places_and_the_same_on_every_machine():
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-3, 3, 20_001)])
    place = 2.0**-52
    assert elementary.exp(x) == pytest.approx(np.exp(x), rel=4 * place, abs=0)
    assert elementary.expit(x) == pytest.approx(expit(x), rel=4 * place, abs=0)
    assert elementary.softplus(x) == pytest.approx(np.logaddexp(0, x), rel=4 * place, abs=0)
    assert elementary.tanh(x) == pytest.approx(np.tanh(x), rel=0, abs=2 * place)
    digest = hashlib.sha256()
    for function in (elementary.exp, elementary.expit, elementary.tanh, elementary.softplus):
        digest.update(function(x).tobytes())
    assert digest.hexdigest() == ELEMENTARY_DIGEST


ELEMENTARY_DIGEST = "19523edeada356e5ff2d279f1ba2cdc5ab6c9870f8aa5142a6d4fa121b666ede"


def test_exp_is_correctly_rounded_almost_everywhere():
    """Against exact rational arithmetic: within one unit in the last place."""
    for x in np.linspace(-20, 20, 41):
        exact = sum(Fraction(float(x)) ** k / math.factorial(k) for k in range(120))
        value = float(elementary.exp(np.array([x]))[0])
        assert abs(Fraction(value) - exact) <= Fraction(math.ulp(value))


def test_importing_entropy_coding_does_not_import_torch():
    script = (
        "import sys, codecs_wrappers.learned.entropy.coder, codecs_wrappers.learned.entropy.factorised;"
        "import codecs_wrappers.learned.entropy.gaussian; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
