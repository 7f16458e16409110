"""Pictures of the prefixes of one embedded bitstream."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.cli import main
from bench.discovery import load
from bench.errors import BitstreamError, UsageError
from bench.run.progressive import PERCENT, frames, lengths


def test_lengths_are_rounded_up_and_end_with_the_whole():
    assert lengths(99) == [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99]
    assert lengths(1000, (0.05, 33.3)) == [1, 333]


def test_frames_are_what_the_prefixes_decode_to_and_the_header_alone_gives_none(photographs):
    codec = load("spiht")
    stream = codec.encode_full(photographs["coffee"])
    shown = list(frames(codec, stream, [3, 500, 10**9]))
    assert [frame.length for frame in shown] == [500, len(stream)]
    assert np.array_equal(shown[0].image, codec.decode(stream[:500]))
    assert np.array_equal(shown[1].image, codec.decode(stream))
    assert shown[0].bpp == pytest.approx(8 * 500 / shown[0].image[..., 0].size)


def test_only_an_embedded_codec_and_its_own_bitstream_have_frames(photographs):
    with pytest.raises(UsageError, match="jpeg is not an embedded codec"):
        next(frames(load("jpeg"), b"", [1]))
    with pytest.raises(BitstreamError):
        next(frames(load("spiht"), b"something else", [14]))


def test_the_command_writes_one_picture_for_each_part_of_the_bytes(image_folder, tmp_path, capsys):
    stream, folder = tmp_path / "a.spiht", tmp_path / "frames"
    assert main(["encode", "spiht", str(image_folder / "coffee.png"), str(stream), "--point", "bpp1.00"]) == 0
    assert main(["decode", "spiht", str(stream), "--progressive", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [f"{percent:03}.png" for percent in PERCENT]
    with Image.open(folder / "100.png") as last:
        assert np.array_equal(np.asarray(last), load("spiht").decode(stream.read_bytes()))
    capsys.readouterr()
    assert main(["decode", "spiht", str(stream)]) == 2
    assert "--progressive" in capsys.readouterr().err
    assert main(["decode", "jpeg", str(stream), "--progressive", str(folder)]) == 2
    assert "not an embedded codec" in capsys.readouterr().err
