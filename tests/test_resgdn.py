"""ResGDN: networks, quantizer, linear start, training, the two layers of the bitstream, and its operating points."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import yaml
from PIL import Image
from skimage import data as samples

pytest.importorskip("torch")
pytest.importorskip("compressai")

import torch

from bench.errors import BitstreamError, UnavailableError, UsageError
from bench.metrics import Reference, measure, psnr_rgb_db
from bench.studies import studies
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.resgdn import affine, coding, commands, points
from codecs_wrappers.learned.resgdn import networks as resgdn
from codecs_wrappers.learned.resgdn import study as resgdn_study
from codecs_wrappers.learned.resgdn.codec import ResGdn, ResGdnBase
from codecs_wrappers.learned.training import config, trainer
from codecs_wrappers.learned.training.data import crops as data
from codecs_wrappers.learned.training.schemes import resgdn as scheme
from codecs_wrappers.learned.training.starts.resgdn import linear_start
from codecs_wrappers.native import codemap
from codecs_wrappers.resgdn import CODECS

TINY = {"family": "resgdn", "widths": [8, 12, 16, 16], "channels": 8}
VARIANTS = {
    "resgdn": {},
    "4 channels": {"channels": 4},
    "resrelu": {"block": "resrelu"},
    "none": {"block": "none"},
    "relu": {"activation": "relu", "block": "resrelu"},
    "relu, none": {"activation": "relu", "block": "none"},
}
PHOTOGRAPH = samples.astronaut()[60:221, 100:277].copy()  # 161 x 177
PHOTOGRAPH.setflags(write=False)


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return resgdn.build({**TINY, **changes}).eval().requires_grad_(False)


def crops(count=4, side=64):
    torch.manual_seed(1)
    source = data.Crops([torch.from_numpy(samples.astronaut()).permute(2, 0, 1)], side, 1, torch.device("cpu"))
    return data.to_float(source.batch(count))


def psnr_db(a, b):
    return float(-10 * (a.clamp(0, 1) - b).square().mean().log10())


# Networks


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_maps_images_to_an_eighth_and_back(changes):
    net = network(**changes)
    code = net.analyse(torch.rand(2, 3, 32, 48))
    assert code.shape == (2, changes.get("channels", 8), 4, 6)
    assert net.synthesise(code).shape == (2, 3, 32, 48)


def test_there_are_eleven_convolutions_with_a_gdn_each_on_either_side():
    net = resgdn.build({"family": "resgdn", "widths": [64, 128, 256, 512]})
    for side, inverse in ((net.encoder, False), (net.decoder, True)):
        layers = list(side.modules())
        assert sum(isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d) for layer in layers) == 11
        assert [layer.inverse for layer in layers if isinstance(layer, resgdn.GDN)] == [inverse] * 11


def test_the_relu_variants_hold_what_the_ablation_says():
    relu = network(activation="relu", block="resrelu")
    assert not any(isinstance(layer, resgdn.GDN) for layer in relu.modules())
    assert isinstance(relu.encoder[4].activation, torch.nn.Tanh)
    assert isinstance(relu.decoder[4].activation, torch.nn.Tanh)
    assert sum(isinstance(layer, torch.nn.InstanceNorm2d) for layer in relu.modules()) == 20
    inside = [
        layer for block in network(block="resrelu").modules() if isinstance(block, resgdn.Residual) for layer in block
    ]
    assert sum(isinstance(layer, torch.nn.ReLU) for layer in inside) == 12
    assert not any(isinstance(layer, resgdn.GDN) for layer in inside)
    assert not any(isinstance(layer, resgdn.Residual) for layer in network(block="none").modules())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [8, 8]}, "expected 4 widths"),
        ({"widths": [8, 8, 8, 0]}, "expected 4 widths"),
        ({"channels": 51}, r"1\.\.50 channels.*51"),
        ({"block": "dense"}, "dense"),
        ({"family": "mean_scale"}, "mean_scale"),
        ({"activation": "relu"}, "with activation relu, block is"),
        ({"width": 3}, "unknown key 'width'"),
    ],
)
def test_what_is_no_architecture_is_refused_with_its_value(changes, message):
    with pytest.raises(UsageError, match=message):
        resgdn.build({**TINY, **changes})


# Quantizer


@pytest.mark.parametrize("bits", affine.BITS)
def test_zero_is_represented_exactly_at_every_depth(bits):
    torch.manual_seed(bits)
    x = torch.randn(2, 5, 9, 7) * torch.logspace(-3, 3, 5).view(-1, 1, 1) + torch.tensor([-2.0, 2, 0, 1e4, -1]).view(
        -1, 1, 1
    )
    x[..., 0, 0] = 0
    quantizer = affine.affine_of(x, bits)
    for generator in (None, torch.Generator().manual_seed(3)):
        levels = affine.quantize(x, quantizer, generator)
        assert levels.min() >= 0 and levels.max() <= quantizer.highest and torch.equal(levels, levels.round())
        assert (affine.dequantize(levels, quantizer)[..., 0, 0] == 0).all()


@pytest.mark.parametrize("bits", affine.BITS)
def test_nearest_levels_are_within_half_a_step_and_span_the_range(bits):
    torch.manual_seed(bits)
    x = torch.randn(3, 4, 20, 20) * 5
    quantizer = affine.affine_of(x, bits)
    error = affine.dequantize(affine.quantize(x, quantizer), quantizer) - x
    inside = error[(x > x.amin((2, 3), keepdim=True) * 0.8) & (x < x.amax((2, 3), keepdim=True) * 0.8)]
    step = float(quantizer.scale.max())
    assert inside.abs().max() <= step * (0.5001 if bits > 1 else 1)  # one bit: the zero point is at an end
    assert error.abs().max() <= step * 1.0001  # at the ends the zero point's own rounding adds half a step
    whole = x.amax((2, 3)) - x.amin((2, 3))
    assert torch.allclose(quantizer.scale[..., 0, 0] * quantizer.highest, whole, rtol=1e-6)


def test_stochastic_rounding_is_unbiased_inside_the_range_and_nearest_is_not():
    x = torch.linspace(-3.0, 5.0, 41).repeat(1, 1, 20_000, 1)  # every value 20,000 times
    quantizer = affine.affine_of(x, 3)
    inside = slice(5, -5)
    means = affine.dequantize(affine.quantize(x, quantizer, torch.Generator().manual_seed(0)), quantizer).mean(2)[0, 0]
    step = float(quantizer.scale)
    error = (means - x[0, 0, 0])[inside] / step
    assert error.abs().max() < 5 * 0.5 / 20_000**0.5  # five standard errors of a fair coin between two levels
    nearest = affine.dequantize(affine.quantize(x, quantizer), quantizer).mean(2)[0, 0]
    assert (nearest - x[0, 0, 0])[inside].abs().max() > 0.3 * step


@pytest.mark.parametrize("value", [0.0, 3.5, -0.25, 1e-30, 1e30])
def test_a_constant_channel_comes_back_whole(value):
    x = torch.full((1, 2, 4, 4), value)
    for bits in affine.BITS:
        quantizer = affine.affine_of(x, bits)
        assert quantizer.scale.isfinite().all() and (quantizer.scale > 0).all()
        back = affine.dequantize(affine.quantize(x, quantizer), quantizer)
        assert torch.allclose(back, x, rtol=1e-6, atol=0)


def test_channels_and_samples_of_a_batch_have_quantizers_of_their_own():
    x = torch.stack([torch.randn(3, 8, 8), 100 * torch.randn(3, 8, 8)])
    together = affine.affine_of(x, 4)
    for i in range(2):
        for c in range(3):
            alone = affine.affine_of(x[i : i + 1, c : c + 1], 4)
            assert alone.scale.item() == together.scale[i, c].item()
            assert alone.zero_point.item() == together.zero_point[i, c].item()


def test_the_gradient_passes_straight_through_the_rounding_and_the_scale_keeps_its_own():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 6, 6, requires_grad=True)
    weight = torch.randn(1, 1, 6, 6)
    x_hat = affine.fake_quantize(x, 2, torch.Generator().manual_seed(0))
    (x_hat * weight).sum().backward()
    scale = float(affine.affine_of(x.detach(), 2).scale)
    by_scale = float((weight * (x_hat - x).detach() / scale).sum()) / 3  # of the range max - min
    expected = weight.clone().flatten()
    expected[x.argmax()] += by_scale
    expected[x.argmin()] -= by_scale
    assert torch.allclose(x.grad.flatten(), expected, atol=1e-6)


@pytest.mark.parametrize("bits", [0, 9, 2.5])
def test_other_bit_depths_are_refused(bits):
    with pytest.raises(UsageError, match=f"expected 1 to 8 bits, got {bits}"):
        affine.affine_of(torch.zeros(1, 1, 2, 2), bits)


# Linear start


@pytest.mark.parametrize("block", resgdn.BLOCKS)
def test_the_linear_start_is_nearly_the_klt_of_8x8_blocks(block):
    x = crops(16)
    net = linear_start(network(block=block, widths=[8, 16, 48, 64]), [x])
    blocks = torch.nn.functional.pixel_unshuffle(x - x.mean((0, 2, 3), keepdim=True), 8).movedim(1, 0).flatten(1)
    energies = torch.linalg.eigvalsh((blocks @ blocks.T / blocks.shape[1]).double())
    ideal_db = float(-10 * (energies[:-8].sum() / 192).log10())
    assert psnr_db(net.synthesise(net.analyse(x)), x) > ideal_db - 0.7
    code = net.analyse(x)
    assert (code.std((0, 2, 3)) > 0.01).all()


def test_the_linear_start_uses_no_random_feature_and_leaves_none_without_gradient():
    x = crops(8)
    outputs = [linear_start(network(seed, block="none"), [x]) for seed in (1, 2)]
    a, b = (net.synthesise(net.analyse(x)) for net in outputs)
    assert torch.allclose(a, b, atol=1e-4)
    net = outputs[0].requires_grad_(True)
    (net.synthesise(net.analyse(x)) - x).square().mean().backward()
    reading = [net.encoder[1].convolution.weight.grad[:12, 3:], net.decoder[4].convolution.weight.grad[:, 3:]]
    assert all((gradient.abs().amax((0, 2, 3)) > 0).all() for gradient in reading)


def test_the_relu_variant_has_no_linear_start():
    with pytest.raises(UsageError, match="activation gdn"):
        linear_start(network(activation="relu", block="none"), [crops(1)])


# Training

TRAINING = {"scheme": "resgdn", "architecture": TINY, "mse_weight": 10.0, "bits": [2, 8], "batch": 1, "crop": 192}
TRAINING |= {"steps": 8, "lr": 3e-4, "warm_up_steps": 1, "log_every": 4, "validate_every": 4}


@pytest.fixture(autouse=True, scope="module")
def one_batch_at_the_start():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheme, "BATCHES", 1)
        yield


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two folders of real photographs from scikit-image: train (1) and held_out (1)."""
    root = tmp_path_factory.mktemp("photographs")
    for name, image in {"train/coffee": samples.coffee(), "held_out/cat": samples.chelsea()[:200, :264]}.items():
        (root / name).parent.mkdir()
        Image.fromarray(image).save(root / f"{name}.png")
    return root


