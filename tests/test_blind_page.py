"""The page of a blind test in a real browser: three answers by keyboard, flicker, reload, the file of answers."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import MARKS
from smallrun import small_run

from bench import records
from bench.blind.answers import read_answers, read_key
from bench.cli import main

pytest_plugins = ["browser"]
pytestmark = [*MARKS, pytest.mark.slow]
TURNED = "() => [...document.querySelectorAll('.pane')].map((pane) => pane.classList.contains('turned'))"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 8 questions on one crop, JPEG at two rates and WebP at one."""
    folder, rows = small_run(tmp_path_factory.mktemp("run"), ("jpeg", "webp"))
    records.write(records.table(rows), folder / "records.parquet")
    out = folder.parent.parent / "page"
    given = ["--codecs", "jpeg", "webp", "--rates", "0.5", "--images", "astronaut", "--questions", "4"]
    assert main(["study-page", "--folder", str(folder), *given, "--out", str(out)]) == 0
    return out


def opened(page: Any, study: Path) -> Any:
    page.goto((study / "index.html").as_uri())
    page.wait_for_selector("#start:not([hidden]), #end:not([hidden])")
    return page


def shown(page: Any, number: int) -> None:
    page.wait_for_function(f"document.getElementById('which').textContent.startsWith('Question {number} ')")
    page.wait_for_timeout(400)  # an answer sooner than 0.3 s is taken for the last one's key


def downloaded(page: Any, button: str) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.click(button)
    path = Path(download.value.path())
    assert download.value.suggested_filename.startswith("answers-")
    return list(csv.DictReader(path.read_text().splitlines()))


def test_questions_are_answered_by_keyboard_and_the_file_has_their_rows(study: Path, page: Any, tmp_path: Path) -> None:
    key = read_key(study.with_name("page.key.json"))
    opened(page, study)
    assert page.inner_text("#count") == "4"
    page.focus("#begin")
    page.keyboard.press("Enter")
    for number, pressed in enumerate(["ArrowLeft", "ArrowRight", "ArrowDown"], 1):
        shown(page, number)
        page.keyboard.press(pressed)
    shown(page, 4)
    rows = downloaded(page, "#so-far")
    assert [row["answer"] for row in rows] == ["left", "right", "not sure"]
    assert [row["order"] for row in rows] == ["1", "2", "3"]
    assert len({row["question"] for row in rows}) == 3 and len({row["participant"] for row in rows}) == 1
    names = {question["id"]: question["names"][:2] for question in key["questions"]}
    for row in rows:
        assert sorted([row["left"], row["right"]]) == sorted(names[row["question"]])
        assert 0.3 < float(row["seconds"]) < 20 and row["mode"] == "flicker" and int(row["changes"]) >= 2
        assert (row["study"], row["visible"], row["window"]) == (key["study"], "1.000", "1200x900")
    participant = rows[0]["participant"]
    opened(page, study)
    assert page.inner_text("#begin") == "Go on with question 4"
    page.click("#begin")
    shown(page, 4)
    page.click("[data-answer=left]")
    page.wait_for_selector("#end:not([hidden])")
    rows = downloaded(page, "#download")
    assert len(rows) == 4 and {row["participant"] for row in rows} == {participant}
    (tmp_path / "answers.csv").write_text("\n".join(",".join(row) for row in [rows[0], *(r.values() for r in rows)]))
    found = read_answers([tmp_path / "answers.csv"], key)
    assert len(found.table) == 4 and not found.faults
    page.click("#again")
    assert page.inner_text("#begin") == "Start"
    assert page.evaluate("localStorage.length") == 0


def test_flicker_alternates_ten_times_a_second_in_place_and_stops(study: Path, page: Any) -> None:
    opened(page, study)
    page.click("#begin")
    shown(page, 1)
    count = """() => new Promise((done) => { const seen = []; const start = performance.now(); let last = null;
      const look = (time) => { const now = document.querySelector('.pane').classList.contains('turned');
        if (now !== last) seen.push(time); last = now;
        if (time - start < 1500) requestAnimationFrame(look); else done(seen); };
      requestAnimationFrame(look); })"""
    times = page.evaluate(count)
    steps = sorted(b - a for a, b in pairwise(times[1:]))
    assert steps[len(steps) // 2] == pytest.approx(100, abs=25), "the median time from change to change, in ms"
    boxes = (
        "() => [...document.querySelector('.pane').children].map((it) => JSON.stringify(it.getBoundingClientRect()))"
    )
    assert len(set(page.evaluate(boxes))) == 1
    page.keyboard.press("Space")
    assert page.evaluate(TURNED) == [False, False, False]
    page.wait_for_timeout(250)
    assert page.evaluate(TURNED) == [False, False, False]


def test_by_hand_the_space_bar_shows_the_original_in_place(study: Path, page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    opened(page, study)
    assert page.is_checked("[value='by hand']"), "who asked for less motion gets no flicker"
    page.click("#begin")
    shown(page, 1)
    assert page.is_hidden("#pause")
    page.keyboard.down("Space")
    assert page.evaluate(TURNED) == [True, False, True]
    page.keyboard.up("Space")
    assert page.evaluate(TURNED) == [False, False, False]


def test_a_pixel_of_the_picture_is_one_of_the_screen_and_small_windows_scroll_together(study: Path, page: Any) -> None:
    opened(page, study)
    page.click("#begin")
    shown(page, 1)
    size = "() => [document.querySelector('.pane img')].flatMap((it) => [it.width, it.naturalWidth, devicePixelRatio])"
    shown_px, natural, ratio = page.evaluate(size)
    assert shown_px == natural / ratio and page.is_hidden("#partly")
    page.set_viewport_size({"width": 400, "height": 500})
    page.wait_for_selector("#partly:not([hidden])")
    assert page.evaluate(size)[0] == natural / ratio
    page.evaluate("document.querySelector('.pane').scrollLeft = 25")
    page.wait_for_function("[...document.querySelectorAll('.pane')].every((pane) => pane.scrollLeft === 25)")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_function("[...document.querySelectorAll('.pane')].every((pane) => pane.scrollLeft === 0)")
    assert page.inner_text("#which").startswith("Question 1 "), "with shift an arrow answers nothing"


def test_what_the_page_holds_tells_no_codec(study: Path, page: Any) -> None:
    opened(page, study)
    page.click("#begin")
    shown(page, 1)
    key = json.loads(study.with_name("page.key.json").read_text())
    told = page.content() + "".join(path.name for path in study.rglob("*"))
    for condition in key["conditions"]:
        for secret in (condition["codec"], condition["image"], condition["reconstruction_sha256"]):
            assert not secret or secret not in told
    contrast = """() => [...document.querySelectorAll('button, p, figcaption, h1')].filter((it) => it.offsetParent)
      .map((it) => { const own = (node) => { for (; node; node = node.parentElement) {
          const colour = getComputedStyle(node).backgroundColor; if (colour !== 'rgba(0, 0, 0, 0)') return colour; } };
        const light = (colour) => { const [r, g, b] = colour.match(/\\d+/g).map((v) => v / 255)
          .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const [high, low] = [light(getComputedStyle(it).color), light(own(it))].sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05); })"""
    found = page.evaluate(contrast)
    assert len(found) > 6 and min(found) >= 4.5
