"""The explorer in a real browser: its numbers are bd.csv's, its address holds what is chosen, nothing complains."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import MARKS, METRICS, RATES, opened

from bench import records
from bench.rd import bootstrap
from bench.rd.compare import compare_all
from bench.rd.curves import averaged_curve
from bench.report import build

pytest_plugins = ["browser"]
pytestmark = MARKS
ROWS = """() => Object.fromEntries([...document.querySelectorAll("#bd tbody tr")].map((row) => [row.dataset.codec,
  Object.fromEntries([...row.querySelectorAll("[data-column]")].map((cell) =>
    [cell.dataset.column, cell.querySelector("data") ? Number(cell.querySelector("data").value) : null]))]))"""
TRACES = "() => document.getElementById('plot').data.map((trace) => [trace.name, [...trace.x], [...trace.y]])"


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
    assert f"bytes={own.bytes.iloc[-1]}" in address(page, f"bytes={own.bytes.iloc[-1]}")
    page.click("#play-bytes")
    page.wait_for_function("document.getElementById('bytes').value === '1'")
    page.wait_for_function("document.getElementById('play-bytes').textContent === 'Play'")
    assert page.input_value("#bytes") == str(len(own) - 1), "from the end it starts anew, and stops at the end"


def test_the_players_two_codecs_are_chosen_and_stand_in_the_address(folder: Path, page: Any) -> None:
    opened(page, folder, "#left=spiht_bu&right=spiht")
    panes = page.locator("#player-panes figure")
    assert panes.evaluate_all("(panes) => panes.map((pane) => pane.dataset.codec)") == ["spiht_bu", "spiht"]
    page.evaluate("rdbench.explorer.set({ left: 'spiht', right: 'spiht_bu' })")
    assert panes.evaluate_all("(panes) => panes.map((pane) => pane.dataset.codec)") == ["spiht", "spiht_bu"]
    page.wait_for_function("!location.hash.includes('left')")


def test_the_curve_of_a_legends_entry_or_a_bd_row_stands_out(folder: Path, page: Any) -> None:
    opacity = "() => Object.fromEntries(document.getElementById('plot').data.map((it) => [it.meta, it.opacity ?? 1]))"
    opened(page, folder)
    page.focus("#legend input[value=webp]")
    page.wait_for_function(f"({opacity})().jpeg < 0.5")
    assert page.evaluate(opacity)["webp"] == 1
    page.hover("#bd tr[data-codec=spiht] th")
    page.wait_for_function(f"({opacity})().webp < 0.5")
    assert page.evaluate(opacity)["spiht"] == 1
    page.hover("h1")
    page.wait_for_function(f"Object.values(({opacity})()).every((one) => one === 1)")


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
