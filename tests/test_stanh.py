"""STanH: the layer, its coding, its training, and the wrappers on it."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import yaml
from PIL import Image
from skimage import data

from bench.errors import BitstreamError, UsageError

torch = pytest.importorskip("torch", reason="needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="needs the extra rdbench[learned]")

from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.entropy.gaussian import SCALES
from codecs_wrappers.learned.entropy.tables import PRECISION
from codecs_wrappers.learned.hyperprior import coding as meanscale
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.model import Model
from codecs_wrappers.learned.stanh import coding as stanh_codec
from codecs_wrappers.learned.stanh import layer as stanh
from codecs_wrappers.learned.stanh import wacnn
from codecs_wrappers.learned.stanh.backbones import WacnnBackbone
from codecs_wrappers.learned.stanh.codec import ANCHORS, LADDER, MS_SSIM_ANCHORS, MS_SSIM_LADDER, Stanh, quantizers_of
from codecs_wrappers.learned.stanh.codelength import code_length
from codecs_wrappers.learned.stanh.layer import STanH
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training import export, trainer
from codecs_wrappers.learned.training.judging import validation
from codecs_wrappers.learned.training.schemes.stanh import StanhLearner
from codecs_wrappers.learned.training.starts import stanh as stanh_start
from codecs_wrappers.learned.training.steps import annealing
from codecs_wrappers.learned.training.steps.quantizers import medians_of, slices_of


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
        assert layer.gap(x, layer.soft(x, 2.0)) > 0.02
        assert layer.gap(x, layer.soft(x, 1e6)) < 1e-4

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


# Training and coding, on a small network that has little more than the linear start, and one photograph.

NETWORK = {"rate_weight": 0.05, "architecture": {"family": "mean_scale", "N": 16, "M": 48}}
BRIEF = {"crop": 64, "batch": 2, "steps": 30, "validate_every": 15, "log_every": 5, "warm_up_steps": 2}
QUANTIZERS = {"scheme": "stanh", "base": "small", "cached_crops": 24, "lr": 0.02, **BRIEF}
ANCHOR = {**QUANTIZERS, "rate_weight": 0.008, "start_from": ["default"]}
DERIVATION = {**QUANTIZERS, "start_from": ["model:stanh_0.1538"]}
TRAININGS = {
    "stanh_0.1538": ANCHOR,
    "stanh_0.0513_of_0.1538": {**DERIVATION, "rate_weight": 0.003},
    "stanh_0.0277_of_0.1538": {**DERIVATION, "rate_weight": 0.001},
    "stanh_0.0154": {**ANCHOR, "rate_weight": 0.002, "trainable": "all", "lr": 3e-3},
    "stanh_0.0089_of_0.0154": {
        **DERIVATION,
        "base": "stanh_0.0154",
        "start_from": ["model:stanh_0.0154"],
        "rate_weight": 5e-4,
    },
}
PHOTOGRAPH = data.astronaut()[60:250, 100:350].copy()  # 190 x 250


class Workshop:
    """A folder with photographs, a weights manifest, and what is trained there."""

    def __init__(self, root: Path):
        self.root, self.manifest = root, root / "weights.yaml"
        for name, image in {"train/coffee": data.coffee(), "held_out/cat": data.chelsea()[:192, :256]}.items():
            (root / name).parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(root / f"{name}.png")

    def train(self, name: str, settings: dict, folder: str = "out") -> trainer.Outcome:
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        images = {"data": [self.root / "train"], "validation": [self.root / "held_out"]}
        return trainer.train(str(path), **images, device="cpu", out=self.root / folder / name, quiet=True)

    def enter(self, outcome: trainer.Outcome, **changes: object) -> None:
        """Put the entry of an outcome into the manifest."""
        name, entry = next(iter(yaml.safe_load(outcome.weights.with_suffix(".yaml").read_text()).items()))
        known = (yaml.safe_load(self.manifest.read_text()) or {}) if self.manifest.is_file() else {}
        entry |= {"source": "file", "file": str(outcome.weights), **changes}
        self.manifest.write_text(yaml.safe_dump({**known, name: entry}))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """With a base network, an anchor, two derivations of it and an anchor that was trained as a whole."""
    shop = Workshop(tmp_path_factory.mktemp("stanh"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "MANIFEST", shop.manifest)  # none of the committed ones
        shop.enter(shop.train("small", {**NETWORK, **BRIEF, "hyperprior_steps": 30, "batch": 4}))
        shop.outcomes = {}
        for name, settings in TRAININGS.items():
            shop.outcomes[name] = shop.train(name, settings)
            shop.enter(shop.outcomes[name])
        yield shop


@pytest.fixture(scope="module")
def codec(workshop):
    return Stanh("stanh_1anchor", 1, "STanH (1 anchor)")


@pytest.mark.slow
def test_an_anchor_starts_as_its_network_and_ends_better(workshop):
    anchor = workshop.outcomes["stanh_0.1538"]
    network = networks.build(NETWORK["architecture"])
    networks.load_weights(network, weights.load("small").state)
    image = torch.from_numpy(data.chelsea()[:192, :256].copy()).permute(2, 0, 1)
    assert anchor.start.loss == pytest.approx(
        validation.score(network, [image], 0.008).loss, rel=3e-3
    )  # the outer levels have the tails
    assert anchor.best.loss < 0.99 * anchor.start.loss


@pytest.mark.parametrize("name", ["stanh_0.0513_of_0.1538", "stanh_0.0277_of_0.1538"])
def test_a_derivation_is_a_small_file_that_serves_its_rate_better(workshop, name):
    derivation, anchor = workshop.outcomes[name], workshop.outcomes["stanh_0.1538"]
    assert derivation.best.loss <= derivation.start.loss
    assert derivation.best.bpp < anchor.best.bpp
    state = networks.read_weights(derivation.weights)
    assert {n.partition(".")[2] for n in state} == {"levels", "thresholds"} and derivation.weights.stat().st_size < 8000
    entry = weights.entry(name)
    assert entry["base"] == {"name": "small", "sha256": weights.sha256("small")}
    assert entry["anchor"] == "stanh_0.1538"
    assert entry["trained_scalars"] == sum(2 * (len(state[f"{latent}.levels"]) - 1) for latent in "yz")


@pytest.mark.parametrize("rate_weight", [0.0005, 0.001, 0.002, 0.004, 0.016, 0.032])
def test_a_fresh_derivation_is_no_worse_than_a_uniform_quantizer_with_a_dead_zone(workshop, rate_weight, tmp_path):
    settings = {**TRAININGS["stanh_0.0277_of_0.1538"], "rate_weight": rate_weight}
    (tmp_path / "fresh.yaml").write_text(yaml.safe_dump(settings))
    loaded = configs.load(str(tmp_path / "fresh.yaml"))
    pictures = [torch.from_numpy(data.coffee().copy()).permute(2, 0, 1)]
    learner = StanhLearner(loaded, pictures, torch.device("cpu"), beside=workshop.root / "out")
    facts = learner.first_weights()
    held_out = learner.analysed(16, loaded.seed + 1)
    fresh = learner.loss_of(learner.model.y.levels.detach(), learner.model.y.thresholds.detach(), held_out)
    steps = torch.arange(len(learner.model.y.levels), dtype=torch.float32) - learner.model.y.extent
    uniform = stanh_start.scale_levels(steps, facts["step"])
    as_uniform = learner.loss_of(uniform, stanh_start.with_dead_zone(uniform, facts["dead_zone"]), held_out)
    assert fresh <= as_uniform + 1e-4
    anchor = learner.source.weights()
    assert fresh <= 1e-4 + learner.loss_of(anchor["y.levels"], anchor["y.thresholds"], held_out)


def test_scaled_levels_reach_as_far_as_before_and_dead_zones_open_outwards():
    levels = torch.arange(-8.0, 9.0)
    finer, coarser = stanh_start.scale_levels(levels, 0.5), stanh_start.scale_levels(levels, 2.0)
    assert finer[4:13].tolist() == [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2]
    assert (finer[0], finer[-1]) == (-8, 8)
    assert (finer.diff() > 0).all()
    torch.testing.assert_close(coarser, 2 * levels)
    thresholds = stanh_start.with_dead_zone(levels, 0.25)
    assert thresholds[8:10].tolist() == [0.75, 1.75]
    assert thresholds[6:8].tolist() == [-1.75, -0.75]


def test_an_anchor_trained_as_a_whole_ships_its_network_and_codes(workshop):
    outcome = workshop.outcomes["stanh_0.0154"]
    state, before = networks.read_weights(outcome.weights), weights.load("small").state
    trained = torch.load(outcome.folder / "checkpoint.pt", weights_only=True)["model"]["network.g_s.0.weight"]
    assert not torch.equal(trained, before["g_s.0.weight"].float())
    assert state["network.g_s.0.weight"].dtype == torch.float16
    codec = Stanh("stanh_whole", 2, "")
    assert codec.bases == ("stanh_0.0154", "stanh_0.0154", "small", "small") and codec.available() == (True, "")
    for point in codec.points:  # the derivation of it too
        bitstream, pixels = codec.encode_with_reconstruction(PHOTOGRAPH, point)
        assert np.array_equal(codec.decode(bitstream), pixels)


def test_nothing_of_the_training_latents_is_clipped(workshop):
    config = configs.load(str(workshop.root / "stanh_0.1538.yaml"))
    images = [torch.from_numpy(data.coffee()).permute(2, 0, 1)]
    learner = StanhLearner(config, images, torch.device("cpu"), workshop.root / "out")
    model, found = learner.model.eval(), learner.latents
    with torch.no_grad():
        z = found.z - medians_of(learner.base)
        (part,) = slices_of(learner.base, z.round() + medians_of(learner.base), learner.precision)
        y = found.y - part.means
    for layer, values in ((model.y, y), (model.z, z)):
        assert (layer.hard(values) - values).abs().max() <= 0.5 + 1e-4
        smaller = STanH(layer.extent - 1) if layer.extent > 1 else None
        assert smaller is None or (smaller.hard(values) - values).abs().max() > 0.5


@pytest.mark.parametrize("kind", ["gap_stoc", "triangle"])
def test_a_killed_and_resumed_training_equals_an_uninterrupted_one(workshop, monkeypatch, kind):
    settings = {**ANCHOR, "annealing": kind, "steps": 12, "validate_every": 6}
    whole = workshop.train("whole", settings, folder=kind)
    steps = StanhLearner.advance

    def killed(learner, progress):
        if learner.step == 9:
            raise KeyboardInterrupt
        return steps(learner, progress)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StanhLearner, "advance", killed)
        workshop.train("resumed", settings, folder=kind)
    resumed = workshop.train("resumed", settings, folder=kind)
    final = [torch.load(o.folder / "checkpoint.pt", weights_only=True)["model"] for o in (whole, resumed)]
    assert all(torch.equal(final[0][key], final[1][key]) for key in final[0])


@pytest.mark.parametrize("kind", annealing.KINDS)
def test_annealings_keep_their_limits(kind):
    torch.manual_seed(1)
    layer, drawn = STanH(2, beta=10.0), []
    for step in range(200):
        annealing.anneal(kind, layer, gap=0.02, factor=15.0, progress=step / 200, last=100.0)
        drawn.append(float(layer.beta))
    assert min(drawn) >= 1 and len(set(drawn)) > 1
    last = 10 + 200 * 0.02 * 15
    assert max(drawn) <= (last if kind.startswith("gap") else 100) + 1e-3
    if kind == "gap":
        assert drawn[-1] == pytest.approx(last, rel=1e-4)


@pytest.mark.parametrize("changes", [{"bins": "thresholds"}, {"pinned": False}, {"centred": False}])
def test_switches_of_the_ablation_train_and_ship(workshop, changes):
    outcome = workshop.train("switched", {**ANCHOR, "steps": 4, **changes}, folder="-".join(changes))
    state = networks.read_weights(outcome.weights)
    for latent in "yz":
        stanh.check(state[f"{latent}.levels"].tolist(), state[f"{latent}.thresholds"].tolist(), latent)
    assert weights_entry(outcome)["architecture"]["bins"] == changes.get("bins", "levels")


def weights_entry(outcome: trainer.Outcome) -> dict:
    return next(iter(yaml.safe_load(outcome.weights.with_suffix(".yaml").read_text()).values()))


@pytest.mark.parametrize("changes", [{"annealing": "slowly"}, {"bins": "edges"}, {"trainable": "some"}, {"beta": 0}])
def test_unknown_settings_are_refused(workshop, changes):
    with pytest.raises(UsageError, match=next(iter(changes))):
        workshop.train("refused", {**ANCHOR, **changes})


def test_points_are_the_rates_that_have_weights(codec):
    assert [point.name for point in codec.points] == ["lambda0.001", "lambda0.003", "lambda0.008"]
    assert codec.entries == ("small", "stanh_0.0277_of_0.1538", "stanh_0.0513_of_0.1538", "stanh_0.1538")
    assert codec.available() == (True, "")
    ready, reason = Stanh("stanh_zou22", 3, "", prefix="stanh_zou22").available()
    assert not ready and "no trained weights" in reason


def test_derivations_are_from_the_nearest_anchor():
    ladder = quantizers_of(ANCHORS[3])
    assert (
        ladder[0] == "stanh_0.00513" and ladder[4] == "stanh_0.0513_of_0.1538" and ladder[3] == "stanh_0.0277_of_0.0154"
    )
    wanted = {name for anchors in ANCHORS.values() for name in quantizers_of(anchors)}
    assert wanted <= set(configs.names())  # each can be trained by its name
    for name in wanted:
        settings = configs.load(name)
        assert settings.rate_weight == LADDER[name.split("_")[1]]
        assert settings.base == f"mean_scale_{name.split('_')[-1]}"
    for name in quantizers_of(MS_SSIM_ANCHORS, "stanh_ms_ssim", MS_SSIM_LADDER):
        settings = configs.load(name)
        assert settings.rate_weight == MS_SSIM_LADDER[name.split("_")[3]] and settings.distortion == "ms_ssim"


@pytest.mark.parametrize("size", [(190, 250), (1, 1), (17, 33), (64, 64)])
def test_bitstreams_decode_to_the_encoders_pixels(codec, size):
    image = PHOTOGRAPH[: size[0], : size[1]]
    for point in (*codec.points, codec.at(0.25)):
        bitstream, pixels = codec.encode_with_reconstruction(image, point)
        assert pixels.shape == image.shape
        assert np.array_equal(codec.decode(bitstream), pixels)
        assert codec.encode(image, point) == bitstream


def test_any_position_is_a_point_and_rate_rises_with_it(codec):
    sizes = [len(codec.encode(PHOTOGRAPH, codec.at(position))) for position in (0, 0.3, 0.7, 1, 1.5, 2)]
    assert sizes == sorted(sizes) and len(set(sizes)) == len(sizes)
    before = codec.pair(0).y.levels.copy()
    codec.encode(PHOTOGRAPH, codec.at(0.9999))
    assert np.array_equal(codec.pair(0).y.levels, before)  # interpolated on a copy
    with pytest.raises(UsageError, match="from 0 to 2"):
        codec.at(2.5)


def test_between_anchors_the_nearer_rate_is_taken(workshop):
    codec = Stanh("stanh_two", 2, "")
    assert codec.bases == ("stanh_0.0154", "stanh_0.0154", "small", "small")
    assert [codec.at(position)["position"] for position in (0.4, 1.4, 1.6, 2.6)] == [0.4, 1, 2, 2.6]


def test_switching_the_rate_loads_no_network(codec, monkeypatch):
    codec.prepare()
    monkeypatch.setattr(weights, "load", lambda name: pytest.fail(f"{name} was loaded again"))
    for point in codec.points:
        codec.decode(codec.encode(PHOTOGRAPH[:64, :64], point))


@pytest.mark.parametrize("position", [0, 0.5, 1, 2])
def test_the_payload_is_as_long_as_the_ideal_code(codec, position):
    length = code_length(codec, PHOTOGRAPH, codec.at(position))
    ideal = length.ideal_y + length.ideal_z
    assert 0.995 * ideal - 16 < length.payload < 1.005 * ideal + 16


def test_rounding_quantizers_decode_as_plain_rounding(codec):
    backbone = codec.backbone("small")
    extent = 200
    levels = np.arange(-extent, extent + 1.0)
    rounding = stanh_codec.Quantizer(levels, levels[:-1] + 0.5)
    pair = stanh_codec.Pair(rounding, rounding)
    latent = stanh_codec.quantize(backbone, pair, PHOTOGRAPH)
    plain = meanscale.quantize(Model.load("small", "cpu"), PHOTOGRAPH)
    assert np.array_equal(latent.z, plain.z) and np.array_equal(latent.symbols[0], plain.symbols)
    assert np.array_equal(latent.y_hat(), plain.reconstruction())
    ours, _ = stanh_codec.encode(backbone, pair, PHOTOGRAPH, "stanh", b"abcd")
    theirs, _ = meanscale.encode(Model.load("small", "cpu"), PHOTOGRAPH, "mean_scale")
    assert -0.005 * len(theirs) < len(ours) - len(theirs) < 8  # every level is in the tables: no escapes


@pytest.mark.parametrize("bins", stanh.BINS)
def test_tables_are_the_bins_probabilities(codec, bins):
    y, z = (dataclasses.replace(q, bins=bins) for q in (codec.pair(0).y, codec.pair(0).z))
    tables = stanh_codec.PairTables.build(stanh_codec.Pair(y, z), codec.backbone("small"))
    inner = (y.levels[1:] + y.levels[:-1]) / 2 if bins == "levels" else y.thresholds
    for index in (0, 100, 200):
        below = scipy.stats.norm.cdf(inner, scale=SCALES[index])
        expected = np.diff([0, *below, 1])
        got = tables.y.counts(index) / 2**PRECISION
        assert got.sum() == 1 and np.abs(got - expected).max() < 1e-4  # each of 1 count at least
    assert len(tables.z) == 16 and all(tables.z.counts(c).sum() == 2**PRECISION for c in range(16))


def test_streams_of_another_rate_anchor_or_network_are_refused_by_name(workshop, codec):
    image, fewer = PHOTOGRAPH[:64, :64], copy.copy(codec)
    fewer.quantizers, fewer.bases = codec.quantizers[1:], codec.bases[1:]
    with pytest.raises(BitstreamError, match=r"\(stanh_0.0277_of_0.1538\), this codec has stanh_0.0513_of_0.1538"):
        fewer.decode(codec.encode(image, codec.at(0)))
    with pytest.raises(BitstreamError, match=r"\(stanh_0.0154\), this codec has"):
        whole = Stanh("stanh_whole", 2, "")
        codec.decode(whole.encode(image, whole.at(1)))
    coded = codec.encode(image, codec.at(1))
    found = stream.read(coded, "stanh")
    with pytest.raises(
        BitstreamError, match=r"network 00000000, its quantizers stanh_0.0513_of_0.1538 belong to small"
    ):
        codec.decode(dataclasses.replace(found, model=bytes(4)).write() + coded[found.size :])
    with pytest.raises(BitstreamError, match="not in the manifest"):
        codec.decode(dataclasses.replace(found, parameters=b"\0\0\0\1").write() + coded[found.size :])
    with pytest.raises(BitstreamError, match="bytes of parameters"):
        codec.decode(dataclasses.replace(found, parameters=b"\0").write() + coded[found.size :])
    with pytest.raises(BitstreamError, match="not neighbouring rates"):
        swapped = found.parameters * 2 + b"\0\1"
        codec.decode(dataclasses.replace(found, parameters=swapped).write() + coded[found.size :])


def test_a_damaged_bitstream_is_an_error_never_noise(codec):
    coded = codec.encode(PHOTOGRAPH[:64, :64], codec.at(1))
    for bit in np.random.default_rng(1).integers(0, 8 * len(coded), 40):
        changed = bytearray(coded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            codec.decode(bytes(changed))
    for size in range(0, len(coded), 97):
        with pytest.raises(BitstreamError):
            codec.decode(coded[:size])


def test_weights_with_crossing_levels_are_refused(workshop, tmp_path, monkeypatch):
    state = networks.read_weights(workshop.outcomes["stanh_0.1538"].weights)
    state["y.levels"][[3, 4]] = state["y.levels"][[4, 3]]
    (tmp_path / "crossed.safetensors").write_bytes(export.to_bytes(state, {}))
    entry = {"source": "file", "file": "crossed.safetensors", "architecture": {"family": "stanh", "bins": "levels"}}
    (tmp_path / "weights.yaml").write_text(yaml.safe_dump({"crossed": entry}))
    monkeypatch.setenv("RDBENCH_WEIGHTS", str(tmp_path / "weights.yaml"))
    with pytest.raises(UsageError, match=r"weights crossed, quantizer of y: its levels cross: number 3"):
        stanh_codec.load_pair(("crossed", "its sha256"))


def test_quantizers_of_another_base_are_unavailable_and_say_how_to_train_them(workshop, monkeypatch):
    known = yaml.safe_load(workshop.manifest.read_text())
    known["stanh_0.1538"]["base"]["sha256"] = "0" * 64
    other = workshop.root / "other.yaml"
    other.write_text(yaml.safe_dump(known))
    monkeypatch.setenv("RDBENCH_WEIGHTS", str(other))
    ready, reason = Stanh("stanh_1anchor", 1, "").available()
    assert not ready and "rdbench train stanh_0.1538" in reason


@pytest.fixture(scope="module")
def network():
    """Zou et al.'s at 8 and 40 channels."""
    torch.manual_seed(3)
    return wacnn.WACNN(8, 40).eval()


