"""The report's page: nothing is missing from it, its numbers are those of the tables, and it works from a file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from smallrun import small_run, write

from bench import records
from bench.claims.ledger import NOT_TESTABLE, REPRODUCED
from bench.discovery import load
from bench.errors import UsageError
from bench.figures.colour import contrast
from bench.figures.fitting import common_range, short_labels, spread
from bench.figures.spec import read_specification
from bench.figures.style import COLOURS, styles
from bench.files import sha256, sha256_pixels, to_json
from bench.rd.published import published_curve
from bench.report import build
from bench.report.checks import controls
from bench.report.looks import DARK_GROUND, LIGHT_GROUND, legible, look
from bench.report.message import level, training_sentences
from bench.report.originals import load_originals
from bench.report.run import read_run
from bench.report.sketch import plot

CODECS = ("jpeg", "webp", "identity", "grey")
FAILURE = "decode: ValueError: <b>& not a bitstream"
SKIP = "no encoder called nosuch is installed"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with its report, for tests that only read it.

    Real bitstreams of identity, grey, JPEG and WebP; one codec skipped, one piece failed.
    """
    folder, rows = small_run(tmp_path_factory.mktemp("run"), CODECS)
    failed = next(
        row for row in rows if row["codec"] == "webp" and row["image"] == "coffee" and row["point_index"] == 1
    )
    kept = ("dataset", "codec", "role", "image", "image_sha256", "width", "height", "point", "point_index")
    rows.remove(failed)
    rows.append({key: failed[key] for key in kept} | {"status": "failed", "reason": FAILURE, "log": "logs/webp.log"})
    rows.append({"dataset": "photos", "codec": "nosuch", "role": "codec", "status": "skipped", "reason": SKIP})
    records.write(records.table(rows), folder / "records.parquet")
    write(folder / "logs" / "webp.log", "ValueError")
    records.write_csv(pd.DataFrame(BD_ROWS), folder / "bd.csv")
    build(folder)
    return folder


@pytest.fixture
def run_folder(built: Path, tmp_path: Path) -> Path:
    """A copy of the run and its report, for tests that change it."""
    return shutil.copytree(built, tmp_path / "results" / "small")


@pytest.fixture
def index(built: Path) -> Path:
    return built / "report" / "index.html"


def bd_row(averaging: str, method: str, value: float | None, **more: Any) -> dict[str, Any]:
    row = {"dataset": "photos", "metric": "psnr_rgb_db", "anchor": "jpeg", "codec": "webp"}
    row |= {"averaging": averaging, "method": method, "bd_rate_percent": value, "ci_low": None, "ci_high": None}
    row |= {"bd_quality": 1.25, "overlap": 0.9, "overlap_note": "", "n_images": 2, "n_images_without_value": 0}
    row |= {"repaired_points": 0, "quality_low": 28.0, "quality_high": 36.0, "reason": ""}
    return row | more


BD_ROWS = [
    bd_row("per_image", "pchip", -31.23456, ci_low=-40.5, ci_high=-20.25, overlap=0.7, overlap_note="amber"),
    bd_row("per_image", "cubic", -30.875),
    bd_row("averaged_curve", "pchip", None, overlap=0.4, overlap_note="withheld", reason="overlap_under_half"),
]


def change_records(folder: Path, change: Callable[[pd.DataFrame], None]) -> None:
    frame = records.read(folder / "records.parquet")
    change(frame)
    records.write(frame, folder / "records.parquet")


