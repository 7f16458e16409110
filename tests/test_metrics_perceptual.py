"""The extra metrics against independent implementations, at their edges, and in a run that asks for them."""

from __future__ import annotations

import json
import math
import shutil
import stat

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_metrics import noisy, picture

from bench import metrics, records
from bench.cli import main
from bench.errors import TransientError, UsageError
from bench.metrics import EXTRA, Reference, measure, metric
from bench.rd.curves import DISTANCES

LUMA = np.array([0.2126, 0.7152, 0.0722])
WITHOUT_NETWORK = ("psnr_hvs_m_db", "fsim", "vif", "nlpd", "iw_ssim")

# Of picture(h, w) and picture(h, w, 1): by the packages psnr-hvsm 0.3.0, piq 0.8.0 (fsim, vif, iw_ssim) and IQA_pytorch
# 0.1 (nlpd), in float64, on the luma of BT.709.
VECTORS = {
    (161, 161): {
        "psnr_hvs_m_db": 24.982491110640012,
        "fsim": 0.9564366327253593,
        "vif": 0.4517289789875497,
        "nlpd": 0.21311880634276867,
        "iw_ssim": 0.9755082771029375,
    },
    (177, 202): {
        "psnr_hvs_m_db": 24.093074732594687,
        "fsim": 0.9579077926220255,
        "vif": 0.4416660568125509,
        "nlpd": 0.21557402097753217,
        "iw_ssim": 0.9767825586258998,
    },
}


def tolerance(name: str, size: tuple[int, int]) -> float:
    """IQA_pytorch has float32 weights; piq takes the lower of the two in the middle for a median, not their mean."""
    even = size[0] * size[1] % 2 == 0
    return {"nlpd": 1e-7, "fsim": 1e-5 if even else 1e-9}.get(name, 1e-9)


def value(name: str, original: np.ndarray, other: np.ndarray) -> float | None:
    return measure(Reference(original, [name]), other)[name]


def note(name: str, original: np.ndarray, other: np.ndarray) -> str:
    measured = measure(Reference(original, [name]), other)
    assert measured[name] is None
    return measured["metric_notes"]


def by_another(name: str, original: np.ndarray, other: np.ndarray) -> float:
    """The value of an independent implementation."""
    if name == "psnr_hvs_m_db":
        package = pytest.importorskip("psnr_hvsm")
        planes = [image @ LUMA / 255 for image in (original, other)]
        planes = [np.pad(plane, ((0, -plane.shape[0] % 8), (0, -plane.shape[1] % 8)), mode="edge") for plane in planes]
        return float(package.psnr_hvs_hvsm(*planes)[1])
    torch = pytest.importorskip("torch")
    grey = [torch.from_numpy(image @ LUMA)[None, None] for image in (other, original)]
    if name == "nlpd":
        package = pytest.importorskip("IQA_pytorch")
        network = package.NLPD(channels=1).double()
        return float(network(*(plane / 255 for plane in grey), as_loss=False))
    piq = pytest.importorskip("piq")
    if name == "fsim":
        tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double() for image in (other, original)]
        return float(piq.fsim(*tensors, data_range=255.0))
    function = {"vif": piq.vif_p, "iw_ssim": piq.information_weighted_ssim}[name]
    return float(function(*grey, data_range=255.0))


def test_the_columns_are_those_of_the_records_and_each_has_a_version():
    assert tuple(EXTRA) == records.EXTRA_METRICS
    assert set(records.EXTRA_METRICS).isdisjoint(records.SCHEMA.names)
    versions = json.loads(metrics.versions_json(EXTRA))
    assert set(versions) == {*metrics.METRICS, *EXTRA}
    assert all(versions[name] for name in WITHOUT_NETWORK)
    assert {key: versions[key] for key in metrics.METRICS} == metrics.METRICS


