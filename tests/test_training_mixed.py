"""The mixed quantization of a mean-scale training, and its learning rates by layer."""

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import config

TINY = {"architecture": {"family": "mean_scale", "N": 8, "M": 12}, "batch": 2, "crop": 64, "warm_up_steps": 1}


@pytest.fixture
def latent():
    """(model in training mode, y that needs a gradient, means, scales, bits of z) for one draw of z's noise."""
    torch.manual_seed(3)
    model = networks.build(TINY["architecture"]).train()
    y = (6 * torch.randn(2, 12, 8, 8)).requires_grad_()
    torch.manual_seed(4)
    return model, y, *networks.hyperprior(model, y)


def mixed_rate(model, y):
    torch.manual_seed(4)  # the draw of the fixture
    return networks.rate(model, y, mixed=True)


def test_the_decoder_gets_the_rounded_latent_and_its_gradient_passes_straight_through(latent):
    model, y, means, _, _ = latent
    y_hat, _ = mixed_rate(model, y)
    torch.testing.assert_close(y_hat, (y - means).round() + means)
    weights = torch.randn_like(y_hat)
    (gradient,) = torch.autograd.grad((weights * y_hat).sum(), y)
    torch.testing.assert_close(gradient, weights)


def test_the_bits_are_those_of_the_rounded_latent(latent):
    model, y, means, scales, z_bits = latent
    _, bits = mixed_rate(model, y)
    _, likelihoods = model.gaussian_conditional(y, scales, means=means, training=False)
    torch.testing.assert_close(bits, z_bits - likelihoods.log2().sum((1, 2, 3)))


def test_scales_learn_the_real_rate_and_the_latent_the_noisy_one(monkeypatch, latent):
    model, y, *of_hyperprior = latent
    means, scales, z_bits = (value.detach().requires_grad_() for value in of_hyperprior)
    monkeypatch.setattr(networks, "hyperprior", lambda *_: (means, scales, z_bits))
    torch.manual_seed(5)
    got = torch.autograd.grad(networks.rate(model, y, mixed=True)[1].sum(), (y, means, scales))
    torch.manual_seed(5)
    noisy = torch.autograd.grad(networks.rate(model, y)[1].sum(), (y, means, scales))
    _, rounded = model.gaussian_conditional(y, scales, means=means, training=False)
    (real,) = torch.autograd.grad(-rounded.log2().sum(), scales)
    torch.testing.assert_close(got, (noisy[0], noisy[1], real))
    assert not torch.allclose(noisy[2], real)


@pytest.mark.parametrize(
    "key, value",
    [
        ("quantisation", "none"),
        ("hyperprior_crop", 100),
        ("clip", 0),
        ("decay_from", 1.0),
        ("averages", (1.5,)),
        ("batch_grows", {0: 4}),
    ],
)
def test_a_wrong_value_is_named(key, value):
    with pytest.raises(UsageError, match=key):
        config.load("mean_scale_0.0154", **{key: value})
