"""Nested quantization and orders: the nesting rule, code lengths that add up, reconstruction, permutations."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import truncnorm

from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned.entropy.gaussian import SCALES, gaussian_tables
from codecs_wrappers.learned.entropy.tables import PRECISION
from codecs_wrappers.learned.hyperprior.coding import MEAN_UNIT
from codecs_wrappers.learned.plonq import levels as nested
from codecs_wrappers.learned.plonq import ordering
from codecs_wrappers.learned.plonq.coding import LEVELS
from codecs_wrappers.learned.plonq.levels import FINEST, Level, check_nested, levels_of, nodes, stages
from codecs_wrappers.learned.plonq.ordering import Order

FAMILIES = pytest.mark.parametrize(
    "levels",
    [
        LEVELS,
        levels_of((16, 31), (8, 15), (4, 7), (2, 3), (1, 1)),
        levels_of((12, 15), (4, 7), (2, 3), (1, 1)),
        levels_of((27, 29), (9, 11), (3, 5), (1, 1)),
        levels_of((15, 15), (5, 5), (1, 1)),
        levels_of((1, 1)),
    ],
    ids=lambda levels: "-".join(str(level.step) for level in levels),
)


def sample(count: int = 60_000, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scale indices (uint8) and integers drawn from Gaussians ``spread`` times as wide."""
    random = np.random.default_rng(3)
    index = random.integers(0, len(SCALES), count).astype(np.uint8)
    return index, np.rint(random.normal(size=count) * spread * SCALES[index]).astype(np.int32)


# Levels


def test_bins_are_counted_outward_from_the_centre():
    k = np.arange(-9, 10)
    assert Level(4, 7).bins(k).tolist() == [-2, -2, *[-1] * 4, *[0] * 7, *[1] * 4, 2, 2]
    assert np.array_equal(FINEST.bins(k), k)


def thresholds(level: Level, farthest: int) -> set[float]:
    positive = np.arange(level.centre / 2, farthest, level.step)
    return {*positive, *-positive}


@given(*[st.tuples(st.integers(1, 12), st.integers(0, 12).map(lambda half: 2 * half + 1))] * 2)
def test_the_rule_holds_just_where_every_coarse_threshold_is_a_fine_one(coarse, fine):
    coarse, fine = Level(*coarse), Level(*fine)
    nests = coarse != fine and thresholds(coarse, 200) <= thresholds(fine, 200)
    try:
        check_nested((coarse, fine, FINEST) if fine != FINEST else (coarse, FINEST))
    except UsageError as error:
        assert not nests
        assert f"level {coarse} does not nest in level {fine}" in str(error)
    else:
        assert nests


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(8, 15), (4, 7), (3, 5), (1, 1)], r"level \(4, 7\) does not nest in level \(3, 5\)"),
        ([(8, 11), (4, 7), (1, 1)], r"level \(8, 11\) does not nest in level \(4, 7\)"),
        ([(4, 7), (2, 3)], r"the last must be \(1, 1\)"),
        ([], r"\(none\)"),
        ([(4, 6), (1, 1)], "odd.*step 4 and centre 6"),
        ([(0, 1), (1, 1)], "positive step"),
        ([(1, 1), (1, 1)], "one of them larger"),
    ],
)
def test_levels_that_do_not_nest_are_refused_by_name(pairs, message):
    with pytest.raises(UsageError, match=message):
        levels_of(*pairs)


# Code lengths


@FAMILIES
@pytest.mark.parametrize("spread", [0.7, 1.0, 2.5], ids=["narrow", "as modelled", "with outliers"])
def test_code_lengths_of_all_levels_add_up_to_that_of_plain_rounding(levels, spread):
    index, k = sample(spread=spread)
    tree, plain = stages(levels), gaussian_tables()
    path = nodes(tree, index, k)
    outlier = path[-1] == tree[-1].outlier
    assert outlier.any() == (spread > 1)
    exact, parent_mass = np.zeros(len(k)), 2.0**PRECISION
    real, parent = np.zeros(len(k)), index.astype(np.int32)
    for stage, node in zip(tree, path, strict=True):
        exact -= np.log2(stage.mass[node] / parent_mass)
        symbol = node - stage.child[parent]
        if stage is tree[0]:
            symbol[outlier] = nested.outlier_symbol(stage, index[outlier], k[outlier])
        bits = stage.tables.ideal_bits(symbol, parent)
        assert not bits[~stage.is_coded[parent]].any()
        real, parent, parent_mass = real + bits, node, stage.mass[node]
    ideal = plain.ideal_bits(k, index)
    assert exact[~outlier] == pytest.approx(ideal[~outlier], abs=1e-9)
    assert np.array_equal(real[outlier], ideal[outlier])
    assert real.sum() == pytest.approx(ideal.sum(), rel=1e-4)


def test_the_chance_of_a_child_is_the_gaussian_mass_of_its_bin_over_that_of_its_parent():
    index = int(np.argmin(abs(SCALES - 9)))
    tree = stages(LEVELS)
    node = {level: path[0] for level, path in enumerate(nodes(tree, np.array([index]), np.array([5])))}
    of_children = tree[2].tables.counts(node[1]) / 2**PRECISION
    cut = np.diff(truncnorm.cdf([3.5, 5.5, 7.5], 3.5 / SCALES[index], 7.5 / SCALES[index], scale=SCALES[index]))
    assert of_children == pytest.approx(cut, abs=1e-6)
    assert node[2] == tree[2].child[node[1]]  # 5 lies in 4..5, the lower half of 4..7


