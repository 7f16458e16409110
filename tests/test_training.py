"""The trainer: exact resume, judged averages, the linear start, the export, and what it refuses."""

import argparse
import csv
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from bench.errors import RdbenchError, UsageError
from bench.files import sha256_file

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from compressai.models import MeanScaleHyperprior

from codecs_wrappers.learned.device import resolve
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import command, config, trainer
from codecs_wrappers.learned.training.data import crops as data
from codecs_wrappers.learned.training.judging.validation import Score, score
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.schemes.mean_scale import MeanScaleLearner
from codecs_wrappers.learned.training.starts.linear import linear_start

TINY = {
    "name": "tiny",
    "rate_weight": 0.1538,
    "architecture": {"family": "mean_scale", "N": 8, "M": 12},
    "steps": 20,
    "batch": 2,
    "crop": 64,
    "lr": 1e-3,
    "warm_up_steps": 2,
    "log_every": 5,
    "validate_every": 10,
    "optimiser": "adam",
    "averages": [0.99, 0.999],
    "precision": "fp32",
    "normalise": False,
    "reduced": 0.0,
    "hyperprior_crop": 64,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two folders of real photographs from scikit-image: train (2) and held_out (1)."""
    from skimage import data as samples

    root = tmp_path_factory.mktemp("photographs")
    images = {
        "train/astronaut": samples.astronaut(),
        "train/coffee": samples.coffee(),
        "held_out/cat": samples.chelsea(),
    }
    for name, image in images.items():
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(root / f"{name}.png")
    return root


@pytest.fixture
def tiny(tmp_path, photographs):
    """Trains the tiny model into tmp_path/NAME of out; keyword arguments change its configuration."""

    def run(out="out", resume=True, data_folder="train", **changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        folders = {"data": [photographs / data_folder], "validation": [photographs / "held_out"]}
        return trainer.train(str(path), **folders, device="cpu", out=tmp_path / out, resume=resume, quiet=True)

    return run


def make_learner(photographs, **changes):
    settings = {**TINY, **changes}
    images = [data.read_image(path) for path in data.image_files([photographs / "train"])]
    torch.manual_seed(0)
    learner = MeanScaleLearner(MeanScaleLearner.Config(**settings), images, torch.device("cpu"))
    learner.begin()
    return learner


def interrupt_at(monkeypatch, step, action):
    """Let ``action`` happen once, before the step after ``step``."""
    advance = Learner.advance

    def interrupted(self, progress):
        if self.step == step:
            monkeypatch.setattr(Learner, "advance", advance)
            action()
        return advance(self, progress)

    monkeypatch.setattr(Learner, "advance", interrupted)


def killed():
    raise MemoryError("as if the process were killed")


def assert_equal_trees(left, right):
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal_trees(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal_trees(one, other)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(torch.isnan(left), torch.isnan(right))
        assert torch.equal(left.nan_to_num(), right.nan_to_num())
    else:
        assert left == right


@pytest.mark.slow
@pytest.mark.parametrize(("hyperprior_steps", "step"), [(0, 13), (6, 3), (6, 13)])
def test_a_killed_and_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    tiny, tmp_path, monkeypatch, hyperprior_steps, step
):
    changes = {"hyperprior_steps": hyperprior_steps, "validate_every": 2}
    whole = tiny("whole", **changes)
    interrupt_at(monkeypatch, step, killed)
    with pytest.raises(MemoryError):
        tiny("resumed", **changes)
    resumed = tiny("resumed", **changes)
    assert (resumed.step, resumed.best, resumed.start) == (20, whole.best, whole.start)
    states = [torch.load(tmp_path / out / "checkpoint.pt", weights_only=True) for out in ("whole", "resumed")]
    for state in states:
        del state["elapsed_s"]
    assert_equal_trees(*states)
    assert whole.weights.read_bytes() == resumed.weights.read_bytes()
    assert steps_in(tmp_path / "whole/validation.csv") == steps_in(tmp_path / "resumed/validation.csv")


def steps_in(path):
    with open(path, newline="") as file:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_sigterm_pauses_saves_and_the_same_call_finishes_with_the_same_weights(tiny, monkeypatch):
    whole = tiny("whole")
    interrupt_at(monkeypatch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
    paused = tiny("paused")
    assert (paused.status, paused.weights) == ("paused", None)
    assert 7 <= paused.step < 20
    finished = tiny("paused")
    assert finished.status == "finished"
    assert finished.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.parametrize(("start_from", "lr", "falls_below"), [("linear", 1e-4, 0.99), ("default", 1e-3, 0.8)])
def test_the_validation_loss_falls_within_twenty_steps(tiny, start_from, lr, falls_below):
    outcome = tiny(batch=4, lr=lr, start_from=[start_from])
    assert outcome.best.loss < falls_below * outcome.start.loss


def test_the_hyperprior_stage_lowers_the_rate_and_leaves_the_transforms_alone(photographs):
    learner = make_learner(photographs, hyperprior_steps=80, hyperprior_lr=1e-2, batch=8)
    linear_start(learner.model, [data.to_float(learner.crops.batch(16))], 0.1538)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    rates = [learner.advance(0.0)[1].item() for _ in range(80)]
    after = learner.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("g_a", "g_s")))
    assert np.mean(rates[-20:]) < np.mean(rates[:20])


def test_the_linear_start_codes_a_photograph_it_has_not_seen_above_30_db_before_any_step(photographs):
    torch.manual_seed(0)
    model = networks.build({"family": "mean_scale", "N": 48, "M": 192})
    crops = data.Crops(data.read_images(data.image_files([photographs / "train"])), 128, 0, torch.device("cpu"))
    held_out = [data.read_image(photographs / "held_out/cat.png")]
    untrained = score(model, held_out, 0.1538)
    linear_start(model, [data.to_float(crops.batch(16))], 0.1538)
    started = score(model, held_out, 0.1538)
    assert untrained.psnr_rgb_db < 15
    assert started.psnr_rgb_db > 30
    assert started.bpp < 4


def test_the_averages_follow_their_recursion(photographs):
    learner = make_learner(photographs, averages=(0.5, 0.9))
    expected = [[p.detach().clone().double() for p in learner.model.parameters()] for _ in range(2)]
    for step in range(1, 5):
        learner.advance(0.0)
        for index, decay in enumerate((0.5, 0.9)):
            decay = min(decay, (1 + step) / (10 + step))
            expected[index] = [
                decay * e + (1 - decay) * p.detach().double()
                for e, p in zip(expected[index], learner.model.parameters(), strict=True)
            ]
    for means, average in zip(expected, learner.averages, strict=True):
        for mean, averaged in zip(means, average.parameters(), strict=True):
            torch.testing.assert_close(averaged.double(), mean, rtol=1e-5, atol=1e-7)
        assert not torch.equal(average.g_a[0].weight, learner.model.g_a[0].weight)


def test_an_average_taken_every_fourth_step_is_as_if_it_were_every_step(photographs):
    learner = make_learner(photographs, averages=(0.9,))
    learner.step = 10_000
    frozen = learner.model.g_a[0].weight.detach().clone()
    learner.averages[0].g_a[0].weight.zero_()
    learner.optimiser.param_groups[0]["lr"] = 0.0
    for _ in range(4):
        learner.step += 1
        if learner.step % 4 == 0:
            learner._average()
    torch.testing.assert_close(learner.averages[0].g_a[0].weight, (1 - 0.9**4) * frozen)


def test_the_best_average_is_kept_when_later_ones_are_worse(tiny, monkeypatch, tmp_path):
    losses = iter([3.0, 3.0, 2.0, 1.0, 2.0, 2.0, 2.5])  # two averages at steps 0, 10, 20, and the export
    monkeypatch.setattr(MeanScaleLearner, "score", lambda *_: Score(next(losses), 1.0, 30.0))
    outcome = tiny()
    assert (outcome.start.loss, outcome.best.loss) == (3.0, 1.0)
    assert networks.read_metadata(tmp_path / "out/best.safetensors")["step"] == 10
    assert yaml.safe_load((tmp_path / "out/tiny.yaml").read_text())["tiny"]["average"] == 0.999  # the second one
    assert yaml.safe_load((tmp_path / "out/tiny.yaml").read_text())["tiny"]["steps"] == 10


def test_the_export_loads_strictly_into_compressai_and_codes(tiny, tmp_path, photographs):
    outcome = tiny()
    state = networks.read_weights(outcome.weights)
    model = MeanScaleHyperprior(8, 12)
    model.load_state_dict(state, strict=True)
    assert state["g_a.0.weight"].dtype == torch.float16
    assert model.gaussian_conditional.likelihood_lower_bound.bound.item() == pytest.approx(1e-9)  # 0 in fp16
    model.update(force=True)
    x = data.read_image(photographs / "held_out/cat.png")[None, :, :256, :256] / 255
    coded = model.eval().compress(x)
    decoded = model.decompress(**{"strings": coded["strings"], "shape": coded["shape"]})["x_hat"]
    with torch.no_grad():
        x_hat, bits = networks.forward(model, x)
    torch.testing.assert_close(decoded, x_hat.clamp(0, 1), atol=1e-3, rtol=0)
    real = 8 * sum(len(string) for strings in coded["strings"] for string in strings)
    assert real == pytest.approx(bits.item(), rel=0.05, abs=1000)
    entry = yaml.safe_load((tmp_path / "out/tiny.yaml").read_text())["tiny"]
    assert entry["sha256"] == sha256_file(outcome.weights)
    assert (entry["crops"], entry["data"]["images"]) == (40, 2)
    assert entry["validation"]["loss"] == pytest.approx(outcome.best.loss, rel=0.01)


def test_weights_of_another_architecture_are_refused_by_the_first_tensor_that_differs(tiny):
    outcome = tiny(steps=1)
    state = networks.read_weights(outcome.weights)
    with pytest.raises(UsageError, match=r"'g_a\.6\.weight'.*\(16, 8, 5, 5\).*\(12, 8, 5, 5\)"):
        networks.load_weights(MeanScaleHyperprior(8, 16), state)
    del state["h_a.2.bias"]
    with pytest.raises(UsageError, match=r"'h_a\.2\.bias'.*no such tensor"):
        networks.load_weights(MeanScaleHyperprior(8, 12), state)
    with pytest.raises(UsageError, match=r"'h_a\.2\.bias'"):
        tiny("other", start_from=[f"file:{_rewritten(outcome.weights, state)}"])


def _rewritten(path, state):
    from safetensors.torch import save_file

    save_file(state, path.with_name("broken.safetensors"))
    return path.with_name("broken.safetensors")


@pytest.mark.slow
def test_a_checkpoint_of_another_training_is_refused_with_the_difference(tiny, tmp_path):
    tiny(steps=1)
    with pytest.raises(UsageError, match=r"architecture was .*'N': 8"):
        tiny(architecture={"family": "mean_scale", "N": 16, "M": 24})
    with pytest.raises(UsageError, match=r"rate_weight was 0\.1538"):
        tiny(rate_weight=0.01)
    with pytest.raises(UsageError, match="data was"):
        tiny(data_folder="held_out")
    for path in (tmp_path / "out/checkpoint.pt", tmp_path / "out/checkpoint.previous.pt"):
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(
        UsageError, match=r"checkpoint\.pt is not a complete checkpoint.*previous\.pt is not a complete"
    ):
        tiny()
    assert tiny(resume=False, steps=1).status == "finished"


def test_rescaling_the_latent_changes_nothing_but_the_step(photographs):
    torch.manual_seed(0)
    model = MeanScaleHyperprior(8, 12).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        y = model.g_a(x)
        z, parameters, decoded = model.h_a(y), model.h_s(model.h_a(y)), model.g_s(y)
        networks.rescale_latent(model, 0.25)
        torch.testing.assert_close(model.g_a(x), 0.25 * y)
        torch.testing.assert_close(model.h_a(0.25 * y), z)
        torch.testing.assert_close(model.h_s(z), 0.25 * parameters)
        torch.testing.assert_close(model.g_s(0.25 * y), decoded)


def test_a_model_starts_from_its_neighbour_with_the_step_of_its_own_rate_weight(tiny, tmp_path):
    first = tiny("first", steps=1)
    second = tiny("second", steps=1, rate_weight=0.1538 / 16, start_from=[f"file:{first.weights}"])
    entry = yaml.safe_load((tmp_path / "second/tiny.yaml").read_text())["tiny"]
    assert entry["started_from"]["sha256"] == sha256_file(first.weights)
    assert entry["started_from"]["rate_weight"] == 0.1538
    finer, coarser = (networks.read_weights(o.weights)["g_a.6.weight"].float().norm() for o in (first, second))
    assert (finer / coarser).item() == pytest.approx(4, rel=0.1)


def test_the_learning_rate_warms_up_stays_and_ends_at_its_last_value_with_the_budget(photographs):
    learner = make_learner(photographs, warm_up_steps=4, decay_from=0.5, lr=1e-3, lr_last=1e-6)
    assert learner.learning_rate(0.0) == pytest.approx(0.25e-3)
    learner.step = 100
    rates = [learner.learning_rate(progress) for progress in (0.1, 0.5, 0.75, 1.0, 1.1)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.5005e-3, 1e-6, 1e-6])
    staged = make_learner(photographs, warm_up_steps=4, hyperprior_steps=50, hyperprior_lr=4e-3, lr=1e-3, lr_last=1e-6)
    assert staged.learning_rate(0.0) == pytest.approx(1e-3)
    staged.step = 49
    assert [staged.learning_rate(progress) for progress in (0.1, 1.0)] == pytest.approx([4e-3, 1e-6])
    staged.step = 50
    assert staged.learning_rate(0.1) == pytest.approx(0.25e-3)


@pytest.mark.slow
def test_a_budget_in_minutes_ends_the_training_and_counts_earlier_calls(photographs, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, "steps": 10**6, "validate_every": 10**6}))
    folders = {"data": [photographs / "train"], "validation": [photographs / "held_out"], "out": tmp_path / "out"}
    paused = trainer.train(str(path), **folders, minutes=1.0, pause_after=0.02, quiet=True)
    assert paused.status == "paused"
    assert paused.step > 0
    finished = trainer.train(str(path), **folders, minutes=0.01, quiet=True)  # already over: nothing is trained
    assert (finished.status, finished.step) == ("finished", paused.step)


def test_a_diverged_training_stops_and_keeps_its_last_good_checkpoint(tiny, tmp_path, monkeypatch):
    advance = Learner.advance
    monkeypatch.setattr(Learner, "advance", lambda self, p: advance(self, p) * (float("nan") if self.step > 11 else 1))
    with pytest.raises(RdbenchError, match="diverged before step 15"):
        tiny()
    assert torch.load(tmp_path / "out/checkpoint.pt", weights_only=True)["step"] == 10


def test_jpeg_sources_are_shrunk_and_others_are_not(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (90, 121, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    Image.fromarray(noise).save(tmp_path / "b.png")
    assert data.read_image(tmp_path / "a.jpg", jpeg_downscale=2).shape == (3, 45, 61)
    assert np.array_equal(data.read_image(tmp_path / "b.png", jpeg_downscale=2).permute(1, 2, 0).numpy(), noise)


def test_crops_come_from_the_image_and_small_images_are_left_out():
    image = torch.arange(3 * 70 * 80).remainder(251).to(torch.uint8).view(3, 70, 80)
    crops = data.Crops([image, image[:, :60]], 64, 0, torch.device("cpu"))
    assert crops.left_out == 1
    batch = crops.batch(16)
    windows = image.unfold(1, 64, 1).unfold(2, 64, 1).permute(1, 2, 0, 3, 4).reshape(-1, 3, 64, 64)
    windows = torch.cat([windows.flip(axes) for axes in ([], [2], [3], [2, 3])])
    windows = torch.cat([windows, windows.transpose(2, 3)])
    assert all((windows == crop).flatten(1).all(1).any() for crop in batch)
    assert len({crop.numpy().tobytes() for crop in batch}) > 8
    with pytest.raises(UsageError, match="none of the 1 images is at least 128 x 128"):
        data.Crops([image], 128, 0, torch.device("cpu"))


def test_the_data_digest_depends_on_the_images_and_not_on_their_names(tmp_path, photographs):
    files = data.image_files([photographs / "train"])
    copy = tmp_path / "another name.png"
    copy.write_bytes(files[0].read_bytes())
    assert data.digest([files[1], copy]) == data.digest(files)
    assert data.digest(files[:1]) != data.digest(files)
    with pytest.raises(UsageError, match="does not exist"):
        data.image_files([tmp_path / "nowhere"])


def test_every_mean_scale_model_can_be_built_and_starts_from_one_of_its_scheme():
    for name in config.names():
        loaded = config.load(name)
        if loaded.scheme == "mean_scale":
            networks.build(loaded.architecture)
            starts = [source.removeprefix("model:") for source in loaded.start_from if source.startswith("model:")]
            assert all(config.load(start).scheme == "mean_scale" for start in starts)
            assert loaded.steps == 0  # a trunk


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 1}, "unknown key 'rate'"),
        ({"crop": 100}, "multiple of 64"),
        ({"lr": 0}, "lr must be a number above 0"),
        ({"precision": "fp8"}, "fp32, tf32, bf16"),
        ({"start_from": ["nowhere"]}, "expected start_from of linear, default"),
        ({"architecture": {"family": "mean_scale", "N": 8}}, "widths N and M"),
        ({"architecture": {"family": "vgg", "N": 8, "M": 8}}, "no network family"),
    ],
)
def test_a_wrong_configuration_is_refused_with_what_is_wrong(tiny, change, message):
    with pytest.raises(UsageError, match=message):
        tiny(**change)


def test_an_unknown_model_name_lists_those_there_are():
    with pytest.raises(UsageError, match=r"mean_scale_0\.1538"):
        config.load("mean_scale_7")


@pytest.mark.slow
def test_any_key_of_the_configuration_can_be_set_on_the_command_line(tmp_path, photographs, capsys):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, "steps": 2}))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    folders = ["--data", str(photographs / "train"), "--validation", str(photographs / "held_out")]
    base = [str(path), *folders, "--device", "cpu", "--out", str(tmp_path / "out"), "--batch", "3"]
    assert command.main(parser.parse_args([*base, "--set", "adam_epsilon=1e-7", "notes=short"])) == 0
    assert "finished at step 2" in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "out/tiny.yaml").read_text())["tiny"]["batch"] == 3
    for wrong, message in (
        ("nowhere=1", "unknown key 'nowhere'"),
        ("crop", "KEY=VALUE"),
        ("crop=50", "multiple of 64"),
    ):
        with pytest.raises(UsageError, match=message):
            command.main(parser.parse_args([*base, "--set", wrong]))


def test_two_hundred_steps_of_a_committed_configuration_lower_the_validation_loss_on_a_cpu(photographs, tmp_path):
    """The retraining command of a manifest entry, with crops that a CPU can do."""
    folders = {"data": [photographs / "train"], "validation": [photographs / "held_out"], "device": "cpu"}
    narrow = {"architecture": {"family": "mean_scale", "N": 12, "M": 24}, "batch": 2, "crop": 64, "validate_every": 50}
    outcome = trainer.train(
        "mean_scale_0.00513", **folders, steps=200, out=tmp_path / "out", quiet=True, start_from=("linear",), **narrow
    )
    with open(tmp_path / "out/validation.csv", newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 10  # two averages
    assert min(losses[-2:]) < 1.01 * min(losses)
    assert outcome.best.loss < 0.98 * outcome.start.loss


def test_the_package_and_the_command_line_parser_do_not_import_torch():
    code = (
        "import argparse, sys; import codecs_wrappers.learned; from codecs_wrappers.learned.training import command;"
        "command.add_arguments(argparse.ArgumentParser()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_device_is_the_gpu_where_there_is_one_and_its_absence_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto") == torch.device("cpu")
    with pytest.raises(UsageError, match=r"running on cuda: torch .* sees no GPU"):
        resolve("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert resolve("auto") == resolve("cuda") == torch.device("cuda:2")
    assert resolve("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match=r"running on cuda:3: torch .* sees 3 GPUs"):
        resolve("cuda:3")


def test_bf16_keeps_gdn_and_the_outer_layers_exact_enough_for_the_highest_rate(photographs):
    model = MeanScaleHyperprior(48, 192)
    crops = make_learner(photographs).crops
    linear_start(model, [data.to_float(crops.batch(16))], 0.1538)
    x = data.to_float(crops.batch(4))
    with torch.no_grad():
        (exact, exact_bits), (rounded, rounded_bits) = (
            networks.forward(model.eval(), x, precision) for precision in (None, torch.bfloat16)
        )
    assert rounded.dtype == torch.float32
    errors = [(x - x_hat).square().mean().item() for x_hat in (exact, rounded)]
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
    assert rounded_bits.sum().item() == pytest.approx(exact_bits.sum().item(), rel=0.01)
    assert not torch.equal(exact, rounded)
