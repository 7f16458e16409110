"""Trained weights come from one manifest, are what they should be, or say why not; asking costs no torch and no net."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys

import pytest
import yaml
from web import serve

from bench.errors import RdbenchError, UnavailableError, UsageError
from codecs_wrappers.learned import weights

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.model import Model

SMALL = {"family": "mean_scale", "N": 4, "M": 6}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return networks.build(SMALL)


@pytest.fixture
def checkpoint(network, tmp_path):
    """The small network as CompressAI published its own: old names, DataParallel's prefix, tables among the tensors."""
    old = {"entropy_bottleneck._matrix": "_matrices.", "entropy_bottleneck._bias": "_biases."}
    old["entropy_bottleneck._factor"] = "_factors."
    state = {}
    for name, tensor in network.state_dict().items():
        for new, former in old.items():
            name = name.replace(new, f"entropy_bottleneck.{former}")
        state[f"module.{name}"] = tensor
    path = tmp_path / "published.pth.tar"
    torch.save(state, path)
    return path.read_bytes()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a manifest of the user's own and makes it count."""

    def write(**entries):
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(entries))
        monkeypatch.setenv(weights.VARIABLE, str(path))
        return path

    return write


@pytest.fixture
def zoo(own, checkpoint):
    """A server with the checkpoint, and a manifest entry for it."""
    with serve() as web:
        web.files["/model.pth.tar"] = checkpoint
        digest = hashlib.sha256(checkpoint).hexdigest()[:8]
        entry = {"source": "zoo", "url": f"{web.url}/model.pth.tar", "sha256": digest}
        own(published={**entry, "architecture": {"family": "mean_scale"}})
        yield web


def fetch(name="published"):
    return weights.fetch(name, quiet=True, wait_s=0.001)


def same(state, network):
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not networks.is_derived(name)}
    return all(torch.equal(state[name], tensor) for name, tensor in wanted.items())


def test_published_weights_are_fetched_once_and_load_under_present_names(zoo, network):
    assert weights.available("published") == (
        False,
        "weights published are not in the cache: run `rdbench fetch-weights published`",
    )
    with pytest.raises(UnavailableError, match="fetch-weights"):
        weights.load("published")
    path = fetch()
    assert fetch() == path == weights.path("published")
    assert len(zoo.asked) == 1
    assert weights.available("published") == (True, "")
    loaded = weights.load("published")
    assert same(loaded.state, network)
    assert loaded.entry["architecture"] == SMALL  # widths taken from the tensors
    assert loaded.sha256.startswith(weights.sha256("published"))


def test_a_cut_transfer_goes_on_where_it_stood(zoo, checkpoint):
    zoo.faults["/model.pth.tar"] = ["drop", "503"]
    assert fetch().read_bytes() == checkpoint
    assert zoo.ranges("/model.pth.tar")[-1] == f"bytes={len(checkpoint) // 2}-"


def test_a_wrong_file_is_kept_aside_and_named_with_both_hashes(zoo):
    zoo.files["/model.pth.tar"] = b"another file"
    with pytest.raises(RdbenchError, match="no source has the right file") as caught:
        fetch()
    assert weights.sha256("published") in str(caught.value)
    assert hashlib.sha256(b"another file").hexdigest() in str(caught.value)
    path = weights.path("published")
    assert path.with_name(f"{path.name}.bad").read_bytes() == b"another file"
    assert not weights.available("published")[0]


def test_a_missing_file_and_a_dead_server_are_unavailable(zoo, own):
    del zoo.files["/model.pth.tar"]
    with pytest.raises(UnavailableError, match="404"):
        fetch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/model.pth.tar"
    own(dead={"source": "zoo", "url": url, "sha256": "12345678", "architecture": {"family": "mean_scale"}})
    with pytest.raises(UnavailableError, match=r"unreachable: weights dead: .*refused"):
        fetch("dead")


def test_a_file_that_rots_in_the_cache_is_refused_then_fetched_again(zoo, network):
    path = fetch()
    path.write_bytes(b"rot" + path.read_bytes()[3:])
    with pytest.raises(RdbenchError, match=r"is damaged: expected sha256 \w{8}, got \w{64}; download them again"):
        weights.load("published")
    fetch()
    assert same(weights.load("published").state, network)


def test_nothing_but_tensors_is_unpickled(own, tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "harm").encode() + b"'\ntR.")
    own(evil={"source": "file", "file": "evil.pth", "architecture": SMALL})
    with pytest.raises(UsageError, match="expected a torch checkpoint"):
        weights.load("evil")
    assert not (tmp_path / "harm").exists()


def save(state, path):
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_of_another_architecture_names_the_first_mismatch(own, network, tmp_path):
    save(network.state_dict(), tmp_path / "mine.safetensors")
    own(mine={"source": "file", "file": "mine.safetensors", "architecture": {**SMALL, "M": 8}})
    with pytest.raises(UsageError, match=r"mine has another architecture: first mismatch at tensor 'g_a\.6\.weight'"):
        Model.load("mine", "cpu")


def test_a_users_own_file_is_identified_by_its_content(own, network, tmp_path):
    digest = save(network.state_dict(), tmp_path / "mine.safetensors")
    own(mine={"source": "file", "file": "mine.safetensors", "architecture": SMALL})
    assert weights.sha256("mine") == digest
    assert Model.load("mine", "cpu").id == bytes.fromhex(digest)[:4]
    digest = save({**network.state_dict(), "h_a.0.bias": torch.ones(4)}, tmp_path / "mine.safetensors")
    assert Model.load("mine", "cpu").id == bytes.fromhex(digest)[:4]  # a changed file is not served from memory