def train(photographs, tmp_path, out="out", **changes):
    path = tmp_path / "resgdn_tiny.yaml"
    path.write_text(yaml.safe_dump({**TRAINING, **changes}))
    folders = {"data": [photographs / "train"], "validation": [photographs / "held_out"]}
    return trainer.train(str(path), **folders, device="cpu", out=tmp_path / out, quiet=True)


@pytest.fixture(scope="module")
def trained(photographs, tmp_path_factory):
    return train(photographs, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def entry(trained, monkeypatch):
    """The trained tiny model as an entry of the user's own manifest."""
    monkeypatch.setenv(weights.VARIABLE, str(trained.weights.with_suffix(".yaml")))
    return trained.weights.stem


@pytest.mark.slow
def test_the_manifest_says_how_the_losses_were_weighed_and_what_each_depth_gave(trained):
    written = yaml.safe_load(trained.weights.with_suffix(".yaml").read_text())["resgdn_tiny"]
    assert written["architecture"] == {**TINY, "activation": "gdn", "block": "resgdn"}
    assert written["mse_weight"] == 10 and written["bits"] == [2, 8]
    norms = written["started_from"]["gradient_norms"]
    assert norms["mse"] > 0 and norms["ms_ssim"] > 0
    assert [point["bits"] for point in written["validation"]["points"]] == [2, 8]
    low, high = written["validation"]["points"]
    assert low["bpp"] < high["bpp"] and low["ms_ssim"] < high["ms_ssim"] and low["psnr_rgb_db"] < high["psnr_rgb_db"]


@pytest.mark.slow
def test_a_paused_training_goes_on_as_if_it_had_not_been(photographs, tmp_path, trained, monkeypatch):
    advance = scheme.ResGdnLearner.advance

    def interrupted(self, progress):
        if self.step == 5:
            monkeypatch.setattr(scheme.ResGdnLearner, "advance", advance)
            raise KeyboardInterrupt
        return advance(self, progress)

    monkeypatch.setattr(scheme.ResGdnLearner, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(photographs, tmp_path)
    again = train(photographs, tmp_path)
    assert again.weights.read_bytes() == trained.weights.read_bytes()


def learner(image=None, **changes):
    torch.manual_seed(0)
    image = samples.coffee() if image is None else image
    settings = scheme.Config(name="tiny", **{**TRAINING, "bits": (2, 8), **changes})
    made = scheme.ResGdnLearner(settings, [torch.from_numpy(image).permute(2, 0, 1)], torch.device("cpu"))
    made.first_weights()
    made.begin()
    return made


def test_the_loss_is_the_mean_over_the_bit_depths_of_both_distortions():
    def losses(**changes):
        made = learner(**changes)
        torch.manual_seed(5)
        made.crops.generator.manual_seed(5)
        loss, bpp, mse = made.loss()
        return loss.item(), mse.item(), bpp.isnan().item()

    (both, mse, no_rate), (double, _, _) = losses(), losses(mse_weight=20.0)
    assert double - both == pytest.approx(10 * mse, rel=1e-4) and no_rate
    (one, _, _), (two, _, _) = losses(bits=(8,)), losses(bits=(8, 8, 8))
    assert two == pytest.approx(one, rel=2e-3)


@pytest.mark.slow
def test_steps_lower_the_loss():
    made = learner(samples.coffee()[100:292, 200:392].copy(), bits=(4, 8), lr=1e-3)  # one crop, up to flips
    losses = [made.advance(0.0)[0].item() for _ in range(40)]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_a_picture_against_the_grain_gives_a_finite_gradient():
    made = learner()
    with torch.no_grad():
        last = made.model.decoder[4].convolution
        last.weight.neg_()
    made.advance(0.0)
    assert all(p.isfinite().all() for p in made.model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 128}, "at least 192 for MS-SSIM, got 128"),
        ({"bits": (0, 2)}, "bits"),
        ({"mse_weight": 0}, "mse_weight"),
    ],
)
def test_a_wrong_training_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        scheme.Config(name="wrong", **{**TRAINING, **changes})


