"""The learned model: integers no machine can change, tiles that leave no trace, latents as the network has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from bench.device import VARIABLE, requested_device
from bench.errors import UnavailableError, UsageError
from codecs_wrappers.learned import device, weights
from codecs_wrappers.learned.entropy.gaussian import SIGMA_UNIT
from codecs_wrappers.learned.hyperprior import hyperdecoder, model, networks
from codecs_wrappers.learned.hyperprior.hyperdecoder import MEAN_UNIT, HyperDecoder
from codecs_wrappers.learned.hyperprior.model import Model

ROOT = Path(__file__).resolve().parent.parent
TRAINED = "mean_scale_0.1538"
SMALL = {"family": "mean_scale", "N": 8, "M": 12}


def small_network(gain: float = 1.0) -> torch.nn.Module:
    """A random network whose hyper-decoder's outputs are of the size a trained one's are."""
    torch.manual_seed(3)
    network = networks.build(SMALL).eval().requires_grad_(False)
    for index in (0, 2, 4):
        network.h_s[index].weight.mul_(gain)
    network.h_s[4].bias.add_(2.0)
    return network


def arrays(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in network.h_s.state_dict().items()}


@pytest.fixture(scope="module")
def small() -> Model:
    network = small_network()
    return Model(weights.Weights("small", network.state_dict(), "01234567" * 8, {"architecture": SMALL}))


@pytest.fixture(scope="module")
def trained() -> Model:
    available, reason = weights.available(TRAINED)
    if not available:
        pytest.skip(reason)
    return Model.load(TRAINED, "cpu")


def symbols(channels: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, (channels, height, width)).astype(np.int32)


# ---- the hyper-decoder


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 5), (8, 12)])
def test_means_and_scales_are_those_of_the_float_network(size):
    network = small_network(gain=3.0).double()
    medians = np.linspace(-2, 2, 8)
    z = symbols(8, *size)
    means, sigma = HyperDecoder(arrays(network), medians)(z)
    z_hat = torch.from_numpy(z + medians[:, None, None])[None]
    scales, expected = (half[0].numpy() for half in network.h_s(z_hat).chunk(2, 1))
    assert (means.dtype, sigma.dtype) == (np.int32, np.int64)
    assert means.shape == sigma.shape == (12, 4 * size[0], 4 * size[1])
    assert np.abs(means / MEAN_UNIT - expected).max() < 1 / MEAN_UNIT  # half of it is the grid's own
    large = scales > 0.11
    assert large.mean() > 0.5
    assert np.abs(sigma / SIGMA_UNIT - scales)[large].max() < 0.002


def test_a_trained_models_means_and_scales_are_those_of_the_float_network(trained, photographs):
    for photograph in photographs.values():
        _, z = trained.analyse(photograph)
        means, sigma = trained.hyper(z)
        double = networks.build({"family": "mean_scale", "N": trained.N, "M": trained.M}).double().eval()
        networks.load_weights(double, trained.network.state_dict())
        with torch.inference_mode():
            z_hat = torch.from_numpy(z + trained.medians[:, None, None])[None]
            scales, expected = (half[0].numpy() for half in double.h_s(z_hat).chunk(2, 1))
        error = means / MEAN_UNIT - expected
        assert np.sqrt(np.mean(error**2)) < 0.32 / MEAN_UNIT  # a rounded number's own is 0.289
        relative = (sigma / SIGMA_UNIT / np.maximum(scales, 0.11) - 1)[scales > 0.11]
        assert np.sqrt(np.mean(relative**2)) < 1e-3  # 256 scales cover a factor of 2300: 3 % each


def direct(layer, x, kernel):
    """The layer's sums by int64 arithmetic in the order they are written, without Winograd's transforms."""
    padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    sums = np.einsum("oikl,ihwkl->ohw", kernel, windows)
    return (sums + layer.offset.astype(np.int64) // hyperdecoder.GAIN) * (layer.scale * hyperdecoder.GAIN)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (5, 4), (6, 6)])
def test_every_sum_is_the_exact_integer(size):
    random = np.random.default_rng(1)
    kernel = random.normal(0, 0.2, (5, 7, 3, 3))
    layer = hyperdecoder._Layer(kernel, random.normal(0, 9, 5), "layer")
    largest = hyperdecoder.LARGEST_ACTIVATION * hyperdecoder.ACTIVATION_UNIT
    x = random.choice([-largest, largest, 12345.0, -1.0], (7, *size))  # up to saturation
    integers = np.rint(kernel / (layer.scale * hyperdecoder.GAIN)).astype(np.int64)
    assert np.array_equal(layer(x), direct(layer, x, integers))


def test_a_permutation_of_the_channels_changes_no_bit():
    """The order of summation is what differs between libraries, devices and thread counts."""
    state = arrays(small_network(gain=3.0))
    z, medians = symbols(8, 6, 7), np.linspace(-2, 2, 8)
    means, sigma = HyperDecoder(state, medians)(z)
    random = np.random.default_rng(5)
    order, hidden, inner = random.permutation(8), random.permutation(12), random.permutation(18)
    permuted = dict(state)
    permuted["0.weight"] = state["0.weight"][order][:, hidden]
    permuted["0.bias"] = state["0.bias"][hidden]
    permuted["2.weight"] = state["2.weight"][hidden][:, inner]
    permuted["2.bias"] = state["2.bias"][inner]
    permuted["4.weight"] = state["4.weight"][:, inner]
    again = HyperDecoder(permuted, medians[order])(z[order])
    assert np.array_equal(again[0], means)
    assert np.array_equal(again[1], sigma)


def test_the_size_of_strips_changes_no_bit(monkeypatch):
    decoder = HyperDecoder(arrays(small_network(gain=3.0)), np.zeros(8))
    z = symbols(8, 9, 5)
    whole = decoder(z)
    monkeypatch.setattr(hyperdecoder, "POSITIONS", 1)
    assert all(np.array_equal(a, b) for a, b in zip(decoder(z), whole, strict=True))


def another_order(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b summed from the last product to the first, by torch."""
    return torch.matmul(torch.from_numpy(a).flip(-1), torch.from_numpy(b).flip(-2)).numpy()


