"""A small run with its pages, and a page in the system's Chromium whose complaints fail the test.

Test files that drive pages load the fixtures with ``pytest_plugins = ["browser"]`` and are marked with MARKS.
PYTEST_DONT_REWRITE: they import it before pytest does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from smallrun import small_run

from bench import records
from bench.rd.compare import compare_all
from bench.report import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
CODECS = ("jpeg", "webp", "spiht", "spiht_bu", "identity", "grey")
METRICS = ("psnr_rgb_db", "ms_ssim_db", "ms_ssim_db_of_mean")
RATES = (0.4, 1.0)
MARKS = [
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