@pytest.mark.parametrize("name", [name for name in config.names() if name.startswith("resgdn")])
def test_every_configuration_is_one_and_the_short_ones_are_trained_alike(name):
    main, short = config.load("resgdn_short"), config.load(name)
    assert resgdn.Architecture.of(short.architecture).widths == (16, 32, 64, 128)
    if name.startswith("resgdn_short"):
        same = (
            "name",
            "architecture",
            *(("start_from", "lr", "lr_last", "adam_epsilon") if short.start_from == ("default",) else ()),
        )
        assert dataclasses.replace(short, **{key: getattr(main, key) for key in same}) == main
        assert name in ("resgdn_short_default", "resgdn_short_relu") or short.start_from == ("linear",)


# Bitstream


@pytest.fixture
def both(entry):
    return ResGdn("resgdn", "", "", entry)


@pytest.fixture
def base(entry):
    return ResGdnBase("resgdn_base", "", "", entry)


def test_the_base_layer_is_the_beginning_of_the_whole_and_decodes_by_itself(both, base):
    point = both.points[2]
    bitstream, picture = both.encode_with_reconstruction(PHOTOGRAPH, point)
    alone, base_picture = base.encode_with_reconstruction(PHOTOGRAPH, base.points[point["bits"] - 1])
    assert np.array_equal(both.decode(bitstream), picture)
    assert np.array_equal(base.decode(alone), base_picture)
    enhancement = coding.enhancement_bytes(bitstream)
    assert len(bitstream) == len(alone) + enhancement and coding.enhancement_bytes(alone) == 0
    for part in (bitstream, bitstream[: len(alone)]):
        assert np.array_equal(base.decode(part), base_picture)

    def error(image):
        return np.mean((image.astype(float) - PHOTOGRAPH) ** 2)

    assert error(picture) < error(base_picture)


