"""Around the trainer: shipping weights, the queue, the Snakemake rules, and the script for a lent GPU."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, shell
from PIL import Image

from bench.errors import UsageError
from bench.files import sha256_file
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.training import config, derived, schemes
from codecs_wrappers.learned.training.ship import CURVE_ROWS, ship, ship_finished

SCRIPT = "codecs_wrappers/learned/training/gpu.sh"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What a training of `mine` leaves, with 250 rows of its curve."""
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    weights = folder / "mine.safetensors"
    weights.write_bytes(b"weights")
    entry = {"file": weights.name, "sha256": sha256_file(weights), "source": "committed", "steps_run": 250}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"mine": entry}, sort_keys=False))
    rows = "".join(f"{n},{n / 100},1e-4,{n},0.5,,,1,9\n" for n in range(1, 251))
    (folder / "train.csv").write_text("step,hours,lr,loss,bpp,psnr_db,aux_loss,gradient_norm,crops_per_s\n" + rows)
    (folder / "validation.csv").write_text("step,hours,loss,bpp,psnr_rgb_db,best\n0,0,9,1,30,1\n250,2.5,8,1,31,1\n")
    return folder


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    """A folder like codecs_wrappers/learned, where `mine` and another model had weights before."""
    learned = tmp_path / "learned"
    (learned / "training").mkdir(parents=True)
    other = "other:\n  file: other.safetensors\n"
    (learned / "weights.yaml").write_text("# The manifest.\nmine:\n  file: old\n  data:\n    images: 3\n\n" + other)
    return learned


def test_shipping_replaces_the_weights_their_entry_and_their_curve(trained, learned):
    assert ship("mine", trained, learned).read_bytes() == b"weights"
    text = (learned / "weights.yaml").read_text()
    manifest = yaml.safe_load(text)
    assert text.startswith("# The manifest.\n")
    assert list(manifest) == ["mine", "other"]
    assert manifest["mine"] == yaml.safe_load((trained / "mine.yaml").read_text())["mine"]
    assert manifest["other"] == {"file": "other.safetensors"}
    ship("mine", trained, learned)
    assert (learned / "weights.yaml").read_text() == text


