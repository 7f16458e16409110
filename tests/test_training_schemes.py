"""The schemes beside mean_scale: quantization scaling factors on a frozen network, and nested dropout."""

import copy

import numpy as np
import pytest
import yaml
from PIL import Image

from bench.errors import UsageError
from bench.files import sha256_file

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from compressai.models import MeanScaleHyperprior

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import config, schemes, trainer
from codecs_wrappers.learned.training.data import crops
from codecs_wrappers.learned.training.data.latents import Latents
from codecs_wrappers.learned.training.judging.validation import score
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.schemes import nested_dropout, qsf
from codecs_wrappers.learned.training.starts import weights as start
from codecs_wrappers.learned.training.starts import widths
from codecs_wrappers.learned.training.starts.linear import linear_start

pytestmark = pytest.mark.slow
BASE = {"rate_weight": 0.1538, "architecture": {"family": "mean_scale", "N": 16, "M": 48}}
BRIEF = {"crop": 64, "warm_up_steps": 2, "log_every": 5, "validate_every": 10, "steps": 20}
QSF = {"scheme": "qsf", "rate_weights": [0.0005, 0.01], "cached_crops": 16, "batch": 4, "lr": 0.05, **BRIEF}
NESTED = {
    "scheme": "nested_dropout",
    "batch": 4,
    "lr": 1e-4,
    "judged_cuts": 4,
    "optimiser": "adam",
    "reduced": 0.0,
    **BASE,
    "rate_weight": 0.002,
    **BRIEF,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Photographs to train on and to judge by, and in `base` a model that was given its linear start and no step."""
    from skimage import data as samples

    root = tmp_path_factory.mktemp("photographs")
    for name, image in {"train/coffee": samples.coffee(), "held_out/cat": samples.chelsea()[:192, :256]}.items():
        (root / name).parent.mkdir()
        Image.fromarray(image).save(root / f"{name}.png")
    (root / "base.yaml").write_text(yaml.safe_dump({**BASE, **BRIEF, "hyperprior_steps": 30, "steps": 30, "batch": 4}))
    folders = {"data": [root / "train"], "validation": [root / "held_out"]}
    trainer.train(str(root / "base.yaml"), **folders, device="cpu", out=root / "base", quiet=True)
    return root


@pytest.fixture
def train(tmp_path, folders):
    """Trains a configuration on the base model into tmp_path/OUT."""

    def run(settings, out="out", **options):
        path = tmp_path / "scheme.yaml"
        path.write_text(yaml.safe_dump({"start_from": [f"file:{folders / 'base/base.safetensors'}"], **settings}))
        images = {"data": [folders / "train"], "validation": [folders / "held_out"]}
        return trainer.train(str(path), **images, device="cpu", out=tmp_path / out, quiet=True, **options)

    return run


def entry(outcome):
    return yaml.safe_load(outcome.weights.with_suffix(".yaml").read_text())["scheme"]


def test_qsf_factors_beat_constant_ones_before_and_after_training_and_name_their_network(train, folders):
    learner = make(folders, QSF)
    constant = learner.score(learner.build(), [crops.read_image(folders / "held_out/cat.png")])
    outcome = train({**QSF, "steps": 60})
    assert outcome.start.loss < 0.997 * constant.loss  # for a linear codec constant factors are near the best
    assert outcome.best.loss < 0.997 * constant.loss
    state = networks.read_weights(outcome.weights)
    assert list(state) == ["factors"]
    assert (state["factors"].dtype, tuple(state["factors"].shape)) == (torch.float32, (2, 48))
    assert (state["factors"].diff(dim=0) >= 0).all()
    written = entry(outcome)
    assert written["base"]["sha256"] == sha256_file(folders / "base/base.safetensors")
    assert written["rate_weights"] == [0.0005, 0.01]
    low, high = written["validation"]["points"]
    assert low["bpp"] < high["bpp"]
    assert low["psnr_rgb_db"] < high["psnr_rgb_db"]


def test_qsf_with_all_factors_one_is_the_network_itself(train, folders):
    held_out = [crops.read_image(folders / "held_out/cat.png")]
    learner = make(folders, QSF)
    plain = score(learner.base, held_out, 0.01)
    ones = learner.score(qsf.Factors(torch.ones(2, 48)), held_out)
    assert ones.points[1]["bpp"] == pytest.approx(plain.bpp, rel=1e-4)
    assert ones.points[1]["psnr_rgb_db"] == pytest.approx(plain.psnr_rgb_db, abs=0.02)


def make(folders, settings):
    settings = {"name": "scheme", "start_from": (f"file:{folders / 'base/base.safetensors'}",), **settings}
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    kind = schemes.learner_of(settings["scheme"])
    torch.manual_seed(0)
    learner = kind(kind.Config(**settings), [crops.read_image(folders / "train/coffee.png")], torch.device("cpu"))
    learner.first_weights()
    learner.begin()
    return learner


def test_a_qsf_training_leaves_the_network_as_it_is_and_moves_only_factors(folders):
    learner = make(folders, QSF)
    before = {name: value.clone() for name, value in learner.base.state_dict().items()}
    factors = learner.model().clone()
    learner.advance(0.0)
    assert all(torch.equal(value, before[name]) for name, value in learner.base.state_dict().items())
    assert not torch.equal(learner.model(), factors)
    assert set(learner.model.state_dict()) == {"log_factors"}


def test_the_synthesis_gains_are_the_energy_that_noise_in_a_channel_becomes(folders):
    learner = make(folders, QSF)
    y_hat = learner.latents.y[:8]
    torch.manual_seed(1)
    gains = torch.stack([qsf.synthesis_gains(learner.base, y_hat) for _ in range(20)]).mean(0)
    noise = 0.05 * torch.randn(8, 1, 4, 4)
    for channel in (0, 7, 20):
        moved = y_hat.clone()
        moved[:, channel : channel + 1] += noise
        with torch.no_grad():
            energy = (learner.base.g_s(moved) - learner.base.g_s(y_hat)).square().sum()
        assert gains[channel].item() == pytest.approx((energy / noise.square().sum()).item(), rel=0.25)


def test_the_search_finds_the_factor_that_an_exhaustive_one_finds_channel_by_channel():
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.3, 3.0, 30.0]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    y = scales * torch.randn(2, 3, 8, 8, generator=generator)
    latents = Latents(y, y, torch.zeros_like(y), scales, torch.zeros(2))
    weights = torch.tensor([1.0, 2.0, 3.0])
    found = qsf.search(latents, torch.ones(3), weights)

    def cost(factor, channel):
        alone = Latents(*(t[:, channel : channel + 1] for t in (y, y, torch.zeros_like(y), scales)), torch.zeros(2))
        y_hat, bits = qsf.quantize(alone, torch.full((1, 1), factor))
        return (weights[channel] / 3 * (y_hat - alone.y).square().sum() + bits.sum()).item()

    factors = [2 ** (step / qsf.SEARCH_STEPS) for step in range(-qsf.SEARCH_RANGE, qsf.SEARCH_RANGE + 1)]
    expected = [min(factors, key=lambda factor: cost(factor, channel)) for channel in range(3)]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.25, 0.35, 0.45, 1.0, 4.0])
def test_the_gradient_of_a_factor_is_that_of_the_rate_and_error_it_really_gives(scale):
    """Against the difference that a change of the factor makes, on many samples; scale: in steps."""
    sigma = 2.0
    y = sigma * torch.randn(1, 1, 600, 600, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    latents = Latents(y, y, torch.zeros_like(y), torch.full_like(y, sigma), torch.zeros(1))

    def cost(log_factor):
        y_hat, bits = qsf.quantize(latents, log_factor.exp().view(1, 1))
        return (y_hat - y).square().mean(), bits.mean() / y.numel()

    at = torch.tensor(np.log(scale / sigma), requires_grad=True)
    gradients = [torch.autograd.grad(value, at, retain_graph=True)[0].item() for value in cost(at)]
    with torch.no_grad():
        above, below = cost(at + 0.05), cost(at - 0.05)
    differences = [(a - b).item() / 0.1 for a, b in zip(above, below, strict=True)]
    assert gradients == pytest.approx(differences, rel=0.1)


@pytest.mark.parametrize("settings", [QSF, NESTED], ids=["qsf", "nested_dropout"])
def test_a_killed_and_resumed_training_equals_an_uninterrupted_one(train, monkeypatch, settings):
    whole = train(settings, "whole")
    advance = Learner.advance

    def fail_at_7(self, progress):
        if self.step == 7:
            monkeypatch.setattr(Learner, "advance", advance)
            raise KeyboardInterrupt
        return advance(self, progress)

    settings = {**settings, "validate_every": 5}
    monkeypatch.setattr(Learner, "advance", fail_at_7)
    with pytest.raises(KeyboardInterrupt):
        train(settings, "resumed")
    resumed = train(settings, "resumed")
    final = [torch.load(o.folder / "checkpoint.pt", weights_only=True)["model"] for o in (whole, resumed)]
    assert all(torch.equal(final[0][name], final[1][name]) for name in final[0])


def test_a_checkpoint_on_another_network_is_refused(train, tmp_path, folders):
    train({**QSF, "steps": 1})
    other = tmp_path / "other.safetensors"
    state = networks.read_weights(folders / "base/base.safetensors")
    from codecs_wrappers.learned.training.export import to_bytes

    other.write_bytes(to_bytes({**state, "g_a.0.bias": state["g_a.0.bias"] + 1}, BASE))
    with pytest.raises(UsageError, match="its base was"):
        train({**QSF, "steps": 1, "start_from": [f"file:{other}"]})


def test_permuting_the_latent_permutes_y_and_changes_nothing_else():
    torch.manual_seed(0)
    model = MeanScaleHyperprior(8, 12).eval()
    order = torch.randperm(12)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        y, (x_hat, bits) = model.g_a(x), networks.forward(model, x)
        networks.permute_latent(model, order)
        torch.testing.assert_close(model.g_a(x), y[:, order])
        permuted_x_hat, permuted_bits = networks.forward(model, x)
    torch.testing.assert_close(permuted_x_hat, x_hat)
    torch.testing.assert_close(permuted_bits, bits)


def test_nested_dropout_puts_channels_in_order_and_improves_the_early_cuts(train):
    outcome = train({**NESTED, "steps": 120})
    assert outcome.best.loss < 0.99 * outcome.start.loss
    points = entry(outcome)["validation"]["points"]
    assert [p["bpp"] for p in points] == sorted(p["bpp"] for p in points)
    assert points[0]["psnr_rgb_db"] < points[-1]["psnr_rgb_db"]
    MeanScaleHyperprior(16, 48).load_state_dict(networks.read_weights(outcome.weights), strict=True)


def test_a_cut_keeps_the_first_channels_and_pays_for_them_only():
    torch.manual_seed(0)
    model = MeanScaleHyperprior(8, 12).eval()
    y = 5 * torch.randn(2, 12, 4, 4)
    with torch.no_grad():
        means, _, z_bits = networks.hyperprior(model, y)
        whole, all_bits = networks.rate(model, y)
        y_hat, bits = nested_dropout.cut_latent(model, y, torch.tensor([3, 12]))
        _, none = nested_dropout.cut_latent(model, y, torch.tensor([0, 0]))
    torch.testing.assert_close(y_hat[0], torch.cat([whole[0, :3], means[0, 3:]]))
    torch.testing.assert_close(y_hat[1], whole[1])
    torch.testing.assert_close(bits[1], all_bits[1])
    torch.testing.assert_close(none, z_bits)
    assert z_bits[0] < bits[0] < all_bits[0]


def test_importance_is_highest_where_leaving_a_channel_out_hurts_most_per_bit():
    torch.manual_seed(0)
    model = MeanScaleHyperprior(16, 48)
    from skimage import data as samples

    x = torch.from_numpy(samples.coffee()[:256, :256].copy()).permute(2, 0, 1)[None] / 255
    linear_start(model, [x], 0.1538)  # components of the image, the strongest first
    measured = nested_dropout.importance(model, x)
    assert measured.argmax() == 0
    assert measured[:8].min() > measured[40:].max()


def test_every_committed_configuration_is_of_a_known_scheme_and_can_be_read():
    for name in config.names():
        assert isinstance(config.load(name), schemes.learner_of(config.load(name).scheme).Config)
        assert config.starts_from(name) in {None, *config.names()}
    with pytest.raises(UsageError, match=r"no training scheme is called 'vgg'; there are .*mean_scale.*qsf"):
        schemes.learner_of("vgg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_weights": [0.1, 0.01]}, "expected increasing rate_weights above 0"),
        ({"batch": 3}, "multiple of the 2 rate weights"),
        ({"rate_weight": 0.1}, "unknown key 'rate_weight'"),
        ({"start_from": ["linear"]}, "expected start_from of model:NAME, average:NAME, file:PATH, got 'linear'"),
        ({"start_from": ["file:nowhere.safetensors"]}, "nothing in start_from is available"),
    ],
)
def test_a_wrong_qsf_configuration_is_refused(train, change, message):
    with pytest.raises(UsageError, match=message):
        train({**QSF, **change})


def test_a_neighbour_trained_here_goes_before_the_committed_one(tmp_path):
    settings = config.Config(name="x", start_from=("model:mean_scale_0.1538", "default"))
    found = start.first_source(settings, tmp_path)
    assert found.path == start.COMMITTED / "mean_scale_0.1538.safetensors"
    own = tmp_path / "mean_scale_0.1538/mean_scale_0.1538.safetensors"
    own.parent.mkdir()
    own.write_bytes(b"")
    assert start.first_source(settings, tmp_path).path == own


def test_a_channel_that_gives_nothing_is_worth_less_than_its_bits():
    model = networks.build({"family": "mean_scale", "N": 8, "M": 6}).requires_grad_(False)
    from skimage import data as samples

    x = torch.from_numpy(samples.coffee()[:256, :256].copy()).permute(2, 0, 1)[None] / 255
    linear_start(model, [x], 0.1538)
    model.g_s[0].weight[2] = 0.0
    worth = widths.saving(model, x, lambda x_hat: 0.1538 * 255**2 * (x_hat - x).square().mean())
    assert worth.shape == (6,) and worth[2] < 0 < worth[0] and worth.argmax() == 0


def test_a_dropped_channel_stays_in_the_picture_as_its_mean():
    model = networks.build({"family": "mean_scale", "N": 8, "M": 6}).requires_grad_(False)
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    model.g_a[6].weight[4] = 0.0
    model.g_a[6].bias[4] = 3.0  # a constant channel

    def inner() -> tuple[torch.Tensor, torch.Tensor]:
        y = model.g_a(x)
        layers = model.g_s[0](y), model.h_a[0](y)
        return layers[0][..., 4:-4, 4:-4].mean((0, 2, 3)), layers[1][..., 2:-2, 2:-2]

    before = inner()
    widths.fold(model, torch.tensor([4]), x)
    after_fold = inner()
    assert torch.allclose(before[0], after_fold[0], atol=1e-4) and torch.allclose(before[1], after_fold[1], atol=1e-4)
    assert not model.g_s[0].weight[4].any() and not model.h_a[0].weight[:, 4].any()


def test_a_narrower_hyper_decoder_predicts_nearly_as_before():
    from skimage import data as samples

    torch.manual_seed(0)
    model = networks.build({"family": "mean_scale", "N": 16, "M": 48}).requires_grad_(False).eval()
    image = torch.from_numpy(samples.coffee()[:384, :576].copy()).permute(2, 0, 1) / 255
    x = image.unfold(1, 192, 192).unfold(2, 192, 192).permute(1, 2, 0, 3, 4).reshape(-1, 3, 192, 192)
    linear_start(model, [x[:4]], 0.1538)
    for layer in (0, 2, 4):  # hidden features that depend on one another, as trained ones do
        low = torch.randn(model.h_s[layer].weight.shape[0], 8) @ torch.randn(8, model.h_s[layer].weight.shape[1])
        model.h_s[layer].weight += 0.02 * low[:, :, None, None]
    predicted = [torch.cat(networks.hyperprior(model, model.g_a(x))[:2], 1)]
    narrow = copy.deepcopy(model)
    widths.narrow_hyper_decoder(narrow, x, 36)
    predicted.append(torch.cat(networks.hyperprior(narrow, narrow.g_a(x))[:2], 1))
    unread = [
        (layer.weight.flatten(2).abs().sum((axis, 2)) == 0).sum()
        for layer, axis in ((narrow.h_s[2], 1), (narrow.h_s[4], 0))
    ]
    assert [int(number) for number in unread] == [12, 18]
    for layer, count in ((2, 12), (4, 18)):  # without the replacement
        axis = 0 if layer == 4 else 1
        energy = model.h_s[layer].weight.flatten(2).square().sum((axis, 2))
        drop = energy.argsort()[:count]
        weight = model.h_s[layer].weight if axis == 1 else model.h_s[layer].weight.transpose(0, 1)
        weight[drop] = 0.0
    predicted.append(torch.cat(networks.hyperprior(model, model.g_a(x))[:2], 1))
    error, plain = ((other - predicted[0]).square().mean() for other in predicted[1:])
    assert error < 0.2 * plain