def test_every_byte_counts(both, base):
    for codec in (both, base):
        bitstream = codec.encode(PHOTOGRAPH[:40, :56], codec.points[1])
        for position in range(len(bitstream)):
            changed = bytearray(bitstream)
            changed[position] ^= 1 << position % 8
            with pytest.raises(BitstreamError):
                codec.decode(bytes(changed))
        for size in range(0, len(bitstream), 5):
            with pytest.raises(BitstreamError):
                codec.decode(bitstream[:size])
        with pytest.raises(BitstreamError, match="followed by"):
            codec.decode(bitstream + b"more")


def test_errors_say_what_is_wrong(both, base):
    image = PHOTOGRAPH[:40, :56]
    alone, whole = base.encode(image, base.points[1]), both.encode(image, both.points[0])
    with pytest.raises(BitstreamError, match="no enhancement layer; decode it with resgdn_base"):
        both.decode(alone)
    with pytest.raises(BitstreamError, match="truncated: its enhancement layer has"):
        both.decode(whole[:-3])
    header = stream.read(alone, "resgdn")
    payload = alone[header.size :]
    channels = coding._FIXED.size
    forged = {
        "do not describe a quantizer": header.parameters[:channels],
        "expected 8 channels in the header, got 7": header.parameters[:-5],
        "not describe a quantizer": bytes([9]) + header.parameters[1:],
        "describe a quantizer": header.parameters[:channels] + b"\x7f\x80\0\0" + header.parameters[channels + 4 :],
        "parameters do not describe": header.parameters[: channels + 4] + b"\xff" + header.parameters[channels + 5 :],
    }
    for message, parameters in forged.items():
        with pytest.raises(BitstreamError, match=message):
            base.decode(dataclasses.replace(header, parameters=parameters).write() + payload)
    other = dataclasses.replace(header, tables=b"\0\0\0\0")
    with pytest.raises(BitstreamError, match="tables 00000000"):
        base.decode(other.write() + payload)
    with pytest.raises(BitstreamError, match=r"expected shape \(5, 8, 8\)"):
        base.decode(dataclasses.replace(header, width=64).write() + payload)
    with pytest.raises(BitstreamError, match="model 00000000"):
        base.decode(dataclasses.replace(header, model=bytes(4)).write() + payload)
    with pytest.raises(UsageError, match="1 to 8 bits, got 9"):
        coding.encode_base(base.model(base.entries[0]), image, 9)


