"""The fused passes of training against the plain layers, networks in other widths, and reduced crops."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.library import GDN
from codecs_wrappers.learned.training import config
from codecs_wrappers.learned.training.data.crops import Crops
from codecs_wrappers.learned.training.schemes.mean_scale import MeanScaleLearner
from codecs_wrappers.learned.training.starts import widths
from codecs_wrappers.learned.training.steps import fused

TINY = {"architecture": {"family": "mean_scale", "N": 8, "M": 12}, "batch": 2, "crop": 64, "warm_up_steps": 1}


needs_compiler = pytest.mark.skipif(fused.library() is None, reason="needs a C compiler for the fused passes")


@needs_compiler
@pytest.mark.parametrize("inverse", [False, True])
def test_the_fused_gdn_is_compressais_layer_to_within_the_rounding_of_bf16(inverse):
    torch.manual_seed(0)
    layer = GDN(24, inverse)
    with torch.no_grad():
        layer.gamma.add_(0.1 * torch.rand_like(layer.gamma))
        layer.beta.add_(torch.rand_like(layer.beta))
    x = (3 * torch.randn(2, 24, 9, 7)).contiguous(memory_format=torch.channels_last)
    towards = torch.randn(2, 24, 9, 7)
    results = []
    for half in (False, True):
        network = torch.nn.Sequential(copy.deepcopy(layer))
        network = fused.accelerate(network) if half else network
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            y = network(given)
        assert y.dtype is (torch.bfloat16 if half else torch.float32)
        (y.float() * towards).sum().backward()
        results.append([y.float(), given.grad, network[0].gamma.grad, network[0].beta.grad])
    for exact, rounded in zip(*results, strict=True):
        assert (exact - rounded).norm() < 0.01 * exact.norm()
    assert fused.accelerate(network).state_dict().keys() == torch.nn.Sequential(layer).state_dict().keys()


@needs_compiler
def test_the_fused_moments_are_adams():
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(1000))
    adam = torch.optim.Adam([parameter], lr=1e-3, betas=(0.9, 0.99))
    first, second, own = torch.zeros(1000), torch.zeros(1000), parameter.detach().clone()
    for step in range(1, 6):
        parameter.grad = torch.randn(1000)
        change = fused.moments(parameter.grad, first, second, (0.9, 0.99), step, 1e-8)
        own -= 1e-3 * change / (1 - 0.9**step)
        adam.step()
        torch.testing.assert_close(own, parameter.detach(), rtol=1e-5, atol=1e-6)


def test_without_a_compiler_training_is_the_same_but_for_rounding(monkeypatch):
    image = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8)
    losses = []
    for setting in ("1", "0"):
        monkeypatch.setenv("RDBENCH_FUSED", setting)
        fused.library.cache_clear()
        torch.manual_seed(0)
        settings = config.load(
            "mean_scale_0.0154", **{**TINY, "warm_up_steps": 1}, start_from=("linear",), precision="bf16"
        )
        learner = MeanScaleLearner(settings, [image], torch.device("cpu"))
        learner.first_weights()
        learner.begin()
        losses.append(torch.stack([learner.advance(0.0)[0] for _ in range(5)]))
    fused.library.cache_clear()
    torch.testing.assert_close(*losses, rtol=0.02, atol=0.0)


@pytest.mark.parametrize(("wider", "order"), [(True, None), (False, [5, 3, 1, 0, 2, 4])])
def test_a_wider_network_codes_as_before_and_a_narrower_one_keeps_the_channels_named(wider, order):
    torch.manual_seed(0)
    old = networks.build({"family": "mean_scale", "N": 8, "M": 6}).eval()
    new = networks.build({"family": "mean_scale", "N": 12, "M": 10} if wider else {**old_widths(old), "M": 3}).eval()
    widths.resize(new, old.state_dict(), order)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        y, y_new = old.g_a(x), new.g_a(x)
        if wider:
            torch.testing.assert_close(y_new[:, :6], y)
            torch.testing.assert_close(new.g_s(y_new), old.g_s(y))
            torch.testing.assert_close(new.h_a(y_new)[:, :8], old.h_a(y))
            of_new, of_old = (parts.chunk(2, 1) for parts in (new.h_s(new.h_a(y_new)), old.h_s(old.h_a(y))))
            for ours, theirs in zip(of_new, of_old, strict=True):
                torch.testing.assert_close(ours[:, :6], theirs)
        else:
            torch.testing.assert_close(y_new, y[:, order[:3]])
            torch.testing.assert_close(new.g_s(y_new), old.g_s(y * kept_channels(order[:3])))


def old_widths(model):
    return {"family": "mean_scale", "N": model.N, "M": model.M}


def kept_channels(channels):
    return torch.zeros(6).index_fill_(0, torch.tensor(channels), 1.0)[:, None, None]


def test_reduced_crops_are_the_area_means_of_larger_ones():
    ramp = torch.arange(200).clamp(max=255).to(torch.uint8).expand(3, 200, 200).contiguous()
    crops = Crops([ramp], 64, 0, torch.device("cpu"), reduced=1.0)
    spans = [int(crop.max()) - int(crop.min()) for crop in crops.batch(64)]
    assert min(spans) >= 61
    assert 95 <= max(spans) <= 107  # 64 / 0.6 pixels are seen
    assert crops.batch(1).shape == (1, 3, 64, 64)
