"""The regression gate: what it lets pass, what it refuses, and what it does not compare."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from bench import records
from bench.cli import main
from bench.errors import UsageError
from bench.gate import baseline, judge, render, worst

VERSIONS = '{"ms_ssim_db":"1","psnr_rgb_db":"1","ssimulacra2":null}'
IMAGES, POINTS = 6, 5


def run(rate: float = 1.0, psnr_db: float = 0.0, code: str = "c0", noise: float = 0.0, **cells: object) -> pd.DataFrame:
    """Records of one codec on six images at five points.

    rate: multiplies its bytes, which changes its bits; psnr_db: is added to its PSNR, which changes its pixels; noise:
    standard deviation of the bytes, relative; cells: columns set to one value.
    """
    sizes = np.random.default_rng(0).uniform(0.8, 1.2, IMAGES)
    shaken = 1 + noise * np.random.default_rng(1).standard_normal((IMAGES, POINTS))
    rows = [
        {
            "dataset": "set",
            "image": f"i{i}",
            "image_sha256": f"{i}" * 64,
            "width": 100,
            "height": 100,
            "codec": "mine",
            "role": "codec",
            "point": f"p{k}",
            "point_index": k,
            "status": "ok",
            "identical": False,
            "codec_version": "1",
            "code_sha256": code,
            "metric_versions": VERSIONS,
            "bytes": (size := round(rate * shaken[i, k] * sizes[i] * 25_000 * 2**k)),
            "bpp": 8 * size / 10_000,
            "psnr_rgb_db": 25.0 + 3 * k + sizes[i] + psnr_db,
            "ms_ssim_db": 10.0 + 2 * k,
            "bitstream_sha256": f"{i}{k}{size}".ljust(64, "b"),
            "reconstruction_sha256": f"{i}{k}{psnr_db}".ljust(64, "c"),
            **cells,
        }
        for i in range(IMAGES)
        for k in range(POINTS)
    ]
    return records.table(rows)


def learned(**options: object) -> pd.DataFrame:
    """The same of a codec with weights, whose bits may differ between machines."""
    return run(weights_sha256="w0", **options)


def stored(frame: pd.DataFrame, exact: bool = True) -> baseline.Baseline:
    origins = {key: baseline.origin_of(rows, exact) for key, rows in frame.groupby(["dataset", "codec"])}
    return baseline.Baseline(baseline.small(frame), origins)


def verdict(current: pd.DataFrame, before: pd.DataFrame, *limits: str) -> judge.Verdict:
    (one,) = judge.judge(current, stored(before), judge.limits(limits))
    return one


def swapped(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """``frame`` with two images' cells exchanged at one point."""
    first, second = frame.index[(frame.point == "p2") & frame.image.isin(["i1", "i4"])]
    frame = frame.copy()
    frame.loc[[first, second], columns] = frame.loc[[second, first], columns].to_numpy()
    return frame


def test_the_same_bits_are_the_same():
    for frame in (run(), learned()):
        same = verdict(frame, frame)
        assert (same.verdict, same.detail) == ("same", "30 bitstreams and reconstructions")


@pytest.mark.parametrize("make", [run, learned])
def test_two_percent_more_bytes_fail_with_the_figure(make):
    lost = verdict(make(rate=1.02, code="c1"), make())
    assert lost.verdict == "failed"
    assert "BD-rate (PSNR) +2.000 % [+2.000, +2.000], limit +0.5 %" in lost.detail
    assert lost.breached == (("bits", "bpp", "bd") if make is run else ("bpp", "bd"))


def test_the_bd_layer_alone_sees_two_percent_more_bytes():
    lost = verdict(run(rate=1.02), run(), "bits:off", "bpp:off", "psnr:off")
    assert lost.breached == ("bd",)
    assert verdict(run(rate=1.02), run(), "bits:off", "bpp:off", "psnr:off", "bd:3%").verdict == "changed"


@pytest.mark.parametrize(
    ("frame", "columns", "layer"),
    [
        (run(), ["bitstream_sha256"], "bits"),
        (run(), ["bytes", "bpp", "bitstream_sha256"], "bits"),
        (learned(), ["bytes", "bpp", "bitstream_sha256"], "bpp"),
        (learned(), ["bytes", "bpp", "bitstream_sha256", "reconstruction_sha256", "psnr_rgb_db"], "psnr"),
    ],
)
def test_a_swapped_pair_of_bitstreams_fails(frame, columns, layer):
    wrong = verdict(swapped(frame, columns), frame)
    assert wrong.verdict == "failed" and layer in wrong.breached
    assert "i1 at p2" in wrong.detail or "i4 at p2" in wrong.detail