def test_the_residual_is_right_to_its_step_and_a_flat_one_costs_no_error():
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (9, 11, 3)).astype(np.uint8)
    for low, high in ((-255, 255), (-3, 4), (0, 0), (7, 7), (-20, -20)):
        residual = rng.integers(low, high + 1, picture.shape)
        samples = coding._to_samples(residual, low, high)
        wanted = np.clip(picture + residual, 0, 255)
        got = coding._sum(picture, samples, low, high)
        assert np.abs(got.astype(int) - wanted).max() <= ((high - low) / 255 > 1)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16), (17, 33)])
def test_any_size_is_padded_and_cropped(both, size):
    image = PHOTOGRAPH[: size[0], : size[1]]
    bitstream, picture = both.encode_with_reconstruction(image, both.points[-1])
    assert picture.shape == image.shape and np.array_equal(both.decode(bitstream), picture)


def model(**changes):
    net = network(**changes)
    described = {"architecture": net.architecture.to_dict()}
    return coding.Model(weights.Weights("mine", net.state_dict(), "ab" * 32, described))


def test_tiles_give_what_the_whole_gives():
    image = np.tile(PHOTOGRAPH, (2, 2, 1))
    whole, tiled = model(), model()
    tiled.tile = 12  # samples: 96 pixels
    code = whole.analyse(image)
    assert torch.allclose(tiled.analyse(image), code, atol=2e-6 * float(code.abs().max()))
    a, b = (m.synthesise(code, *image.shape[:2]).astype(int) for m in (whole, tiled))
    assert np.abs(a - b).max() <= 1 and np.mean(a != b) < 1e-3


