"""The pages with images of any name, with reasons of any length, and with more records than one file should hold."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from browser import MARKS
from smallrun import small_run

from bench import records
from bench.rd.compare import compare_all
from bench.report import build
from bench.report.data import LONGEST_TEXT, records_data
from bench.report.run import read_run

pytestmark = pytest.mark.slow
pytest_plugins = ["browser"]
NAMES = ("a#b?c", "constructor", "__proto__", "100%41 x", "toString", "=1+1")
HREFS = "(all) => all.map((a) => a.getAttribute('href'))"
BUILD = importlib.import_module("bench.report.build")
CODECS = ("jpeg", "spiht", "identity", "grey")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images of those names, with its pages."""
    rng = np.random.default_rng(0)
    images = {name: np.kron(rng.integers(0, 256, (24, 24, 3)), np.ones((8, 8, 1))).astype(np.uint8) for name in NAMES}
    folder, rows = small_run(tmp_path_factory.mktemp("run"), CODECS, images)
    frame = records.table(rows)
    records.write(frame, folder / "records.parquet")
    records.write_csv(frame, folder / "records.csv")
    records.write_csv(compare_all(frame, ["photos"], ["jpeg"], ["psnr_rgb_db"]), folder / "bd.csv")
    build(folder, gallery_bpp=(0.5,))
    return folder


@pytest.mark.browser
@pytest.mark.skipif(MARKS[1].args[0], reason="needs Chromium")
@pytest.mark.parametrize("name", NAMES)
def test_the_viewer_shows_an_image_of_any_name_with_its_pictures_and_links(named: Path, page: Any, name: str) -> None:
    from urllib.parse import quote

    page.goto((named / "report" / "explore.html").as_uri() + f"#image={quote(name, safe='')}&average=image")
    page.wait_for_selector("#plot .main-svg")
    assert page.input_value("[name=image]") == name
    shown = page.locator(".layer img")
    page.wait_for_function("() => [...document.querySelectorAll('.layer img')].every((it) => it.naturalWidth)")
    assert shown.count() >= 1
    widths = shown.evaluate_all("(images) => images.map((it) => it.naturalWidth)")
    assert set(widths) == {192}, "every picture was found under its address"
    for link in page.locator("a[href^='../bitstreams']").evaluate_all(
        "(all) => all.map((a) => a.getAttribute('href'))"
    ):
        assert "#" not in link and "?" not in link
        assert (named / "report" / unquote(link)).resolve().is_file()


@pytest.mark.browser
@pytest.mark.skipif(MARKS[1].args[0], reason="needs Chromium")
def test_links_of_the_records_lead_to_their_bitstreams_and_the_saved_rows_hold_no_formula(
    named: Path, page: Any
) -> None:
    page.goto((named / "report" / "records.html").as_uri() + "#codec=jpeg")
    links = page.locator("#records tbody a").evaluate_all(HREFS)
    frame = records.read(named / "records.parquet")
    assert len(links) == (frame.codec == "jpeg").sum()
    assert all((named / "report" / unquote(link)).resolve().is_file() for link in links)
    with page.expect_download() as download:
        page.click("#save")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert {row["image"] for row in rows} == {"'=1+1" if name == "=1+1" else name for name in NAMES}