def test_two_bitstream_files_that_changed_places_fail(tmp_path, image_folder, capsys):
    """After a real run: the records say what was measured, and the files in its folder are no longer that."""
    folder, stored_in = tmp_path / "run", str(tmp_path / "base.csv")
    run_jpeg = ["run", "jpeg", "--dataset", f"folder:{image_folder}", "--folder", str(folder)]
    assert main([*run_jpeg, "--out", str(folder / "records.parquet")]) == 0
    place = ["--folder", str(folder), "--baseline", stored_in]
    assert main(["baseline", "update", *place, "--reason", "first"]) == 0
    assert main(["gate", *place]) == 0
    first, second = (folder / row for row in records.read(folder / "records.parquet").bitstream[[3, 30]])
    kept = first.read_bytes()
    first.unlink(), second.rename(first), second.write_bytes(kept)
    capsys.readouterr()
    assert main(["gate", *place]) == 1
    assert "2 bitstreams on disk differ from those that were measured" in capsys.readouterr().out


def test_noise_within_the_interval_passes():
    noisy = verdict(learned(noise=0.002, psnr_db=0.001), learned())
    assert noisy.verdict == "changed"
    (bd,) = [finding for finding in noisy.findings if finding.layer == "bd" and "(PSNR)" in finding.text]
    assert bd.interval[0] < bd.value < bd.interval[1]


def test_a_loss_above_the_limit_passes_only_if_its_interval_reaches_zero():
    """One image of six costs 6 %: 1 % in the mean, but no evidence that it is the codec. Six of six are."""
    one = learned().astype({"bytes": float})
    one.loc[one.image == "i3", ["bytes", "bpp"]] *= 1.06
    one["bitstream_sha256"] = "other"
    unsure = verdict(one, learned(), "bpp:off")
    assert unsure.verdict == "changed"
    assert [f.value > 0.5 and f.interval[0] <= 0 for f in unsure.findings if f.layer == "bd"] == [True, True]
    assert verdict(one, learned()).breached == ("bpp",)
    assert verdict(learned(rate=1.01), learned(), "bpp:off").breached == ("bd",)


def test_one_image_has_no_interval_so_the_threshold_decides():
    image = learned()[lambda frame: frame.image == "i0"]
    more = learned(rate=1.008)[lambda frame: frame.image == "i0"]
    assert verdict(more, image).breached == ("bd",)
    assert verdict(more, image, "bd:0.9%").verdict == "changed"


def test_a_gain_of_a_learned_codec_passes_as_a_change():
    assert verdict(learned(rate=0.97, psnr_db=0.2), learned()).verdict == "changed"


def test_a_loss_of_quality_at_equal_rate_fails():
    assert verdict(learned(psnr_db=-0.06), learned()).breached == ("psnr", "bd")


def test_other_bits_at_the_same_version_fail_and_the_message_says_what_has_changed():
    assert "a library, the machine or chance decides" in verdict(run(rate=0.999), run()).detail
    assert "only its code has" in verdict(run(rate=0.999, code="c1"), run()).detail
    (tolerated,) = judge.judge(run(rate=0.999), stored(run(), exact=False))
    assert tolerated.verdict == "changed"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"metric_versions": VERSIONS.replace('"1"', '"2"', 1)}, "metric versions"),
        ({"image_sha256": "f" * 64}, "image i0 has other pixels"),
    ],
)
def test_another_metric_version_or_picture_is_new_and_not_compared(cells, said):
    new = verdict(run(rate=2.0, **{"weights_sha256": "w0", **cells}), learned())
    assert new.verdict == "new" and said in new.detail
    assert verdict(run(rate=2.0, **{"weights_sha256": "w0", **cells}), learned(), "new:on").breached == ("new",)


@pytest.mark.parametrize(
    ("cells", "said"),
    [({"codec_version": "2"}, "codec version '2', was '1'"), ({"weights_sha256": "w1"}, "weights 'w1', was 'w0'")],
)
def test_another_version_or_other_weights_take_the_hashes_away_and_nothing_else(cells, said):
    before = run() if "codec_version" in cells else learned()
    lost = verdict(run(rate=1.26, **cells), before)
    assert lost.breached == ("bpp", "bd") and said in lost.detail
    assert "BD-rate (PSNR) +26.0" in lost.detail
    assert verdict(run(psnr_db=-0.06, **cells), before).breached == ("psnr", "bd")
    within = verdict(run(rate=0.999, **cells), before)
    assert within.verdict == "changed" and said in within.detail
    same = verdict(run(**cells), before)
    assert same.verdict == "same" and said in same.detail and "30 bitstreams" in same.detail
    assert verdict(run(**cells).drop(index=7), before).breached == ("run",)