def test_the_halo_is_as_wide_as_it_must_be(monkeypatch):
    monkeypatch.setattr(coding, "HALO", 4)
    tiled = model()
    image = np.tile(PHOTOGRAPH, (2, 2, 1))
    code = tiled.analyse(image)
    tiled.tile = 12
    assert not torch.allclose(tiled.analyse(image), code, atol=2e-6 * float(code.abs().max()))


def test_instance_normalisation_is_not_tiled_and_codes_the_smallest_image():
    made = model(activation="relu", block="resrelu")
    assert made.tile > 65535 / resgdn.STRIDE
    coded = coding.encode_base(made, PHOTOGRAPH[:1, :1], 8)
    assert coded.picture.shape == (1, 1, 3)


def test_rounding_at_random_is_repeatable_and_another(entry):
    nearest, random, same, other = (ResGdnBase("x", "", "", entry, seed=seed) for seed in (None, 1, 1, 2))
    point = nearest.points[3]
    streams = [codec.encode(PHOTOGRAPH, point) for codec in (nearest, random, same, other)]
    assert streams[1] == streams[2] and len({*streams}) == 3
    assert np.array_equal(nearest.decode(streams[1]), random.decode(streams[1]))
    assert random.version() != nearest.version()


def test_the_lossless_coder_is_named_in_version_and_bitstream(both, base, monkeypatch, tmp_path):
    assert f"code map by {codemap.version()}" in base.version()
    assert "x265" in both.version()
    bitstream = base.encode(PHOTOGRAPH[:40, :56], base.points[0])
    header = stream.read(bitstream, "resgdn")
    assert codemap.method_of(bitstream[header.size :]) == codemap.choose()
    by_flif = codemap.METHODS.index("flif") << 4
    coded = bytes([by_flif | bitstream[header.size] & 15]) + bitstream[header.size + 1 : -4]
    forged = dataclasses.replace(header, tables=coding._tables(coded))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="flif is not on the PATH"):
        base.decode(forged.write() + coded + bitstream[-4:])


