"""Published curves are what their sources say, and validation tells a right measurement from a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import records
from bench.claims import validation
from bench.errors import UsageError
from bench.rd import published

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "reference_curves"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared beside the checkout")


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return published.load_published()


@pytest.mark.parametrize(
    ("name", "dataset", "metric", "index", "bpp", "value"),
    [
        ("compressai/webp", "kodak", "psnr_rgb_db", 0, 0.23441908, 28.32842),
        ("compressai/bpg444_x265", "kodak", "psnr_rgb_db", 1, 0.161023, 28.6815),
        ("tfc/bpg444", "kodak", "psnr_rgb_db", 0, 0.023857, 23.787652),
        ("tfc/toderici-2017-cvpr", "kodak", "psnr_rgb_db", 0, 0.125, 23.01408),
        ("stanh/stanh_1anchor", "jpegai", "psnr_rgb_db", 3, 0.3959, 33.083),
        ("stf/zou22-stf_ms-ssim", "clic", "ms_ssim_db_of_mean", 0, 0.098, 14.79),
        ("dpict/dpict", "kodak", "ms_ssim_db", -1, 1.424235026, 22.65379364),
    ],
)
def test_known_points_are_found_where_the_source_has_them(curves, name, dataset, metric, index, bpp, value):
    point = published.published_curve(name, dataset, metric, curves).iloc[index]
    assert point.bpp == pytest.approx(bpp, rel=1e-4)
    assert point.value == pytest.approx(value, rel=1e-5)


def test_every_source_has_url_licence_averaging_and_a_curve_file(curves):
    for name, about in published.sources().items():
        assert about["url"].startswith("https://"), name
        assert about["licence"] and about["averaging"] and about["original"], name
        if about["licence_file"]:
            assert (published.FOLDER / about["licence_file"]).stat().st_size > 1000
        assert set(about.get("codecs", {})) <= set(curves[curves.source == name].codec), (
            "a note on a curve there is not"
        )
    assert set(curves.source) == set(published.sources())
    assert {path.stem for path in published.FOLDER.glob("*.csv")} == set(published.sources())
    assert list(curves.columns) == published.COLUMNS
    assert not curves.isna().any().any()


def test_values_lie_where_their_metric_can_be(curves):
    ranges = {"psnr_rgb_db": (15, 60), "ms_ssim": (0.4, 1), "ms_ssim_db": (2, 40), "ms_ssim_db_of_mean": (2, 40)}
    for metric, (low, high) in ranges.items():
        values = curves[curves.metric == metric].value
        assert len(values) and values.between(low, high).all(), metric
    assert (curves.bpp > 0).all()


def test_db_of_the_mean_is_derived_from_linear_ms_ssim_and_says_so(curves):
    curve = curves.query("dataset == 'kodak' and source == 'tfc' and codec == 'bpg444'")
    linear, in_db = (curve[curve.metric == metric] for metric in ("ms_ssim", "ms_ssim_db_of_mean"))
    np.testing.assert_allclose(in_db.value, -10 * np.log10(1 - linear.value.to_numpy()))
    assert in_db.note.str.contains("dB of the published mean").all()


def test_the_clic_curves_of_compressai_are_not_called_by_the_name_of_the_validation_images(curves):
    assert not ((curves.source == "compressai") & (curves.dataset == "clic")).any()


def test_fixed_rate_averaging_and_digitised_series_are_marked(curves):
    toderici = curves[curves.codec == "toderici-2017-cvpr"]
    assert toderici.averaging.str.contains("fixed rate").all()
    assert curves[curves.source == "wacnn_stanh"].note.str.contains("partly digitised").all()


def test_a_curve_that_does_not_exist_is_refused_with_the_names_there_are():
    with pytest.raises(UsageError, match="zou22-cnn_mse"):
        published.published_curve("stf/zou23", "kodak", "psnr_rgb_db")
    assert published.published_curve("stf/zou22-cnn_mse", "tecnick", "psnr_rgb_db").empty


@needs_shared
def test_numbers_equal_the_original_files_to_the_last_digit(curves):
    original = json.loads((SHARED / "compressai__results_image_kodak_vtm.json").read_text())["results"]
    curve = published.published_curve("compressai/vtm", "kodak", "psnr_rgb_db", curves)
    assert sorted(zip(curve.bpp, curve.value, strict=True)) == sorted(
        zip(original["bpp"], original["psnr-rgb"], strict=True)
    )
    text = (SHARED / "tfc__results_image_compression_tecnick_MS-SSIM_sRGB_RGB_webp.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    points = sorted(tuple(float(number) for number in line.split(",")) for line in lines)
    curve = published.published_curve("tfc/webp", "tecnick", "ms_ssim", curves)
    assert sorted(zip(curve.bpp, curve.value, strict=True)) == points


def _kodak(
    codec: str, published_as: str, rate_factor: float = 1.0, shift_db: float = 0.0, images: int = 24
) -> pd.DataFrame:
    """Records of a codec whose averaged curve is a published one, but for a factor on the rate and a shift in PSNR."""
    curve = published.published_curve(published_as, "kodak", "psnr_rgb_db")
    rows = []
    for number in range(images):
        wobble = 1 + 0.1 * np.sin(2 * np.pi * number / images)  # images differ, their mean does not move
        for index, point in enumerate(curve.itertuples()):
            rows.append(
                {"dataset": "kodak", "image": f"kodim{number + 1:02d}", "codec": codec, "role": "codec", "status": "ok"}
                | {"point": f"q{index:02d}", "point_index": index, "saturated": False, "identical": False}
                | {"bpp": point.bpp * rate_factor * wobble, "psnr_rgb_db": point.value + shift_db}
            )
    return records.table(rows)


def _check(table: pd.DataFrame, codec: str, published_as: str, unit: str) -> pd.Series:
    rows = table[(table.codec == codec) & (table.published == published_as) & (table.unit == unit)]
    return rows[rows.metric == "psnr_rgb_db"].iloc[0]


def test_validation_passes_the_published_points_and_flags_a_rate_or_quality_that_is_off():
    right = validation.validate(_kodak("webp_m4", "compressai/webp"))
    for unit in ("bpp", "dB"):
        row = _check(right, "webp_m4", "compressai/webp", unit)
        assert row.ok is True and row.measured < 1e-6
    rate = validation.validate(_kodak("webp_m4", "compressai/webp", rate_factor=1.001))
    assert _check(rate, "webp_m4", "compressai/webp", "bpp").ok is False
    quality = validation.validate(_kodak("webp_m4", "compressai/webp", shift_db=0.002))
    assert _check(quality, "webp_m4", "compressai/webp", "dB").ok is False
    assert _check(quality, "webp_m4", "compressai/webp", "dB").measured == pytest.approx(0.002, abs=1e-9)


@pytest.mark.parametrize(("factor", "ok"), [(1.0, True), (1.009, True), (0.985, False), (1.02, False)])
def test_validation_holds_a_bd_rate_against_its_limit(factor, ok):
    table = validation.validate(_kodak("jpeg2000_53", "tfc/j2k-opj5", rate_factor=factor))
    row = _check(table, "jpeg2000_53", "tfc/j2k-opj5", "%")
    assert row.measured == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert (row.check, row.limit, row.ok) == ("bd", 1, ok)


def test_information_rows_show_a_number_and_judge_nothing():
    row = _check(
        validation.validate(_kodak("jpeg", "compressai/jpeg", rate_factor=0.9)), "jpeg", "compressai/jpeg", "%"
    )
    assert row.check == "information" and row.measured == pytest.approx(-10) and row.ok is None


def test_what_cannot_be_judged_has_a_reason_instead_of_a_verdict():
    few = validation.validate(_kodak("webp_m4", "compressai/webp", images=5))
    row = _check(few, "webp_m4", "compressai/webp", "bpp")
    assert row.ok is None and pd.isna(row.measured) and "24 images, measured were 5" in row.reason
    absent = _check(few, "jpeg_standard", "tfc/jpeg420", "%")
    assert absent.ok is None and absent.reason == "codec jpeg_standard was not run"
    empty = validation.validate(records.table([]))
    assert empty.ok.isna().all() and empty.reason.str.contains("dataset kodak was not run").all()
    skipped = records.table([{"dataset": "kodak", "codec": "bpg444", "status": "skipped", "reason": "no x265"}])
    assert (
        _check(validation.validate(skipped), "bpg444", "tfc/bpg444", "%").reason == "codec bpg444 was skipped: no x265"
    )


def test_every_check_names_a_curve_that_exists_and_the_pairs_to_run(curves):
    for check in validation.read_specification()["checks"]:
        assert len(published.published_curve(check["published"], check["dataset"], check["metric"], curves)) >= 5, check
    assert ("webp_m4", "kodak") in validation.validated_pairs()


def test_a_check_with_a_wrong_field_is_refused_by_number(tmp_path):
    path = tmp_path / "validation.yaml"
    path.write_text("images: {}\nchecks:\n  - {codec: a, published: b/c, dataset: d, metric: m, check: bd, note: n}\n")
    with pytest.raises(UsageError, match=r"check 1.*limit_percent"):
        validation.read_specification(path)
