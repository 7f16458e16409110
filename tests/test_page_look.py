"""The pages to the eye, in a real browser: the first screen, contrast, dark, phone, fingers, time to load."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import MARKS, opened

pytest_plugins = ["browser"]
pytestmark = MARKS


def report(page: Any, folder: Path, fragment: str = "") -> Any:
    page.goto("about:blank")
    page.goto((folder / "report" / "index.html").as_uri() + fragment)
    return page


def in_colour(page: Any) -> list[str]:
    return sorted(page.locator(".curve.chosen").evaluate_all("(all) => all.map((it) => it.dataset.codec)"))


def test_the_first_screen_holds_the_message_the_plot_and_the_table(folder: Path, page: Any) -> None:
    report(page, folder)
    for part in (".message", ".sketch", ".legend-table"):
        box = page.locator(part).bounding_box()
        assert box["height"] > 15 and box["y"] + box["height"] <= 900
    page.focus(".legend-table tr[data-codec=webp] a >> nth=0")
    assert page.locator(".headline .curve.on").evaluate_all("(all) => all.map((it) => it.dataset.codec)") == ["webp"]


def test_presets_and_rows_choose_the_curves_in_colour_whose_labels_do_not_overlap(folder: Path, page: Any) -> None:
    report(page, folder)
    assert in_colour(page) == ["jpeg", "spiht", "spiht_bu", "webp"], "few are all in colour"
    page.click("[data-preset] >> text=Progressive")
    assert in_colour(page) == ["spiht", "spiht_bu"]
    assert page.get_attribute("tr[data-codec=spiht] .swatch", "aria-pressed") == "true"
    page.click("tr[data-codec=webp] .swatch")
    assert in_colour(page) == ["spiht", "spiht_bu", "webp"]
    assert page.text_content("#chosen").startswith("3 of 4 curves in colour")
    page.keyboard.press("4")
    assert in_colour(page) == ["jpeg", "spiht", "spiht_bu", "webp"]
    assert page.text_content("#chosen").startswith("All: 4 of 4")
    boxes = page.locator(".curve.chosen .tag text").evaluate_all(
        "(all) => all.map((it) => it.getBoundingClientRect()).map(({ top, bottom, right }) => [top, bottom, right])"
    )
    boxes.sort()
    assert len(boxes) == 4 and all(below[0] > above[0] + 9 for above, below in pairwise(boxes))
    assert max(right for *_, right in boxes) <= page.locator(".sketch").bounding_box()["x"] + 700


def test_a_column_of_bd_rates_sorts_the_table(folder: Path, page: Any) -> None:
    report(page, folder)
    page.click(".legend-table th button >> nth=1")
    values = page.locator(".legend-table tbody tr").evaluate_all(
        "(rows) => rows.map((row) => Number(row.children[3].dataset.value ?? Infinity))"
    )
    assert values == sorted(values) and len(set(values)) > 2


def test_a_link_opens_what_it_is_folded_into_and_keys_lead_to_the_sections(folder: Path, page: Any) -> None:
    report(page, folder, "#summary")
    assert page.locator("#summary").evaluate("(it) => it.open")
    assert page.locator("#summary table.bd").first.is_visible()
    page.keyboard.press("p")
    assert page.evaluate("location.hash") == "#pictures"
    page.keyboard.press("?")
    assert "speed and cost" in page.locator("#help").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.wait_for_url("**/explore.html")


@pytest.mark.parametrize("name", ["index.html", "explore.html"])
def test_no_table_is_clipped_on_a_screen_of_1440_pixels(folder: Path, page: Any, name: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto((folder / "report" / name).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((it) => (it.open = true))")
    wide = page.locator(".scroller").evaluate_all(
        "(all) => all.filter((it) => it.scrollWidth > it.clientWidth + 1).map((it) => it.getAttribute('aria-label'))"
    )
    assert wide == []


def test_pictures_have_text_alternatives_and_the_explorer_links_to_what_it_shows(folder: Path, page: Any) -> None:
    report(page, folder)
    assert page.locator("img:not([alt])").count() == 0
    page.click(".pairs a >> nth=0")
    page.wait_for_selector("#plot .plot-container")
    shown = page.text_content("#selected")
    assert "astronaut at about" in shown and "BD-rates against JPEG" in shown and "side by side" in shown
    page.keyboard.press("3")
    page.wait_for_function("document.getElementById('permalink').hash.includes('view=flicker')")
    assert "flickering" in page.text_content("#selected")
    page.click("#legend .tools button >> text=progressive")
    page.wait_for_function(
        "document.getElementById('plot').data.filter((it) => it.mode === 'lines+markers').length === 2"
    )


def test_on_paper_there_are_no_buttons_and_the_page_is_light(folder: Path, page: Any) -> None:
    report(page, folder)
    page.emulate_media(media="print", color_scheme="dark")
    for part in ("nav", ".tools", ".presets", ".skip"):
        assert not page.locator(part).first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


# Contrast and beginning of every text on the page: [[ratio, html]].
CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const colour = channels(getComputedStyle(it).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
  };
  const written = (it) => it.checkVisibility() && !it.closest("svg, script, :disabled") &&
    [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("body *")].filter(written).map((it) => {
    const both = [luminance(channels(getComputedStyle(it).color)), luminance(ground(it))].sort((p, q) => p - q);
    return [(both[1] + 0.05) / (both[0] + 0.05), it.outerHTML.slice(0, 90)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "explore.html", "records.html"])
def test_every_text_has_wcags_contrast(folder: Path, page: Any, name: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto((folder / "report" / name).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((it) => (it.open = true))")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 40
    assert [it for it in found if it[0] < 4.5] == []


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