@pytest.mark.browser
@pytest.mark.skipif(MARKS[1].args[0], reason="needs Chromium")
def test_records_in_pieces_are_all_found_and_filtered(named: Path, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = records.read(named / "records.parquet")
    monkeypatch.setattr(BUILD, "records_data", lambda run, links: records_data(run, links, size=7))
    build(named, out=named.parent / "pieces")
    pieces = -(-len(frame) // 7)
    assert {path.name for path in (named.parent / "pieces" / "records").iterdir()} == {
        f"{number}.js" for number in range(1, pieces)
    }
    page.goto((named.parent / "pieces" / "records.html").as_uri())
    page.wait_for_function(
        f"() => document.getElementById('found').textContent === '{len(frame)} of {len(frame)} rows'"
    )
    page.select_option("[name=codec]", "spiht")
    expected = int((frame.codec == "spiht").sum())
    assert page.text_content("#found") == f"{expected} of {len(frame)} rows"
    shown = page.locator("#records tbody tr.row").evaluate_all("(all) => all.map((row) => row.cells[9].innerText)")
    assert sorted(shown) == sorted(digest[:16] for digest in frame[frame.codec == "spiht"].bitstream_sha256)


def test_pieces_hold_every_row_once_and_a_small_run_is_one(named: Path) -> None:
    run = read_run(named)
    (whole,) = records_data(run, links=True)
    assert whole["rows"] == whole["total"] == len(run.records)
    pieces = records_data(run, links=True, size=10)
    assert [piece["rows"] for piece in pieces[:-1]] == [10] * (len(pieces) - 1)
    held: list[Any] = []
    for piece in pieces:
        column = next(column for column in piece["columns"] if column["name"] == "bitstream_sha256")
        held += [column["values"][code] for code in column["codes"]]
    assert held == list(run.records.bitstream_sha256)


def test_a_smaller_build_leaves_no_piece_of_a_larger_one(named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = named.parent / "shrinking"
    monkeypatch.setattr(BUILD, "records_data", lambda run, links: records_data(run, links, size=5))
    build(named, out=target)
    assert len(list((target / "records").iterdir())) > 1
    monkeypatch.undo()
    build(named, out=target)
    assert list((target / "records").iterdir()) == []


def test_a_page_shows_the_beginning_of_an_endless_reason(named: Path, tmp_path: Path) -> None:
    frame = records.read(named / "records.parquet")
    reason = "x" * 1_000_000
    failed = {"dataset": "photos", "codec": "webp", "role": "codec", "status": "failed", "reason": reason}
    about = {"dataset": "photos", "image": "z", "status": "skipped", "reason": f"y{reason}"}
    refused = [about | {"codec": codec} for codec in CODECS]
    longer = pd.concat([frame, records.table([failed, *refused])], ignore_index=True)
    for path in named.rglob("*"):
        if path.is_file() and "report" not in path.parts:
            (tmp_path / path.relative_to(named)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(named)).write_bytes(path.read_bytes())
    records.write(longer, tmp_path / "records.parquet")
    build(tmp_path)
    for name in ("index.html", "records.html"):
        text = (tmp_path / "report" / name).read_text()
        assert "x" * LONGEST_TEXT in text and "x" * (LONGEST_TEXT + 1) not in text
        assert "(1000000 characters, see records.csv)" in text
        assert len(text) < 1_000_000


@pytest.mark.parametrize(
    "text", ["=1+1", "+a", "-x", "@sum(a)", "\tx", "\rx", "'=1", "''-a", "'plain", "plain", "-5", "a=b", "'"]
)
def test_cells_that_look_like_formulas_are_neutral_in_csv_and_read_back_as_they_were(text: str, tmp_path: Path) -> None:
    row = {
        "dataset": "photos",
        "codec": "jpeg",
        "status": "failed",
        "image": text,
        "reason": text,
        "psnr_rgb_db": -5.25,
    }
    frame = records.table([row])
    records.write_csv(frame, tmp_path / "a.csv")
    (written,) = csv.DictReader(io.StringIO((tmp_path / "a.csv").read_bytes().decode(), newline=""))
    assert written["psnr_rgb_db"] == "-5.25", "numbers stay numbers"
    if text not in ("-5",):
        assert not re.match(r"[=+\-@\t\r]", written["image"])
    found = records.read_csv(tmp_path / "a.csv")
    assert (found.image[0], found.reason[0], found.psnr_rgb_db[0]) == (text, text, -5.25)
    assert json.loads(json.dumps(found.image[0])) == text


def test_a_table_without_such_cells_is_as_pandas_writes_it() -> None:
    frame = pd.DataFrame({"a": ["x", None], "b": [-1.5, None], "c": [1, 2], "d": [True, None]})
    assert records.to_csv(frame) == frame.to_csv(index=False, lineterminator="\n")
    assert records.plain_texts(frame).equals(frame)
