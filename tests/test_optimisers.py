"""SOAP and the conditioning of a transform: what training's speed rests on."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs the learned codecs' packages: pip install -e '.[learned]'")
pytest.importorskip("compressai", reason="needs the learned codecs' packages: pip install -e '.[learned]'")

from torch import nn

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training.starts.linear import linear_start
from codecs_wrappers.learned.training.steps.conditioning import latent_scales, normalise_features
from codecs_wrappers.learned.training.steps.optimisers import Soap


def smooth_images(count: int = 4, side: int = 64) -> torch.Tensor:
    """Blurred noise with a mean far above its deviation, (count, 3, side, side) in 0..1."""
    noise = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    return 0.3 + 0.4 * nn.functional.interpolate(noise, scale_factor=4, mode="bicubic").clamp(0, 1)


def loss_after(optimiser_of, steps: int) -> float:
    torch.manual_seed(0)
    x = smooth_images()
    teacher, pupil = nn.Conv2d(3, 8, 5, padding=2), nn.Conv2d(3, 8, 5, padding=2)
    wanted = teacher(x).detach()
    optimiser = optimiser_of(pupil.parameters())
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (pupil(x) - wanted).square().mean()
        loss.backward()
        optimiser.step()
    return (pupil(x) - wanted).square().mean().item()


@pytest.mark.slow
def test_soap_fits_a_convolution_of_smooth_images_far_closer_than_adam_at_its_best_rate():
    rates = (3e-4, 1e-3, 3e-3, 1e-2)
    adam = min(loss_after(lambda p, lr=lr: torch.optim.Adam(p, lr=lr), 200) for lr in rates)
    soap = min(loss_after(lambda p, lr=lr: Soap(p, lr=lr), 200) for lr in rates)
    assert soap < adam / 2, (soap, adam)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 3, 3)], ids=str)
def test_soap_in_a_turned_basis_takes_adams_steps_in_that_basis(layer):
    """A gradient of one mode at a time: the step's spectrum is flat, whatever the gradient's."""
    weight = layer.weight
    before = weight.detach().clone()
    optimiser = Soap([weight], lr=0.1, betas=(0.0, 0.0), eps=0.0)
    weight.grad = torch.randn_like(weight)
    optimiser.step()
    assert torch.equal(weight, before), "the first step only fills the statistics"
    optimiser.step()
    change = (before - weight).detach()
    assert torch.linalg.vector_norm(change).item() == pytest.approx(0.1 * change.numel() ** 0.5, rel=1e-3)


def test_a_scale_is_as_if_the_parameter_were_the_scale_times_what_is_learned():
    torch.manual_seed(1)
    x, scale = torch.randn(64, 6), torch.tensor([100.0, 10, 1, 1, 0.1, 0.01])
    scaled, inner = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(4, 6))
    target = torch.randn(64, 4)
    first, second = Soap([scaled], lr=0.01, scales={scaled: scale}), Soap([inner], lr=0.01)
    for _ in range(30):
        for optimiser, weight in ((first, lambda: scaled), (second, lambda: inner * scale)):
            optimiser.zero_grad()
            (x @ weight().T - target).square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(scaled.detach(), inner.detach() * scale, rtol=1e-3, atol=1e-5)


def test_soap_goes_on_from_its_state_bit_for_bit():
    def trained(split: bool) -> torch.Tensor:
        torch.manual_seed(2)
        layer, x = nn.Conv2d(3, 4, 3), torch.rand(2, 3, 16, 16)
        optimiser = Soap(layer.parameters(), lr=0.01, scales={layer.bias: torch.full((4,), 2.0)})
        for step in range(24):
            if split and step == 13:
                state, layer = copy.deepcopy(optimiser.state_dict()), copy.deepcopy(layer)
                optimiser = Soap(layer.parameters(), lr=0.01)
                optimiser.load_state_dict(state)
            optimiser.zero_grad()
            layer(x).square().mean().backward()
            optimiser.step()
        return layer.weight.detach()

    assert torch.equal(trained(split=False), trained(split=True))


@pytest.fixture(scope="module")
def linear_network():
    torch.manual_seed(3)
    model = networks.build({"family": "mean_scale", "N": 16, "M": 24})
    images = smooth_images(4, 128)
    return linear_start(model, [images], 0.0154).eval(), images


def test_normalised_features_have_one_size_and_the_function_stays(linear_network):
    model, images = linear_network
    with torch.no_grad():
        before = model.g_s(model.g_a(images).round())
        raw = model.g_a[0](images).square().mean((0, 2, 3)).sqrt()
        normalised = normalise_features(copy.deepcopy(model), [images])
        after = normalised.g_s(normalised.g_a(images).round())
        sizes = normalised.g_a[0](images).square().mean((0, 2, 3)).sqrt()
    assert raw.max() / raw.min() > 20, "the linear start's features differ in size"
    torch.testing.assert_close(sizes, torch.ones_like(sizes), rtol=1e-3, atol=1e-3)
    assert (after - before).square().mean().sqrt() < 2 / 255, "the floor of gamma costs no more than this"


def test_latent_scales_are_broadcastable_to_the_weights_they_name(linear_network):
    model, images = linear_network
    named = dict(model.named_parameters())
    scales = latent_scales(model, [images])
    assert {"g_a.6.weight", "g_s.0.weight"} <= set(scales)
    for name, scale in scales.items():
        assert torch.broadcast_shapes(scale.shape, named[name].shape) == named[name].shape
        assert (scale > 0).all()