def test_the_images_that_lost_most_are_named_worst_first():
    lost = run(codec_version="2").astype({"bytes": float})
    for image, factor in (("i1", 1.02), ("i2", 1.3), ("i3", 1.1)):
        lost.loc[lost.image == image, ["bytes", "bpp"]] *= factor
        lost.loc[lost.image == image, "bitstream_sha256"] = "other"
    lost.loc[(lost.image == "i3") & (lost.point == "p2"), ["bytes", "bpp"]] *= 1.01
    found = judge.judge(lost, stored(run()))
    table = worst.worst_images(found, lost, stored(run()))[("set", "mine")]
    assert list(table.image) == ["i2", "i3", "i1"]
    assert table.bd_rate_percent[0] == pytest.approx(30, abs=0.01) == table.bytes_percent[0]
    assert table.point[1] == "p2"
    assert worst.worst_images(judge.judge(run(), stored(run())), run(), stored(run())) == {}
    text = "\n".join(worst.as_markdown({("set", "mine"): table}))
    assert "| i2 | +30.00 % | +30.00 % | +0.000 dB |" in text


def test_a_metric_that_the_gate_does_not_use_makes_nothing_new():
    assert verdict(run(metric_versions=VERSIONS.replace("null", '"0.3.0"')), run()).verdict == "same"


def test_a_codec_without_a_baseline_is_new_and_one_that_cannot_run_here_is_not_mentioned():
    other = run(codec="other")
    skipped = records.table([{"dataset": "set", "codec": "third", "status": "skipped", "reason": "no binary"}])
    found = judge.judge(pd.concat([run(), other, skipped]), stored(run()))
    assert [(v.codec, v.verdict) for v in found] == [("mine", "same"), ("other", "new")]


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_codec_that_ran_before_and_does_not_now_fails_with_its_reason(status):
    broken = records.table([{"dataset": "set", "codec": "mine", "status": status, "reason": "no luck", "log": "a.log"}])
    gone = verdict(broken, run())
    assert gone.breached == ("run",)
    assert gone.detail == "measured before, now: no luck (log: a.log in the run's folder)"
    assert verdict(run()[:0], run()).breached == ("run",)


def test_one_failed_or_missing_measurement_fails():
    failed = run()
    failed.loc[7, ["status", "reason"]] = "failed", "out of memory"
    assert "out of memory" in verdict(failed, run()).detail
    assert "1 of 30 measurements are missing, first i1 at p2" in verdict(run().drop(index=7), run()).detail
    assert verdict(run(), run().drop(index=7)).verdict == "same"  # a new point is no loss


def test_a_metric_that_moved_without_a_new_version_fails():
    moved = run()
    moved["psnr_rgb_db"] += 0.01
    assert verdict(moved, run()).breached == ("metrics",)


def test_a_curve_that_no_longer_overlaps_fails_instead_of_going_unjudged():
    lost = verdict(learned(psnr_db=-40.0), learned(), "psnr:off", "bpp:off")
    assert lost.breached == ("bd",) and "no BD-rate (PSNR) against the baseline: no_overlap" in lost.detail


def test_a_codec_without_a_curve_is_held_to_its_bits():
    exact = run(psnr_rgb_db=np.inf, ms_ssim_db=np.inf, identical=True)
    more = run(rate=1.004, psnr_rgb_db=np.inf, ms_ssim_db=np.inf, identical=True)
    assert verdict(exact, exact).verdict == "same"
    assert verdict(more, exact).breached == ("bits",)


@pytest.mark.parametrize("text", ["5", "bd:0.5", "bd:-1%", "psnr:1%", "bits:maybe", "speed:1%"])
def test_a_wrong_limit_is_refused_with_examples(text):
    with pytest.raises(UsageError, match=r"bd:0\.5%.*got " + repr(text)):
        judge.limits([text])