def fused(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b in two halves, in extended precision where numpy has it: as a library with other accumulators."""
    half = a.shape[-1] // 2
    return (
        np.einsum("pij,pjk->pik", a[..., :half].astype(np.longdouble), b[:, :half].astype(np.longdouble))
        + np.einsum("pij,pjk->pik", a[..., half:].astype(np.longdouble), b[:, half:].astype(np.longdouble))
    ).astype(np.float64)


@pytest.mark.parametrize("multiply", [another_order, fused])
def test_another_library_gives_the_same_bits(monkeypatch, multiply):
    decoder = HyperDecoder(arrays(small_network(gain=3.0)), np.zeros(8))
    z = symbols(8, 4, 6)
    expected = decoder(z)
    monkeypatch.setattr(hyperdecoder, "multiply", multiply)
    assert all(np.array_equal(a, b) for a, b in zip(decoder(z), expected, strict=True))


@pytest.mark.slow
def test_one_and_two_threads_give_the_same_bits_in_a_fresh_process(trained, tmp_path):
    z = symbols(trained.N, 3, 4)
    expected = trained.hyper(z)
    np.savez(tmp_path / "in.npz", z=z, medians=trained.medians, **arrays(trained.network))
    script = """
import numpy as np
from codecs_wrappers.learned.hyperprior.hyperdecoder import HyperDecoder
given = np.load("in.npz")
means, sigma = HyperDecoder(given, given["medians"])(given["z"])
np.savez("out.npz", means=means, sigma=sigma)
"""
    for threads in "12":
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
        with np.load(tmp_path / "out.npz") as got:
            assert np.array_equal(got["means"], expected[0])
            assert np.array_equal(got["sigma"], expected[1])


def test_symbols_far_out_saturate_instead_of_overflowing():
    decoder = HyperDecoder(arrays(small_network(gain=3.0)), np.zeros(8))
    extreme = np.where(symbols(8, 3, 3) < 0, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
    means, sigma = decoder(extreme)
    assert np.abs(means).max() <= hyperdecoder.LARGEST_MEAN * MEAN_UNIT
    assert sigma.min() >= 0
    clipped = decoder(np.clip(extreme, -hyperdecoder.LARGEST_ACTIVATION, hyperdecoder.LARGEST_ACTIVATION))
    assert np.array_equal(clipped[0], means)


def test_weights_too_large_for_exact_sums_are_refused_and_large_ones_get_a_coarser_grid():
    state = arrays(small_network())
    fine = HyperDecoder(state, np.zeros(8))
    coarse = HyperDecoder({**state, "4.weight": state["4.weight"] * 2000}, np.zeros(8))
    assert coarse.last.scale > fine.last.scale
    for decoder in (fine, coarse):
        assert hyperdecoder._largest_sum(decoder.last.kernel) < 2**53
    with pytest.raises(UsageError, match=r"the weights of h_s\.4 are too large"):
        HyperDecoder({**state, "4.weight": state["4.weight"] * 1e9}, np.zeros(8))


# ---- the transforms


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 64), (65, 130)])
def test_latents_and_picture_are_those_of_the_network(small, size):
    image = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    y, z = small.analyse(image)
    y_shape, z_shape = small.latent_shapes(*size)
    assert (y.shape, y.dtype, z.shape, z.dtype) == (y_shape, np.float32, z_shape, np.int32)
    bottom, right = (-side % 64 for side in size)
    padded = np.pad(image, [(0, bottom), (0, right), (0, 0)], mode="edge")
    with torch.inference_mode():
        x = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None].float() / 255
        expected = small.network.g_a(x)
        z_expected = small.network.h_a(expected)[0].numpy() - small.medians[:, None, None]
        x_hat = small.network.g_s(expected).clamp(0, 1)[0].permute(1, 2, 0).numpy()[: size[0], : size[1]]
    assert np.abs(y - expected[0].numpy()).max() < 1e-5
    sure = np.abs(z_expected - np.floor(z_expected) - 0.5) > 1e-4
    assert np.array_equal(z[sure], np.rint(z_expected)[sure])
    picture = small.synthesise(expected[0].numpy().copy(), *size)
    assert (picture.shape, picture.dtype) == ((*size, 3), np.uint8)
    assert np.abs(picture - x_hat * 255).max() < 0.501


def test_tiles_leave_no_trace(small, monkeypatch):
    image = np.random.default_rng(4).integers(0, 256, (170, 250, 3), dtype=np.uint8)
    y, _ = small.analyse(image)
    picture = small.synthesise(y, 170, 250)
    monkeypatch.setattr(model, "TILE", 5)
    tiled, _ = small.analyse(image)
    assert np.abs(tiled - y).max() < 1e-5
    differences = np.abs(small.synthesise(y, 170, 250).astype(int) - picture)
    assert differences.max() <= 1  # where a sample lies at a half
    assert (differences > 0).mean() < 1e-3


def test_the_halo_is_as_wide_as_it_must_be_and_no_wider(small, monkeypatch):
    image = np.random.default_rng(4).integers(0, 256, (200, 64, 3), dtype=np.uint8)
    y, _ = small.analyse(image)
    monkeypatch.setattr(model, "TILE", 8)
    monkeypatch.setattr(model, "HALO", model.HALO - 1)
    tiled, _ = small.analyse(image)
    assert np.abs(tiled - y).max() > 1e-4


def test_a_trained_model_reconstructs_a_photograph(trained, photographs):
    photograph = photographs["astronaut"]
    y, z = trained.analyse(photograph)
    mean = trained.hyper(z)[0].astype(np.float32) / MEAN_UNIT
    picture = trained.synthesise(np.rint(y - mean) + mean, *photograph.shape[:2])
    mse = np.mean((picture.astype(float) - photograph) ** 2)
    assert 10 * np.log10(255**2 / mse) > 36


# ---- loading and devices


def test_a_model_is_loaded_once_and_known_by_its_file(trained):
    assert Model.load(TRAINED, "cpu") is trained
    assert trained.id.hex() == weights.sha256(TRAINED)[:8]
    assert (trained.N, trained.M) == (128, 320)


def test_an_absent_model_is_unavailable_with_the_cure(own_cache):
    with pytest.raises(UnavailableError, match="rdbench fetch-weights mbt2018_mean_1"):
        Model.load("mbt2018_mean_1", "cpu")
    with pytest.raises(UsageError, match=f"no trained weights are called 'nothing'.*{TRAINED}"):
        Model.load("nothing", "cpu")


def test_a_device_is_asked_for_in_the_environment(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert requested_device() == "auto"
    assert device.resolve().type == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setenv(VARIABLE, "CPU")
    assert (requested_device(), device.resolve(requested_device()).type) == ("cpu", "cpu")
    monkeypatch.setenv(VARIABLE, "tpu")
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N, got 'tpu'"):
        requested_device()


def test_a_gpu_that_is_not_there_is_a_users_mistake():
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(UsageError, match=rf"running on cuda:{there}: .* sees"):
        device.resolve(f"cuda:{there}")