class Page(HTMLParser):
    """A page's links, resources, embedded data, <data> values and tables as text."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.values: list[float] = []
        self.ids: set[str] = set()
        self.json: dict[str, Any] = {}
        self.rows: list[str] = []
        self.captions = self.tables = 0
        self.inside: str | None = None
        self.in_row = False
        self.source = path.read_text()
        self.text = ""
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if "id" in found:
            self.ids.add(found["id"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img") and found.get("src"):
            self.resources.append(found["src"])
        if tag == "link":
            self.resources.append(found["href"])
        if tag == "data":
            self.values.append(float(found["value"]))
        if tag == "script":
            self.inside = found.get("id", "")
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag == "tr":
            self.rows.append("")
            self.in_row = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self.inside = None
        if tag in ("th", "td") and self.in_row:
            self.rows[-1] += " "
        if tag == "tr":
            self.in_row = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.json[self.inside] = json.loads(data, parse_constant=_refuse)
        elif self.inside is None:
            self.text += data
            if self.in_row:
                self.rows[-1] += data

    def row(self, *words: str) -> str:
        """The one table row that holds all the words."""
        rows = [" ".join(row.split()) for row in self.rows if all(word in row for word in words)]
        assert len(rows) == 1, rows
        return rows[0]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def column(data: dict[str, Any], name: str) -> list[Any]:
    found = next(column for column in data["columns"] if column["name"] == name)
    codes = found.get("codes")
    return found["values"] if codes is None else [None if code is None else found["values"][code] for code in codes]


def explorer(folder: Path) -> dict[str, Any]:
    return Page(folder / "report" / "explore.html").json["page-data"]


def test_every_skip_and_failure_stands_on_the_page_with_its_reason_and_log(index: Path) -> None:
    page = Page(index)
    assert "1 failure, 1 skipped" in page.text
    assert SKIP in page.row("skipped", "nosuch", "whole dataset")
    assert FAILURE in page.row("failed", "WebP", "1 bitstream")
    assert "<b>&" not in page.source
    assert "../logs/webp.log" in page.links
    assert "records.html#dataset=photos&codec=webp&status=failed" in page.links


def test_a_refused_image_stands_once_and_is_no_fault_of_the_control_codecs(run_folder: Path) -> None:
    """Every codec, controls too, has a skipped row of an image that could not be taken."""
    reason = "it is to be turned or mirrored for display (EXIF orientation 6)"
    frame = records.read(run_folder / "records.parquet")
    roles = frame.drop_duplicates("codec").set_index("codec").role
    refused = [
        {"dataset": "photos", "codec": codec, "role": roles[codec], "image": "turned", "status": "skipped"}
        | {"reason": reason}
        for codec in CODECS
    ]
    records.write(pd.concat([frame, records.table(refused)], ignore_index=True), run_folder / "records.parquet")
    page = Page(build(run_folder))
    assert "harness is broken" not in page.text
    assert "2 of 2 images identical as expected" in page.row("identity", "images identical")
    assert page.row("turned", reason)
    assert page.source.count(reason) == 1
    assert "1 failure, 1 skipped, 1 image refused;" in page.text
    assert "records.html#dataset=photos&image=turned&status=skipped" in page.links


def test_a_control_codec_that_fails_on_an_image_still_breaks_the_harness(run_folder: Path) -> None:
    def fail(frame: pd.DataFrame) -> None:
        frame.loc[(frame.codec == "identity") & (frame.image == "coffee"), ["status", "reason"]] = "failed", "killed"

    change_records(run_folder, fail)
    page = Page(build(run_folder))
    assert "The harness is broken" in page.text and "1 of 2 images identical" in page.text


def test_numbers_of_the_bd_table_are_those_of_bd_csv(index: Path) -> None:
    page = Page(index)
    known = [row["bd_rate_percent"] for row in BD_ROWS if row["bd_rate_percent"] is not None]
    assert set(known) <= set(page.values)
    headline = page.row("−31.2", "[−40.5, −20.2]", "withheld")
    assert "0.70" in headline and "+1.25" in headline
    assert "overlap by less than half of the shorter one" in page.text
    assert 'class="mark amber" title="under 0.75' in page.source


def test_the_page_begins_with_the_training_the_claims_the_curves_and_the_bd_rates(run_folder: Path) -> None:
    part = {"names": [], "verdict": REPRODUCED, "value": 2.5, "unit": "dB", "reason": "", "note": "", "lacks": ""}
    part |= {"ci_low": 2.0, "ci_high": 3.0, "n_images": 2, "test": "mean_gain(webp, jpeg) > 0"}
    claim = {"paper": "own", "dataset": "photos", "verdict": REPRODUCED, "name": "one", "where": ""}
    claim |= {"parts": [part], "reason": "", "tolerance": None, "run": "", "changes": "", "kind": "headline"}
    claim |= {"says": "Own is better (read as by 1 %)."}
    absent = {
        **part,
        "verdict": NOT_TESTABLE,
        "value": None,
        "reason": "codec nosuch is not in the run",
        "lacks": "codec",
    }
    away = {**claim, "name": "away", "verdict": NOT_TESTABLE, "parts": [absent], "reason": absent["reason"]}
    sure = {**claim, "name": "three", "kind": "by construction"}  # in no count
    detail = {**claim, "name": "two", "kind": "detail", "says": "Only a detail."}
    papers = {"own": {"title": "Own: a paper", "arxiv": "1", "datasets": ["photos"], "training": {"gpu_days": 2}}}
    write(run_folder / "claims.json", to_json({"papers": papers, "claims": [claim, detail, away, sure]}))
    page = Page(build(run_folder))
    source = page.source
    start = source[source.index('id="overview"') : source.index('id="summary"')]
    sections = ("overview", "curves", "pictures", "claims", "cost", "methods", "records")
    places = [source.index(f'<section id="{name}"') for name in sections]
    assert places == sorted(places), "in the order in which a reader asks"
    assert "No codec of this run has trained weights." in start
    drawn = re.findall(r'<g class="curve[^>]*data-codec="(\w+)"', start)
    listed = re.findall(r'<tr data-codec="(\w+)"', start)
    assert set(drawn) == {"jpeg", "webp"} and listed == ["webp", "jpeg"], "by BD-rate, the anchor at zero"
    assert 'href="records.html#dataset=photos&amp;codec=webp"><data value="-31.23456"' in start
    assert "[−40.5, −20.2]" in start and "1 failure" in start and "1 skipped" in start
    assert 'href="#claims-photos-own">2 reproduced of 3 claims</a>' in start
    assert "Own is better." in start and "mean gain +2.50 dB [+2.00, +3.00]" in start and "Only a detail" not in start
    assert '<a href="#untested-photos">This run cannot test 1 more headline claim</a>' in start
    claims = source[places[3] : places[4]]
    assert 'id="claims-photos-own"' in claims and claims.count('<details class="claim"') == 3
    assert "1 claim that this run cannot test: 1 because a codec did not run, 0 because they" in page.text
    assert "codec nosuch is not in the run" not in claims[: claims.index('id="untested-photos"')]


def test_the_first_sentence_sums_the_trainings_and_says_how_far_they_are_from_the_published_level(
    run_folder: Path,
) -> None:
    path = run_folder / "status" / "webp.json"
    facts = [{"name": "net", "hours": 1.5, "device": "CPU, 1 threads"}, {"name": "bit", "hours": 1, "base": "net"}]
    path.write_text(to_json({**json.loads(path.read_text()), "training": facts}))
    papers = {"a": {"training": {"gpu_days": 2.5}}, "b": {"training": {"gpu_days": 0.4}}, "c": {}}
    first, *others = training_sentences(read_run(run_folder), papers)
    assert first == (
        "The learned codecs' networks were trained for 2.5 hours in all (CPU, 1 thread); the papers' own trainings "
        "take 0.4 to 2.5 GPU days (estimated for an A100)."
    )
    assert others == [
        "How far they are from published networks cannot be said here: published curves exist only for Kodak."
    ]


@pytest.mark.parametrize(("factor", "words"), [(1.5, "are not at the published level"), (1.02, "are at the published")])
def test_the_level_is_the_bd_rate_against_the_published_curve_of_the_same_architecture(
    run_folder: Path, factor: float, words: str
) -> None:
    curve = published_curve("compressai/mbt2018-mean_mse_8bit", "kodak", "psnr_rgb_db")
    about = {"dataset": "kodak", "image": "a", "codec": "mean_scale", "role": "codec", "status": "ok"}
    points = enumerate(zip(curve.bpp, curve.value, strict=True))
    rows = [
        about | {"point": f"p{at}", "point_index": at, "bpp": factor * bpp, "psnr_rgb_db": value, "saturated": False}
        for at, (bpp, value) in points
    ]
    records.write(records.table(rows), run_folder / "records.parquet")
    (sentence,) = level(read_run(run_folder))
    assert words in sentence and f"needs {100 * (factor - 1):.0f} % more rate" in sentence and "Kodak" in sentence


def test_the_headlines_curves_stand_where_the_records_say(built: Path) -> None:
    curve = {"bpp": [0.1, 1.0, 10.0], "value": [20.0, 30.0, 45.0]}
    places = plot({"one": curve})
    (left, top), (middle, between), (right, bottom) = places["curves"]["one"]
    assert middle - left == pytest.approx(right - middle, abs=0.2), "equal ratios of rate, equal distances"
    assert (bottom - between) / (between - top) == pytest.approx(1.5, abs=0.01)
    assert {text: x for x, text in places["x_ticks"]}["1"] == middle
    assert {text: y for y, text in places["y_ticks"]}["30"] == between
    assert plot({"one": {"bpp": [], "value": []}}) is None


def test_one_curve_of_tiny_rates_does_not_stretch_the_axes() -> None:
    usual = {"bpp": [0.1, 0.5, 2.0], "value": [25.0, 32.0, 40.0]}
    tiny = {"bpp": [0.008, 0.3], "value": [14.0, 27.0]}
    assert common_range([usual, usual, tiny]) == (0.1, 2.0)
    alone, both = plot({"a": usual, "b": usual}), plot({"a": usual, "b": usual, "tiny": tiny}, ["a", "b"])
    assert alone["curves"]["a"] == both["curves"]["a"] and alone["x_ticks"] == both["x_ticks"]
    assert both["curves"]["tiny"][0][0] < both["box"][0], "it leaves the box, where it is clipped"
    assert both["ends"]["tiny"][2] is None and both["ends"]["a"][2] is not None, "only bold curves have labels"
    apart = plot({"a": usual, "low": {"bpp": [0.001, 0.002], "value": [10.0, 11.0]}}, ["a"])
    assert "low" not in apart["ends"]


def test_labels_at_line_ends_do_not_overlap_and_stay_inside() -> None:
    places = spread([50.0, 51.0, 52.0, 300.0, 395.0, 396.0], gap=14, low=10, high=398)
    assert all(after - before >= 14 for before, after in pairwise(places))
    assert places[0] >= 10 and places[-1] <= 398 and places[3] == 300
    labels = {"a": "STanH (3 anchors, 3 derivations)", "b": "STanH (1 anchor)", "c": "BPG 4:4:4", "d": "x" * 40}
    assert short_labels(labels) == {
        "a": "STanH (3 anchors)",
        "b": "STanH (1 anchor)",
        "c": "BPG 4:4:4",
        "d": "x" * 22 + "…",
    }


def test_print_without_colour_tells_codecs_apart() -> None:
    given = read_specification()["styles"]
    names = [name for name in given if "/" not in name and load(name).role == "codec"]
    looks = styles(names, given, {})
    markers = [look(looks[name])["marker"] for name in names]
    assert len(names) > 20 and sorted(set(markers)) == sorted(markers)


def test_every_line_has_wcags_contrast_on_both_pages(built: Path) -> None:
    css = (built / "report" / "assets" / "report.css").read_text()
    assert f"--ground: light-dark({LIGHT_GROUND}, {DARK_GROUND})" in css
    given = [style["colour"] for style in read_specification()["styles"].values() if "colour" in style]
    for colour in {*given, *COLOURS, "#ffffff", "#000000", "#ffff00", "#0000ff"}:
        assert contrast(legible(colour, dark=False), LIGHT_GROUND) >= 3
        assert contrast(legible(colour, dark=True), DARK_GROUND) >= 3
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005), "as WCAG's examples have it"
    assert legible("#0072B2", dark=False) == "#0072B2", "what is legible stays"


def test_the_explorer_holds_every_measured_number_with_every_digit(built: Path) -> None:
    page = explorer(built)
    frame = records.measured(records.read(built / "records.parquet"))
    for codec in ("jpeg", "webp"):
        held = page["measured"]["photos"][codec]
        for image, rows in frame[frame.codec == codec].groupby("image"):
            at = [held["points"].index(point) for point in rows.point]
            for column in ("bytes", "psnr_rgb_db", "psnr_y_db", "ms_ssim_db", "ms_ssim"):
                assert [held["images"][image][column][place] for place in at] == list(rows[column])
    assert page["measured"]["photos"]["webp"]["images"]["coffee"]["bytes"].count(None) == 1, "one failed"
    assert set(page["measured"]["photos"]) == {"jpeg", "webp"}, "controls are not plotted"


def test_the_table_of_plotted_numbers_is_that_of_the_records(built: Path, index: Path) -> None:
    frame = records.measured(records.read(built / "records.parquet"))
    point = frame[(frame.codec == "jpeg") & (frame.point_index == 1)]
    row = Page(index).row("JPEG", point.point.iloc[0])
    assert f"{point.bpp.mean():.4f} {point.psnr_rgb_db.mean():.3f}" in row


def test_the_records_view_holds_every_row_and_links_to_every_bitstream(built: Path) -> None:
    view = Page(built / "report" / "records.html").json["records-data"]
    frame = records.read(built / "records.parquet")
    assert view["rows"] == len(frame)
    expected = frame.bitstream_sha256.astype(object).where(frame.status == "ok", None)
    assert column(view, "bitstream_sha256") == list(expected)
    for path, digest in zip(column(view, "bitstream"), column(view, "bitstream_sha256"), strict=True):
        if path is not None:
            assert sha256((built / "report" / view["base"] / path).read_bytes()) == digest
    assert column(view, "psnr_rgb_db").count("inf") == 2


def test_the_page_loads_nothing_from_the_network_and_every_relative_link_resolves(index: Path) -> None:
    for path in (index, index.parent / "explore.html", index.parent / "records.html"):
        page = Page(path)
        assert not [url for url in page.resources if re.match(r"(https?:)?//", url)]
        for link in [*page.links, *(url for url in page.resources if not url.startswith("data:"))]:
            target, _, fragment = unquote(link).partition("#")
            if target.startswith("http"):
                continue
            assert (path.parent / target).exists(), link
            if fragment and not target:
                assert fragment in page.ids, link
    for style in (index.parent / "assets").glob("*.css"):
        assert "url(" not in style.read_text() and "@import" not in style.read_text()


def test_gallery_pictures_have_the_recorded_pixels_and_are_made_once(run_folder: Path) -> None:
    index = build(run_folder)
    shown = explorer(run_folder)["gallery"]["photos"]
    measured = records.measured(records.read(run_folder / "records.parquet"))
    frame = measured.set_index(["image", "codec", "point"])
    pictures = {}
    for image, group in shown["images"].items():
        assert (
            sha256_pixels(np.asarray(Image.open(index.parent / group["original"]["src"])))
            == group["original"]["sha256"]
        )
        for rate, at_rate in zip(shown["rates"], group["shown"], strict=True):
            assert set(at_rate) == {"jpeg", "webp"}
            for codec, facts in at_rate.items():
                row = frame.loc[image, codec, facts["point"]]
                path = index.parent / facts["src"]
                assert sha256_pixels(np.asarray(Image.open(path))) == row.reconstruction_sha256
                assert (facts["bytes"], facts["bpp"], facts["sha256"]) == (row.bytes, row.bpp, row.bitstream_sha256)
                gaps = np.abs(np.log(measured[(measured.image == image) & (measured.codec == codec)].bpp / rate))
                assert abs(np.log(facts["bpp"] / rate)) == pytest.approx(gaps.min())
                pictures[path] = path.stat().st_mtime_ns
    stray = index.parent / "images" / "photos" / "old.png"
    stray.write_bytes(b"")
    build(run_folder)
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures
    assert not stray.exists()


def test_a_bitstream_that_no_longer_gives_the_recorded_pixels_is_not_shown(run_folder: Path) -> None:
    shutil.rmtree(run_folder / "report")
    paths = sorted((run_folder / "bitstreams" / "photos" / "jpeg").glob("astronaut.*"))
    shutil.copy(paths[2], paths[0])
    paths[1].unlink()
    paths[3].write_bytes(b"no JPEG")
    frame = records.read(run_folder / "records.parquet")
    mine = frame[(frame.codec == "jpeg") & (frame.image == "astronaut")].sort_values("bitstream")
    build(run_folder, gallery_bpp=mine.bpp, gallery_images=["astronaut"])
    page = explorer(run_folder)
    assert set(page["gallery"]["photos"]["images"]) == {"astronaut"}
    shown = [at_rate["jpeg"] for at_rate in page["gallery"]["photos"]["images"]["astronaut"]["shown"]]
    assert "decoded again it has pixels" in shown[0]["reason"]
    assert "is missing" in shown[1]["reason"]
    assert "decoding again failed" in shown[3]["reason"]
    assert ["src" in facts for facts in shown] == [False, False, True, False]


def test_the_same_run_gives_the_same_bytes(run_folder: Path) -> None:
    index = build(run_folder)
    first = {path: path.read_bytes() for path in index.parent.rglob("*") if path.is_file()}
    shutil.rmtree(index.parent)
    build(run_folder)
    assert {path: path.read_bytes() for path in index.parent.rglob("*") if path.is_file()} == first
    page = index.read_text()
    assert not re.search(r"\b20\d\d-[01]\d-[0-3]\d\b", page)


def test_no_banner_while_the_controls_are_as_expected(index: Path) -> None:
    page = Page(index)
    assert "The harness is broken" not in page.text
    assert "control codecs as expected" in page.text


@pytest.mark.parametrize(
    ("codec", "values"),
    [
        ("identity", {"identical": False, "psnr_rgb_db": 60.0}),
        ("identity", {"status": "failed", "psnr_rgb_db": None, "identical": None}),
        ("grey", {"psnr_rgb_db": 12.0}),
    ],
)
def test_a_control_that_is_off_says_that_the_harness_is_broken(
    run_folder: Path, codec: str, values: dict[str, Any]
) -> None:
    def spoil(frame: pd.DataFrame) -> None:
        row = frame.index[frame.codec == codec][0]
        for name, value in values.items():
            frame.loc[row, name] = value

    change_records(run_folder, spoil)
    page = Page(build(run_folder))
    assert "The harness is broken" in page.text
    assert "off" in page.row("images identical" if codec == "identity" else "largest difference", "photos")


def test_a_missing_control_counts_as_off(run_folder: Path) -> None:
    frame = records.read(run_folder / "records.parquet")
    records.write(frame[frame.codec != "grey"], run_folder / "records.parquet")
    run = read_run(run_folder)
    found = controls(run, load_originals(run))
    assert not found["ok"]
    assert [check["found"] for check in found["checks"] if not check["ok"]] == ["absent"]


def test_what_was_not_made_is_said_and_not_left_out(run_folder: Path) -> None:
    (run_folder / "bd.csv").unlink()
    page = Page(build(run_folder))
    for words in (
        "bd.csv is absent",
        "validation.csv is absent",
        "Not measured: this run has no times",
        "drew no figures",
    ):
        assert words in page.text


def test_times_stand_with_their_device(run_folder: Path) -> None:
    timing = {"dataset": "photos", "codec": "jpeg", "image": "coffee", "point": "q50", "status": "ok"}
    timing |= {f"{side}_s_{kind}": 0.002 for side in ("encode", "decode") for kind in ("median", "iqr")}
    timing |= {"pixels": 4_000_000, "repeats": 3, "threads": 1, "device": "abacus"}
    pd.DataFrame([timing]).to_parquet(run_folder / "timing.parquet")
    page = Page(build(run_folder))
    assert "Measured serially on abacus" in page.text
    assert "2.0 ± 2.0 2000" in page.row("JPEG", "1 × 1 × 3")


def test_a_published_report_stands_without_its_run(run_folder: Path, tmp_path: Path) -> None:
    index = build(run_folder, out=tmp_path / "reports" / "small", published=True)
    shutil.rmtree(run_folder)
    page = Page(index)
    assert not [link for link in page.links if link.startswith("../")]
    assert (index.parent / "../assets/plotly-basic.min.js").is_file()
    assert not list(index.parent.rglob("images/**/*.*")), "pictures of a user's images are not published"
    assert Page(index.parent / "records.html").json["records-data"]["base"] is None
    explored = Page(index.parent / "explore.html")
    assert not [link for link in explored.links if link.startswith("../")]
    entry = explored.json["page-data"]["gallery"]["photos"]["images"]["coffee"]
    assert "not part of a published report" in entry["original"]["reason"]
    assert "bitstream" not in entry["shown"][0]["jpeg"]


def test_the_online_page_pins_plotly_by_its_hash(run_folder: Path) -> None:
    page = build(run_folder, offline=False).with_name("explore.html")
    assert re.search(
        r'src="https://cdn\.plot\.ly/plotly-basic-[\d.]+\.min\.js" integrity="sha256-\S{44}"', page.read_text()
    )
    assert not (page.parent / "assets" / "plotly-basic.min.js").exists()


def test_every_table_has_a_caption(index: Path) -> None:
    page = Page(index)
    assert page.tables == page.captions > 5
    explored = Page(index.with_name("explore.html"))
    assert explored.tables == explored.captions == 2


def test_a_folder_without_records_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"records\.parquet is missing.*snakemake"):
        build(tmp_path)


def test_a_run_of_fewer_operating_points_says_how_many():
    from types import SimpleNamespace

    from bench.report.message import fewer_points

    measured = pd.DataFrame({"codec": ["jpeg"] * 4, "point_index": [0, 9, 0, 9]})
    many, two = ({"jpeg": {"points": [{}] * count}} for count in (10, 2))
    assert "At most 2 operating points" in fewer_points(SimpleNamespace(measured=measured, statuses=many))
    assert fewer_points(SimpleNamespace(measured=measured, statuses=two)) == ""
