"""Trunks and branches, checkpoints of every age, and what a training says and survives."""

import csv
import errno
import json
import lzma
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from conftest import ROOT
from PIL import Image

from bench.cli import main
from bench.errors import RdbenchError, UsageError

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import average as averages
from codecs_wrappers.learned.training import branch, checkpoint, command, config, process, trainer
from codecs_wrappers.learned.training import queue as queues
from codecs_wrappers.learned.training import status as statuses
from codecs_wrappers.learned.training.data import holdout
from codecs_wrappers.learned.training.data.crops import image_files
from codecs_wrappers.learned.training.folder import BEST, read_progress
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.schemes.mean_scale import MeanScaleLearner
from codecs_wrappers.learned.training.steps.optimisers import Soap

pytestmark = pytest.mark.slow
TRAIN = ROOT.parent / "shared/datasets/train"
TRUNK = {
    "rate_weight": 0.1,
    "architecture": {"family": "mean_scale", "N": 8, "M": 12},
    "batch": 2,
    "crop": 64,
    "lr": 1e-3,
    "warm_up_steps": 2,
    "log_every": 5,
    "validate_every": 10,
    "precision": "fp32",
    "hyperprior_crop": 64,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folders of real photographs from scikit-image: train (2) and held_out (1)."""
    from skimage import data as samples

    root = tmp_path_factory.mktemp("photographs")
    images = {"train/astronaut": samples.astronaut(), "train/coffee": samples.coffee(), "held_out/cat": samples.cat()}
    for name, image in images.items():
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image[:192, :256]).save(root / f"{name}.png")
    return root


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of models: a trunk, its like at another rate, and a narrower one."""
    folder = tmp_path / "home/models"
    folder.mkdir(parents=True)
    monkeypatch.setattr(config, "HERE", folder.parent)
    other = {**TRUNK, "rate_weight": 0.4, "start_from": ["model:trunk"]}
    narrow = {**TRUNK, "rate_weight": 0.01, "start_from": ["model:trunk"], "hyperprior_steps": 5}
    narrow["architecture"] = {"family": "mean_scale", "N": 8, "M": 6}
    for name, values in {"trunk": TRUNK, "other": other, "narrow": narrow}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def folders(photographs):
    return {"data": [photographs / "train"], "validation": [photographs / "held_out"], "device": "cpu", "quiet": True}


def stop_after(monkeypatch, step):
    """Let SIGTERM come before the step after ``step``."""
    advance = Learner.advance

    def stopped(self, progress):
        if self.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, progress)

    monkeypatch.setattr(Learner, "advance", stopped)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def trunk(models, folders, monkeypatch, tmp_path):
    """A trunk that was stopped after some thirty steps, in results/training/trunk."""
    with monkeypatch.context() as patch:
        stop_after(patch, 30)
        outcome = trainer.train("trunk", **folders)
    assert (outcome.status, outcome.weights) == ("paused", None)
    return tmp_path / "results/training/trunk"


def test_a_trunk_never_decays_and_goes_on_where_it_was_stopped(trunk, folders, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 60)
        outcome = trainer.train("trunk", **folders)
    assert 60 <= outcome.step < 65
    rates = [float(row["lr"]) for row in rows(trunk / "train.csv")]
    assert len(rates) == outcome.step // 5
    assert set(rates) == {1e-3}
    steps = [int(row["step"]) for row in rows(trunk / "validation.csv")]
    assert steps == sorted(steps)
    assert {0, 30, 60} <= set(steps)
    progress = read_progress(trunk)
    assert progress["step"] == outcome.step
    assert progress["pixels"] == outcome.step * 2 * 64**2


