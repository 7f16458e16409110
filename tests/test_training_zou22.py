"""Zou et al. 2022's CNN on a trunk's transforms: what it takes over, and what learns first."""

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.stanh import wacnn
from codecs_wrappers.learned.training import config, export
from codecs_wrappers.learned.training.data.crops import to_float
from codecs_wrappers.learned.training.schemes import zou22
from codecs_wrappers.learned.training.starts.linear import linear_start

WIDTHS = {"N": 16, "M": 48}


@pytest.fixture
def start(tmp_path):
    """(a learner that has taken over a mean-scale network, that network, pictures)."""
    from skimage import data

    pictures = [torch.from_numpy(data.coffee()[:256, :320].copy()).permute(2, 0, 1)]
    torch.manual_seed(0)
    base = networks.build({"family": "mean_scale", **WIDTHS})
    crops = pictures[0][None, :, :192, :192]
    linear_start(base, [to_float(crops)], 0.0277)
    path = tmp_path / "base.safetensors"
    about = {"architecture": {"family": "mean_scale", **WIDTHS}, "rate_weight": 0.0277}
    path.write_bytes(export.to_bytes(base.state_dict(), about))
    settings = {
        "architecture": {"family": "wacnn", **WIDTHS, "slices": 4},
        "crop": 128,
        "batch": 2,
        "precision": "fp32",
    }
    settings |= {"start_from": (f"file:{path}",), "hyperprior_steps": 60, "hyperprior_lr": 2e-3, "warm_up_steps": 5}
    learner = zou22.Zou22Learner(config.load("zou22_0.0277", **settings), pictures, torch.device("cpu"))
    learner.first_weights()
    learner.begin()
    return learner, base, pictures


def test_the_transforms_are_the_trunks_to_within_what_nearly_closed_attention_lets_through(start):
    learner, base, pictures = start
    x = to_float(pictures[0][None, :, :192, :256])
    with torch.no_grad():
        y = base.g_a(x)
        assert (learner.model.g_a(x) - y).norm() < 0.02 * y.norm()
        assert (learner.model.g_s(y) - base.g_s(y)).norm() < 0.02 * base.g_s(y).norm()


@pytest.mark.slow
def test_the_entropy_model_learns_first_and_alone(start):
    learner, _, pictures = start
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    at_first = learner.score(learner.model, pictures)
    learner.model.train()
    for _ in range(60):
        learner.advance(0.0)
    assert learner.score(learner.model, pictures).bpp < 0.9 * at_first.bpp
    for name, parameter in learner.model.named_parameters():
        if name.startswith(zou22.TRANSFORMS):
            assert torch.equal(parameter, before[name]), name
    learner.model.train()
    for _ in range(2):  # all together; SOAP's first step only fills its statistics
        learner.advance(0.0)
    assert not torch.equal(learner.model.g_a[2].weight, before["g_a.2.weight"])


def test_a_network_of_eight_slices_has_widths_in_steps_of_thirty_two():
    model = wacnn.build({"family": "wacnn", "N": 16, "M": 64, "slices": 8})
    assert len(model.lrp_transforms) == 8
    with pytest.raises(
        UsageError, match=r"wacnn of 8 slices: expected N in steps of 8 and M >= N in steps of 32, got N 16 and M 48"
    ):
        wacnn.build({"family": "wacnn", "N": 16, "M": 48, "slices": 8})


def test_it_branches_at_its_own_rate_only_and_has_no_normalise(start):
    learner, _, _ = start
    other = config.load("zou22_0.0277", rate_weight=0.1)
    with pytest.raises(UsageError, match="can only branch at the trunk's own rate weight"):
        learner.branch({}, other, "here")
    with pytest.raises(UsageError, match="does not support normalise"):
        config.load("zou22_0.0277", normalise=True)
