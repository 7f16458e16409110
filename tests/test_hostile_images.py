"""Images on which a metric, a curve or a common range does not exist: the page is there, and says so in their place."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from smallrun import small_run, write

from bench import records
from bench.cli import main
from bench.figures import draw
from bench.figures.draw import draw_all
from bench.files import to_json
from bench.rd.compare import compare_all
from bench.report import build

FIGURES = ("rd_psnr", "rd_psnr_linear", "rd_ms_ssim", "gain_ms_ssim", "per_image_psnr", "stanh_fig4")
METRICS = ("psnr_rgb_db", "ms_ssim_db")


def pixels(array: np.ndarray) -> np.ndarray:
    return np.clip(array, 0, 255).astype(np.uint8)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3))


def no_common_quality() -> dict[str, np.ndarray]:
    """Noise that JPEG codes at 10 to 20 dB and a graphic that it codes at 40 dB and more."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (25, 38, 3)), np.ones((8, 8, 1)))[:200, :300]
    graphic = np.zeros((200, 300, 3))
    graphic[:100] = 255
    graphic[40:60, 100:140] = (200, 30, 30)
    return {"noise": pixels(blocks + rng.normal(0, 12, (200, 300, 3))), "graphic": pixels(graphic)}


FLAT = pixels(np.full((200, 300, 3), 128))
CASES = {
    "no MS-SSIM": {"small": pixels(noise(100, 100))},
    "identical everywhere": {"flat": FLAT},
    "no common quality": no_common_quality(),
    "3 x 2 pixels": {"tiny": pixels(noise(2, 3))},
    "one pixel": {"one": pixels(noise(1, 1))},
    "all of them": {"small": pixels(noise(100, 100)), "flat": FLAT, "tiny": pixels(noise(2, 3))} | no_common_quality(),
}
ABSENT = {  # figure -> what its reason has to say
    "no MS-SSIM": {"rd_ms_ssim": "short side 100 px", "gain_ms_ssim": "short side 100 px"},
    "identical everywhere": {"rd_psnr": "no codec has", "per_image_psnr": "no image of photos has a BD-rate"},
    "no common quality": {"per_image_psnr": "no value of psnr_rgb_db is reached"},
    "3 x 2 pixels": {"rd_psnr_linear": "no curve has a mean rate from 0 to 2", "stanh_fig4": "no curve has"},
    "one pixel": {"rd_psnr_linear": "no curve has a mean rate from 0 to 2"},
    "all of them": {},
}


def make_run(base: Path, images: dict[str, np.ndarray]) -> Path:
    folder, rows = small_run(base, ("jpeg", "jpeg2000", "identity", "grey"), images)
    frame = records.table(rows)
    records.write(frame, folder / "records.parquet")
    table = compare_all(frame, ["photos"], ["jpeg", "jpeg2000"], METRICS)
    records.write_csv(table, folder / "bd.csv")
    return folder


@pytest.mark.parametrize(
    "case",
    [
        case if case in ("one pixel", "identical everywhere") else pytest.param(case, marks=pytest.mark.slow)
        for case in CASES
    ],
)
def test_such_images_have_a_page_and_each_absent_figure_its_reason(case: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path, CASES[case])
    drawn = draw_all(folder, only=FIGURES)
    write(folder / "figures" / "index.json", to_json(drawn))
    entries = {entry["name"].removesuffix("_photos"): entry for entry in drawn}
    assert {entry["status"] for entry in entries.values()} <= {"ok", "missing"}, "none failed"
    for name, reason in ABSENT[case].items():
        assert entries[name]["status"] == "missing" and reason in entries[name]["reason"]
    for entry in entries.values():
        assert set(entry["files"]) == (set() if entry["status"] == "missing" else {"svg", "pdf", "png", "csv"})
        assert entry["status"] == "missing" or (folder / entry["files"]["svg"]).stat().st_size > 500
    page = build(folder).read_text()
    assert "harness is broken" not in page
    for reason in ABSENT[case].values():
        assert reason in page


def test_a_figure_that_cannot_be_drawn_is_failed_with_its_reason_and_the_others_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path, {"noise": no_common_quality()["noise"]})

    class Broken:
        COLUMNS = ["kind", "codec"]

        @staticmethod
        def table(*_: object) -> pd.DataFrame:
            return pd.DataFrame({"kind": ["measured"], "codec": ["jpeg"]})

        @staticmethod
        def draw(*_: object) -> None:
            raise ValueError("Axis limits cannot be NaN or Inf")

    monkeypatch.setitem(draw.KINDS, "gain", Broken)
    index = folder / "figures" / "index.json"
    assert main(["figures", "--folder", str(folder), "--only", "gain_psnr", "rd_psnr", "--index", str(index)]) == 0
    assert "figure gain_psnr_photos could not be drawn: ValueError: Axis limits" in capsys.readouterr().err
    entries = {entry["name"]: entry for entry in json.loads(index.read_bytes())}
    assert entries["rd_psnr_photos"]["status"] == "ok"
    failed = entries["gain_psnr_photos"]
    assert failed["status"] == "failed"
    assert failed["reason"].startswith("ValueError: Axis limits cannot be NaN or Inf (bench/figures/draw.py, line ")
    assert failed["files"] == {}
    assert "Axis limits cannot be NaN or Inf" in build(folder).read_text()


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("ms_ssim_db", "short side 100 px, five scales need 161"),
        ("ms_ssim", "short side 100 px, five scales need 161"),
        ("ms_ssim_db_of_mean", "short side 100 px, five scales need 161"),
        ("ssimulacra2", "package ssimulacra2 is not installed"),
    ],
)
def test_trying_a_metric_that_the_image_has_not_is_a_mistake_with_its_reason(
    metric: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if metric == "ssimulacra2" and find_spec("ssimulacra2"):
        pytest.skip("the package is installed here")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(CASES["no MS-SSIM"]["small"]).save("a.png")
    assert main(["try", "jpeg", "a.png", "--metric", metric, "--against", "webp"]) == 2
    assert f"a.png has no {metric}: {reason}" in capsys.readouterr().err
    assert not list(tmp_path.glob("*_jpeg.png"))


def test_a_lossless_codec_alone_has_a_table_and_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(FLAT).save("a.png")
    assert main(["try", "identity", "a.png"]) == 0
    out = capsys.readouterr().out
    assert "lossless" in out and "same" in out and "no picture: no codec has psnr_rgb_db" in out
