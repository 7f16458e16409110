"""What a person may give `rdbench train` wrongly: values, options, devices, images."""

import argparse
import dataclasses
import errno
import os
import resource
import signal

import numpy as np
import pytest
import yaml
from PIL import Image

from bench import files
from bench.errors import UsageError

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from codecs_wrappers.learned import device
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training import command, config, logs, process, session, status, trainer
from codecs_wrappers.learned.training.data import crops
from codecs_wrappers.learned.training.judging.averages import Judge
from codecs_wrappers.learned.training.learner import Learner

TINY = {
    "rate_weight": 0.1,
    "architecture": {"family": "mean_scale", "N": 8, "M": 12},
    "batch": 1,
    "crop": 64,
    "precision": "fp32",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with tiny.yaml, and two folders of images that differ."""
    draw = np.random.default_rng(5)
    for name in ("train/a", "train/b", "held_out/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        coarse = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(16, 0).repeat(16, 1)).save(tmp_path / f"{name}.png")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    folders = ["--data", "train", "--validation", "held_out", "--device", "cpu"]
    return command.main(parser.parse_args(["tiny.yaml", *folders, *arguments]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"batch": 2.5}, "batch must be a whole number, it is 2.5"),
        ({"batch": True}, "batch must be a whole number, it is True"),
        ({"crop": 64.0}, "crop must be a whole number"),
        ({"seed": "abc"}, "seed must be a whole number, it is 'abc'"),
        ({"seed": 2**64}, "seed must be from 0"),
        ({"steps": -5}, "steps must be from 0"),
        ({"validation_images": -3}, "validation_images must be from 0"),
        ({"validate_every": "abc"}, "validate_every must be a whole number"),
        ({"lr_last": "abc"}, "lr_last must be a number"),
        ({"clip": float("nan")}, "clip must be a number, it is nan"),
        ({"batch_grows": 3}, "batch_grows must be a mapping"),
        ({"averages": 0.5}, "averages must be a list of numbers"),
        ({"start_from": "default"}, "start_from must be a list of texts"),
        ({"normalise": 1}, "normalise must be true or false"),
        ({"scheme": "qsf"}, "unknown key 'architecture'"),  # the keys are those of the scheme that is asked for
    ],
)
def test_a_value_of_another_kind_is_refused_before_anything_is_read(home, value, message):
    with pytest.raises(UsageError, match=message):
        config.load("tiny.yaml", **value)


def test_lists_of_the_command_line_are_taken_as_those_of_a_file(home):
    assert config.load("tiny.yaml", averages=[0.5, 0.9], start_from=["default"]).averages == (0.5, 0.9)


def test_every_committed_configuration_has_values_of_its_kinds():
    assert all(config.load(name).name == name for name in config.names())


@pytest.mark.parametrize("content", [b"\xff\xfe", b"- 1", b"a: [", b"1: 2\nb: 3\n", b"scheme: 3"])
def test_a_file_that_is_no_configuration_is_a_sentence(home, content):
    (home / "wrong.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=r"wrong|scheme"):
        config.load("wrong.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--branch", "10steps", "--steps", "20"], "leave out the other steps"),
        (["--branch", "10steps", "--minutes", "1"], "leave out the other minutes"),
        (["--branch", "10steps", "--set", "rate_weight=1"], "leave out the other rate_weight"),
        *[(["--set", f"{key}=1"], f"--set {key}: not a key") for key in ("minutes", "trunk", "resume", "out", "name")],
        (["--set", "notes=["], "expected a value as in yaml"),
        (["--threads", "-1"], "--threads: expected 1 or more"),
        (["--threads", "0"], "--threads: expected 1 or more"),
        (["--pause-after", "nan"], "0 minutes or more, got nan"),
        (["--pause-after", "-1"], "0 minutes or more, got -1"),
        (["--start-from", "file:tiny.yaml"], "tiny.yaml: .*expected a safetensors file"),
    ],
)
def test_options_that_contradict_each_other_or_mean_nothing_are_sentences(home, arguments, message):
    with pytest.raises(UsageError, match=message):
        call(*arguments)


@pytest.mark.parametrize("name", ["foo", "cpu:3", "mps", "cuda:x", ""])
def test_a_device_that_is_not_known_is_named(name):
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N, got"):
        device.resolve(name)


def test_a_branch_finds_the_trunk_of_a_yaml_file(home):
    assert call("--pause-after", "0") == 0
    assert call("--branch", "2steps") == 0
    assert (home / "results/training/tiny/branch/tiny.safetensors").is_file()


def test_a_list_that_replaces_a_value_in_python_is_one():
    assert dataclasses.replace(config.load("mean_scale_0.0277"), averages=[0.5]).averages == [0.5]


def test_an_image_to_judge_by_that_is_trained_on_is_refused_whatever_its_name(home):
    (home / "held_out/other.png").write_bytes((home / "train/b.png").read_bytes())
    with pytest.raises(UsageError, match=r"1 of the 2 images to validate on .*other\.png"):
        trainer.train("tiny.yaml", ["train"], ["held_out"], device="cpu", quiet=True)


def test_an_image_that_cannot_be_read_or_is_too_deep_is_named(home):
    deep = np.full((64, 64), 1000, np.uint16)  # as 8 bits, Pillow would make it white
    Image.fromarray(deep).save(home / "train/deep.png")
    with pytest.raises(UsageError, match=r"deep\.png has more than 8 bits"):
        crops.read_image(home / "train/deep.png")
    whole = (home / "train/a.png").read_bytes()
    (home / "train/cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"cut\.png cannot be read"):
        crops.read_image(home / "train/cut.png")


def test_a_folder_called_like_an_image_is_a_folder(home):
    (home / "train/d.png").mkdir()
    assert [path.name for path in crops.image_files(["train"])] == ["a.png", "b.png"]


def test_metadata_of_what_is_no_safetensors_file_is_a_sentence(home):
    for path in (home / "tiny.yaml", home / "nowhere.safetensors"):
        with pytest.raises(UsageError, match="expected a safetensors file"):
            networks.read_metadata(path)


def test_a_disk_that_is_full_costs_rows_and_judgements_and_not_the_training(home, monkeypatch, capsys):
    """The weights of the best average and the curves find no room for a while."""
    real, full = files.os.replace, [True]

    def replace(source, target):
        if full[0] and str(target).endswith("best.safetensors"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(source, target)

    append = logs._append

    def torn(path, line):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        append(path, line)

    begin = {"device": "cpu", "validate_every": 5, "log_every": 5}
    trainer.train("tiny.yaml", ["train"], ["held_out"], pause_after=0, **begin)
    monkeypatch.setattr(files.os, "replace", replace)
    monkeypatch.setattr(logs, "_append", torn)
    steps = Learner.advance

    def advance(self, progress):
        full[0] = self.step < 10
        return steps(self, progress)

    monkeypatch.setattr(Learner, "advance", advance)
    monkeypatch.setattr(Judge, "is_best", always_best)
    outcome = trainer.train("tiny.yaml", ["train"], ["held_out"], steps=20, **begin)
    said = capsys.readouterr().out
    assert outcome.status == "finished"
    assert "train.csv: No space left on device; a row of the curve is lost" in said
    assert "best.safetensors: No space left on device; trying again at the next judgement" in said
    lines = (home / "results/training/tiny/train.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "15", "20"]


def always_best(judge, judgement):
    judge.best = judgement
    return True


def test_what_is_best_stays_what_the_file_of_the_best_weights_holds(home, monkeypatch):
    """If the better average could not be written, the one before it is still the best: it is what would ship."""
    train = {"device": "cpu", "validate_every": 5, "quiet": True}
    trainer.train("tiny.yaml", ["train"], ["held_out"], pause_after=0, **train)
    best = home / "results/training/tiny/best.safetensors"
    before = best.read_bytes()
    real = session.write_atomically

    def full(path, content):
        if path.name == best.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, content)

    monkeypatch.setattr(session, "write_atomically", full)
    monkeypatch.setattr(Judge, "is_best", always_best)
    stop = Learner.advance

    def advance(self, progress):
        if self.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return stop(self, progress)

    monkeypatch.setattr(Learner, "advance", advance)
    outcome = trainer.train("tiny.yaml", ["train"], ["held_out"], **train)
    assert best.read_bytes() == before
    assert outcome.best == outcome.start  # of step 0, as in the file


def test_a_row_is_appended_whole_or_not_at_all(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("step\n1\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # a disk with room for a part of the row
        with pytest.raises(OSError, match="No space left"):
            logs._append(path, "2,3,4,5\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_text() == "step\n1\n"


def test_steps_of_eight_digits_and_torn_rows_survive_a_resumption(tmp_path):
    (tmp_path / "train.csv").write_text("step,loss\n1e+07,1\n12345678,2\n12345679,3\n\x00\x00,4\n12")
    curves = logs.Logs(tmp_path, 12345678, quiet=True)
    curves.row("train", {**dict.fromkeys(logs.TRAIN, 0.5), "step": 12345700})
    curves.close()
    rows = (tmp_path / "train.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["1e+07", "12345678", "12", "12345700"]


def test_the_status_reads_the_table_of_an_earlier_version(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/validation.csv").write_text("step,hours,loss,bpp,psnr_rgb_db\n0,0,2,1,30\n5,1,1.5,1,31\n")
    (row,) = status.rows(tmp_path)
    assert (row["model"], row["step"], row["J validation"], row["J textured"]) == ("old", "5", "1.5000", "-")
    assert status.draw(tmp_path, tmp_path / "status.svg").is_file()


def test_a_full_disk_is_said_with_the_file_that_found_no_room(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_atomically(tmp_path / "a", b"1")
    assert caught.value.filename == str(tmp_path / "a")


def test_what_a_killed_save_left_is_cleared_away_by_the_next_training(home):
    folder = home / "results/training/tiny"
    left = files.temp_path(folder / "checkpoint.pt")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a checkpoint")
    with process.only_trainer(folder, "tiny"):
        assert [path.name for path in folder.iterdir()] == ["lock"]
