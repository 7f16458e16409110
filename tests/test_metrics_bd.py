"""Extra metrics after they are measured: curves, BD-rates, the gate, and the worst 5 % beside the mean."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import test_bd
import test_gate
import yaml
from conftest import ROOT

from bench import records
from bench.errors import UsageError
from bench.gate import baseline, judge
from bench.metrics import EXTRA, METRICS
from bench.rd.bd_table import compare
from bench.rd.curves import CURVE_METRICS, DB_OF_MEAN, DISTANCES, averaged_curve, curve_table


def two_codecs(**columns: str) -> pd.DataFrame:
    """Records of an anchor and of a codec with 20 % less rate; columns: extra metrics, as pandas computes them."""
    frame = test_bd.make_records({"anchor": 1.0, "codec": 0.8}, spread=0)
    for name, formula in columns.items():
        frame[name] = frame.eval(formula)
    return frame


def test_every_metric_of_the_records_has_a_curve_a_label_and_a_place_in_the_configuration():
    from bench.figures import style
    from bench.report.data import PICKED

    assert {*METRICS, *EXTRA, DB_OF_MEAN} == set(CURVE_METRICS)
    assert set(CURVE_METRICS) <= set(style.METRICS)
    schema = yaml.safe_load((ROOT / "config/schema/config.schema.yaml").read_text())
    allowed = schema["properties"]["metrics"]["items"]["enum"]
    assert set(allowed) == set(CURVE_METRICS) - {"ms_ssim", DB_OF_MEAN}
    assert set(EXTRA) <= set(PICKED)
    assert set(DISTANCES) == {name for name in EXTRA if style.METRICS[name][0].startswith("−")}


@pytest.mark.parametrize(("metric", "formula"), [("vmaf", "2 * psnr_rgb_db"), ("lpips", "(50 - psnr_rgb_db) / 100")])
def test_a_bd_rate_is_the_same_whether_more_or_less_is_better(metric, formula):
    frame = two_codecs(**{metric: formula})
    table = compare(frame, "anchor", ["codec"], metric, "set", draws=50)
    for averaging in ("per_image", "averaged_curve"):
        row = test_bd.row_of(table, averaging)
        assert row.bd_rate_percent == pytest.approx(-20)
        assert row.bd_quality > 0
        assert row.repaired_points == 0


def test_the_curve_of_a_distance_has_its_sign_turned():
    frame = two_codecs(dists="(50 - psnr_rgb_db) / 100")
    curve = averaged_curve(frame, "set", "codec", "dists")
    means = frame[frame.codec == "codec"].groupby("point_index").dists.mean()
    assert curve.value.to_numpy() == pytest.approx(-means.to_numpy())
    assert (np.diff(curve.value) > 0).all()


def test_records_without_the_metric_have_no_curve_of_it():
    frame = two_codecs()
    assert not curve_table(frame, "set", "codec", "vmaf").images
    assert averaged_curve(frame, "set", "codec", "vmaf").empty
    assert set(compare(frame, "anchor", ["codec"], "vmaf", "set").reason) == {"anchor_missing"}
    with pytest.raises(UsageError, match="no curve of metric 'vamf'"):
        curve_table(frame, "set", "codec", "vamf")


@pytest.mark.parametrize(("metric", "sign"), [("vmaf", 1), ("lpips", -1)])
def test_the_worst_5_percent_stand_beside_the_mean(metric, sign):
    frame = test_bd.make_records({"a": 1.0}, images=41, points=3)
    rng = np.random.default_rng(0)
    frame[metric] = rng.random(len(frame)) + frame.point_index
    curve = averaged_curve(frame, "set", "a", metric)
    for row in curve.itertuples():
        values = np.sort(sign * frame[frame.point_index == row.point_index][metric].to_numpy())
        assert row.worst == pytest.approx(values[2])  # of 41 values the third has 5 % below it
        assert row.worst < row.value


def test_the_worst_leaves_out_what_the_mean_leaves_out():
    frame = test_bd.make_records({"a": 1.0}, images=3, points=2, spread=0)
    frame.loc[(frame.point_index == 1) & (frame.image != "i1"), "psnr_rgb_db"] = np.inf
    worst = averaged_curve(frame, "set", "a", "psnr_rgb_db").worst
    assert worst[1] == frame[(frame.point_index == 1) & (frame.image == "i1")].psnr_rgb_db.iloc[0]
    frame.loc[frame.point_index == 1, "psnr_rgb_db"] = np.inf
    assert averaged_curve(frame, "set", "a", "psnr_rgb_db").worst[1] == np.inf


# The gate


def gated(vmaf: float = 0.0, version: str = "1", **options: object) -> pd.DataFrame:
    """Records as of tests/test_gate.py, with VMAF; vmaf: is added to it."""
    frame = test_gate.run(weights_sha256="w0", **options)
    versions = json.loads(test_gate.VERSIONS) | {"vmaf": version}
    return frame.assign(vmaf=2 * frame.psnr_rgb_db + vmaf, metric_versions=json.dumps(versions))


def test_a_loss_in_an_extra_metric_alone_fails_with_the_figure():
    before = gated()
    now = gated(vmaf=-0.3)
    now["reconstruction_sha256"] = now.reconstruction_sha256.str.replace("c", "d")
    lost = test_gate.verdict(now, before)
    assert lost.breached == ("bd",)
    assert "BD-rate (PSNR) +0.000 %" in lost.detail
    (finding,) = [each for each in lost.findings if each.breached]
    assert finding.text.startswith("BD-rate (vmaf) +")
    assert test_gate.verdict(now.assign(vmaf=before.vmaf), before).verdict == "changed"


@pytest.mark.parametrize("other", ["version", "not measured"])
def test_an_extra_metric_that_was_measured_otherwise_is_said_and_the_rest_is_compared(other):
    now = gated(vmaf=-9, version="2", rate=0.999)
    if other == "not measured":
        now = test_gate.learned(rate=0.999)
    found = test_gate.verdict(now, gated())
    assert found.verdict == "changed"
    assert "vmaf is not compared: measured by another version of it, or not at all" in found.detail
    assert "BD-rate (PSNR) -0.1" in found.detail


def test_a_run_that_measures_more_than_its_baseline_is_compared_as_before():
    assert test_gate.verdict(gated(), test_gate.learned()).verdict == "same"
    assert "vmaf" not in test_gate.verdict(gated(rate=0.999), test_gate.learned()).detail


def test_a_baseline_keeps_extra_metrics_and_one_without_is_as_it_was(tmp_path):
    path = tmp_path / "gate.csv"
    baseline.update(test_gate.run(), path, "the first")
    assert path.read_text().splitlines()[0] == ",".join(baseline.COLUMNS)
    assert set(json.loads(path.with_suffix(".json").read_text())["set"]["mine"]["metric_versions"]) == set(
        baseline.METRICS
    )
    both = pd.concat([gated(), test_gate.run().assign(codec="plain")], ignore_index=True)
    assert baseline.update(both, path, "with VMAF") == {("set", "mine"): "updated", ("set", "plain"): "added"}
    stored = baseline.read(path)
    assert list(stored.rows.columns) == [*baseline.COLUMNS, "vmaf"]
    assert stored.origins["set", "mine"].metric_versions["vmaf"] == "1"
    assert stored.of(("set", "plain")).vmaf.isna().all()
    before = baseline.small(records.measured(gated()))
    pd.testing.assert_series_equal(stored.of(("set", "mine")).vmaf.reset_index(drop=True), before.vmaf, rtol=1e-5)
    assert [verdict.verdict for verdict in judge.judge(both, stored)] == ["same", "same"]
