"""STanH: the layer, its coding, its training, and the wrappers on it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bench.errors import UsageError

torch = pytest.importorskip("torch")

from codecs_wrappers.learned import stanh  # noqa: E402
from codecs_wrappers.learned.stanh import STanH  # noqa: E402


def irregular(extent: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64, **settings: object) -> STanH:
    """A layer whose levels and thresholds were moved at random, each on its own."""
    generator = torch.Generator().manual_seed(seed)
    layer = STanH(extent, **settings).to(dtype)
    with torch.no_grad():
        for parameter in (layer.log_weights, layer.log_gaps, layer.offset):
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return layer


def by_definition(layer: STanH, x: torch.Tensor, beta: float) -> torch.Tensor:
    """The paper's sum of hyperbolic tangents over all thresholds, plus the constant."""
    levels, thresholds = layer.levels, layer.thresholds
    tangents = levels.diff() / 2 * torch.tanh(beta * (x[..., None] - thresholds))
    return (levels[0] + levels[-1]) / 2 + tangents.sum(-1)


class TestLayer:
    @pytest.mark.parametrize("pinned", [True, False])
    @pytest.mark.parametrize("extent", [1, 2, 60])
    def test_at_first_it_rounds_and_clips(self, extent, pinned):
        x = torch.linspace(-extent - 3, extent + 3, 20_011)
        x = x[(x - x.floor() - 0.5).abs() > 1e-4]  # ties apart
        assert torch.equal(STanH(extent, pinned=pinned).hard(x), x.round().clamp(-extent, extent))

    def test_a_value_on_a_threshold_falls_to_the_lower_level(self):
        layer = STanH(2)
        assert layer.hard(torch.tensor([-1.5, -0.5, 0.5, 1.5])).tolist() == [-2, -1, 0, 1]

    @pytest.mark.parametrize("largest", [0.2, 0.5, 0.51, 7.5, 7.6, 131.0])
    def test_nothing_within_the_extent_is_clipped_and_less_would_clip(self, largest):
        extent = stanh.extent_for(largest)
        x = torch.tensor([-largest, largest], dtype=torch.float64)
        assert (STanH(extent).double().hard(x) - x).abs().max() <= 0.5
        assert extent == 1 or largest - (extent - 1) > 0.5

    def test_crossing_is_impossible_whatever_the_parameters(self):
        layer = STanH(20).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(5 * torch.randn_like(parameter))
        stanh.check(layer.levels.tolist(), layer.thresholds.tolist(), "drawn at random")

    @pytest.mark.parametrize("bins", stanh.BINS)
    def test_levels_and_thresholds_are_independent(self, bins):
        layer = STanH(3, bins)
        before = layer.levels.clone(), layer.thresholds.clone()
        with torch.no_grad():
            layer.log_gaps += 0.3
        assert torch.equal(layer.levels, before[0]) and not torch.equal(layer.thresholds, before[1])

    def test_pinned_levels_stand_still_when_an_outer_weight_moves(self):
        for pinned, moved in ((True, 0.0), (False, 0.5)):
            layer = STanH(5, pinned=pinned)
            with torch.no_grad():
                layer.log_weights[-1] = math.log(2)
            assert abs(layer.levels[5].item()) == pytest.approx(moved)

    @pytest.mark.parametrize("beta", [0.5, 1.0, 3.0, 10.0, 300.0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_local_sum_is_the_whole_sum(self, beta, dtype):
        layer = irregular(12, dtype=dtype)
        x = torch.linspace(-30, 30, 4001, dtype=dtype)
        tolerance = 200 * torch.finfo(dtype).eps
        assert torch.allclose(layer.soft(x, beta), by_definition(layer, x, beta), atol=tolerance, rtol=tolerance)

    def test_soft_becomes_hard_as_beta_grows(self):
        layer = irregular(6)
        x = torch.linspace(-12, 12, 5003, dtype=torch.float64)
        errors = [(layer.soft(x, beta) - layer.hard(x)).abs().mean().item() for beta in (1, 4, 16, 64, 256, 1024)]
        assert all(finer < 0.5 * coarser for coarser, finer in itertools.pairwise(errors))
        assert errors[-1] < 0.002

    def test_training_mode_is_soft_and_evaluation_hard(self):
        layer = irregular(3)
        x = torch.linspace(-3, 3, 17, dtype=torch.float64)
        assert torch.equal(layer.train()(x), layer.soft(x, 10.0))
        assert torch.equal(layer.eval()(x), layer.hard(x))

    @pytest.mark.parametrize("beta", [1.0, 7.0])
    def test_gradients_by_finite_differences(self, beta):
        layer = irregular(4)
        x = (6 * torch.randn(40, dtype=torch.float64)).requires_grad_()

        def soft(x, *parameters):
            copy = STanH(4).double()
            for name, value in zip(("log_weights", "log_gaps", "offset"), parameters, strict=True):
                delattr(copy, name)
                setattr(copy, name, value)
            return copy.soft(x, beta)

        assert torch.autograd.gradcheck(soft, (x, layer.log_weights, layer.log_gaps, layer.offset), atol=1e-6)

    def test_gap_is_none_once_soft_is_hard(self):
        layer, x = STanH(5), torch.linspace(-4, 4, 999)
        layer.beta.fill_(2.0)
        assert layer.gap(x) > 0.02
        layer.beta.fill_(1e6)
        assert layer.gap(x) < 1e-4

    @pytest.mark.parametrize("bins", stanh.BINS)
    def test_likelihoods_over_the_levels_sum_to_one(self, bins):
        layer = irregular(5, bins=bins)
        inside = torch.cat([layer.thresholds[:1] - 1, (layer.thresholds[1:] + layer.thresholds[:-1]) / 2])
        x = torch.cat([inside, layer.thresholds[-1:] + 1])  # one value of each level
        assert layer.index(x).tolist() == list(range(11))
        lower, upper = layer.bin(x, layer.hard(x))
        for scale in (0.11, 1.0, 30.0):
            likelihoods = torch.special.ndtr(upper / scale) - torch.special.ndtr(lower / scale)
            assert likelihoods.sum().item() == pytest.approx(1, abs=1e-12)

    def test_a_soft_value_takes_its_bin_along(self):
        layer = STanH(3).double()
        x = torch.tensor([0.3], dtype=torch.float64)
        lower, upper = layer.bin(x, torch.tensor([0.2], dtype=torch.float64))
        assert (lower.item(), upper.item()) == pytest.approx((-0.3, 0.7))

    def test_takes_over_what_another_layer_has(self):
        trained, fresh = irregular(4), STanH(4).double()
        fresh.take(trained.levels, trained.thresholds)
        assert torch.allclose(fresh.levels, trained.levels) and torch.allclose(fresh.thresholds, trained.thresholds)

    @pytest.mark.parametrize(
        ("levels", "thresholds", "complaint"),
        [
            ([-1, 1, 0], [-0.5, 0.5], "levels cross: number 1 is 1 and number 2 is 0"),
            ([-1, 0, 1], [0.5, 0.5], "thresholds cross"),
            ([-1, 0, math.nan], [-0.5, 0.5], "levels are not all finite"),
            ([-1, 0, 1], [-math.inf, 0.5], "thresholds are not all finite"),
            ([-1, 0, 1, 2], [-0.5, 0.5, 1.5], "odd number"),
            ([-1, 0, 1], [0.5], "L - 1 thresholds, got 3 and 1"),
        ],
    )
    def test_crossing_or_endless_levels_are_refused(self, levels, thresholds, complaint):
        with pytest.raises(UsageError, match=complaint):
            stanh.check(np.array(levels, float), np.array(thresholds, float), "a file")
        with pytest.raises(UsageError):
            STanH(1).take(torch.tensor(levels, dtype=torch.float), torch.tensor(thresholds, dtype=torch.float))

    def test_bad_settings_are_refused(self):
        with pytest.raises(UsageError, match="extent >= 1"):
            STanH(0)
        with pytest.raises(UsageError, match="'quantiles'"):
            STanH(3, "quantiles")