def test_a_baseline_comes_back_from_its_files_and_they_are_small(tmp_path):
    path = tmp_path / "base.csv"
    frame = pd.concat([run(image="001"), run(codec="null", weights_sha256="w0")])[lambda f: f.point != "p9"]
    frame = frame.drop_duplicates(["codec", "image", "point"])
    assert baseline.update(frame, path, "first") == {("set", "mine"): "added", ("set", "null"): "added"}
    assert path.stat().st_size < 120 * len(frame)
    back = baseline.read(path)
    assert [v.verdict for v in judge.judge(frame, back)] == ["same", "same"]
    assert {key: origin.exact for key, origin in back.origins.items()} == {
        ("set", "mine"): True,
        ("set", "null"): False,
    }
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    baseline.write(back, path)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_an_update_changes_what_it_is_told_to_and_keeps_the_rest(tmp_path):
    path = tmp_path / "base.csv"
    baseline.update(pd.concat([run(), run(codec="other")]), path, "first")
    assert baseline.update(run(), path, "again") == {("set", "mine"): "unchanged", ("set", "other"): "kept"}
    assert baseline.read(path).origins[("set", "mine")].reason == "first"
    both = pd.concat([run(rate=2.0), run(codec="other", rate=2.0)])
    assert baseline.update(both, path, "twice", ["mine"]) == {("set", "mine"): "updated", ("set", "other"): "kept"}
    assert [v.verdict for v in judge.judge(both, baseline.read(path))] == ["same", "failed"]
    baseline.update(both, path, "processor", inexact=["mine"])
    baseline.update(run(rate=3.0), path, "stays inexact")
    assert not baseline.read(path).origins[("set", "mine")].exact
    assert baseline.update(both[:0], path, "gone", remove=["other"])[("set", "other")] == "removed"
    assert set(baseline.read(path).rows.codec) == {"mine"}


def test_an_update_refuses_what_is_no_baseline(tmp_path):
    path = tmp_path / "base.csv"
    failed = run()
    failed.loc[7, ["status", "reason"]] = "failed", "out of memory"
    for message, arguments, options in [
        ("needs a reason", (run(), path, " "), {}),
        ("no measurements of yours; the run has mine", (run(), path, "r", ["yours"]), {}),
        (r"mine failed on set in this run \(out of memory\)", (failed, path, "r"), {}),
        ("has no other to remove", (run(), path, "r"), {"remove": ["other"]}),
    ]:
        with pytest.raises(UsageError, match=message):
            baseline.update(*arguments, **options)
    assert not path.exists()


def test_a_missing_or_damaged_baseline_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "base.csv"
    with pytest.raises(UsageError, match="rdbench baseline update"):
        baseline.read(path)
    baseline.update(run(), path, "first")
    whole = path.read_text()
    for damaged in (whole.replace("bytes", "octets", 1), whole.replace("mine", "yours"), "\0", ""):
        path.write_text(damaged)
        with pytest.raises(UsageError, match=r"base.csv cannot be read: .*restore it from git"):
            baseline.read(path)


@pytest.fixture
def gated(tmp_path):
    """A run that lost 2 % in one codec, gained a codec and cannot run a third, and what the command needs."""
    base = pd.concat([run(), run(codec="same"), run(codec="gone")])
    gone = records.table([{"dataset": "set", "codec": "gone", "status": "failed", "reason": "a | b\x1b[0m <br>\nc"}])
    now = pd.concat([run(rate=1.02, code="c1"), run(codec="same"), run(codec="fresh"), gone])
    baseline.update(base, tmp_path / "base.csv", "first")
    records.write(now, tmp_path / "run" / "records.parquet")
    return ["gate", "--folder", str(tmp_path / "run"), "--baseline", str(tmp_path / "base.csv")]


def test_the_command_says_what_failed_how_to_look_and_how_to_accept(gated, capsys):
    assert main(gated) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        *(["failed", "gone"], ["failed", "mine"], ["new", "fresh"], ["same", "same"])
    ]
    assert lines[5] == "mine on set, the images that lost most:" and len(lines) == 7 + worst.COUNT
    assert "+2.00 %" in lines[7]
    assert "gate: 2 of 4 failed: gone, mine" in err
    inspect, accept = (next(line.split() for line in err.splitlines() if word in line) for word in ("--rows", "update"))
    assert main([word.strip("'") for word in inspect[1:]]) == 1
    assert "i5                       p4" in capsys.readouterr().out
    assert main([word.strip("'") for word in accept[1:]]) == 2  # '...' is no reason
    assert main([*(word for word in accept[1:] if word != "'...'"), "it is meant"]) == 0
    assert main([*gated, "--codecs", "mine", "fresh", "same"]) == 0