def test_without_bpg_the_residual_layer_is_skipped_with_its_reason(both, base, monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", frozenset({"hevc"}))
    assert both.available() == (False, "the residual layer needs BPG, but PyAV was built without libx265")
    assert base.available() == (True, "")


def test_the_layers_of_a_study_add_up(both):
    rows = list(resgdn_study.layers(both, PHOTOGRAPH))
    assert [row["point"] for row in rows] == [point.name for point in both.points]
    for row, point in zip(rows, both.points, strict=True):
        bpp = 8 * len(both.encode(PHOTOGRAPH, point)) / PHOTOGRAPH[..., 0].size
        assert row["base_bpp"] + row["residual_bpp"] == pytest.approx(bpp)
        assert row["bpp"] == pytest.approx(bpp)
        assert row["residual_share"] == pytest.approx(row["residual_bpp"] / bpp)


# Operating points


def test_the_points_chosen_have_the_shares_wanted_and_are_read_back(entry, tmp_path):
    made = coding.Model.load(entry, "cpu")
    images = [PHOTOGRAPH, samples.chelsea()[:120, :160]]
    chosen = commands.choose(made, images, (2, 4), (0.3, 0.7))
    for point in chosen:
        bases = [coding.encode_base(made, image, point["bits"]) for image in images]

        def share(qp, bases=bases):
            rates = [
                (8 * len(base.bitstream) / image.size, 8 * len(coding.enhance(base, image, qp)[0]) / image.size)
                for base, image in zip(bases, images, strict=True)
            ]
            return 1 - sum(a for a, _ in rates) / sum(b for _, b in rates)

        errors = {qp: abs(share(qp) - point["wanted_share"]) for qp in range(point["qp"] - 1, min(point["qp"] + 2, 52))}
        assert min(errors, key=errors.get) == point["qp"]
        assert share(point["qp"]) == pytest.approx(point["share"], abs=1e-3)
    path = commands.write(chosen, chosen[:1], {"entry": entry}, tmp_path / "points.yaml")
    assert points.read(path) == chosen
    assert points.read(path, "allocated") == chosen[:1]


@pytest.mark.slow
def test_no_mixture_of_two_pairs_beats_an_allocated_point(entry):
    made = coding.Model.load(entry, "cpu")
    images = [PHOTOGRAPH, samples.chelsea()[:120, :160]]
    tried = {}
    for bits, qp in itertools.product((1, 2, 3), (51, 39, 27)):
        rates, qualities = [], []
        for image in images:
            bitstream, picture = coding.enhance(coding.encode_base(made, image, bits), image, qp)
            rates.append(8 * len(bitstream) / image[..., 0].size)
            qualities.append(measure(Reference(image), picture)["psnr_rgb_db"])
        tried[bits, qp] = (np.mean(rates), np.mean(qualities))
    found = commands.allocate(made, images, (1, 2, 3), (51, 39, 27))
    assert [point["bpp"] for point in found] == sorted(point["bpp"] for point in found)
    assert 2 <= len(found) < len(tried)
    for point in found:
        rate, quality = tried[point["bits"], point["qp"]]
        assert (point["bpp"], point["psnr_rgb_db"]) == pytest.approx((rate, quality), abs=1e-4)
        for (low, worse), (high, better) in itertools.permutations(tried.values(), 2):
            if low <= rate <= high and low < high:
                assert worse + (better - worse) * (rate - low) / (high - low) <= quality + 1e-9
    last = (found[-1]["bpp"], found[-1]["psnr_rgb_db"])
    assert all(better - last[1] < commands.LEAST_SLOPE * (rate - last[0]) + 1e-3 for rate, better in tried.values())


@pytest.mark.parametrize("text", ["", "points: [{bits: 2}]", "points: [{bits: 2, qp: 52}]", "points: {", "a: 1"])
def test_a_wrong_file_of_points_is_refused(text, tmp_path):
    path = tmp_path / "points.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"reading ResGDN's operating points from .*points\.yaml"):
        points.read(path)


@pytest.mark.slow
def test_the_command_writes_points_for_the_model_it_is_given(entry, photographs, tmp_path, capsys):
    from bench.cli import main

    out = tmp_path / "points.yaml"
    arguments = ["--entry", entry, "--bits", "2", "--shares", "0.5", "--out", str(out)]
    assert main(["resgdn-points", str(photographs / "held_out"), *arguments]) == 0
    assert points.read(out)[0]["bits"] == 2
    assert {point["bits"] for point in points.read(out, "allocated")} == {2}
    assert weights.sha256(entry) in out.read_text() and "share" in capsys.readouterr().out
    assert main(["resgdn-points", str(photographs / "held_out"), "--bits", "2", "3", "--shares", "0.5"]) == 2


def test_codecs_read_the_points_beside_the_weights_and_ablations_stay_out_of_the_main_figures():
    for codec in CODECS:
        if isinstance(codec, ResGdn):
            key = "allocated" if codec.name == "resgdn_allocated" else "points"
            chosen = [(point["bits"], point["qp"]) for point in points.read(key=key)]
            assert [(point["bits"], point["qp"]) for point in codec.points] == chosen
        assert (codec.role == "codec") == (codec.name in ("resgdn", "resgdn_allocated", "resgdn_base"))


def test_shipped_weights_are_half_precision(trained):
    assert {tensor.dtype for tensor in networks.read_weights(trained.weights).values()} == {torch.float16}


def test_stochastic_rounding_has_no_bias_nearest_has_and_zero_is_exact_in_both():
    rows = list(resgdn_study.rounding(PHOTOGRAPH))
    assert [(row["rounding"], row["bits"]) for row in rows] == [
        (name, bits) for bits in (2, 4, 8) for name in ("nearest", "stochastic")
    ]
    for row in rows:
        assert row["zero_error"] == 0
        if row["rounding"] == "stochastic":
            assert row["greatest_bias_steps"] < 5 * 0.5 / np.sqrt(resgdn_study.DRAWS)  # five deviations of a mean
        else:
            assert 0.45 < row["greatest_bias_steps"] <= 0.5


def test_trainings_are_compared_at_the_steps_that_all_were_validated_at(tmp_path, monkeypatch):
    monkeypatch.setattr(resgdn_study, "CURVES", tmp_path)
    losses = {"a": {0: 0.9, 75: 0.5, 150: 0.25}, "b": {0: 0.8, 50: 0.6, 75: 0.4, 150: 0.3}}
    for name, curve in losses.items():
        lines = ["kind,step,hours,loss,bpp,psnr_db", "train,75,0.1,7.0,,20"]
        lines += [f"validation,{step},0.1,{loss},0.2,25" for step, loss in curve.items()]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    rows = [tuple(row.values()) for row in resgdn_study.convergence(["a", "b"], PHOTOGRAPH)]
    assert rows == [("a", 75, 0.5), ("b", 75, 0.4), ("a", 150, 0.25), ("b", 150, 0.3)]


def test_every_short_training_has_a_curve_for_the_study_of_convergence():
    rows = list(studies()["resgdn_convergence"].run(PHOTOGRAPH))
    short = {codec.name for codec in CODECS if codec.name.startswith("resgdn_short")}
    assert {row["network"] for row in rows} == short and len(short) == 6
    assert {row["step"] for row in rows} and all(row["loss"] > 0 for row in rows)


def test_channels_are_compared_by_base_layers_that_decode_to_the_measured_picture():
    study = studies()["resgdn_channels"]
    for entry in ("resgdn_short", "resgdn_short_n4"):
        if not weights.available(entry)[0]:
            pytest.skip(f"no weights of {entry}")
    image = np.ascontiguousarray(samples.astronaut()[:128, :160])
    rows = list(study.run(image))
    assert {row["channels"] for row in rows} == {"8 channels", "4 channels"}
    for row in rows:
        count, entry = (8, "resgdn_short") if row["channels"] == "8 channels" else (4, "resgdn_short_n4")
        assert row["target_bpp"] == row["bits"] * count / 64 and 2 <= row["bits"] <= 8
        if row["bits"] in (2, 8):
            codec = ResGdnBase(entry, "", "", entry)
            bitstream = codec.encode(image, codec.point(f"b{row['bits']}"))
            assert row["bpp"] == 8 * len(bitstream) / (128 * 160)
            shown = codec.decode(bitstream)
            assert row["psnr_rgb_db"] == psnr_rgb_db(image, shown)
