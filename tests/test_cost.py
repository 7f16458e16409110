"""What coding costs apart from bits: multiplications of networks, weights, threads."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.cli import main
from bench.codec import Codec, Point
from bench.discovery import load
from bench.errors import UsageError
from bench.limits import library_threads
from bench.run.worker import Decoder, Encoder


class Convolving(Codec):
    """One convolution of 3 to 8 channels, 3 x 3, in the encoder; half as much in the decoder."""

    name, extension = "convolving", ".c"
    points = (Point("only"),)

    def encode(self, image, point):
        self._convolve(image, 8)
        return np.array(image.shape[:2], "<u2").tobytes() + image.tobytes()

    def decode(self, bitstream):
        height, width = np.frombuffer(bitstream[:4], "<u2").astype(int)
        image = np.frombuffer(bitstream[4:], np.uint8).reshape(height, width, 3)
        self._convolve(image, 4)
        return image

    def _convolve(self, image, channels):
        import torch

        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        torch.nn.functional.conv2d(x, torch.zeros(channels, 3, 3, 3), padding=1)


def picture_file(tmp_path, side=(40, 56)):
    from bench.files import sha256_pixels

    pixels = np.random.default_rng(1).integers(0, 256, (*side, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return {"image": str(tmp_path / "a.png"), "image_sha256": sha256_pixels(pixels)}


def test_multiplications_are_those_of_the_networks_per_pixel(tmp_path):
    pytest.importorskip("torch")
    of = picture_file(tmp_path)
    found = Encoder(Convolving()).cost(**of, point="only", parameters={})
    assert found["mac_per_pixel"] == 8 * 3 * 9
    (tmp_path / "b").write_bytes(Convolving().encode(np.asarray(Image.open(tmp_path / "a.png")), Point("only")))
    assert Decoder(Convolving()).cost(str(tmp_path / "b"))["mac_per_pixel"] == 4 * 3 * 9


def test_a_codec_without_networks_has_no_multiplications_and_no_weights(tmp_path):
    found = Encoder(load("jpeg")).cost(**picture_file(tmp_path), point="q50", parameters={"quality": 50})
    assert found == {"mac_per_pixel": None, "peak_gpu_mib": None, "weights": {}}


def test_weights_are_counted_once_each_with_those_they_build_on():
    pytest.importorskip("torch")
    from codecs_wrappers.learned import weights

    for name in ("mean_scale", "stanh", "qsf"):
        codec = load(name)
        if not codec.available()[0]:
            pytest.skip(codec.available()[1])
        needed = set(codec.entries) | {
            base["name"] for entry in codec.entries if (base := weights.entry(entry).get("base"))
        }
        found = codec.weights_size()
        assert found["bytes"] == sum(weights.path(entry).stat().st_size for entry in needed)
        tensors = [tensor for entry in needed for tensor in weights.load(entry).state.values()]
        assert found["parameters"] == sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


@pytest.mark.parametrize("name", ["avif", "jpegxl"])
def test_more_threads_give_the_same_bitstream_and_the_same_picture(name, photographs, monkeypatch):
    codec = load(name)
    if not codec.available()[0]:
        pytest.skip(codec.available()[1])
    image = np.tile(photographs["astronaut"], (3, 3, 1))  # large enough for work to be shared
    point = codec.points[len(codec.points) // 2]
    bitstream = codec.encode(image, point)
    picture = codec.decode(bitstream)
    monkeypatch.setenv("RDBENCH_THREADS", "2")
    assert codec.encode(image, point) == bitstream
    assert np.array_equal(codec.decode(bitstream), picture)


def test_avif_decodes_with_as_many_threads_as_the_harness_says(photographs, monkeypatch):
    """Pillow takes all cores of its own accord, so times of one thread were of many."""
    avif = pytest.importorskip("PIL.AvifImagePlugin")
    codec = load("avif")
    bitstream = codec.encode(photographs["astronaut"], codec.points[0])
    for threads in (1, 2):
        monkeypatch.setenv("RDBENCH_THREADS", str(threads))
        codec.decode(bitstream)
        assert avif._get_default_max_threads() == threads


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch):
    assert library_threads() == 1
    monkeypatch.setenv("RDBENCH_THREADS", "3")
    assert library_threads() == 3
    monkeypatch.setenv("RDBENCH_THREADS", "all")
    with pytest.raises(UsageError, match="RDBENCH_THREADS: expected a number of threads, got 'all'"):
        library_threads()


def test_times_are_taken_with_each_number_of_threads(image_folder, tmp_path):
    out = tmp_path / "t.parquet"
    of = ["--dataset", f"folder:{image_folder}", "--out", str(out), "--points", "1", "--repeats", "1"]
    assert main(["time", "jpeg", *of, "--threads", "1", "all"]) == 0
    table = pd.read_parquet(out)
    assert table.threads.tolist() == list(dict.fromkeys([1, os.cpu_count()]))
    assert (table.status == "ok").all() and table.encode_kmac_per_pixel.isna().all()
    with pytest.raises(SystemExit):
        main(["time", "jpeg", *of, "--threads", "none"])