def test_a_shipped_curve_is_short_and_keeps_means_and_ends(trained, learned):
    ship("mine", trained, learned)
    with open(learned / "weights/curves/mine.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    train = [row for row in rows if row["kind"] == "train"]
    validation = [row for row in rows if row["kind"] == "validation"]
    assert CURVE_ROWS / 2 < len(train) <= CURVE_ROWS
    assert (train[0]["step"], float(train[0]["loss"]), train[0]["psnr_db"]) == ("3", 2.0, "")
    assert train[-1]["step"] == "250"
    assert [(row["step"], row["loss"], row["psnr_db"]) for row in validation] == [("0", "9", "30"), ("250", "8", "31")]


def test_a_model_new_to_the_manifest_is_added_at_its_end(trained, learned):
    (learned / "weights.yaml").write_text("other:\n  file: other.safetensors\n")
    ship("mine", trained, learned)
    assert list(yaml.safe_load((learned / "weights.yaml").read_text())) == ["other", "mine"]


def test_an_unfinished_or_altered_training_is_not_shipped(trained, learned):
    (trained / "mine.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match=r"does not have the sha256 in mine\.yaml"):
        ship("mine", trained, learned)
    (trained / "mine.yaml").unlink()
    with pytest.raises(UsageError, match="finish the training first"):
        ship("mine", trained, learned)
    assert not (learned / "weights").exists()


def export(folder: Path, name: str, loss: float, *, textured: float, data: str = "d", digest: str = "v") -> dict:
    """A finished training in ``folder``: its weights are its losses in words."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    weights.write_text(f"{loss} {textured}")
    entry = {"file": weights.name, "sha256": sha256_file(weights), "source": "committed", "data": {"digest": data}}
    entry |= {"validation": {"digest": digest, "loss": loss}, "textured": {"loss": textured}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({name: entry}))
    (folder / "train.csv").write_text("step,hours,loss,bpp,psnr_db\n1,1,1,1,1\n")
    (folder / "validation.csv").write_text("step,hours,loss,bpp,psnr_rgb_db\n1,1,1,1,1\n")
    return {name: entry}


@pytest.mark.parametrize(
    ("new", "shipped", "says"),
    [
        ({"loss": 0.8, "textured": 3.2}, True, "0.8000 times the old loss"),  # (0.8 / 1 + 3.2 / 4) / 2
        ({"loss": 1.0, "textured": 3.0}, True, "0.8750 times the old loss"),
        ({"loss": 1.1, "textured": 3.8}, False, "kept: the new loss is 1.0250 times the old one"),
        ({"loss": 1.0, "textured": 4.0}, False, "committed already"),
        ({"loss": 0.9, "textured": 9.0, "data": "other"}, True, "0.9000 times the old loss"),  # other textured images
        ({"loss": 9.0, "textured": 9.0, "data": "other", "digest": "other"}, True, "not comparable with the old one"),
    ],
)
def test_a_finished_training_is_shipped_if_it_is_better_than_what_is_committed(tmp_path, learned, new, shipped, says):
    old = export(tmp_path / "old", "mine", 1.0, textured=4.0)
    (learned / "weights.yaml").write_text(yaml.safe_dump(old))
    export(tmp_path / "results/mine", "mine", 99.0, textured=99.0)
    export(tmp_path / "results/mine/branch", "mine", **new)  # a branch comes before the training it left
    (tmp_path / "results/unfinished").mkdir()
    ((name, done),) = ship_finished(tmp_path / "results", learned)
    assert name == "mine" and says in done
    manifest = yaml.safe_load((learned / "weights.yaml").read_text())
    assert (manifest["mine"]["validation"]["loss"] == new["loss"]) == (shipped or new["loss"] == 1.0)
    assert (learned / "weights/mine.safetensors").is_file() == shipped


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """A manifest of a network and all that the project derives from networks, each as its parents are now."""
    entries: dict[str, dict] = {}

    def sha(name: str) -> str:
        return entries.setdefault(name, {"source": "committed", "file": "x", "sha256": 64 * name[-1]})["sha256"]

    for name in derived.names():
        first, *_, last = derived.parents(name) * 2
        own = {"base": {"name": first, "sha256": sha(first)}, "started_from": {"sha256": sha(last)}}
        sha(name)
        entries[name] |= own
    monkeypatch.setattr(weights, "manifest", lambda: entries)
    monkeypatch.setattr(weights, "entry", entries.__getitem__)
    return entries


def test_what_is_derived_is_trained_after_its_parents_and_is_outdated_when_one_of_them_changed(manifest):
    names = derived.names()
    assert {"qsf", "stanh_0.0154", "stanh_0.0089_of_0.0154"} <= set(names)
    assert "stanh_0.0154_joint" not in names  # no codec uses it
    for place, name in enumerate(names):
        assert not set(derived.parents(name)) & set(names[place:]), name
        assert derived.outdated(name) == ""
    manifest["mean_scale_0.0154"]["sha256"] = "0" * 64
    assert derived.outdated("stanh_0.0154") == "mean_scale_0.0154 changed"
    assert derived.outdated("stanh_0.0277") == ""
    manifest["stanh_0.0277"]["sha256"] = "1" * 64
    assert derived.outdated("stanh_0.0513_of_0.0277") == "stanh_0.0277 changed"
    manifest["qsf"]["base"]["name"] = "another"
    assert derived.outdated("qsf").startswith("it was derived from another, and is to be derived from mean_scale_")
    del manifest["stanh_0.0089"]
    assert derived.outdated("stanh_0.0089") == "it has no weights yet"
    del manifest["mean_scale_0.0089"]
    assert derived.outdated("stanh_0.0089") == ""  # nothing could be trained from it


def test_derive_weights_lists_what_is_outdated_and_asks_for_images(manifest, capsys):
    from bench.cli import main

    assert main(["derive-weights"]) == 0
    manifest["mean_scale_0.0089"]["sha256"] = "0" * 64
    assert main(["derive-weights", "--dry-run"]) == 0
    assert capsys.readouterr().out == "stanh_0.0089: mean_scale_0.0089 changed\n"
    assert main(["derive-weights"]) == 2
    assert "stanh_0.0089 have to be trained again: give --data and --validation" in capsys.readouterr().err
    assert main(["ship-weights"]) == main(["ship-weights", "mine", "--finished"]) == 2


def test_the_queue_holds_every_model_without_an_end_each_after_what_it_starts_from():
    queue = yaml.safe_load((config.HERE / "queue.yaml").read_text())
    names = [entry["name"] for entry in queue]
    assert set(names) <= set(config.names())
    endless = {"mean_scale", "nested_dropout", "zou22", "resgdn"}
    assert {name for name in config.names() if config.read(name).get("scheme", "mean_scale") in endless} <= set(names)
    for place, entry in enumerate(queue):
        start = config.starts_from(entry["name"])
        assert start is None or start in names[:place], entry
        assert entry.get("after") in (None, *names[:place])
        assert config.hours(entry["name"]) == entry["hours"] > 0


def test_every_scheme_file_gives_a_learner():
    pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")
    assert {"mean_scale", "nested_dropout", "qsf"} <= set(schemes.names())
    for name in schemes.names():
        learner = schemes.learner_of(name)
        assert learner.__module__.endswith(f"schemes.{name}")


@pytest.mark.slow
def test_the_workflow_asks_for_the_folders_it_lacks_and_trains_neighbours_too():
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "train_mean_scale_0.00513", "--config"]

    def dry_run(settings: str) -> str:
        run = subprocess.run([*command, settings], cwd=ROOT, env=shell(), capture_output=True, text=True, check=False)
        return run.stdout + run.stderr

    assert "the configuration's key training has no data" in dry_run("name=train")
    assert re.search(r"^train +3$", dry_run("training={data: [a, b], validation: [c]}"), re.MULTILINE)


def test_the_workflow_s_settings_become_the_command_s_arguments():
    settings = {"data": ["a b", "c"], "validation": "v", "pause_after": 3, "device": "cuda"}
    expected = ["--data", "a b", "c", "--validation", "v", "--pause-after", "3", "--device", "cuda"]
    assert config.arguments(settings, "qsf") == expected
    assert config.arguments(settings, "mean_scale_0.0513") == [*expected, "--minutes", "240.0"]  # the queue's hours
    assert config.arguments({**settings, "steps": 9}, "mean_scale_0.0513") == [*expected, "--steps", "9"]
    with pytest.raises(UsageError, match="has no validation"):
        config.arguments({"data": ["a"]}, "qsf")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="the script makes a sparse tree with git")
def test_the_gpu_script_packs_trains_brings_back_an_unfinished_model_and_joins_it(tmp_path):
    """The whole way on this machine's CPU, the lent machine's folder being another one here."""
    pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")
    from skimage import data

    here, there = tmp_path / "here", tmp_path / "there"
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in ("bench", "codecs_wrappers"):
        shutil.copytree(ROOT / name, here / name, ignore=ignored)
    model = {"rate_weight": 0.01, "architecture": {"family": "mean_scale", "N": 8, "M": 16}, "crop": 64, "batch": 2}
    model |= {"start_from": ["model:tiny", "linear"], "validate_every": 5, "log_every": 5}
    (here / "codecs_wrappers/learned/training/models/tiny.yaml").write_text(yaml.safe_dump(model))
    (here / "reports").mkdir()
    (here / "reports/large").write_bytes(bytes(1000))
    astronaut = np.tile(data.astronaut(), (2, 1, 1))
    for folder, image in {"a": data.coffee(), "b": astronaut, "v": data.chelsea()[:128, :128]}.items():
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "photograph.png")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], cwd=here, check=True)
    settings = {"NO_WHEELS": "1", "PART_MIB": "1", "PIECE_MIB": "1", "EVERY_S": "1", "GPU_ROOT": str(there / "root")}
    env = {**shell(), **settings, "PYTHON": sys.executable, "OUT": str(there / "out"), "OMP_NUM_THREADS": "1"}

    def script(*arguments: str, cwd: Path = here) -> str:
        run = subprocess.run(
            ["bash", SCRIPT, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    script("pack", "tiny", str(tmp_path / "a"), str(tmp_path / "b"), "--", str(tmp_path / "v"))
    assert not (here / "reports").exists()
    parts = sorted(here.glob(".gpu/part*"))
    assert len(parts) == 2  # no part above a MiB
    (there / "out").mkdir(parents=True)
    for name in ("bench", "codecs_wrappers"):
        shutil.copytree(here / name, there / name)
    for part in parts:  # one call for each: only what it names is carried
        shutil.rmtree(there / ".gpu", ignore_errors=True)
        shutil.copytree(part, there / ".gpu" / part.name)
        output = script("unpack", cwd=there)
    assert "2 images to train on, 1 to judge by" in output
    script("train", "30", "tiny", cwd=there)
    try:
        deadline = time.monotonic() + 300
        while not (there / "root/out/tiny/checkpoint.pt").is_file() and time.monotonic() < deadline:
            time.sleep(0.2)
        script("watch", "0", "tiny", cwd=there)  # its 30 minutes have not gone by: the best so far comes back
    finally:
        os.kill(int((there / "root/out/tiny.pid").read_text()), signal.SIGKILL)
    script("join", str(there / "out"), "tiny")
    entry = yaml.safe_load((here / "results/training/tiny/tiny.yaml").read_text())["tiny"]
    assert entry["sha256"] == sha256_file(here / "results/training/tiny/tiny.safetensors")
    assert entry["data"]["images"] == 2
    script("tidy")
    assert (here / "reports/large").is_file()
    assert not (here / ".gpu").exists()
