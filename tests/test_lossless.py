"""Lossless codecs: their role, their table, and that one which loses something is a failure."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from smallrun import small_run

from bench import records
from bench.cli import main
from bench.discovery import codecs, load
from bench.errors import BitstreamError
from bench.figures import draw
from bench.rd.compare import compare_all
from bench.rd.lossless import COLUMNS, lossless_table
from bench.report.data import curves_data
from bench.report.run import read_run

LOSSLESS = [name for name, codec in codecs().items() if codec.role == "lossless"]
FIGURE = {"name": "lossless", "kind": "lossless", "codecs": "all", "role": "lossless", "title": "{dataset}: lossless"}

LOSSY = """
import zlib
from bench.codec import Codec, Point
import numpy as np

class Almost(Codec):
    name, extension, points, lossless, role = "almost", ".a", (Point("only"),), True, "lossless"
    def version(self):
        return "1"
    def encode(self, image, point):
        return np.array(image.shape[:2], "<u2").tobytes() + zlib.compress((image | 1).tobytes())
    def decode(self, bitstream):
        return np.frombuffer(zlib.decompress(bitstream[4:]), np.uint8).reshape(*np.frombuffer(bitstream[:4], "<u2"), 3)

CODECS = [Almost()]
"""


def _records() -> pd.DataFrame:
    rows = []
    for codec, bpp in (("small", (8.0, 10.0)), ("large", (12.0, 15.0))):
        for image, rate in zip("ab", bpp, strict=True):
            row = {"dataset": "photos", "image": image, "codec": codec, "role": "lossless", "status": "ok", "bpp": rate}
            rows.append(row | {"point": "lossless", "point_index": 0, "identical": True, "psnr_rgb_db": np.inf})
    rows.append({"dataset": "photos", "image": "a", "codec": "jpeg", "role": "codec", "status": "ok", "bpp": 1.0})
    rows.append({"dataset": "photos", "codec": "gone", "role": "lossless", "status": "skipped", "reason": "no library"})
    return records.table(rows)


def _times() -> pd.DataFrame:
    row = {"dataset": "photos", "codec": "small", "image": "a", "pixels": 1_000_000, "status": "ok"}
    return pd.DataFrame([row | {"encode_s_median": 0.5, "decode_s_median": 0.1, "threads": 1, "device": "a processor"}])


def test_the_table_has_means_over_images_and_speeds_in_raw_bytes_smallest_rate_first():
    table = lossless_table(_records(), _times(), "photos")
    assert list(table.columns) == COLUMNS and list(table.codec) == ["small", "large"]
    small, large = table.to_dict("records")
    assert (small["bpp"], small["bpp_least"], small["bpp_most"], small["raw_percent"]) == (9.0, 8.0, 10.0, 37.5)
    assert (small["encode_mb_per_s"], small["decode_mb_per_s"]) == (pytest.approx(6.0), pytest.approx(30.0))
    assert np.isnan(large["encode_mb_per_s"]) and large["n_images"] == 2


def test_the_figure_is_the_table_and_says_what_was_not_measured(tmp_path):
    frame = _records()
    records.write(frame, tmp_path / "records.parquet")
    (tmp_path / "timing" / "photos").mkdir(parents=True)
    _times().to_parquet(tmp_path / "timing" / "photos" / "small.parquet")
    (tmp_path / "figures.yaml").write_text(yaml.safe_dump({"figures": [FIGURE], "datasets": {"photos": "Photos"}}))
    (entry,) = draw.draw_all(tmp_path, tmp_path / "figures.yaml")
    assert entry["status"] == "ok" and entry["codecs"] == ["large", "small"]
    assert entry["left_out"] == {"gone": "skipped: no library"}
    assert entry["cells"][1:] == [
        ["small", "9.000", "8.00", "10.00", "37.5", "6.0", "30.0"],
        ["large", "13.500", "12.00", "15.00", "56.2", "-", "-"],
    ]


def test_a_run_without_one_has_no_table_and_says_so(tmp_path):
    frame = _records()
    records.write(frame[frame.role == "codec"], tmp_path / "records.parquet")
    (tmp_path / "figures.yaml").write_text(yaml.safe_dump({"figures": [FIGURE], "datasets": {}}))
    (entry,) = draw.draw_all(tmp_path, tmp_path / "figures.yaml")
    assert (entry["status"], entry["reason"]) == ("missing", "no lossless codec was measured on photos")


def test_a_lossless_codec_that_loses_something_is_a_failure(add_wrapper, image_folder, tmp_path):
    add_wrapper("almost", LOSSY)
    out = tmp_path / "almost.parquet"
    arguments = ["run", "almost", "--dataset", f"folder:{image_folder}", "--out", str(out), "--folder", str(tmp_path)]
    assert main(arguments) == 0
    table = pd.read_parquet(out)
    assert set(table.status) == {"failed"} and table.reason.str.contains("lossless, decoded other pixels").all()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two lossy and two lossless codecs on two crops."""
    folder, rows = small_run(tmp_path_factory.mktemp("run"), ["jpeg", "webp", "png", "webp_lossless"])
    records.write(records.table(rows), folder / "records.parquet")
    return folder


def test_lossless_codecs_are_in_no_curve_and_no_bd_table(run):
    frame = records.read(run / "records.parquet")
    assert frame[frame.role == "lossless"].identical.eq(True).sum() == 4
    assert set(compare_all(frame, ["photos"], ["jpeg"], ["psnr_rgb_db"]).codec) == {"webp"}
    curves = curves_data(read_run(run))
    assert [codec["name"] for codec in curves["codecs"]] == ["jpeg", "webp"]


def test_the_command_prints_the_table_and_gives_it_as_json(run, capsys):
    assert main(["lossless", "--folder", str(run)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("lossless coding on photos") and text.index("webp_lossless") < text.index("png ")
    assert main(["lossless", "--folder", str(run), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["codec"] for row in rows] == ["webp_lossless", "png"]
    assert rows[0]["encode_mb_per_s"] is None and 6 < rows[0]["bpp"] < rows[1]["bpp"] < 24


@pytest.mark.parametrize("name", LOSSLESS)
def test_noise_and_one_colour_come_back_too(name):
    codec = load(name)
    if not codec.available()[0]:
        pytest.skip(codec.available()[1])
    for image in (
        np.random.default_rng(1).integers(0, 256, (37, 51, 3), np.uint8),
        np.full((20, 30, 3), (1, 255, 128), np.uint8),
    ):
        assert np.array_equal(codec.decode(codec.encode(image, codec.points[0])), image)


def test_a_forged_jpeg_ls_size_is_refused_before_anything_is_decoded():
    codec = load("jpegls")
    stream = bytearray(codec.encode(np.zeros((20, 30, 3), np.uint8), codec.points[0]))
    at = stream.index(b"\xff\xf7") + 5
    stream[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(BitstreamError, match="4294836225 pixels"):
        codec.decode(bytes(stream))