def test_a_branch_decays_exports_what_can_be_shipped_and_leaves_the_trunk_as_it_was(trunk, folders):
    before = {path: path.read_bytes() for path in trunk.iterdir() if path.is_file() and path.name != "lock"}
    outcome = branch.train_branch("trunk", steps=20, **folders)
    assert {path: path.read_bytes() for path in before} == before
    assert outcome.status == "finished"
    assert outcome.weights == trunk.relative_to(trunk.parents[2]) / "branch/trunk.safetensors"
    begun = read_progress(trunk)["step"]
    assert outcome.step == begun + 20
    rates = [float(row["lr"]) for row in rows(trunk / "branch/train.csv")]
    assert rates[-1] < 0.1 * rates[0] <= 0.1 * 1e-3
    entry = yaml.safe_load((trunk / "branch/trunk.yaml").read_text())["trunk"]
    assert entry["rate_weight"] == 0.1
    assert entry["started_from"] == {"from": "trunk trunk", "steps": begun, "branched_at": begun}
    networks.load_weights(networks.build(TRUNK["architecture"]), networks.read_weights(outcome.weights))


@pytest.mark.parametrize(("rate_weight", "model"), [(0.4, "other"), (0.01, "narrow")])
def test_a_branch_to_another_rate_takes_that_models_widths_and_the_step_that_suits_it(
    trunk, folders, rate_weight, model
):
    outcome = branch.train_branch("trunk", steps=6, rate_weight=rate_weight, **folders)
    assert outcome.weights.parts[-3:] == (model, "branch", f"{model}.safetensors")
    state = networks.read_weights(outcome.weights)
    assert len(state["g_a.6.weight"]) == config.read(model)["architecture"]["M"]
    of_trunk = torch.load(trunk / "checkpoint.pt", weights_only=True)["averages"][0]["g_a.6.weight"]
    norms = [weight.float().flatten(1).norm(dim=1).max().item() for weight in (state["g_a.6.weight"], of_trunk)]
    assert norms[0] / norms[1] == pytest.approx((rate_weight / 0.1) ** 0.5, rel=0.15)


@pytest.mark.parametrize("model", ["other", "narrow"])
def test_a_branch_takes_the_trunks_statistics_where_the_shapes_are_the_same(trunk, folders, model):
    read = config.load("trunk")
    outcome = branch.train_branch("trunk", steps=1, rate_weight=config.read(model)["rate_weight"], **folders)
    before, after = (
        torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (trunk, outcome.weights.parent)
    )
    narrower = config.read(model)["architecture"] != read.architecture
    steps = {number: int(values["step"]) for number, values in after["optimiser"]["state"].items() if "step" in values}
    known = {number: int(values["step"]) for number, values in before["optimiser"]["state"].items()}
    new = {number for number, step in steps.items() if step <= 1}
    assert bool(new) == narrower and len(new) < len(steps)
    assert all(steps[number] - known[number] in (0, 1) for number in steps.keys() - new)  # 0: still in the first stage


def test_a_committed_average_is_continued_on_another_machine_and_its_curve_goes_on(
    trunk, folders, monkeypatch, tmp_path
):
    learned = tmp_path / "learned"
    packed, about = averages.commit("trunk", learned=learned)
    state, best = map(networks.read_weights, (_unpacked(packed, tmp_path), trunk / BEST))
    assert set(state) == set(best)
    for name, tensor in best.items():
        assert torch.allclose(state[name].float(), tensor.float(), rtol=2**-8, atol=1e-6), name
    first = averages.read(about)["curve"]
    assert [row["steps"] for row in first] == sorted({int(row["step"]) for row in rows(trunk / "validation.csv")})
    averages.commit("trunk", learned=learned)
    assert averages.read(about)["curve"] == first  # the same training: no new rows

    elsewhere = tmp_path / "elsewhere"
    with monkeypatch.context() as patch:
        stop_after(patch, 15)
        start = (f"file:{_unpacked(packed, tmp_path)}",)
        trainer.train("trunk", out=elsewhere, start_from=start, **folders)
    averages.commit("trunk", elsewhere, learned)
    more = averages.read(about)["curve"]
    assert more[: len(first)] == first
    last = first[-1]["steps"]
    assert [row["steps"] for row in more[len(first) :]][:2] == [last, last + 10]
    assert more[-1]["pixels"] == more[-1]["steps"] * 2 * 64**2
    branch.train_branch("trunk", steps=20, out=elsewhere, **folders)
    averages.commit("trunk", elsewhere / "branch", learned)
    *kept, end = averages.read(about)["curve"]
    assert kept == more and end["decayed"]
    assert (end["start"], end["steps"]) == (kept[-1]["start"], last + read_progress(elsewhere / "branch")["step"])
    with pytest.raises(UsageError, match=r"committing the average of trunk: .*nowhere has no best\.safetensors"):
        averages.commit("trunk", tmp_path / "nowhere", learned)


