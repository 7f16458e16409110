"""The order by expected gain per bit, and reconstruction between a bin's mean and its middle."""

import numpy as np
import pytest
from test_plonq import MODEL, photographs, whole

from bench.errors import UsageError
from codecs_wrappers.learned.plonq import coding, ordering, priority
from codecs_wrappers.learned.plonq.levels import stages
from codecs_wrappers.learned.plonq.ordering import Order


def test_a_parent_with_a_larger_expected_fall_of_the_error_per_bit_goes_first():
    for level, (stage, ranks) in enumerate(zip(stages(coding.LEVELS), priority.priorities(coding.LEVELS), strict=True)):
        before = stages(coding.LEVELS)[level - 1] if level else None
        for parent in np.random.default_rng(level).integers(0, len(ranks) - 1, 40):
            children = np.flatnonzero(stage.parent == parent)
            if not stage.is_coded[parent] or len(children) < 2:
                assert ranks[parent] == 0
                continue
            part = stage.mass[children] / stage.mass[children].sum()
            shown = before.centroid[parent] if before is not None else 0
            gain = float(part @ np.square(stage.centroid[children].astype(float) - shown))
            bits = float(-(part * np.log2(part)).sum())
            if gain > 0:
                assert abs(float(ranks[parent]) - priority.HALF - priority.STEPS * np.log2(gain / bits)) <= 0.51


def test_elements_are_in_order_of_falling_priority_with_ties_by_place():
    ranks = np.array([5, 9, 5, 0], np.uint16)
    assert priority.by_gain(ranks, np.array([0, 1, 2, 3, 1, 0], np.int32)).tolist() == [1, 4, 0, 2, 5, 3]


@pytest.mark.parametrize(("blend", "attribute"), [(0, "centroid"), (16, "midpoint")])
def test_the_ends_of_the_blend_are_the_mean_and_the_middle(blend, attribute):
    for stage, values in zip(stages(coding.LEVELS), priority.reconstructions(coding.LEVELS, blend), strict=True):
        assert np.array_equal(values, getattr(stage, attribute))
    between = priority.reconstructions(coding.LEVELS, 8)[0]
    first = stages(coding.LEVELS)[0]
    low, high = np.minimum(first.centroid, first.midpoint), np.maximum(first.centroid, first.midpoint)
    assert ((between >= low) & (between <= high + 1)).all()


def test_the_blend_is_in_the_stream_and_changes_prefixes_only():
    image = photographs()[3]
    plain, header = whole(image, order=Order("element", ordering.GAIN, 0))
    blended, other = whole(image, order=Order("element", ordering.GAIN, 16))
    assert len(plain) == len(blended)
    assert (header.parameters[:-1], header.parameters[-1], other.parameters[-1]) == (other.parameters[:-1], 0, 16)
    assert np.array_equal(coding.decode_latent(MODEL, plain, header), coding.decode_latent(MODEL, blended, other))
    cut = len(plain) // 2
    half, shifted = (coding.decode_latent(MODEL, s[:cut], h) for s, h in ((plain, header), (blended, other)))
    assert not np.array_equal(half, shifted)


def test_only_elements_have_an_order_by_gain_and_only_it_has_a_blend():
    for wrong in (("channel", "gain", 0), ("element", "gain", 17), ("element", "sigma", 3)):
        with pytest.raises(UsageError, match="only elements can be ordered by gain"):
            Order(*wrong)
