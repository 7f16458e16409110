"""The JVET spreadsheet holds a run's numbers, its BD-rates as values, and says which points it shows."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from smallrun import small_run

from bench import records
from bench.cli import main
from bench.errors import UsageError
from bench.exchange.spreadsheet import pair, write_spreadsheet

openpyxl = pytest.importorskip("openpyxl")
bjontegaard = pytest.importorskip("bjontegaard")


def table(codecs: dict[str, tuple[int, float]], images: tuple[str, ...] = ("a", "b", "c")):
    """Records of codecs with so many points, and this factor on their rates; images differ in rate and quality."""
    rows = []
    for codec, (points, factor) in codecs.items():
        for number, image in enumerate(images):
            for index in range(points):
                rate = 0.1 * 1.6**index * (1 + 0.3 * number)
                psnr = 26 + 2.2 * index + 0.5 * number + 0.1 * index * (codec == "test")
                rows.append(
                    {"dataset": "set", "image": image, "codec": codec, "role": "codec", "status": "ok"}
                    | {"point": f"q{index}", "point_index": index, "bpp": factor * rate, "psnr_rgb_db": psnr}
                    | {"psnr_y_db": psnr + 1, "ms_ssim_db": psnr / 2, "saturated": False, "codec_version": f"{codec} 1"}
                )
    return records.table(rows)


def cells(path: Path, sheet: str) -> list[list]:
    return [list(row) for row in openpyxl.load_workbook(path)[sheet].iter_rows(values_only=True)]


def test_four_points_spread_over_the_common_range_stand_beside_the_bd_rates_of_an_independent_package(tmp_path):
    frame = table({"anchor": (10, 1.0), "test": (8, 0.9)})
    write_spreadsheet(frame, ["set"], "anchor", "test", tmp_path / "x.xlsx")
    rows = cells(tmp_path / "x.xlsx", "set")
    assert rows[0][:3] == ["Points of anchor", "q0, q2, q5, q7", "of 10"]
    assert rows[1][:3] == ["Points of test", "q0, q2, q5, q7", "of 8"]
    head, block = rows[4], rows[5:9]
    assert head[:3] == ["Sequence", "QP", "bit/pixel"] and [row[0] for row in block] == ["a", None, None, None]
    assert [row[1] for row in block] == ["q0", "q2", "q5", "q7"]
    sides = [np.array([[row[2 + 5 * side], row[4 + 5 * side]] for row in block], float) for side in (0, 1)]
    assert head[4] == head[9] == "RGB-PSNR"
    expected = bjontegaard.bd_rate(*sides[0].T, *sides[1].T, method="pchip")
    assert block[0][head.index("BD-rate RGB-PSNR, 4 points")] == pytest.approx(expected, abs=1e-6)
    every = [frame[(frame.codec == codec) & (frame.image == "a")] for codec in ("anchor", "test")]
    pairs = [column for it in every for column in (it.bpp.to_numpy(), it.psnr_rgb_db.to_numpy())]
    expected = bjontegaard.bd_rate(*pairs, method="pchip", require_matching_points=False)
    assert block[0][head.index("BD-rate RGB-PSNR, all points")] == pytest.approx(expected, abs=1e-6)
    summary = cells(tmp_path / "x.xlsx", "Summary")
    of_images = [rows[5 + 4 * number][head.index("BD-rate RGB-PSNR, 4 points")] for number in range(3)]
    assert summary[7][:2] == ["set", 3]
    assert summary[7][summary[6].index("BD-rate RGB-PSNR, 4 points")] == pytest.approx(np.mean(of_images))


def test_there_is_no_formula_whatever_an_image_is_called_and_the_bytes_are_the_same_twice(tmp_path):
    frame = table({"anchor": (4, 1.0), "test": (4, 0.9)}, ("=1+1", "@x", "bell\x07"))
    for name in ("x.xlsx", "y.xlsx"):
        write_spreadsheet(frame, ["set"], "anchor", "test", tmp_path / name)
    assert (tmp_path / "x.xlsx").read_bytes() == (tmp_path / "y.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.xlsx") as parts:
        assert set(re.findall(rb"\d{4}-\d\d-\d\dT", parts.read("docProps/core.xml"))) == {b"1980-01-01T"}
        assert {info.date_time[0] for info in parts.infolist()} == {1980}
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    every = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in every} == {"s", "n"}
    assert {"=1+1", "@x", "bell?"} <= {cell.value for cell in every}


def test_what_has_no_common_images_or_range_is_refused():
    with pytest.raises(UsageError, match="no measured image"):
        pair(table({"anchor": (4, 1.0)}), "set", "anchor", "test")
    with pytest.raises(UsageError, match="two operating points"):
        pair(table({"anchor": (4, 1.0), "test": (1, 1.0)}), "set", "anchor", "test")
    apart = table({"anchor": (4, 1.0), "test": (4, 1.0)})
    apart.loc[apart.codec == "test", "psnr_rgb_db"] += 40
    with pytest.raises(UsageError, match="share no range"):
        pair(apart, "set", "anchor", "test")


def test_a_run_is_written_from_the_command_line_with_what_was_chosen(tmp_path, capsys):
    folder, rows = small_run(tmp_path, ["jpeg", "webp", "identity"])
    records.write(records.table(rows), folder / "records.parquet")
    command = ["export", "jvet", "--folder", str(folder), "--out", str(tmp_path / "x.xlsx")]
    assert main([*command, "--anchor", "jpeg", "--codecs", "webp"]) == 0
    assert "points of jpeg: " in capsys.readouterr().err
    assert openpyxl.load_workbook(tmp_path / "x.xlsx").sheetnames == ["Summary", "photos"]
    assert main([*command, "--codecs", "webp"]) == 2 and "--anchor" in capsys.readouterr().err
    assert main([*command, "--anchor", "jpeg", "--codecs", "identity"]) == 2