def _unpacked(packed, folder):
    path = folder / "unpacked.safetensors"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


def test_a_branch_that_was_interrupted_goes_on_and_a_finished_one_begins_again(trunk, folders, monkeypatch):
    begun = read_progress(trunk)["step"]
    with monkeypatch.context() as patch:
        stop_after(patch, begun + 7)
        assert branch.train_branch("trunk", steps=20, **folders).status == "paused"
    assert branch.train_branch("trunk", steps=20, **folders).step == begun + 20
    assert len(rows(trunk / "branch/train.csv")) == 4
    assert branch.train_branch("trunk", steps=10, **folders).step == begun + 10


def test_what_cannot_be_branched_is_said(trunk, folders, tmp_path):
    with pytest.raises(
        UsageError, match=r"no model of the scheme mean_scale has the rate weight 7; there are 0\.01, 0\.1, 0\.4"
    ):
        branch.train_branch("trunk", steps=5, rate_weight=7.0, **folders)
    with pytest.raises(UsageError, match="train the trunk first: rdbench train other"):
        branch.train_branch("other", steps=5, **folders)
    for text in ("0", "soon", "1.5steps", "-3"):
        with pytest.raises(UsageError, match="--branch: expected minutes"):
            command.branch_budget(text)
    assert command.branch_budget("20") == {"minutes": 20.0}
    assert command.branch_budget("1500steps") == {"steps": 1500}


def test_averages_of_a_training_that_starts_from_weights_keep_their_memory(trunk, folders, monkeypatch):
    """A network that is good already is not forgotten within a few hundred noisy steps."""
    state, _ = checkpoint.load(trunk / "checkpoint.pt")
    assert state["is_new"]
    with monkeypatch.context() as patch:
        stop_after(patch, 40)
        trainer.train("other", **folders)
    state, _ = checkpoint.load(trunk.parent / "other/checkpoint.pt")
    assert not state["is_new"]
    weights = [state["model"]["g_a.2.weight"], *(average["g_a.2.weight"] for average in state["averages"])]
    moved, short, long = (weight - weights[0] for weight in weights)
    assert moved.norm() == 0
    assert 0 < short.norm() < long.norm()  # the longer memory lags further behind


def test_two_averages_are_judged_and_both_losses_are_in_the_log(trunk):
    judged = rows(trunk / "validation.csv")
    assert {float(row["average"]) for row in judged} == {0.998, 0.9995}
    last = judged[-1]
    assert float(last["gap"]) == pytest.approx(float(last["loss"]) / float(last["train_loss"]), rel=1e-5)
    assert last["textured_loss"] == ""  # two images: none is held out


def format_1(state):
    """A checkpoint as the trainer wrote it before it knew trunks."""
    old = {key: state[key] for key in ("model", "started_from", "elapsed_s", "random", "aux_optimiser", "step")}
    score = {"loss": 1.0, "bpp": 1.0, "psnr_rgb_db": 30.0, "points": []}
    old |= {"format": 1, "average": state["averages"][0], "start": score, "best": score}
    return old | {"identity": {**state["identity"]}, "optimiser": {"state": {}, "param_groups": []}}


def of_the_tool(state):
    """A checkpoint as shared/tools/trunk writes it: SOAP's moments have a kernel's places first."""
    optimiser = json.loads("{}") | state["optimiser"]
    for moments in optimiser["state"].values():
        for key in ("first", "second"):
            if moments[key].dim() == 3:
                moments[key] = moments[key].transpose(0, 1).contiguous()
    random = {"crops": state["random"]["crops"], "random": state["random"]["cpu"]}
    old = {"model": state["model"], "average": state["averages"][0], "auxiliary": state["aux_optimiser"]}
    return old | random | {"optimiser": optimiser, "step": state["step"], "seconds": state["elapsed_s"]}


