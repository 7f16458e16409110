"""The explorer in a real browser: its numbers are bd.csv's, its address holds what is chosen, nothing complains."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from smallrun import small_run

from bench import bootstrap, records
from bench.compare import compare_all
from bench.curves import averaged_curve
from bench.report import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
CODECS = ("jpeg", "webp", "spiht", "spiht_bu", "identity", "grey")
METRICS = ("psnr_rgb_db", "ms_ssim_db", "ms_ssim_db_of_mean")
RATES = (0.4, 1.0)
ROWS = """() => Object.fromEntries([...document.querySelectorAll("#bd tbody tr")].map((row) => [row.dataset.codec,
  Object.fromEntries([...row.querySelectorAll("[data-column]")].map((cell) =>
    [cell.dataset.column, cell.querySelector("data") ? Number(cell.querySelector("data").value) : null]))]))"""
TRACES = "() => document.getElementById('plot').data.map((trace) => [trace.name, [...trace.x], [...trace.y]])"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of JPEG, WebP, two embedded codecs and the controls on two crops, with bd.csv and its pages."""
    folder, rows = small_run(tmp_path_factory.mktemp("run"), CODECS)
    frame = records.table(rows)
    records.write(frame, folder / "records.parquet")
    records.write_csv(compare_all(frame, ["photos"], ["jpeg", "spiht"], METRICS), folder / "bd.csv")
    build(folder, gallery_bpp=RATES)
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page whose console, errors and requests beyond local files fail the test."""
    complaints: list[str] = []
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(30_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda it: complaints.append(it.url) if not it.url.startswith(("file:", "data:", "blob:")) else 0
    )
    aborted = "net::ERR_ABORTED"  # by leaving the page
    page.on("requestfailed", lambda it: None if it.failure == aborted else complaints.append(f"failed: {it.url}"))
    yield page
    page.close()
    assert complaints == []


def opened(page: Any, folder: Path, address: str = "") -> Any:
    page.goto("about:blank")
    page.goto((folder / "report" / "explore.html").as_uri() + address)
    page.wait_for_selector("#plot .plot-container")
    return page


def address(page: Any, pattern: str) -> str:
    """The address once it matches: it is written a moment after a change."""
    page.wait_for_function("(pattern) => new RegExp(pattern).test(location.hash)", arg=pattern)
    return page.url


def test_bd_rates_against_any_anchor_are_those_of_bd_csv(folder: Path, page: Any) -> None:
    table = pd.read_csv(folder / "bd.csv", float_precision="round_trip")
    table = table[table.method == "pchip"]
    opened(page, folder)
    for metric in METRICS:
        page.select_option("[name=metric]", metric)
        for anchor in ("jpeg", "spiht"):
            page.select_option("[name=anchor]", anchor)
            shown = page.evaluate(ROWS)
            expected = table[(table.metric == metric) & (table.anchor == anchor)]
            assert set(shown) == set(expected.codec) == {"jpeg", "webp", "spiht", "spiht_bu"} - {anchor}
            for row in expected.itertuples():
                value = shown[row.codec][row.averaging]
                assert value == (None if pd.isna(row.bd_rate_percent) else pytest.approx(row.bd_rate_percent, rel=1e-9))
            bounds = "(cells) => cells.flatMap((cell) => cell.dataset.interval.split(' ').map(Number))"
            held = page.locator("#bd [data-interval]").evaluate_all(bounds)
            headline = expected[(expected.averaging == "per_image") & expected.ci_low.notna()]
            assert sorted(held) == sorted([*headline.ci_low, *headline.ci_high])
    assert table.bd_rate_percent.notna().sum() > 20, "the comparison compared something"
    page.select_option("[name=anchor]", "webp")
    frame = records.read(folder / "records.parquet")
    fresh = compare_all(frame, ["photos"], ["webp"], ["ms_ssim_db_of_mean"], ["jpeg"]).iloc[0]
    assert page.evaluate(ROWS)["jpeg"]["per_image"] == pytest.approx(fresh.bd_rate_percent, rel=1e-9), "not in bd.csv"


def test_intervals_drawn_in_the_page_differ_from_the_bootstraps_by_the_draws_alone(folder: Path, page: Any) -> None:
    values = [-31.0, -22.5, -40.25, -28.0, -35.5, -19.75, -30.0, -26.0]
    low, high = bootstrap.interval(bootstrap.image_counts(len(values)) @ values / len(values))
    found = opened(page, folder).evaluate("(values) => rdbench.bd.interval(values)", values)
    assert found == pytest.approx([low, high], abs=0.03 * (high - low))


def test_pickers_change_the_plot_and_its_numbers_are_those_of_the_records(folder: Path, page: Any) -> None:
    frame = records.read(folder / "records.parquet")
    opened(page, folder)
    for metric in METRICS:
        page.select_option("[name=metric]", metric)
        traces = {name: (x, y) for name, x, y in page.evaluate(TRACES)}
        curve = averaged_curve(frame, "photos", "jpeg", metric)
        assert traces["JPEG"][0] == pytest.approx(list(curve.bpp), rel=1e-12)
        assert traces["JPEG"][1] == pytest.approx(list(curve.value), rel=1e-12)
    page.select_option("[name=metric]", "psnr_rgb_db")
    page.select_option("[name=average]", "image")
    page.select_option("[name=image]", "coffee")
    own = frame[(frame.codec == "webp") & (frame.image == "coffee")]
    assert {name: y for name, _, y in page.evaluate(TRACES)}["WebP"] == list(own.psnr_rgb_db)
    page.select_option("[name=average]", "rate")
    between = {name: (x, y) for name, x, y in page.evaluate(TRACES)}["JPEG"]
    jpeg = frame[frame.codec == "jpeg"]
    ends = jpeg.groupby("image").bpp.agg(["min", "max"])
    assert (between[0][0], between[0][-1]) == pytest.approx((ends["min"].max(), ends["max"].min()))
    assert between[1] == sorted(between[1]) and len(between[1]) > 20
    page.select_option("[name=scale]", "linear")
    assert page.evaluate("document.getElementById('plot').layout.xaxis.type") == "linear"
    page.uncheck("#legend input[value=webp]")
    assert "WebP" not in [name for name, *_ in page.evaluate(TRACES)]


def test_the_address_holds_what_is_chosen_and_opens_it_again(folder: Path, page: Any) -> None:
    opened(page, folder)
    assert "#" not in page.url
    page.select_option("[name=metric]", "ms_ssim_db")
    page.select_option("[name=view]", "difference")
    page.select_option("[name=gain]", "16")
    page.uncheck("#legend input[value=jpeg]")
    page.click("[data-image=coffee]")
    page.click("[data-zoom='4']")
    link = address(page, "zoom=4")
    for part in ("metric=ms_ssim_db", "view=difference", "gain=16", "off=jpeg", "image=coffee"):
        assert part in link
    before = page.evaluate(TRACES), page.evaluate(ROWS)
    opened(page, folder, "#" + link.partition("#")[2])
    assert (page.evaluate(TRACES), page.evaluate(ROWS)) == before
    assert page.input_value("[name=gain]") == "16"
    assert page.text_content("#zoom-tell") == "400 %"
    assert page.get_attribute("[data-image=coffee]", "aria-pressed") == "true"
    page.select_option("[name=metric]", "psnr_rgb_db")
    page.wait_for_function("!location.hash.includes('metric')")
    opened(page, folder, "#metric=nonsense&image=nothing&zoom=much&anchor=nobody")
    assert page.input_value("[name=metric]") == "psnr_rgb_db"
    assert page.input_value("[name=anchor]") == "jpeg"


def test_pictures_move_and_zoom_together_and_say_which_bitstreams_they_are(folder: Path, page: Any) -> None:
    opened(page, folder, "#a=jpeg&b=webp&c=original&rate=1")
    frame = records.measured(records.read(folder / "records.parquet")).set_index(["codec", "image", "point"])
    facts = [row.inner_text().split("\t") for row in page.locator("#facts tbody tr").all()]
    assert [cells[0] for cells in facts] == ["A: JPEG", "B: WebP"]
    for codec, cells in zip(("jpeg", "webp"), facts, strict=True):
        row = frame.loc[codec, "astronaut", cells[1]]
        assert re.sub(r"\D", "", cells[2]) == str(row.bytes)
        assert row.bitstream_sha256.startswith(cells[6])
        gaps = np.abs(np.log(frame.loc[codec, "astronaut"].bpp))
        assert gaps[cells[1]] == gaps.min(), "nearest to 1 bpp, as a ratio"
    transforms = "() => [...document.querySelectorAll('#viewer img')].map((image) => image.style.transform)"
    whole = page.evaluate(transforms)
    assert len(whole) == 3 and len(set(whole)) == 1
    page.locator("#viewer .frame").first.scroll_into_view_if_needed()
    box = page.locator("#viewer .frame").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.up()
    page.mouse.wheel(0, -480)
    page.wait_for_function(f"({transforms})()[0] !== {whole[0]!r}")
    zoomed = page.evaluate(transforms)
    page.mouse.down()
    page.mouse.move(x - 40, y - 20)
    page.mouse.up()
    moved = page.evaluate(transforms)
    assert len(set(zoomed)) == len(set(moved)) == 1 and zoomed != moved
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(transforms) != moved
    page.keyboard.press("0")
    assert page.evaluate(transforms) == whole


def test_difference_and_swipe_and_flicker_show_what_they_say(folder: Path, page: Any) -> None:
    opened(page, folder, "#a=jpeg&b=identity&c=webp&view=difference&gain=8")
    assert page.input_value("[name=b]") == "jpeg", "a control codec is not compared; the anchor stands in"
    frame = page.locator("#viewer .difference .frame").last
    assert frame.evaluate("(frame) => getComputedStyle(frame).filter") == "brightness(8)"
    layers = frame.locator("img").evaluate_all("(images) => images.map((image) => image.getAttribute('src'))")
    assert ".original." in layers[0] and ".webp." in layers[1]
    page.keyboard.press("2")
    slider = page.locator("#swipe input")
    slider.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.getElementById('viewer').style.getPropertyValue('--split')") == "100%"
    page.locator("h1").click()
    page.keyboard.press("3")
    page.keyboard.press("p")
    visible = (
        "() => [...document.querySelectorAll('.flickering .layer')].map((it) => it.style.visibility === 'visible')"
    )
    first = page.evaluate(visible)
    page.keyboard.press("f")
    assert sum(first) == sum(page.evaluate(visible)) == 1 and page.evaluate(visible) != first


def test_the_player_shows_embedded_codecs_at_equal_bytes(folder: Path, page: Any) -> None:
    opened(page, folder)
    panes = page.locator("#player-panes figure")
    assert panes.evaluate_all("(panes) => panes.map((pane) => pane.dataset.codec)") == ["spiht", "spiht_bu"]
    frame = records.measured(records.read(folder / "records.parquet"))
    own = frame[(frame.codec == "spiht") & (frame.image == "astronaut")].sort_values("bytes")
    slider = page.locator("#bytes")
    slider.focus()
    seen = []
    for _ in range(len(own)):
        seen.append((panes.first.inner_text(), panes.first.locator("img").get_attribute("src")))
        page.keyboard.press("ArrowRight")
    for (text, src), row in zip(seen, own.itertuples(), strict=True):
        assert f"{row.psnr_rgb_db:.2f} dB" in text and row.bitstream_sha256[:12] in text
        assert row.reconstruction_sha256[:12] in src
        assert (folder / "report" / src).is_file()
    assert f"bytes={own.bytes.iloc[-1]}" in address(page, "bytes=")
    page.click("#play-bytes")
    page.wait_for_function("document.getElementById('bytes').value === '1'")
    page.wait_for_function("document.getElementById('play-bytes').textContent === 'Play'")
    assert page.input_value("#bytes") == str(len(own) - 1), "from the end it starts anew, and stops at the end"


def test_a_run_without_embedded_codecs_has_no_player(folder: Path, page: Any, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "results" / "small")
    frame = records.read(copy / "records.parquet")
    records.write(frame[~frame.codec.str.startswith("spiht")], copy / "records.parquet")
    build(copy, gallery_bpp=RATES)
    opened(page, copy)
    assert page.locator("#player").is_hidden()
    assert not list((copy / "report" / "images").rglob("*.spiht*"))


def test_keys_are_listed_work_outside_fields_and_can_be_switched_off(folder: Path, page: Any) -> None:
    opened(page, folder)
    page.keyboard.press("j")
    assert page.input_value("[name=image]") == "coffee"
    page.focus("[name=image]")
    page.keyboard.press("m")
    assert page.input_value("[name=metric]") == "psnr_rgb_db", "a select is searched by letters"
    page.locator("h1").click()
    page.keyboard.press("?")
    assert "next image" in page.locator("#help").inner_text()
    page.uncheck("#single-keys")
    page.click("#help button")
    page.keyboard.press("j")
    assert page.input_value("[name=image]") == "coffee"


def test_dark_follows_the_system_and_the_button_turns_it(folder: Path, page: Any) -> None:
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    line = "() => document.getElementById('plot').data[0].line.color"
    opened(page, folder)
    light = page.evaluate(ground), page.evaluate(line)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"({line})() !== {light[1]!r}")
    assert page.evaluate(ground) != light[0]
    page.click("[data-turn-theme]")
    assert (page.evaluate(ground), page.evaluate(line)) == light
    page.evaluate("localStorage.clear()")


def test_the_page_loads_pictures_lazily_and_takes_under_two_seconds_of_processor(folder: Path, page: Any) -> None:
    pictures: list[str] = []
    page.on("request", lambda request: pictures.append(request.url) if "/images/" in request.url else None)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    opened(page, folder)
    seconds = {it["name"]: it["value"] for it in session.send("Performance.getMetrics")["metrics"]}
    assert seconds["TaskDuration"] < 2
    assert len(pictures) < len(list((folder / "report" / "images").rglob("*.*"))) / 2
    assert sum(path.stat().st_size for path in (folder / "report" / "assets").glob("*.js")) < 6e6


@pytest.mark.parametrize("name", ["index.html", "explore.html", "records.html"])
def test_a_phone_scrolls_only_down(folder: Path, page: Any, name: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((folder / "report" / name).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_record_is_one_step_from_its_number(folder: Path, page: Any) -> None:
    opened(page, folder)
    page.click("#facts a:text('record')")
    page.wait_for_url("**/records.html#*")
    assert page.text_content("#found").startswith("1 of ")
    assert page.locator("td.details").count() == 1
    page.goto((folder / "report" / "records.html").as_uri() + "#codec=jpeg&image=coffee&sort=bytes.desc")
    page.wait_for_function("document.querySelectorAll('#records tr.row').length === 4")
    cells = page.locator("#records tbody td:nth-child(6)").all_text_contents()
    sizes = [int(re.sub(r"\D", "", text)) for text in cells]
    assert sizes == sorted(sizes, reverse=True)
    page.select_option("#filters [name=codec]", "webp")
    assert "codec=webp" in page.url and "image=coffee" in page.url


def test_two_fingers_zoom_the_pictures_and_one_moves_them(folder: Path, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = opened(context.new_page(), folder, "#view=swipe")
    frame = page.locator("#viewer .frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = context.new_cdp_session(page)

    def touch(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": left, "y": top, "id": index} for index, (left, top) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in (30, 45, 60, 80):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    page.wait_for_function("rdbench.explorer.get('zoom') > 0")
    before = page.evaluate("[rdbench.explorer.get('x'), rdbench.explorer.get('y')]")
    touch("touchStart", (x + 50, y + 50))
    touch("touchMove", (x + 20, y + 30))
    touch("touchMove", (x - 20, y + 10))
    touch("touchEnd")
    page.wait_for_function("(before) => rdbench.explorer.get('x') > before[0]", arg=before)
    assert page.evaluate("rdbench.explorer.get('y')") > before[1]
    context.close()