def test_the_old_spelling_of_the_baseline_command_still_writes_one(gated, tmp_path, capsys):
    place = ["--folder", str(tmp_path / "run"), "--baseline", str(tmp_path / "other.csv"), "--codecs", "same"]
    assert main(["baseline", *place, "--reason", "why not"]) == 0
    assert main(["gate", *place]) == 0
    assert main(["baseline", "show", *place]) == 0
    assert "because: why not" in capsys.readouterr().out
    assert main(["baseline", "update", *place]) == 0  # nothing changes
    place[3] = str(tmp_path / "new.csv")
    assert main(["baseline", "update", *place]) == 2
    assert "needs a reason" in capsys.readouterr().err


JUNIT = {  # of Jenkins' schema (xunit-plugin, junit-10.xsd): element -> required attributes, optional ones, children
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname"},
        {"testcase", "system-out"},
    ),
    "testcase": ({"name"}, {"time", "classname"}, {"skipped", "error", "failure", "system-out"}),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}


def test_junit_keeps_to_the_schema_of_its_readers(gated, tmp_path):
    assert main([*gated, "--junit", str(tmp_path / "gate.xml")]) == 1
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert root.tag == "testsuites" and root.get("tests") == str(len(list(root.iter("testcase")))) == "4"
    assert root.get("failures") == str(len(list(root.iter("failure")))) == "2"
    for element in root.iter():
        required, optional, children = JUNIT[element.tag]
        assert required <= set(element.keys()) <= required | optional
        assert {child.tag for child in element} <= children


def test_junit_has_a_failure_with_the_way_on_and_a_skipped_case_for_new(gated, tmp_path):
    assert main([*gated, "--junit", str(tmp_path / "ci" / "gate.xml")]) == 1
    suite = ElementTree.parse(tmp_path / "ci" / "gate.xml").getroot().find("testsuite")
    assert {name: suite.get(name) for name in ("name", "tests", "failures", "skipped")} == {
        "name": "set",
        "tests": "4",
        "failures": "2",
        "skipped": "1",
    }
    cases = {case.get("name"): case for case in suite}
    assert cases["mine"].find("failure").get("type") == "bits bpp bd"
    assert "baseline update" in cases["mine"].find("failure").text
    assert "a | b" in cases["gone"].find("failure").get("message")
    assert cases["fresh"].find("skipped") is not None and cases["same"].find("failure") is None


def test_the_summary_is_appended_as_a_table_whose_cells_hold_what_a_log_may_say(gated, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    assert main(gated) == 1
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("before\n### rdbench gate: 2 failed, 1 new, 1 same\n")
    assert "a \\| b" in text and "&lt;br>" in text and "**failed** | mine" in text
    assert "The same bitstreams and reconstructions: same." in text
    assert "| image | BD-rate (PSNR) | bytes | PSNR | worst point |" in text and "| +2.00 % | +2.00 % |" in text


def test_json_holds_the_numbers(gated, capsys):
    assert main([*gated, "--json"]) == 1
    mine = next(entry for entry in json.loads(capsys.readouterr().out)["rows"] if entry["codec"] == "mine")
    assert mine["breached"] == ["bits", "bpp", "bd"]
    assert next(f["value"] for f in mine["findings"] if f["layer"] == "bd") == pytest.approx(2.0, abs=1e-3)


def test_a_mistake_is_exit_code_2(gated, tmp_path, capsys):
    assert main([*gated, "--fail", "5"]) == 2
    assert main([*gated, "--codecs", "nosuch"]) == 2
    assert main(["gate", "--folder", str(tmp_path), "--baseline", gated[-1]]) == 2
    assert "make them with: snakemake --cores" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "baselines").glob("*.csv")), ids=lambda path: path.stem)
def test_a_committed_baseline_belongs_to_a_configuration_and_has_a_reason_for_every_codec(path):
    committed = baseline.read(path)
    datasets = yaml.safe_load((ROOT / "config" / f"{path.stem}.yaml").read_text())["datasets"]
    assert set(committed.rows.dataset) == set(datasets)
    assert all(origin.reason and origin.codec_version for origin in committed.origins.values())
    assert path.stat().st_size < 130 * len(committed.rows)
    assert render.headline(judge.judge(_as_records(committed), committed)) == f"{len(committed.origins)} same"


def _as_records(stored: baseline.Baseline) -> pd.DataFrame:
    """A run that gives what the baseline holds."""
    frames = []
    for key, origin in stored.origins.items():
        cells = {"codec_version": origin.codec_version, "code_sha256": origin.code_sha256, "status": "ok"}
        cells |= {"weights_sha256": origin.weights_sha256 or None}
        frames.append(stored.of(key).assign(**cells, metric_versions=json.dumps(origin.metric_versions)))
    return records.table(pd.concat(frames).to_dict("records"))