@pytest.mark.parametrize("older", [format_1, of_the_tool])
def test_a_checkpoint_from_before_the_refactoring_resumes(trunk, folders, monkeypatch, older):
    path = trunk / "checkpoint.pt"
    new = torch.load(path, weights_only=True)
    torch.save(older(torch.load(path, weights_only=True)), path)
    state, _ = checkpoint.load(path)
    assert state["format" if "format" in state else "step"] == new["step"]
    learner = MeanScaleLearner(config.load("trunk"), [torch.zeros(3, 64, 64, dtype=torch.uint8)], torch.device("cpu"))
    learner.restore(state, "here")
    assert learner.step == new["step"]
    for average in learner.averages:
        assert torch.equal(average.g_s[0].weight, new["averages"][0]["g_s.0.weight"])
    if older is of_the_tool:
        moments = learner.optimiser.state[learner.model.g_a[2].weight]
        index = [name for name, _ in learner.model.named_parameters() if not name.startswith("h_")].index(
            "g_a.2.weight"
        )
        assert any(torch.equal(moments["first"], other["first"]) for other in new["optimiser"]["state"].values()), index
    with monkeypatch.context() as patch:
        stop_after(patch, new["step"] + 5)
        outcome = trainer.train("trunk", **folders)
    assert outcome.step >= new["step"] + 5
    losses = [float(row["loss"]) for row in rows(trunk / "train.csv")]
    assert losses[-1] < 1.5 * losses[-2]


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(trunk, folders, monkeypatch):
    path = trunk / "checkpoint.pt"
    before = torch.load(checkpoint.previous(path), weights_only=True)["step"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    state, read = checkpoint.load(path)
    assert (state["step"], read.name) == (before, "checkpoint.previous.pt")
    path.unlink()  # killed between the two renames of a save
    assert checkpoint.load(path)[0]["step"] == before
    with monkeypatch.context() as patch:
        stop_after(patch, before + 3)
        assert trainer.train("trunk", **folders).step >= before + 3


def test_a_full_disk_is_a_sentence_and_costs_no_checkpoint(trunk, folders, monkeypatch, capsys):
    path = trunk / "checkpoint.pt"
    whole = path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RdbenchError, match=r"saving .*No space left.*the previous checkpoint is intact"):
            checkpoint.save(path, {"step": 1})
    assert path.read_bytes() == whole
    assert not list(trunk.glob(".*part"))
    step = torch.load(path, weights_only=True)["step"]
    real = checkpoint.save
    calls = []

    def full_once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise RdbenchError("saving it failed: No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full_once)
        stop_after(patch, step + 25)
        outcome = trainer.train("trunk", **{**folders, "quiet": False})
    assert outcome.step >= step + 25
    assert "trying again at the next judgement" in capsys.readouterr().out


def test_a_second_trainer_in_a_folder_is_refused_and_told_of_the_first(tmp_path):
    holder = f"import sys, pathlib; sys.path.insert(0, {str(config.HERE.parents[2])!r})\n"
    holder += "from codecs_wrappers.learned.training.process import only_trainer\nimport time\n"
    holder += f"with only_trainer(pathlib.Path({str(tmp_path)!r}), 'x'): print('held', flush=True); time.sleep(60)"
    first = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline().strip() == "held"
        with pytest.raises(UsageError, match=f"process {first.pid} is already training in {tmp_path}"):
            process.only_trainer(tmp_path, "x").__enter__()
    finally:
        first.kill()
        first.wait()
    with process.only_trainer(tmp_path, "x"):
        pass  # a killed process holds nothing


@pytest.mark.slow
def test_a_training_killed_in_the_middle_of_a_save_resumes(tmp_path, photographs):
    (tmp_path / "trunk.yaml").write_text(yaml.safe_dump({**TRUNK, "validate_every": 1, "log_every": 1}))
    images = ["--data", str(photographs / "train"), "--validation", str(photographs / "held_out")]
    call = [sys.executable, "-m", "codecs_wrappers.learned.training", str(tmp_path / "trunk.yaml"), *images]
    call += ["--device", "cpu", "--out", str(tmp_path / "out")]
    slow = tmp_path / "sitecustomize.py"  # makes every flush to the disk last, so that the kill falls into one
    slow.write_text("import os, time\nfsync = os.fsync\nos.fsync = lambda fd: (fsync(fd), time.sleep(0.3))\n")
    places = os.pathsep.join([str(tmp_path), str(config.HERE.parents[2])])
    environment = {**os.environ, "PYTHONPATH": places, "OMP_WAIT_POLICY": "PASSIVE"}
    training = subprocess.Popen([*call], env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path)
    checkpoint_file = tmp_path / "out/checkpoint.pt"
    try:
        began = time.monotonic()
        while not (checkpoint_file.is_file() and list((tmp_path / "out").glob(".checkpoint*part"))):
            assert training.poll() is None
            assert time.monotonic() - began < 180
            time.sleep(0.02)
    finally:
        training.send_signal(signal.SIGKILL)
        training.wait()
    step = checkpoint.load(checkpoint_file)[0]["step"]
    resumed = [*call, "--pause-after", "0.1"]
    subprocess.run(resumed, env={**environment, "PYTHONPATH": places.split(os.pathsep)[1]}, check=True, cwd=tmp_path)
    steps = [int(row["step"]) for row in rows(tmp_path / "out/train.csv")]
    assert steps == sorted(set(steps))
    assert checkpoint.load(checkpoint_file)[0]["step"] >= max(step, 1)


def test_the_committed_average_of_the_trunk_starts_it_where_no_training_is(tmp_path):
    learner = MeanScaleLearner(
        config.load("mean_scale_0.0277"), [torch.zeros(3, 256, 256, dtype=torch.uint8)], torch.device("cpu"), tmp_path
    )
    facts = learner.first_weights()
    assert facts["from"].startswith("average-mean_scale_0.0277")
    assert facts["rate_weight"] == 0.0277
    assert learner.first_stage == 0  # its hyperprior has learned


def test_a_gradient_far_above_the_median_is_shortened_and_counted(models):
    learner = MeanScaleLearner(config.load("trunk"), [torch.zeros(3, 64, 64, dtype=torch.uint8)], torch.device("cpu"))
    learner.begin()
    sizes = []
    for step in range(60):
        for parameter in learner.parameters:
            parameter.grad = torch.zeros_like(parameter)
        first = learner.parameters[0]
        first.grad.view(-1)[0] = 100.0 if step in (5, 40) else 1.0
        learner._clip()
        learner.step += 1
        sizes.append(first.grad.norm().item())
    assert sizes[5] == 100  # no median yet
    assert sizes[40] == pytest.approx(4.0)
    assert int(learner.clipped) == 1
    assert set(sizes) == {1.0, 100.0, sizes[40]}


def test_the_batch_grows_at_its_steps():
    grown = config.Config(name="x", batch=4, batch_grows={10: 8, 20: 16})
    assert [grown.batch_at(step) for step in (0, 9, 10, 19, 20, 1000)] == [4, 4, 8, 8, 16, 16]


def test_the_textured_images_are_those_of_the_list_or_the_costliest_tenth(tmp_path):
    random = np.random.default_rng(0)
    for index in range(20):
        noise = random.normal(128, 2 + 6 * index, (384, 384, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index:02}.png")
    files = sorted(tmp_path.glob("*.png"))
    training, textured, source = holdout.split(files)
    assert [path.stem for path in textured] == ["19", "18"]
    assert source == "the most textured of 20"
    assert set(training) == set(files) - set(textured)
    listed = tmp_path / "list.txt"
    listed.write_text("# those\n" + "".join(f"{holdout.sha256_file(path)} name\n" for path in files[:12]))
    training, textured, source = holdout.split(files, listed)
    assert (textured, source) == (files[:12], "of list.txt")
    assert holdout.split(files[:5])[1:] == (
        [],
        "one in 10 of the 5 images of 384 x 384 or more, of 5",
    )


@pytest.mark.shared
@pytest.mark.skipif(not TRAIN.is_dir(), reason="needs ../shared beside the checkout")
def test_the_list_names_the_most_textured_images_of_the_data_it_was_made_from():
    files = image_files([TRAIN])
    ranked = holdout.most_textured(files)[: holdout.COUNT]
    assert set(ranked) == set(holdout.split(files)[1])


def test_the_status_shows_every_training_and_draws_its_curve(trunk, tmp_path, capsys):
    found = statuses.rows(tmp_path / "results/training")
    assert [row["model"] for row in found] == ["trunk"]
    assert found[0]["step"] == rows(trunk / "validation.csv")[-1]["step"]
    drawn = statuses.draw(tmp_path / "results/training", tmp_path / "status.svg").read_text()
    assert "pixels seen" in drawn
    assert "trunk" in drawn
    with pytest.raises(UsageError, match="found no training in"):
        statuses.rows(tmp_path / "nowhere")
    assert main(["train", "--status", "--out", str(tmp_path / "results/training"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in document["rows"]] == ["trunk"]


def share(name, part, after=None, finished=False, hours=2.0):
    return queues.Share(name, hours, part * hours, after, finished)


def test_next_is_what_is_furthest_behind_its_share_among_those_that_may_begin():
    trunk = share("trunk", 0.5, hours=10.0)
    assert queues.next_of([trunk, share("later", 0.0, after="trunk")]).name == "trunk"
    assert (
        queues.next_of([share("trunk", 1.0), share("later", 0.2, after="trunk"), share("other", 0.3)]).name == "later"
    )
    assert queues.next_of([share("trunk", 1.2), share("done", 0.1, finished=True)]).name == "trunk"
    with pytest.raises(UsageError, match="every training in the queue is finished"):
        queues.next_of([share("done", 0.1, finished=True)])


def test_the_queue_trains_for_a_while_and_stops_when_told(models, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(queues, "QUEUE", tmp_path / "queue.yaml")
    (tmp_path / "queue.yaml").write_text("- {name: trunk, hours: 10}\n- {name: other, hours: 1, after: trunk}\n")
    images = (folders.pop("data"), folders.pop("validation"))
    outcome = queues.train_on(*images, tmp_path / "trained", minutes=0.05, queue=tmp_path / "queue.yaml", **folders)
    assert outcome.status == "paused"
    (found, waiting) = queues.shares(tmp_path / "trained", tmp_path / "queue.yaml")
    assert found.hours_done > 0
    assert waiting.hours_done == 0


def test_the_commands_own_mistakes_are_sentences(tmp_path, photographs):
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    images = ["--data", str(photographs / "train"), "--validation", str(photographs / "held_out")]
    for arguments, message in (
        ([], "needs a NAME and --data and --validation"),
        (["trunk", *images, "--rate-weight", "0.1"], "add --branch"),
        (["next", *images, "--fresh"], "neither --branch nor --fresh"),
        (["mean_scale_0.0277", "--data", str(tmp_path / "no"), *images[2:]], "does not exist"),
    ):
        with pytest.raises(UsageError, match=message):
            command.main(parser.parse_args(arguments))


def test_soap_in_half_precision_steps_as_in_full_to_within_its_rounding():
    torch.manual_seed(0)
    shapes = [(24, 12, 5, 5), (24, 24), (24,)]
    starts = [torch.randn(shape) for shape in shapes]
    results = []
    for precision in (None, torch.bfloat16):
        torch.manual_seed(1)
        parameters = [torch.nn.Parameter(start.clone()) for start in starts]
        optimiser = Soap(parameters, lr=1e-3, precision=precision, betas=(0.95, 0.99))
        for _ in range(30):
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter) + parameter.detach()
            optimiser.step()
        results.append([parameter.detach() - start for parameter, start in zip(parameters, starts, strict=True)])
    for full, half in zip(*results, strict=True):
        assert (full - half).norm() < 0.05 * full.norm()