class TestWacnn:
    def test_names_and_shapes_are_those_of_the_published_checkpoints(self):
        network = wacnn.WACNN()
        assert sum(parameter.numel() for parameter in network.parameters()) == 75_235_779
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        published = {
            "g_a.4.conv_b.0.attn.relative_position_bias_table": (225, 8),
            "g_a.4.conv_b.0.attn.relative_position_index": (64, 64),
            "g_a.8.conv_b.0.attn.qkv.weight": (960, 320),
            "g_s.0.conv_a.2.conv.4.weight": (320, 160, 1, 1),
            "g_s.5.conv_b.4.weight": (192, 192, 1, 1),
            "h_a.8.weight": (192, 224, 3, 3),
            "h_mean_s.6.0.weight": (1152, 256, 3, 3),
            "h_scale_s.8.bias": (320,),
            "cc_mean_transforms.0.0.weight": (224, 320, 3, 3),
            "cc_scale_transforms.9.2.weight": (176, 224, 3, 3),
            "lrp_transforms.9.0.weight": (224, 512, 3, 3),
            "entropy_bottleneck.quantiles": (192, 1, 3),
        }
        assert {name: shapes.get(name) for name in published} == published

    def test_attention_sees_its_shifted_window_and_not_across_the_border(self):
        torch.manual_seed(0)
        layer, x = wacnn.ShiftedWindows(8, 4).double(), torch.randn(1, 8, 12, 12, dtype=torch.float64)
        changed = x.clone()
        changed[..., 3, 3] += 1  # in the window of rows and columns 2..5
        moved = (layer(changed) - layer(x)).abs().sum((0, 1)) > 1e-9
        assert moved[2:6, 2:6].all() and moved.sum() == 16
        changed = x.clone()
        changed[..., 0, 0] += 1  # shares its cyclic window with rows and columns 10 and 11, which are masked
        moved = (layer(changed) - layer(x)).abs().sum((0, 1)) > 1e-9
        assert moved[:2, :2].all() and moved.sum() == 4

    def test_relative_positions_are_numbered_row_by_row(self):
        index = wacnn.WindowAttention(8, 4).relative_position_index
        assert (
            index[0, 0] == 24 and index[0, 15] == 0 and index[15, 0] == 48 and index[0, 1] == 23 and index[4, 0] == 31
        )

    def test_slices_depend_on_the_first_five_at_most(self, network):
        with torch.no_grad():
            z = torch.randn(1, 8, 1, 1)
            runs = []
            for changed in (None, 0, 7):
                means = []
                for number, part in enumerate(network.slices(z)):
                    means.append(part.means)
                    part.y_hat = part.means.round() + (number == changed)
                runs.append(means)
        differs = [[not torch.equal(a, b) for a, b in zip(runs[0], run, strict=True)] for run in runs[1:]]
        assert differs[0] == [False] + [True] * 9 and not any(differs[1])

    def test_it_codes_in_slices(self, network, codec):
        state = {name: tensor for name, tensor in network.state_dict().items() if not networks.is_derived(name)}
        architecture = {"family": "wacnn", "N": 8, "M": 40}
        backbone = WacnnBackbone(
            weights.Weights("toy", state, "12" * 32, {"architecture": architecture}), torch.device("cpu")
        )
        pair, image = codec.pair(1), PHOTOGRAPH[:100, :130]
        coded, latent = stanh_codec.encode(backbone, pair, image, "stanh", b"abcd")
        pixels = stanh_codec.decode(backbone, pair, coded, stream.read(coded, "stanh"))
        assert latent.shape == (40, 8, 12) and np.array_equal(pixels, backbone.synthesise(latent, 100, 130))
        with pytest.raises(BitstreamError):
            stanh_codec.decode(backbone, pair, coded[:-1] + bytes([coded[-1] ^ 1]), stream.read(coded, "stanh"))

    def test_other_widths_are_refused(self):
        with pytest.raises(UsageError, match="steps of 40"):
            wacnn.build({"family": "wacnn", "N": 8, "M": 44})