def test_outliers_are_settled_at_the_first_level_and_come_back():
    index = np.array([0, 0, 100, 100, 255], np.uint8)
    k = np.array([40, -3, 9999, -9999, 70_000], np.int32)
    tree = stages(LEVELS)
    assert all((node == stage.outlier).all() for stage, node in zip(tree, nodes(tree, index, k), strict=True))
    symbol = nested.outlier_symbol(tree[0], index, k)
    assert ((symbol < 0) | (symbol >= tree[0].tables.size[index])).all()
    assert np.array_equal(nested.outlier_value(tree[0], index, symbol), k)
    assert not any(stage.is_coded[before.outlier] for before, stage in pairwise(tree))


def test_bins_of_narrow_scales_have_nothing_to_say_until_the_last_level():
    tree = stages(LEVELS)
    path = [node[0] for node in nodes(tree, np.array([0]), np.array([1]))]
    assert [bool(stage.is_coded[node]) for stage, node in zip(tree[1:], path, strict=False)] == [False, False, True]


# Reconstruction


@FAMILIES
def test_bins_are_reconstructed_at_their_conditional_mean_and_integers_as_they_are(levels):
    tree, plain = stages(levels), gaussian_tables()
    for index in (0, 60, 140, 190):
        sigma, reach = SCALES[index], -plain.minimum[index]
        k = np.arange(-reach, reach + 1)
        for level, stage, node in zip(levels, tree, nodes(tree, np.full(len(k), index), k), strict=True):
            for bin in np.unique(level.bins(k)):
                inside = k[level.bins(k) == bin]
                low, high = inside[0] - 0.5, inside[-1] + 0.5
                where = node[k == inside[0]][0]
                expected = truncnorm.mean(low / sigma, high / sigma, scale=sigma) if len(inside) > 1 else inside[0]
                assert stage.centroid[where] == pytest.approx(MEAN_UNIT * expected, abs=0.51 + 1e-6 * sigma)
                assert stage.midpoint[where] == MEAN_UNIT * (low + high) / 2
        assert np.array_equal(tree[-1].centroid[nodes(tree, np.full(len(k), index), k)[-1]], MEAN_UNIT * k)


# Orders


def test_every_permutation_has_a_number_of_its_own_in_the_fewest_bytes():
    numbers = {bytes(ordering.pack(np.array(order))) for order in permutations(range(5))}
    assert numbers == {bytes([n]) for n in range(120)}
    assert [ordering.packed_bytes(n) for n in (1, 2, 5, 6, 320)] == [0, 1, 1, 2, 276]


@given(st.permutations(range(60)))
def test_a_permutation_comes_back_from_its_bytes(order):
    packed = ordering.pack(np.array(order))
    assert len(packed) == ordering.packed_bytes(60)
    assert ordering.unpack(packed, 60).tolist() == order


def test_bytes_of_no_permutation_are_refused():
    with pytest.raises(BitstreamError, match="order of 5 units"):
        ordering.unpack(np.array([120]), 5)


@pytest.mark.parametrize("unit", ordering.UNITS)
def test_by_sigma_scales_fall_ties_keep_their_order_and_each_element_comes_once(unit):
    index = np.random.default_rng(0).integers(0, 9, (6, 4, 5)).astype(np.uint8)
    units = ordering.by_sigma(index, unit)
    scales = np.rint(SCALES * 2**16).astype(np.int64)[index]
    sums = {"element": scales.ravel(), "channel": scales.sum((1, 2)), "pixel": scales.sum(0).ravel()}
    ordered = sums[unit][units]
    assert (np.diff(ordered) <= 0).all()
    assert (np.diff(units)[np.diff(ordered) == 0] > 0).all()
    elements = ordering.elements_of(units, unit, index.shape)
    assert np.array_equal(np.sort(elements), np.arange(index.size))
    channel, row, column = np.unravel_index(elements[:4], index.shape)
    first = {"element": elements[:1], "channel": channel, "pixel": row * 5 + column}[unit]
    assert (first == units[0]).all()


def test_by_slope_the_most_error_removed_per_bit_goes_first_and_what_costs_nothing_last():
    errors = iter([60.0, 50.0, 45.0, 45.0])  # after units 0, 1, 2, 3; gains 40, 10, 5, 0
    order = ordering.by_slope(np.array([40.0, 1.0, 2.5, 0.0]), lambda unit: next(errors), 100.0)
    assert order.tolist() == [1, 2, 0, 3]  # slopes 10, 2, 1


def test_an_order_has_a_code_and_what_is_infeasible_says_why():
    feasible = set()
    for unit in ordering.UNITS:
        for criterion in ordering.CRITERIA:
            if (unit, criterion) in ordering.INFEASIBLE:
                with pytest.raises(UsageError, match=f"{unit}s by {criterion} is not feasible: .{{40,}}"):
                    Order(unit, criterion)
            else:
                feasible.add(Order.of_code(Order(unit, criterion).code))
    assert len(feasible) == 6
    with pytest.raises(UsageError, match="unit of element, channel, pixel"):
        Order("row", "sigma")
    for code in (1, 2, 8, 10, 255):
        with pytest.raises(BitstreamError, match=f"order {code}\\b"):
            Order.of_code(code)
