"""Devices: where a codec with weights runs, who else may use that GPU meanwhile, and what the decode matrix notices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, shell

from bench import records
from bench.cli import main
from bench.data.datasets import fetch
from bench.discovery import load
from bench.run import devices, timing
from bench.run.decode_matrix import decode_matrix
from bench.run.devices import CPU, Device, acquire_device, gpus
from bench.run.job import Job

# A codec with weights whose bitstream holds where it was made, and whose decoder each test changes.
SOURCE = """
import os, time
import numpy as np
from bench.codec import Codec, Point, check_image
from bench.errors import BitstreamError

DEVICE = os.environ.get("RDBENCH_DEVICE", "unset") + ":" + os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
THREADS = int(os.environ.get("OMP_NUM_THREADS", 0))

class Placed(Codec):
    name, extension = "placed", ".p"
    points = (Point("low", step=32), Point("high", step=8))
    ready = False

    def version(self):
        return "1"

    def weights_digest(self):
        return {weights!r}

    def prepare(self):
        time.sleep({prepare_s})
        self.ready = True

    def encode(self, image, point):
        assert self.ready
        if os.environ.get("SEEN"):
            with open(os.environ["SEEN"], "a") as seen:
                seen.write(DEVICE + "\\n")
        head = np.array([*image.shape[:2], point["step"]], "<u2").tobytes()
        {encode}
        return head + (image // point["step"]).tobytes()

    def decode(self, bitstream):
        assert self.ready
        height, width, step = np.frombuffer(bitstream[:6], "<u2").astype(int)
        levels = np.frombuffer(bitstream[6 : 6 + height * width * 3], np.uint8).reshape(height, width, 3)
        pixels = (levels * step + step // 2).astype(np.uint8)
        {decode}
        return pixels

CODECS = [Placed()]
"""

NVIDIA_SMI = """#!/bin/sh
echo "GPU-0aaa, Abacus A"
echo "GPU-1bbb, Abacus B"
"""


@pytest.fixture
def placed(add_wrapper, monkeypatch, tmp_path):
    monkeypatch.delenv("RDBENCH_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))

    def put(encode="pass", decode="pass", weights="abc", prepare_s=0.0):
        add_wrapper("placed", SOURCE.format(encode=encode, decode=decode, weights=weights, prepare_s=prepare_s))

    return put


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """An nvidia-smi that lists two GPUs, and a torch that was built for them."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    monkeypatch.setattr(devices, "usable_gpus", gpus)
    return [Device("Abacus A", "GPU-0aaa"), Device("Abacus B", "GPU-1bbb")]


def rows(image_folder: Path, tmp_path: Path) -> list[dict]:
    manifest = fetch(f"folder:{image_folder}")
    return Job("placed", manifest, tmp_path / "run", tmp_path / "log", manifest.images).rows()


def seen(tmp_path: Path) -> set[str]:
    return set((tmp_path / "seen").read_text().split())


# Where a job runs


@pytest.mark.parametrize(
    ("asked", "weights", "where", "name"),
    [
        (None, "abc", "cuda:GPU-0aaa", "Abacus A"),
        ("auto", "abc", "cuda:GPU-0aaa", "Abacus A"),
        ("cuda", "abc", "cuda:GPU-0aaa", "Abacus A"),
        ("cuda:1", "abc", "cuda:GPU-1bbb", "Abacus B"),
        ("cpu", "abc", "cpu:", "cpu"),
        ("cuda", "", "cpu:", None),
    ],
)
def test_a_job_runs_where_it_is_told_and_its_records_say_so(
    placed, two_gpus, image_folder, tmp_path, monkeypatch, asked, weights, where, name
):
    placed(weights=weights)
    if asked:
        monkeypatch.setenv("RDBENCH_DEVICE", asked)
    table = records.table(rows(image_folder, tmp_path))
    assert list(table.status) == ["ok"] * 4
    assert seen(tmp_path) == {where}
    assert set(table.device.dropna()) == ({name} if name else set())


def test_without_a_gpu_auto_is_the_processor_and_cuda_a_failed_row_that_says_why(
    placed, image_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "output_lines", lambda *command: [])
    placed()
    assert {row["device"] for row in rows(image_folder, tmp_path)} == {"cpu"}
    monkeypatch.setenv("RDBENCH_DEVICE", "cuda")
    (row,) = rows(image_folder, tmp_path)
    assert row["status"] == "failed" and "nvidia-smi lists no GPU" in row["reason"]
    monkeypatch.setenv("RDBENCH_DEVICE", "cuda:2")
    (row,) = rows(image_folder, tmp_path)
    assert row["status"] == "failed" and "nvidia-smi lists no GPU 2" in row["reason"]
    monkeypatch.setenv("RDBENCH_DEVICE", "tpu")
    (row,) = rows(image_folder, tmp_path)
    assert "expected auto, cpu, cuda or cuda:N, got 'tpu'" in row["reason"]


def test_pieces_made_on_a_gpu_are_not_taken_for_those_of_the_processor(
    placed, two_gpus, image_folder, tmp_path, monkeypatch
):
    placed()
    for device, count in (("cpu", 4), ("cuda", 8), ("cuda", 8), ("cpu", 8)):
        monkeypatch.setenv("RDBENCH_DEVICE", device)
        rows(image_folder, tmp_path)
        assert len((tmp_path / "seen").read_text().split()) == count


def test_the_option_of_the_command_reaches_both_workers(placed, two_gpus, image_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_DEVICE", "cuda")  # so that it is restored afterwards
    placed(decode="assert DEVICE == 'cpu:'")
    command = ["run", "placed", "--dataset", f"folder:{image_folder}", "--out", str(tmp_path / "part.parquet")]
    assert main([*command, "--device", "cpu"]) == 0
    assert set(records.read(tmp_path / "part.parquet").status) == {"ok"}
    assert seen(tmp_path) == {"cpu:"}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,1", ["GPU-0aaa", "GPU-1bbb"]),
        ("1", ["GPU-1bbb"]),
        ("GPU-1", ["GPU-1bbb"]),
        ("", []),
        ("1,7,0", ["GPU-1bbb"]),
        ("-1", []),
        ("MIG-3f", ["MIG-3f"]),
    ],
)
def test_the_choice_of_gpus_is_limited_as_cuda_limits_it(two_gpus, monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.uuid for gpu in gpus()] == expected


# One job a GPU


def test_each_gpu_is_lent_to_one_job_at_a_time(two_gpus, monkeypatch):
    monkeypatch.setenv("RDBENCH_DEVICE", "cuda")
    with acquire_device(True) as first:
        with acquire_device(True) as second, acquire_device(False) as third:
            assert ([first, second], third) == (two_gpus, CPU)
        with acquire_device(True) as again:
            assert again == second


def test_a_job_waits_for_a_gpu_and_gets_it_when_its_holder_is_killed(two_gpus, own_cache):
    code = "import sys, time; from bench.run.devices import Device, lock_gpu\n"
    code += "with lock_gpu([Device('Abacus A', 'GPU-0aaa')]): print('mine', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=shell(), stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "mine\n"
    code = (
        "from bench.run.devices import Device, lock_gpu\nwith lock_gpu([Device('Abacus A', 'GPU-0aaa')]): print('mine')"
    )
    waiter = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=shell(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "waiting for a GPU: other jobs are using Abacus A" in waiter.stderr.readline()
    assert waiter.poll() is None
    holder.kill()
    holder.wait()
    assert waiter.communicate(timeout=60)[0] == "mine\n"


# Times


def test_loading_is_timed_apart_from_coding_and_the_device_is_named(placed, two_gpus, image_folder, tmp_path):
    placed(prepare_s=0.5)
    table = timing.time_codec("placed", fetch(f"folder:{image_folder}"), tmp_path / "log", points=2, repeats=2)
    for side in ("encode", "decode"):
        assert (table[f"{side}_load_s"] >= 0.5).all()
        assert (table[f"{side}_s_median"] + table[f"{side}_warmup_s"] < 0.5).all()
    assert set(table.status) == {"ok"} and table.device.str.startswith("Abacus A, ").all()


# The matrix


def matrix(image_folder: Path, tmp_path: Path, **options) -> pd.DataFrame:
    images = fetch(f"folder:{image_folder}").images
    table = decode_matrix(load("placed"), images, tmp_path / "log", points=2, **options)
    return table.set_index(["encoder", "decoder"])


ONE, TWO, A, B = "CPU, 1 thread", "CPU, 2 threads", "GPU 0 (Abacus A)", "GPU 1 (Abacus B)"


def test_every_device_encodes_and_every_device_decodes(placed, two_gpus, image_folder, tmp_path, photographs):
    placed(encode="image = image if DEVICE == 'cpu:' else image // 2 * 2")
    table = matrix(image_folder, tmp_path)
    assert set(table.index) == {(made, read) for made in (ONE, TWO, A, B) for read in (ONE, TWO, A, B)}
    assert (table.bitstreams == 4).all() and (table.images == 2).all() and table.ok.all()
    assert (table.samples == 2 * sum(image.size for image in photographs.values())).all()
    assert (table.same_bytes == 4).all()  # steps of 8 and 32 do not see the last bit
    assert seen(tmp_path) == {"cpu:", "cuda:GPU-0aaa", "cuda:GPU-1bbb"}


@pytest.mark.slow
def test_pixels_off_by_one_on_another_device_are_counted_and_off_by_two_fail(placed, image_folder, tmp_path):
    placed(decode="pixels[0, :5, 1] += THREADS - 1")
    table = matrix(image_folder, tmp_path)
    assert table.ok.all()
    for pair in ((ONE, TWO), (TWO, ONE)):
        assert (table.loc[pair].differing, table.loc[pair].differing_samples) == (4, 20)
        assert table.loc[pair].largest_difference == 1
    assert table.loc[(TWO, TWO)].differing_samples == 0
    placed(decode="pixels[0, :5, 1] += 2 * THREADS - 2")
    table = matrix(image_folder, tmp_path)
    assert list(table.index[~table.ok]) == [(ONE, TWO), (TWO, ONE)]


@pytest.mark.slow
def test_one_device_that_gives_other_pixels_the_second_time_fails(placed, image_folder, tmp_path):
    placed(decode="self.calls = getattr(self, 'calls', 0) + 1; pixels[0, 0, 0] += self.calls % 2")
    table = matrix(image_folder, tmp_path)
    assert not table.loc[(ONE, ONE)].ok and table.loc[(ONE, ONE)].largest_difference == 1


@pytest.mark.slow
def test_a_decoder_that_fails_or_crashes_is_counted_with_its_reason(placed, image_folder, tmp_path):
    placed(decode="if THREADS == 2: raise BitstreamError('the checksum does not match')")
    table = matrix(image_folder, tmp_path)
    assert list(table.failed) == [0, 4, 4, 4]
    assert "the checksum does not match" in table.loc[(ONE, TWO)].error
    assert table.loc[(TWO, ONE)].error.startswith("nothing to compare with")
    placed(encode="if THREADS == 2: os._exit(3)")
    table = matrix(image_folder, tmp_path)
    assert list(table.failed) == [0, 0, 4, 4]
    assert "encode: process ended (exit code 3)" in table.loc[(TWO, ONE)].error


@pytest.mark.slow
def test_bitstreams_that_devices_make_differently_are_counted_and_no_failure(placed, image_folder, tmp_path):
    placed(encode="return head + (image // point['step']).tobytes() + bytes(THREADS)")
    table = matrix(image_folder, tmp_path)
    assert list(table.same_bytes) == [4, 0, 0, 4] and table.ok.all()


@pytest.mark.slow
def test_the_command_fails_where_the_matrix_does_and_writes_it_all_the_same(placed, image_folder, tmp_path, capsys):
    placed(decode="pixels[0, 0, 0] ^= 4 * (THREADS - 1)")
    command = ["decode-matrix", "placed", "--dataset", f"folder:{image_folder}", "--images", "1", "--points", "1"]
    assert main([*command, "--out", str(tmp_path / "m.csv")]) == 1
    captured = capsys.readouterr()
    assert "2 of 4 pairs of devices failed: placed" in captured.err
    assert captured.out.count("FAILED") == 2 and "samples of 1 pictures differ, by 4 at most" in captured.out
    assert list(pd.read_csv(tmp_path / "m.csv").ok) == [True, False, False, True]
    placed()
    assert main([*command, "--json"]) == 0
    assert all(row["ok"] and row["images"] == 1 for row in json.loads(capsys.readouterr().out)["rows"])


def test_a_codec_that_is_not_available_is_no_empty_table(placed, add_wrapper, image_folder, capsys):
    placed()
    add_wrapper(
        "absent",
        SOURCE.format(encode="pass", decode="pass", weights="x", prepare_s=0).replace('"placed"', '"absent"')
        + "\nPlaced.available = lambda self: (False, 'no weights')\n",
    )
    assert main(["decode-matrix", "absent", "--dataset", f"folder:{image_folder}"]) == 2
    assert "absent is not available here: no weights" in capsys.readouterr().err