@pytest.mark.parametrize("size", VECTORS)
@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_a_metric_has_the_value_that_another_implementation_gave(name, size):
    found = value(name, picture(*size), picture(*size, 1))
    assert found == pytest.approx(VECTORS[size][name], abs=tolerance(name, size))


@pytest.mark.parametrize("size", [(161, 231), (170, 168)])
@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda image: noisy(image, 3), id="slight noise"),
        pytest.param(lambda image: noisy(image, 60), id="strong noise"),
        pytest.param(lambda image: image // 32 * 32 + 16, id="coarse steps"),
        pytest.param(lambda image: 255 - image, id="inverted"),
    ],
)
@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_a_metric_equals_its_independent_implementation(name, disturb, size):
    original = picture(*size)
    other = disturb(original)
    expected = by_another(name, original, other)
    assert value(name, original, other) == pytest.approx(expected, abs=tolerance(name, size))


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_a_metric_gets_worse_as_noise_grows(name):
    reference = Reference(picture(176, 190), [name])
    found = [measure(reference, noisy(reference.image, spread))[name] for spread in (1, 4, 16, 64)]
    assert found == sorted(found, reverse=name not in DISTANCES)
    assert len(set(found)) == 4


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_an_identical_reconstruction_has_the_value_that_the_metric_says_and_would_compute(name):
    image = picture(176, 190)
    module = metrics._metric(EXTRA[name])
    said = module.of_identical[name]
    assert value(name, image, image.copy()) == said
    if math.isfinite(said):
        computed = module.values(module.prepare(image), image, [name], [])[name]
        assert computed == pytest.approx(said, abs=1e-9)


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_an_image_too_small_is_null_with_the_reason(name):
    least = metrics._metric(EXTRA[name]).smallest_side
    assert value(name, picture(least, least + 3), picture(least, least + 3, 1)) is not None
    if least > 1:
        small = picture(least - 1, 300), picture(least - 1, 300, 1)
        assert f"{name}: short side {least - 1} px, it needs {least}" in note(name, *small)


def test_what_a_flat_original_cannot_tell_is_null_with_the_reason():
    flat = np.full((170, 170, 3), 100, np.uint8)
    assert "vif: the original is flat" in note("vif", flat, noisy(flat, 5))
    assert "iw_ssim: level 1 of the original is flat" in note("iw_ssim", flat, noisy(flat, 5))
    assert 0 < value("fsim", flat, noisy(flat, 5)) < 1


def test_an_error_that_masking_hides_whole_has_no_psnr_hvs_m():
    original = np.random.default_rng(0).integers(1, 255, (64, 64, 3), np.uint8)
    other = original.copy()
    other[9, 9, 2] += 1
    other[13, 12, 2] -= 1  # in the same block, whose mean stays
    assert "psnr_hvs_m_db: no error in luma passes the masking" in note("psnr_hvs_m_db", original, other)


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_a_view_that_is_not_contiguous_is_measured_alike(name):
    original, other = picture(170, 190), picture(170, 190, 1)
    padded = np.zeros((340, 190, 3), np.uint8)
    padded[::2] = other
    assert value(name, original, padded[::2]) == value(name, original, other)


# Programs


def a_program(folder, text: str):
    path = folder / "butteraugli"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_butteraugli_is_what_its_program_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    a_program(tmp_path, 'test -s "$1" && test -s "$2" && echo 3.5')
    assert value("butteraugli", picture(20, 20), picture(20, 20, 1)) == 3.5
    version = json.loads(metrics.versions_json(["butteraugli"]))["butteraugli"]
    a_program(tmp_path, "echo 'no such image' >&2; exit 1")
    assert "butteraugli: its program failed: no such image" in note("butteraugli", picture(20, 20), picture(20, 20, 1))
    assert version.startswith("1+")


def test_without_its_program_butteraugli_is_null_and_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt install butteraugli" in note("butteraugli", picture(20, 20), picture(20, 20, 1))
    assert json.loads(metrics.versions_json(["butteraugli"]))["butteraugli"] is None


