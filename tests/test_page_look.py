"""The pages to the eye, in a real browser: the first screen, contrast, dark, phone, fingers, time to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import MARKS, opened

pytest_plugins = ["browser"]
pytestmark = MARKS


def test_the_first_screen_holds_the_headlines_plot_and_table(folder: Path, page: Any) -> None:
    page.goto((folder / "report" / "index.html").as_uri())
    for part in (".sketch svg", ".legend-table"):
        box = page.locator(part).bounding_box()
        assert box["height"] > 50 and box["y"] + box["height"] <= 900
    page.focus(".legend-table tr[data-codec=webp] a >> nth=0")
    assert page.locator(".headline .curve.on").evaluate_all("(all) => all.map((it) => it.dataset.codec)") == ["webp"]


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
