"""Images coded at equal rates: the search for the parameter, the pieces it makes, and the command around it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from smallrun import small_run

from bench import records
from bench.cli import main
from bench.codec import Point
from bench.data.manifest import read_manifest
from bench.discovery import load
from bench.files import sha256
from bench.report.originals import page_demands, shown_images
from bench.run.equal_rates import (
    TOLERANCE,
    WANTED,
    Demand,
    equal_rate_rows,
    nearest_row,
    next_value,
    varied_parameter,
)
from bench.run.job import Job


@pytest.mark.parametrize(
    ("known", "bpp", "whole", "value"),
    [
        ({1.0: 1.0, 4.0: 4.0}, 2.0, False, 2.0),  # a power law is met at once
        ({0.0: 1.0, 4.0: 16.0}, 2.0, False, 1.0),  # an exponential one too, where 0 is a value
        ({10: 4.0, 20: 1.0}, 3.9, True, 11),  # the rate may fall; whole numbers stay between the two
        ({10: 4.0, 11: 1.0}, 2.0, True, None),
        ({10: 4.0, 20: 1.0}, 5.0, False, None),
        ({10: 4.0, 15: 2.0, 20: 1.0}, 1.4, True, 17),  # of three, the two around the rate
    ],
)
def test_the_next_value_lies_where_the_rate_is_expected(known, bpp, whole, value):
    found = next_value(known, bpp, whole)
    assert found == (value if value is None else pytest.approx(value))


def test_a_codec_whose_points_differ_in_more_than_one_number_is_not_searched():
    jpeg = load("jpeg")
    assert varied_parameter(jpeg, [point.to_json() for point in jpeg.points]).name == "quality"
    assert varied_parameter(jpeg, [json.dumps({"quality": 1, "x": 1}), json.dumps({"quality": 2, "x": 2})]) is None
    assert varied_parameter(jpeg, [json.dumps({"model": name}) for name in "ab"]) is None
    assert varied_parameter(jpeg, [json.dumps({"quality": 1})]) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three codecs on two crops, and its records."""
    folder, rows = small_run(tmp_path_factory.mktemp("run"), ["jpeg", "spiht", "identity"])
    frame = records.table(rows)
    records.write(frame, folder / "records.parquet")
    return folder, records.read(folder / "records.parquet")


def rows_of(run, codec: str, *demands: Demand) -> pd.DataFrame:
    folder, frame = run
    manifest = read_manifest(folder / "datasets" / "photos.json")
    job = Job(codec, manifest, folder, folder / "log.txt", manifest.images)
    return pd.DataFrame(equal_rate_rows(job, demands, frame), columns=WANTED.names)


def test_a_searched_codec_comes_within_the_tolerance_or_as_near_as_its_numbers_allow(run):
    folder, frame = run
    own = frame[(frame.codec == "jpeg") & (frame.image == "coffee")]
    bpp = float(np.sqrt(own.bpp.iloc[0] * own.bpp.iloc[1]))
    (row,) = rows_of(run, "jpeg", Demand("photos", "coffee", "jpeg", bpp)).itertuples()
    manifest = read_manifest(folder / "datasets" / "photos.json")
    from bench.data.images import load_image

    image = load_image(next(image.path for image in manifest.images if image.name == "coffee"))
    lengths = [len(load("jpeg").encode(image, Point("q", quality=quality))) for quality in range(1, 101)]
    nearest = min(abs(np.log(8 * length / image[..., 0].size / bpp)) for length in lengths)
    assert abs(np.log(row.bpp / bpp)) <= max(nearest, TOLERANCE) + 1e-9
    assert row.wanted_bpp == bpp and row.status == "ok" and row.psnr_rgb_db > 20
    bitstream = (folder / row.bitstream).read_bytes()
    assert sha256(bitstream) == row.bitstream_sha256 and row.bytes == len(bitstream)
    assert bitstream == load("jpeg").encode(image, Point("", **json.loads(row.parameters)))


def test_an_embedded_codec_is_cut_at_the_rate_to_the_byte(run):
    (row,) = rows_of(run, "spiht", Demand("photos", "astronaut", "spiht", 0.3333)).itertuples()
    assert row.bytes == int(0.3333 * row.width * row.height / 8) and row.target_bpp == 0.3333


def test_there_is_no_row_for_a_rate_out_of_reach_and_none_for_one_that_was_measured(run):
    own = run[1][(run[1].codec == "jpeg") & (run[1].image == "coffee")]
    demands = [
        Demand("photos", "coffee", "jpeg", bpp) for bpp in (own.bpp.max() * 2, own.bpp.min() / 2, own.bpp.iloc[0])
    ]
    assert rows_of(run, "jpeg", *demands, Demand("photos", "nobody", "jpeg", 0.5)).empty
    assert rows_of(run, "identity", Demand("photos", "coffee", "identity", 0.5)).empty


def test_the_nearest_row_is_one_made_for_the_rate_or_one_of_the_run(run):
    own = run[1][(run[1].codec == "jpeg") & (run[1].image == "coffee")]
    bpp = float(np.sqrt(own.bpp.iloc[0] * own.bpp.iloc[1]))
    matched = rows_of(run, "jpeg", Demand("photos", "coffee", "jpeg", bpp))
    assert nearest_row(own, matched, bpp).point == matched.point.iloc[0]
    assert nearest_row(own, matched, own.bpp.iloc[0]).point == own.point.iloc[0]
    assert nearest_row(own, None, bpp).point in set(own.point)
    assert nearest_row(own[:0], matched, bpp) is None


def test_the_page_asks_for_every_codec_on_every_shown_image_at_every_rate(run):
    demands = list(page_demands(run[1], [0.25, 0.5], 1))
    assert {(it.image, it.codec) for it in demands} == {("astronaut", "jpeg"), ("astronaut", "spiht")}
    assert {it.bpp for it in demands} == {0.25, 0.5} and len(demands) == 4
    assert len(shown_images(map(str, range(8)))) == 8 and len(shown_images(map(str, range(9)))) == 4
    assert shown_images("abc", ["c", "x"]) == ["c"]


def test_the_command_writes_the_rows_and_a_second_run_takes_them_from_the_cache(run, tmp_path, capsys):
    folder, out = run[0], tmp_path / "matched.parquet"
    (tmp_path / "figures.yaml").write_text("figures: []")
    command = ["match", "--folder", str(folder), "--spec", str(tmp_path / "figures.yaml")]
    command += ["--gallery-bpp", "0.4", "--gallery-count", "1"]
    assert main([*command, "--out", str(out), "--processes", "2"]) == 0
    table = pd.read_parquet(out)
    assert list(table.columns) == WANTED.names and set(table.wanted_bpp) == {0.4}
    assert set(table.codec) == {"jpeg", "spiht"} and (abs(table.bpp / 0.4 - 1) < 0.05).all()
    first = out.read_bytes()
    assert main([*command, "--out", str(out)]) == 0 and out.read_bytes() == first
    assert Path(folder / table.bitstream.iloc[0]).is_file()