def test_the_real_butteraugli_gets_worse_as_noise_grows():
    if shutil.which("butteraugli") is None:
        pytest.skip("the program butteraugli is not installed")
    reference = Reference(picture(96, 96), ["butteraugli"])
    found = [measure(reference, noisy(reference.image, spread))["butteraugli"] for spread in (1, 8, 40)]
    assert found == sorted(found)


def test_a_program_that_was_killed_fails_the_job_and_is_no_null():
    with pytest.raises(TransientError, match="was killed"):
        metric.answer(["/bin/sh", "-c", "kill -9 $$"])


# In a run


def test_an_unknown_metric_is_named():
    with pytest.raises(UsageError, match=r"no metric is called vamf \(did you mean vmaf\?\); there are psnr_rgb_db"):
        metrics.extra(["vamf", "psnr_rgb_db"])


def test_metrics_of_the_default_set_are_no_extra_ones():
    assert metrics.extra(["psnr_rgb_db", "vif", "ms_ssim_db", "fsim", "vif"]) == ("fsim", "vif")


def test_stored_measurements_are_cut_to_what_a_run_asks_for():
    image = picture(64, 64)
    stored = measure(Reference(image, ["iw_ssim", "vif"]), picture(64, 64, 1))
    stored["metric_versions"] = metrics.versions_json(["iw_ssim", "vif"])
    plain = measure(Reference(image), picture(64, 64, 1)) | {"metric_versions": metrics.METRIC_VERSIONS_JSON}
    assert metrics.of_set(stored) == plain
    assert set(metrics.of_set(stored, ["vif"])) == set(plain) | {"vif"}
    assert "iw_ssim" in stored["metric_notes"]
    assert metrics.of_set(plain, ["vif"]) is None
    old = stored | {"metric_versions": stored["metric_versions"].replace('"vif":"1"', '"vif":"0"')}
    assert metrics.of_set(old, ["vif"]) is None
    assert metrics.of_set(old) == plain


def run(folder, name: str, *options: str):
    out = folder / f"{name}.parquet"
    assert main(["run", "jpeg", "--dataset", f"folder:{folder / 'photos'}", "--out", str(out), *options]) == 0
    return out


def test_a_run_without_extra_metrics_is_the_same_file_before_and_after_one_with_them(tmp_path, image_folder):
    plain = run(tmp_path, "plain").read_bytes()
    more = records.read(run(tmp_path, "more", "--metrics", "psnr_rgb_db", "vif", "psnr_hvs_m_db"))
    assert list(more.columns) == [*records.SCHEMA.names, "psnr_hvs_m_db", "vif"]
    assert more.vif.between(0, 1).all()
    assert "vif" in json.loads(more.metric_versions[0])
    again = run(tmp_path, "again")
    assert again.read_bytes() == plain
    assert pq.read_schema(again).names == records.SCHEMA.names
    both = records.read(tmp_path / "again.parquet", tmp_path / "more.parquet")
    assert both.vif.notna().sum() == len(more)
    assert len(both) == 2 * len(more)


def test_a_run_that_asks_for_no_metric_at_all_is_refused_with_the_names(tmp_path, image_folder, capsys):
    options = ["--dataset", f"folder:{image_folder}", "--out", str(tmp_path / "out.parquet"), "--metrics", "vamf"]
    assert main(["run", "jpeg", *options]) == 2
    assert "there are psnr_rgb_db" in capsys.readouterr().err


def test_the_records_of_extra_metrics_survive_csv(tmp_path):
    row = {"dataset": "d", "codec": "c", "image": "i", "point": "p", "point_index": 0, "status": "ok", "nlpd": 0.25}
    frame = records.table([row])
    records.write_csv(frame, tmp_path / "records.csv")
    assert records.read_csv(tmp_path / "records.csv").equals(frame)