def test_factors_of_a_model_are_an_entry_of_their_own_and_follow_their_base(own, network, tmp_path):
    base = save(network.state_dict(), tmp_path / "base.safetensors")
    save({"factors": torch.ones(8, 6)}, tmp_path / "factors.safetensors")
    entries = {
        "parent": {"source": "file", "file": "base.safetensors", "architecture": SMALL},
        "child": {
            "source": "file",
            "file": "factors.safetensors",
            "architecture": {"family": "qsf", "M": 6},
            "base": {"name": "parent", "sha256": base},
        },
    }
    own(**entries)
    assert weights.available("child") == (True, "")
    assert weights.load("child").state["factors"].shape == (8, 6)
    with pytest.raises(UsageError, match="no network family is called 'qsf'"):
        Model.load("child", "cpu")
    save({**network.state_dict(), "h_a.0.bias": torch.ones(4)}, tmp_path / "base.safetensors")
    ok, reason = weights.available("child")
    assert not ok
    assert f"trained on another parent ({base[:8]}" in reason
    assert "rdbench train child" in reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": "absent.safetensors"}, "is missing"),
        ({"bytes": 7}, "is incomplete"),
        ({"base": {"name": "absent", "sha256": "0"}}, "no trained weights are called 'absent'"),
    ],
)
def test_what_is_not_there_says_so(own, network, tmp_path, change, reason):
    save(network.state_dict(), tmp_path / "mine.safetensors")
    own(mine={"source": "file", "file": "mine.safetensors", "architecture": SMALL, **change})
    ok, said = weights.available("mine")
    assert not ok
    assert reason in said


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("text", "needs a source, one of committed, zoo, file"),
        ({"source": "gift"}, "needs a source"),
        ({"source": "zoo"}, "needs `url`"),
        ({"source": "file", "file": "x"}, "needs an architecture"),
        ({"source": {"file": "x"}, "architecture": SMALL}, "needs a source"),
        ({"source": ["file"], "architecture": SMALL}, "needs a source"),
        ({"source": "file", "file": "x", "architecture": SMALL, "base": "x"}, "needs a base with its `name`"),
        ({"source": "file", "file": "x", "architecture": SMALL, "base": {"name": "x"}}, "needs a base with its `name`"),
        ({"source": "file", "file": "x", "architecture": SMALL, "base": None}, "needs a base with its `name`"),
        ({"source": "file", "file": "x", "architecture": SMALL, "data": "photos"}, "needs `data` as a mapping"),
        ({"source": "zoo", "url": "x", "architecture": SMALL}, "at least 8 digits"),
        ({"source": "zoo", "url": "x", "architecture": SMALL, "sha256": 12345678}, "in quotes"),
    ],
)
def test_a_wrong_manifest_entry_is_named(own, entry, expected):
    own(broken=entry)
    with pytest.raises(UsageError, match=f"entry broken .*{expected}"):
        weights.manifest()


@pytest.mark.parametrize("circle", [("a",), ("a", "b"), ("a", "b", "c")])
def test_bases_that_go_round_in_a_circle_are_named(own, network, tmp_path, circle):
    save(network.state_dict(), tmp_path / "mine.safetensors")
    digest = weights.sha256_file(tmp_path / "mine.safetensors")
    entry = {"source": "file", "file": "mine.safetensors", "architecture": SMALL}
    following = dict(zip(circle, (*circle[1:], circle[0]), strict=True))
    own(**{name: {**entry, "base": {"name": base, "sha256": digest}} for name, base in following.items()})
    ok, reason = weights.available("a")
    assert not ok and f"form a circle: {' -> '.join((*circle, 'a'))}" in reason
    with pytest.raises(UnavailableError, match="circle"):
        weights.load("a")


def test_weights_whose_tensors_are_scalars_are_no_network(own, network, tmp_path):
    save({name: torch.zeros(()) for name in network.state_dict()}, tmp_path / "mine.safetensors")
    own(mine={"source": "file", "file": "mine.safetensors", "architecture": {"family": "mean_scale"}})
    with pytest.raises(UsageError, match=r"g_a.0.weight to have the 4 dimensions of a convolution, got 0"):
        weights.load("mine")


def test_a_manifest_that_is_none_is_named(own):
    own().write_text("a: [")
    with pytest.raises(UsageError, match="it is not valid YAML"):
        weights.manifest()
    own().write_text("[1]")
    with pytest.raises(UsageError, match="expected entries by name, got list"):
        weights.manifest()
    own().unlink()
    with pytest.raises(UsageError, match="expected a weights file or manifest there"):
        weights.manifest()


def test_the_committed_entries_are_whole_and_the_published_ones_are_compressais():
    from compressai.zoo.image import model_urls

    urls = set(model_urls["mbt2018-mean"]["mse"].values())
    sources = {"committed": 0, "zoo": 0}
    for name, entry in weights.manifest().items():
        sources[entry["source"]] += 1
        if entry["source"] == "committed":
            assert weights.load(name).sha256 == entry["sha256"]
            assert weights.path(name).stat().st_size == entry["bytes"]
        else:
            assert entry["url"] in urls
            assert entry["sha256"] in entry["url"]
    assert sources["committed"]
    assert sources["zoo"] == len(urls)


def test_asking_imports_no_torch_and_opens_no_connection():
    script = """
import json, socket, sys
def refuse(*_, **__): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from bench.device import requested_device
from codecs_wrappers.learned import device, weights
said = {name: weights.available(name)[0] for name in weights.names()}
print(json.dumps([said, [weights.sha256(name)[:8] for name in said], requested_device(), "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    said, hashes, device, torch_imported = json.loads(done.stdout)
    assert said["mean_scale_0.1538"]
    assert not said["mbt2018_mean_1"]
    assert "e522738d" in hashes
    assert device == "auto"
    assert not torch_imported
