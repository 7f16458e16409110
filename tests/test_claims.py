"""The ledger of claims: verdicts follow from the records alone, and a slip in claims.yaml is refused with its name."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from scipy.interpolate import PchipInterpolator

from bench import records
from bench.claims.expressions import parse
from bench.claims.ledger import (
    BY_CONSTRUCTION,
    KINDS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    VERDICTS,
    claimed_codecs,
    judge_run,
    read_claims,
    verdict_of,
)
from bench.claims.tables import COLUMNS, as_text, quantity_in_words, summary
from bench.cli import main
from bench.discovery import discover
from bench.errors import UsageError
from bench.files import to_json
from bench.rd.published import load_published, published_curve
from bench.report import build
from bench.report.claims import verdicts as page_verdicts
from bench.report.run import read_run
from bench.studies import studies

DATASET = "kodak"
IMAGES = [f"image{number}" for number in range(6)]
RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
CURVES = {  # dB above BPG at equal rate, over ln(rate); what is not here is 0
    "plonq": lambda rate: 0.5 + 0.4 * np.log(rate),
    "spiht": lambda rate: -1.5,
    "nested_dropout": lambda rate: -2.0,
    "mean_scale": lambda rate: 0.5,
    "jpeg2000": lambda rate: -1.2,
    "resgdn": lambda rate: -0.3,
    "resgdn_base": lambda rate: -0.4 - 0.5 * np.log(rate / RATES[0]),
}
STUDIES: dict[str, dict[str, list]] = {
    "stanh_function": {"beta": ["1", "100", "infinite (coding)"], "x": [0.7] * 3, "STanH(x)": [0.6, 1.0, 1.0]},
    "resgdn_layers": {"point": list("abcde"), "residual_share": [0.02, 0.34, 0.52, 0.68, 0.76]},
    "resgdn_times": {"part": ["encoder", "quantizer", "decoder"], "ms": [65.0, 2.0, 51.0], "device": ["CPU"] * 3},
    "stanh_costs": {
        "weights": ["a", "b"],
        "trains": ["network", "quantizers (derivation)"],
        "trained_scalars": [5_000_000, 300],
        "bytes": [20_000_000, 5000],
        "hours": [4.0, 0.1],
    },
    "plonq_nesting": {"levels": ["nested", "not nested (8, 4, 2, 1)", "finest alone"], "bpp": [2.0, 2.4, 2.0]},
    "qsf_between": {"position": [0.0, 0.25, 0.5], "bpp": [0.1, 0.12, 0.15], "rise_bpp": [None, 0.02, 0.03]},
    "resgdn_rounding": {
        "rounding": ["nearest", "stochastic"],
        "bits": [2, 2],
        "greatest_bias_steps": [0.497, 0.017],
        "zero_error": [0.0, 0.0],
    },
    "resgdn_convergence": {
        "network": ["resgdn_short", "resgdn_short_nores", "resgdn_short_resrelu"] * 2,
        "step": [75] * 3 + [150] * 3,
        "loss": [0.27, 0.29, 0.28, 0.23, 0.27, 0.24],
    },
    "resgdn_channels": {
        "channels": ["8 channels"] * 3 + ["4 channels"] * 3,
        "target_bpp": [0.25, 0.375, 0.5] * 2,
        "bpp": [0.1, 0.15, 0.2] * 2,
        "psnr_rgb_db": [24.0, 25.0, 25.5, 23.0, 23.5, 23.6],
    },
    "stanh_storage": {
        "kept": ["a network for each rate", "3 anchors, 3 derivations"],
        "bytes": [120_000_000, 60_015_000],
        "missing": ["", ""],
    },
}
ORDERS = (
    "element by sigma",
    "channel by sigma",
    "channel by rate",
    "channel by slope",
    "pixel by sigma",
    "pixel by rate",
)


def quality(bpp: np.ndarray, image: int) -> np.ndarray:
    """PSNR of BPG in dB: three to four a doubling, falling off; images differ in level and slope."""
    return 34 + 0.8 * image + (4.5 + 0.1 * image) * np.log(bpp) - 0.15 * np.log(bpp) ** 2


def rows_of(codec: str, gain: Callable[..., Any], images: list[str], spread: float, saved: float) -> list[dict]:
    """Records of a codec whose gain over BPG differs between images by up to ``spread`` dB either way."""
    rates = np.array(RATES) * (1 - saved)
    rows = []
    for number, image in enumerate(images):
        psnr = quality(rates, number) + gain(rates) + spread * math.cos(3 * number)
        for index, (bpp, value) in enumerate(zip(rates, psnr, strict=True)):
            about = {"dataset": DATASET, "image": image, "codec": codec, "role": "codec", "status": "ok"}
            place = {"point": f"p{index}", "point_index": index, "bpp": bpp, "saturated": False, "bytes": 1000}
            place |= {"width": 100, "height": 100, "bitstream": "none"}
            place |= dict.fromkeys(("image_sha256", "bitstream_sha256", "reconstruction_sha256"), "0" * 64)
            # MS-SSIM follows PSNR; only ResGDN's is better than that.
            ms_ssim_db = value / 2 - 4 + (0.6 - 0.1 * index if codec == "resgdn" else 0.0)
            quality_of = {"psnr_rgb_db": value, "ms_ssim_db": ms_ssim_db, "ms_ssim": 1 - 10 ** (-ms_ssim_db / 10)}
            rows.append(about | place | quality_of)
    return rows


@pytest.fixture(scope="module")
def ideal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which the papers are right, with its claims.json and claims.csv."""
    folder = writer(tmp_path_factory.mktemp("ideal"))()
    assert main(["claims", "--folder", str(folder), "--spec", str(ROOT / "claims.yaml"), "--write"]) == 0
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    return writer(tmp_path)


def writer(base: Path) -> Callable[..., Path]:
    """Writes a run that holds what the ledger asks for; arguments change curves, leave codecs out, name images."""

    def make(
        curves: Mapping[str, Callable[..., Any]] | None = None,
        without: tuple[str, ...] = (),
        images: list[str] = IMAGES,
        spread: float = 0.02,
        name: str = "run",
    ) -> Path:
        folder = base / name
        rows = [{"dataset": DATASET, "codec": "stanh_zou22", "status": "skipped", "reason": "no weights here"}]
        gains = CURVES | dict(curves or {})
        for codec in sorted(claimed_codecs() - {"stanh_zou22", *without}):
            rows += rows_of(codec, gains.get(codec, lambda rate: 0 * rate), images, spread * ("plonq" in codec), 0.0)
        folder.mkdir()
        records.write(records.table(rows), folder / "records.parquet")
        for study, columns in STUDIES.items():
            write_study(folder, study, columns, images[:1] if study == "resgdn_convergence" else images)
        orders = {"order": [], "target_bpp": [], "bpp": [], "psnr_rgb_db": []}
        for number, order in enumerate(ORDERS):
            for rate in RATES:
                values = (order, rate, rate, float(quality(np.array(rate), 0)) - 0.4 * number)
                for column, value in zip(orders.values(), values, strict=True):
                    column.append(value)
        write_study(folder, "plonq_orders", orders, images[:3])
        return folder

    return make


def write_study(folder: Path, study: str, columns: dict[str, list], images: list[str]) -> None:
    rows = [[image, *row] for image in images for row in zip(*columns.values(), strict=True)]
    content = {"study": study, "dataset": DATASET, "status": "ok", "reason": "", "columns": ["image", *columns]}
    path = folder / "studies" / DATASET / f"{study}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(content | {"rows": rows}))


def verdicts(folder: Path, *names: str) -> dict[str, dict[str, Any]]:
    """The committed ledger's verdicts on a run, or those of the named claims."""
    content = yaml.safe_load((ROOT / "claims.yaml").read_text())
    content["claims"] = [claim for claim in content["claims"] if not names or claim["name"] in names]
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    return {claim["name"]: claim for claim in judge_run(folder, path)["claims"]}


def ledger(tmp_path: Path, **changes: Any) -> Path:
    """A claims.yaml of one claim, changed or with fields left out (None)."""
    entry = {
        "name": "the_claim",
        "paper": "p",
        "kind": "detail",
        "where": "here",
        "says": "it is so",
        "test": "bd_rate(plonq, spiht) < 0",
    }
    entry |= {"tolerance": 1.0, "changes": "training"} | changes
    entry = {key: value for key, value in entry.items() if value is not None}
    papers = {"p": {"title": "A paper", "arxiv": "0000.00000", "datasets": [DATASET]}}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"papers": papers, "claims": [entry]}))
    return path


def judged(tmp_path: Path, folder: Path, test: str, tolerance: float = 2.0) -> dict[str, Any]:
    (claim,) = judge_run(folder, ledger(tmp_path, test=test, tolerance=tolerance))["claims"]
    return claim


# The ledger of the three papers


def test_the_ledger_has_at_least_25_claims_of_all_three_papers_and_no_verdict_typed_by_hand():
    content = yaml.safe_load((ROOT / "claims.yaml").read_text())
    assert len(read_claims().claims) == len(content["claims"]) >= 25
    assert {claim.paper for claim in read_claims().claims} == set(content["papers"]) == {"plonq", "stanh", "resgdn"}
    assert not any("verdict" in field for claim in content["claims"] for field in claim)


def test_every_claim_gets_a_verdict_and_the_ideal_run_reproduces_most(ideal):
    result = json.loads((ideal / "claims.json").read_text())
    assert {claim["name"] for claim in result["claims"]} == {claim.name for claim in read_claims().claims}
    assert {claim["verdict"] for claim in result["claims"]} <= set(VERDICTS)
    assert result["counts"][REPRODUCED] > 25
    for claim in result["claims"]:
        missing = any(part["value"] is None for part in claim["parts"])
        refuted = any(part["verdict"] == NOT_REPRODUCED for part in claim["parts"])
        assert (claim["verdict"] == NOT_TESTABLE) == (missing and not refuted)
        assert claim["papers_dataset"] == (claim["paper"] in ("plonq", "stanh", "resgdn"))


def poor(rate: float) -> float:
    return -3.0


@pytest.mark.parametrize(
    ("curves", "causes"),
    [
        ({"plonq": poor, "naive_scaling": poor}, ["the network: "]),
        ({"plonq": poor, "naive_scaling": lambda rate: 0.5}, ["the nesting: "]),
        ({"plonq": lambda rate: 0.0, "naive_scaling": poor}, []),
    ],
)
def test_controls_measure_the_reason_of_a_claim_that_is_not_reproduced(make_run, capsys, curves, causes):
    folder = make_run(curves=curves)
    (claim,) = verdicts(folder, "plonq_uniformly_above_spiht").values()
    assert claim["verdict"] == (NOT_REPRODUCED if causes else REPRODUCED)
    assert len(claim["controls"]) == (3 if causes else 0)
    assert [name for name in ("the network: ", "the nesting: ") if name in claim["cause"]] == causes
    assert main(["claims", "--folder", str(folder), "--spec", str(folder / "claims.yaml")]) == 0
    printed = capsys.readouterr().out
    assert ("measured reason: " in printed) == bool(causes)
    for control in claim["controls"][:2]:
        bound = float(control["test"].rpartition("<= ")[2])
        assert (control["value"] > bound) == bool(control["cause"])
        assert f"control: {control['test']}: {control['value']:.4g} %" in printed


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({"test": "bd_rate(a, b) < 0"}, r"a control has a test, a tolerance, and if_met or if_missed, got \['test'\]"),
        ({"test": "bd_rate(a, b) < 0", "tolerance": 1}, "a control has a test, a tolerance, and if_met or if_missed"),
        (
            {"test": "bd_rate(a, b) < 0", "tolerance": -1, "if_met": "x"},
            "the tolerance has to be a number of 0 or more",
        ),
        ({"test": "bd_rate(a, b) < 0 and total(a) > 0", "tolerance": 1, "if_met": "x"}, "a control is one comparison"),
        ({"test": "bd_rat(a, b) < 0", "tolerance": 1, "if_met": "x"}, "bd_rat"),
        ("bd_rate(a, b) < 0", "a control has a test"),
    ],
)
def test_a_slip_in_a_control_is_refused_with_the_claims_name(tmp_path, control, message):
    with pytest.raises(UsageError, match=r"claim 1 \(.*" + message):
        read_claims(ledger(tmp_path, controls=[control]))


def test_what_cannot_be_tested_says_why_and_what_to_run(make_run):
    found = verdicts(
        make_run(without=("qsf",)),
        "naive_scaling_comparable_to_qsf",
        "stanh_on_zou22_comparable",
        "uneven_levels_above_uniform_ones",
        "resgdn_times_on_titan_x",
    )
    assert found["naive_scaling_comparable_to_qsf"]["reason"] == "codec qsf is not in the run"
    assert "codecs='[naive_scaling,qsf]'" in found["naive_scaling_comparable_to_qsf"]["run"]
    zou22 = found["stanh_on_zou22_comparable"]["reason"]
    assert zou22 == "codec stanh_zou22 was skipped: no weights here (fix this first, then run the command below)"
    assert found["uneven_levels_above_uniform_ones"]["run"].startswith("rdbench study plonq_levels --dataset kodak")
    assert "'*TITAN X*'" in found["resgdn_times_on_titan_x"]["reason"]


def test_a_run_without_learned_codecs_makes_no_claim_about_them(make_run):
    classical = {"bpg444", "bpg420", "jpeg", "jpeg_standard", "jpeg2000", "webp", "spiht"}
    folder = make_run(without=tuple(claimed_codecs() - classical))
    for path in (folder / "studies" / DATASET).iterdir():
        path.unlink()
    found = verdicts(folder)
    prior_art = {"toderici_above_jpeg_psnr", "shallow_gdn_above_jpeg2000", "joint_prior_above_bpg"}
    judged = {name for name, claim in found.items() if claim["verdict"] != NOT_TESTABLE}
    assert judged == {"bpg444_as_published", "stanh_above_gain_units_as_published", *prior_art}  # the second: no run's


# Verdicts again by hand, from the Parquet file and without bench


def by_hand(folder: Path, codec: str) -> tuple[np.ndarray, np.ndarray]:
    """Rate and PSNR of a codec, images x points, by pandas alone."""
    frame = pd.read_parquet(folder / "records.parquet")
    frame = frame[(frame.codec == codec) & (frame.status == "ok")]
    grid = [frame.pivot(index="image", columns="point_index", values=column) for column in ("bpp", "psnr_rgb_db")]
    return grid[0].to_numpy(), grid[1].to_numpy()


def resamples(images: int) -> np.ndarray:
    """Another bootstrap than bench's: indices, 4000 x images."""
    return np.random.default_rng(99).integers(0, images, (4000, images))


def test_by_hand_the_bd_rate_claim_has_the_same_number_interval_and_verdict(make_run):
    folder = make_run(spread=0.5)
    (bpp, psnr), (anchor_bpp, anchor_psnr) = by_hand(folder, "plonq"), by_hand(folder, "spiht")
    rates = []
    for image in range(len(bpp)):
        low, high = max(psnr[image, 0], anchor_psnr[image, 0]), min(psnr[image, -1], anchor_psnr[image, -1])
        integrals = [
            PchipInterpolator(quality, np.log(rate)).integrate(low, high)
            for quality, rate in ((psnr[image], bpp[image]), (anchor_psnr[image], anchor_bpp[image]))
        ]
        rates.append(100 * (math.exp((integrals[0] - integrals[1]) / (high - low)) - 1))
    low, high = np.quantile(np.array(rates)[resamples(len(rates))].mean(axis=1), [0.025, 0.975])
    (claim,) = verdicts(folder, "plonq_saves_rate_against_spiht").values()
    (part,) = claim["parts"]
    assert part["value"] == pytest.approx(np.mean(rates), abs=1e-9)
    assert (part["ci_low"], part["ci_high"]) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert np.mean(rates) < -10 and high < -10 + 2
    assert claim["verdict"] == REPRODUCED


def test_by_hand_the_whole_curve_claim_has_the_same_number_interval_and_verdict(make_run):
    # Far above SPIHT at high rates, below it at the lowest: better on average, not at every rate.
    folder = make_run(curves={"plonq": lambda rate: -1.5 + 2 * np.log(rate / 0.15)}, spread=0.05)
    (bpp, psnr), (anchor_bpp, anchor_psnr) = by_hand(folder, "plonq"), by_hand(folder, "spiht")

    def gains(images: np.ndarray) -> np.ndarray:
        rates = [np.log(each[images].mean(axis=0)) for each in (bpp, anchor_bpp)]
        grid = np.linspace(max(rate[0] for rate in rates), min(rate[-1] for rate in rates), 2001)
        ours = PchipInterpolator(rates[0], psnr[images].mean(axis=0))(grid)
        return ours - PchipInterpolator(rates[1], anchor_psnr[images].mean(axis=0))(grid)

    everything = gains(np.arange(len(bpp)))
    lows = np.quantile([gains(draw).min() for draw in resamples(len(bpp))[:500]], [0.025, 0.975])
    (claim,) = verdicts(folder, "plonq_uniformly_above_spiht").values()
    least, mean = claim["parts"]
    assert least["value"] == pytest.approx(everything.min(), abs=1e-3)
    assert mean["value"] == pytest.approx(everything.mean(), abs=0.01)
    assert (least["ci_low"], least["ci_high"]) == pytest.approx(tuple(lows), abs=0.02)
    assert lows[1] < -0.1 and everything.mean() > 0.1
    assert (least["verdict"], mean["verdict"], claim["verdict"]) == (NOT_REPRODUCED, REPRODUCED, NOT_REPRODUCED)
    assert claim["reason"] == "1 of 2 comparisons are met"


@pytest.mark.parametrize(("longer", "verdict"), [(0.0005, REPRODUCED), (0.0015, REPRODUCED), (0.01, NOT_REPRODUCED)])
def test_by_hand_the_claim_of_no_overhead_has_the_same_number_and_verdict(make_run, longer, verdict):
    folder = make_run()
    frame = records.read(folder / "records.parquet")
    frame.loc[(frame.codec == "plonq_percent") & (frame.point_index == 4), "bpp"] *= 1 + longer
    records.write(frame, folder / "records.parquet")
    embedded, plain = by_hand(folder, "plonq_percent")[0][:, -1], by_hand(folder, "naive_scaling")[0][:, -1]
    expected = embedded.mean() / plain.mean() - 1
    (claim,) = verdicts(folder, "nesting_costs_no_rate_at_the_finest_level").values()
    assert claim["parts"][0]["value"] == pytest.approx(expected, abs=1e-12) == pytest.approx(longer, abs=1e-12)
    assert claim["verdict"] == verdict


# How a verdict follows


@pytest.mark.parametrize(
    ("saved", "spread", "verdict"),
    [(0.2, 0.0, REPRODUCED), (-0.2, 0.0, NOT_REPRODUCED), (0.002, 1.0, UNDECIDED), (-0.005, 0.0, NOT_REPRODUCED)],
    ids=["clearly better", "clearly worse", "the images do not decide", "worse on every image by a little"],
)
def test_each_verdict_follows_from_the_interval_and_the_tolerance(tmp_path, saved, spread, verdict):
    rows = rows_of("spiht", lambda rate: 0, IMAGES, 0, 0) + rows_of("plonq", lambda rate: 0, IMAGES, spread, 0)
    frame = records.table(rows)
    frame.loc[frame.codec == "plonq", "bpp"] *= 1 - saved
    (tmp_path / "run").mkdir()
    records.write(frame, tmp_path / "run" / "records.parquet")
    claim = judged(tmp_path, tmp_path / "run", "bd_rate(plonq, spiht) < 0", 1.0)
    assert claim["verdict"] == verdict
    assert bool(claim["reason"]) == (verdict == UNDECIDED)
    if not spread:
        assert claim["parts"][0]["value"] == pytest.approx(-100 * saved, abs=1e-6)


NOT_SIGNIFICANT = "not significant on these images: the 95 % interval "
NO_INTERVAL = "there is no interval: a single image or training, or many resamples without a value"


@pytest.mark.parametrize(
    ("value", "interval", "verdict", "reason"),
    [
        (-1.0, (-2.0, -0.1), REPRODUCED, ""),
        (-0.28, (-0.77, 0.2), UNDECIDED, NOT_SIGNIFICANT + "includes 0"),  # though all of it is inside the tolerance
        (-1.0, (-3.0, 1.1), UNDECIDED, NOT_SIGNIFICANT + "includes 0"),
        (0.5, (-1.0, 2.0), UNDECIDED, NOT_SIGNIFICANT + "includes 0"),
        (0.0, (0.0, 0.0), NOT_REPRODUCED, ""),  # exactly the same is not better
        (0.5, (0.1, 0.9), NOT_REPRODUCED, ""),  # worse on these images, by less than the tolerance
        (2.0, (1.1, 3.0), NOT_REPRODUCED, ""),
        (-9.0, None, UNDECIDED, NO_INTERVAL),
        (1.1, None, NOT_REPRODUCED, ""),
    ],
)
def test_the_edges_of_a_strict_verdict_do_not_depend_on_the_tolerance(value, interval, verdict, reason):
    (comparison,) = parse("bd_rate(a, b) < 0")
    (turned,) = parse("0 > bd_rate(a, b)")
    for tolerance in (0.0, 1.0, 10.0):
        assert verdict_of(comparison, value, interval, tolerance) == (verdict, reason)
        assert verdict_of(turned, value, interval, tolerance) == (verdict, reason)
    (above,) = parse("bd_rate(a, b) > 0")
    mirrored = interval and (-interval[1], -interval[0])
    assert verdict_of(above, -value, mirrored, 1.0) == (verdict, reason)


@pytest.mark.parametrize(
    ("value", "interval", "verdict"),
    [
        (0.0, (0.0, 0.0), REPRODUCED),
        (4.0, (2.0, 5.9), REPRODUCED),  # over the bound by less than the tolerance
        (5.5, (5.5, 5.5), REPRODUCED),
        (5.0, (-7.0, 5.0), UNDECIDED),
        (5.0, (4.0, 6.1), UNDECIDED),
        (7.0, (6.1, 8.0), NOT_REPRODUCED),
        (-8.4, (-10.0, -6.1), NOT_REPRODUCED),
        (0.0, None, UNDECIDED),
        (7.0, None, NOT_REPRODUCED),
    ],
)
def test_the_edges_of_a_verdict_on_parity_with_a_tolerance_of_one(value, interval, verdict):
    (comparison,) = parse("-5 <= bd_rate(a, b) <= 5")
    found, reason = verdict_of(comparison, value, interval, 1.0)
    assert found == verdict and bool(reason) == (verdict == UNDECIDED)
    (one_sided,) = parse("bd_rate(a, b) <= 5")
    below = interval is not None and interval[0] < -6 and interval[1] <= 6  # misses the lower bound alone
    assert verdict_of(one_sided, value, interval, 1.0)[0] == (REPRODUCED if below else verdict)


def test_one_image_reproduces_nothing_but_can_refute(make_run, tmp_path):
    folder = make_run(images=IMAGES[:1])
    assert judged(tmp_path, folder, "bd_rate(plonq, spiht) < 0")["verdict"] == UNDECIDED
    assert judged(tmp_path, folder, "bd_rate(plonq, spiht) > 0")["verdict"] == NOT_REPRODUCED


def test_a_tie_does_not_reproduce_a_strict_claim(make_run, tmp_path):
    folder = make_run()
    assert judged(tmp_path, folder, "bd_rate(stanh, stanh_6anchors) > 0")["verdict"] == NOT_REPRODUCED
    assert judged(tmp_path, folder, "bd_rate(stanh, stanh_6anchors) >= 0")["verdict"] == REPRODUCED
    assert judged(tmp_path, folder, "bd_rate(stanh, stanh_6anchors) > 0", 10)["verdict"] == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("test", "verdict", "reason"),
    [
        ("bd_rate(plonq, spiht) < 0 and bd_rate(spiht, plonq) < 0", NOT_REPRODUCED, "1 of 2 comparisons are met"),
        ("bd_rate(spiht, plonq) < 0 and bd_rate(unknown, plonq) < 0", NOT_REPRODUCED, "0 of 2 comparisons are met"),
        ("bd_rate(plonq, spiht) < 0 and bd_rate(unknown, plonq) < 0", NOT_TESTABLE, "codec unknown is not in the run"),
        ("bd_rate(plonq, spiht) < 0 and bd_rate(spiht, plonq) > 0", REPRODUCED, ""),
    ],
    ids=["one is refuted", "one is refuted, one cannot be tested", "one cannot be tested", "all are met"],
)
def test_one_refuted_comparison_refutes_the_claim(make_run, tmp_path, test, verdict, reason):
    claim = judged(tmp_path, make_run(), test)
    assert (claim["verdict"], claim["reason"]) == (verdict, reason)


def test_a_claim_that_is_partly_undecided_says_which_part_and_why(tmp_path):
    rows = rows_of("spiht", lambda rate: 0, IMAGES, 0, 0) + rows_of("plonq", lambda rate: 0, IMAGES, 1.0, 0.002)
    (tmp_path / "run").mkdir()
    records.write(records.table(rows), tmp_path / "run" / "records.parquet")
    claim = judged(tmp_path, tmp_path / "run", "bd_rate(plonq, spiht) < 0 and bd_rate(plonq, spiht) < 50")
    assert claim["verdict"] == UNDECIDED
    assert claim["reason"] == f"1 of 2 comparisons are met; {NOT_SIGNIFICANT}includes 0"


def gapped(tmp_path: Path, tolerance: float) -> dict[str, Any]:
    """bd_rate(plonq, spiht) < 0 of two curves whose highest point is far from the others, and bent between."""
    rows = rows_of("spiht", lambda rate: 0, IMAGES, 0, 0)
    rows += rows_of("plonq", lambda rate: 0.8 + 1.5 * (rate > 1), IMAGES, 0.02, 0)
    frame = records.table(rows)
    frame = frame[(frame.codec == "spiht") | frame.point_index.isin([0, 1, 2, 4])]
    folder = tmp_path / f"run{tolerance:g}"
    folder.mkdir()
    records.write(frame, folder / "records.parquet")
    return judged(tmp_path, folder, "bd_rate(plonq, spiht) < 0", tolerance)


def test_a_bd_rate_that_depends_on_the_interpolation_decides_nothing(tmp_path):
    claim = gapped(tmp_path, 0.1)
    (part,) = claim["parts"]
    assert part["ci_high"] < 0  # the interval alone would decide
    assert (claim["verdict"], part["verdict"]) == (UNDECIDED, UNDECIDED)
    assert claim["reason"] == "interpolation-dependent: the methods differ by more than the tolerance"
    share, numbers = re.fullmatch(
        r"interpolation-dependent: neighbouring points are (\d+) % of the range apart; (.*) %", part["note"]
    ).groups()
    found = {name: float(value) for name, value in (it.split() for it in numbers.split(", "))}
    assert set(found) == {"pchip", "cubic", "akima"} and found["pchip"] == pytest.approx(part["value"], abs=0.05)
    assert 0.1 < max(found.values()) - min(found.values()) < 10
    psnr = np.stack([quality(np.array(RATES), image) for image in range(len(IMAGES))]).mean(axis=0)
    ours = psnr + 0.8 + np.where(np.array(RATES) > 1, 1.5, 0)
    low, high = max(psnr[0], ours[0]), min(psnr[-1], ours[-1])
    assert int(share) == pytest.approx(100 * (high - ours[2]) / (high - low), abs=1)
    assert int(share) > 100 / 3


def test_a_wider_tolerance_lets_the_same_curves_decide_and_keeps_the_note(tmp_path):
    claim = gapped(tmp_path, 10.0)
    assert claim["verdict"] == REPRODUCED and claim["parts"][0]["note"].startswith("interpolation-dependent")


def test_claims_by_construction_are_judged_and_in_no_count(make_run, tmp_path, capsys):
    folder = make_run()
    path = ledger(tmp_path)
    content = yaml.safe_load(path.read_text())
    other = content["claims"][0] | {"name": "sure", "kind": BY_CONSTRUCTION, "test": "at_point(plonq, bpp, 0) >= 0"}
    path.write_text(yaml.safe_dump(content | {"claims": [*content["claims"], other]}))
    assert main(["claims", "--folder", str(folder), "--spec", str(path), "--write"]) == 0
    result = judge_run(folder, path)
    assert {it["name"]: it["verdict"] for it in result["claims"]} == {"the_claim": REPRODUCED, "sure": REPRODUCED}
    assert result["counts"] == {REPRODUCED: 1, UNDECIDED: 0, NOT_REPRODUCED: 0, NOT_TESTABLE: 0}
    assert summary(result["claims"]) == "1 reproduced"
    run = read_run(folder)
    assert page_verdicts(run) == {REPRODUCED: 1}
    text = build(folder).read_text(encoding="utf-8")
    panel = text[text.index('id="claims"') :]
    assert "A paper, <a" in panel and ": 1 reproduced." in panel
    row = panel[panel.index(f'id="claim-{DATASET}-sure"') :].split("</details>")[0]
    assert f">{REPRODUCED}</span>" in row and "By construction claim; here" in row
    table = pd.read_csv(folder / "claims.csv").set_index("claim")
    assert dict(table.kind) == {"the_claim": "detail", "sure": BY_CONSTRUCTION}


def test_the_page_and_the_terminal_show_why_a_claim_is_undecided(tmp_path, capsys):
    gapped(tmp_path, 0.1)
    folder = tmp_path / "run0.1"
    path = ledger(tmp_path, tolerance=0.1)
    assert main(["claims", "--folder", str(folder), "--spec", str(path), "--write"]) == 0
    assert main(["claims", "--folder", str(folder), "--spec", str(path)]) == 0
    printed = capsys.readouterr().out
    text = build(folder).read_text(encoding="utf-8")
    row = text[text.index(f'id="claim-{DATASET}-the_claim"') :].split("</details>")[0]
    (part,) = judge_run(folder, path)["claims"][0]["parts"]
    for shown in (part["note"], part["reason"]):
        assert shown in printed and shown[0].upper() + shown[1:] + "." in row
    table = pd.read_csv(folder / "claims.csv")
    assert list(table.comparison_note) == [part["note"]] and list(table.comparison_reason) == [part["reason"]]


def test_both_ends_of_a_range_count(make_run, tmp_path):
    folder = make_run()
    value = judged(tmp_path, folder, "bd_rate(plonq, spiht) < 0")["parts"][0]["value"]
    for low, high, verdict in (
        (value - 9, value + 9, REPRODUCED),
        (value + 9, value + 20, NOT_REPRODUCED),
        (value - 20, value - 9, NOT_REPRODUCED),
    ):
        assert judged(tmp_path, folder, f"{low} <= bd_rate(plonq, spiht) <= {high}")["verdict"] == verdict
    assert judged(tmp_path, folder, f"{value + 9} > bd_rate(plonq, spiht)")["verdict"] == REPRODUCED


def test_curves_that_have_too_little_in_common_are_not_judged(make_run, tmp_path):
    folder = make_run(curves={"plonq": lambda rate: 60.0})
    claim = judged(tmp_path, folder, "bd_rate(plonq, spiht) < 0")
    assert (claim["verdict"], claim["parts"][0]["value"]) == (NOT_TESTABLE, None)
    assert "do not meet" in claim["reason"]


def test_a_difference_is_taken_resample_by_resample(make_run, tmp_path):
    # Both gains vary between images in the same way: their difference does not.
    folder = make_run(spread=0.5)
    parts = [
        judged(tmp_path, folder, f"{test} > 0")["parts"][0]
        for test in ("mean_gain(plonq, spiht, part=high)", "mean_gain(plonq, spiht, part=low)")
    ]
    test = "mean_gain(plonq, spiht, part=high) - mean_gain(plonq, spiht, part=low) > 0"
    difference = judged(tmp_path, folder, test)["parts"][0]
    width, *widths = (part["ci_high"] - part["ci_low"] for part in (difference, *parts))
    assert difference["value"] == pytest.approx(parts[0]["value"] - parts[1]["value"])
    assert width < 0.1 * min(widths)


def test_numbers_of_a_study_are_means_with_intervals_or_exact_facts(make_run, tmp_path):
    folder = make_run()
    shares = judged(tmp_path, folder, "study_mean(resgdn_layers, residual_share, number=3) <= 0.68")["parts"][0]
    assert (shares["value"], shares["n_images"]) == (pytest.approx(0.68), len(IMAGES))
    fact = judged(tmp_path, folder, "fact(stanh_costs, bytes, trains='*derivation*') <= 5000")
    assert (fact["verdict"], fact["parts"][0]["value"], fact["parts"][0]["unit"]) == (REPRODUCED, 5000, "bytes")
    with pytest.raises(UsageError, match=r"the_claim.*take="):
        judged(tmp_path, folder, "fact(stanh_costs, bytes) > 0")


def test_a_curve_that_nobody_published_says_where_its_points_would_go(make_run):
    (claim,) = verdicts(make_run(), "resgdn_above_cai2018").values()
    assert claim["verdict"] == NOT_TESTABLE and "bench/rd/published has no resgdn_fig4.csv" in claim["reason"]


def test_a_metric_without_values_says_why(make_run, tmp_path):
    folder = make_run()
    frame = records.read(folder / "records.parquet")
    records.write(frame.assign(metric_notes="ssimulacra2: not installed"), folder / "records.parquet")
    claim = judged(tmp_path, folder, "bd_rate(resgdn, jpeg, metric=ssimulacra2) < 0")
    assert claim["verdict"] == NOT_TESTABLE and claim["reason"].endswith("of a whole image: ssimulacra2: not installed")


def test_a_published_curve_can_be_an_anchor(make_run, tmp_path):
    claim = judged(tmp_path, make_run(), "bd_rate(bpg444, 'tfc/bpg444') < 1000")
    assert claim["verdict"] == REPRODUCED and claim["parts"][0]["names"] == ["bpg444", "tfc/bpg444"]


def run_of_means(folder: Path, spread: float, factor: float) -> Path:
    """Records of bpg444 whose mean curve is that of tfc/bpg444 at ``factor`` of its rate; images differ by spread."""
    curve = published_curve("tfc/bpg444", DATASET, "psnr_rgb_db")
    rows = rows_of("bpg444", lambda rate: 0, IMAGES, 0, 0)[:0]
    template = rows_of("bpg444", lambda rate: 0, IMAGES, 0, 0)[0]
    offsets = spread * (np.arange(len(IMAGES)) - (len(IMAGES) - 1) / 2)
    for image, offset in zip(IMAGES, offsets, strict=True):
        for index, (bpp, value) in enumerate(zip(curve.bpp, curve.value, strict=True)):
            place = {"image": image, "point": f"p{index}", "point_index": index, "bpp": bpp * factor}
            rows.append(template | place | {"psnr_rgb_db": value + offset})
    folder.mkdir()
    records.write(records.table(rows), folder / "records.parquet")
    return folder


@pytest.mark.parametrize(("factor", "verdict"), [(1.014, REPRODUCED), (1.03, NOT_REPRODUCED)])
def test_a_published_curve_is_exact_whatever_the_images_and_the_tolerance_decides_parity(tmp_path, factor, verdict):
    numbers = []
    for spread in (0.0, 3.0):  # dB between neighbouring images
        folder = run_of_means(tmp_path / f"run{spread:g}", spread, factor)
        claim = judged(tmp_path, folder, "-2 <= bd_rate(bpg444, 'tfc/bpg444') <= 2", 0.5)
        (part,) = claim["parts"]
        assert part["value"] == part["ci_low"] == part["ci_high"] == pytest.approx(100 * (factor - 1), abs=1e-6)
        assert claim["verdict"] == verdict
        numbers.append(part["value"])
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-9)
    reverse = judged(tmp_path, tmp_path / "run3", "-5 <= bd_rate('tfc/bpg444', bpg444) <= 5", 0.5)["parts"][0]
    assert reverse["value"] == reverse["ci_low"] == pytest.approx(100 * (1 / factor - 1), abs=1e-6)
    assert reverse["n_images"] == len(IMAGES) and reverse["names"] == ["tfc/bpg444", "bpg444"]


def test_two_published_curves_are_compared_exactly_and_without_any_measurement(make_run):
    folder = make_run(without=tuple(claimed_codecs() - {"jpeg"}))
    (claim,) = verdicts(folder, "stanh_above_gain_units_as_published").values()
    (part,) = claim["parts"]
    curves = [published_curve(name, DATASET, "psnr_rgb_db") for name in part["names"]]
    low, high = max(curve.value.min() for curve in curves), min(curve.value.max() for curve in curves)
    ours, theirs = (PchipInterpolator(it.value, np.log(it.bpp)).integrate(low, high) / (high - low) for it in curves)
    assert part["value"] == pytest.approx(100 * (math.exp(ours - theirs) - 1), abs=1e-9)
    assert part["value"] == part["ci_low"] == part["ci_high"] == pytest.approx(-4.6, abs=0.3)  # METHODS.md A8: cubic
    assert (part["n_images"], part["names"]) == (0, ["stanh/stanh_1anchor", "wacnn_stanh/zou22_gain_units"])
    assert (claim["verdict"], claim["kind"]) == (REPRODUCED, BY_CONSTRUCTION)


def test_a_study_is_taken_by_its_least_or_greatest_row_of_each_image(make_run, tmp_path):
    folder = make_run()
    for take, value in (("min", 0.02), ("max", 0.03), ("sum", 0.05), ("mean", 0.025)):
        claim = judged(tmp_path, folder, f"study_mean(qsf_between, rise_bpp, take={take}) > 0")
        assert claim["parts"][0]["value"] == pytest.approx(value) and claim["verdict"] == REPRODUCED
    with pytest.raises(UsageError, match="study_mean takes the mean"):
        judged(tmp_path, folder, "study_mean(qsf_between, rise_bpp, take=only) > 0")


# Claims that a bad codec must not meet


def test_three_anchors_far_better_than_six_are_not_close_to_them(make_run):
    better = make_run(curves={"stanh": lambda rate: 1.0 + 0 * rate}, name="better")
    worse = make_run(curves={"stanh": lambda rate: -1.0 + 0 * rate}, name="worse")
    for folder, verdict in ((better, NOT_REPRODUCED), (worse, NOT_REPRODUCED), (make_run(), REPRODUCED)):
        (claim,) = verdicts(folder, "stanh_three_anchors_close_to_six").values()
        assert claim["verdict"] == verdict


@pytest.mark.parametrize(("gain_db", "verdict"), [(0.001, NOT_REPRODUCED), (0.5, REPRODUCED)])
def test_a_bit_depth_without_training_has_to_improve_on_the_trained_one_below(make_run, gain_db, verdict):
    folder = make_run()
    frame = records.read(folder / "records.parquet")
    for place, below in ((2, 1), (4, 3)):
        rows = frame.codec == "resgdn_base"
        values = frame[rows & (frame.point_index == below)].set_index("image").psnr_rgb_db
        chosen = rows & (frame.point_index == place)
        frame.loc[chosen, "psnr_rgb_db"] = frame[chosen].image.map(values) + gain_db
    records.write(frame, folder / "records.parquet")
    (claim,) = verdicts(folder, "resgdn_any_bit_depth").values()
    assert [part["value"] for part in claim["parts"]] == pytest.approx([gain_db, gain_db])
    assert claim["verdict"] == verdict


def test_one_training_of_each_refutes_or_leaves_undecided(make_run):
    folder = make_run()
    found = verdicts(folder, "resgdn_shortcuts_converge_faster", "resgdn_gdn_converges_faster")
    assert found["resgdn_shortcuts_converge_faster"]["parts"][0]["value"] == pytest.approx(-0.03)
    assert found["resgdn_shortcuts_converge_faster"]["verdict"] == UNDECIDED
    assert found["resgdn_shortcuts_converge_faster"]["reason"] == NO_INTERVAL
    assert found["resgdn_gdn_converges_faster"]["parts"][0]["value"] == pytest.approx(-0.01)
    assert found["resgdn_gdn_converges_faster"]["verdict"] == UNDECIDED
    worse = STUDIES["resgdn_convergence"] | {"loss": [0.27, 0.29, 0.25, 0.23, 0.27, 0.22]}
    write_study(folder, "resgdn_convergence", worse, IMAGES[:1])
    (claim,) = verdicts(folder, "resgdn_gdn_converges_faster").values()
    assert claim["verdict"] == NOT_REPRODUCED


def test_every_paper_has_headlines_and_every_bd_rate_one_tolerance_for_its_interpolation():
    ledger = read_claims()
    assert {claim.kind for claim in ledger.claims} == set(KINDS)
    for paper in ledger.papers:
        assert 3 <= sum(claim.paper == paper and claim.kind == "headline" for claim in ledger.claims) <= 5
    for claim in ledger.claims:
        if "bd_rate" in claim.test and claim.name != "bpg444_as_published":
            assert claim.tolerance == 2  # within which the interpolation methods have to agree


def test_a_published_curve_of_another_dataset_is_no_anchor(make_run, tmp_path):
    folder = make_run()
    records.write(records.read(folder / "records.parquet").assign(dataset="sample"), folder / "records.parquet")
    claim = judged(tmp_path, folder, "bd_rate(bpg444, 'tfc/bpg444') < 1000")
    assert claim["verdict"] == NOT_TESTABLE and "it is on kodak, tecnick" in claim["reason"]
    assert "datasets='[kodak,tecnick]'" in claim["run"]


# A slip in claims.yaml


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("__import__('os').getcwd() < 0", "is not a quantity"),
        ("bd_rate.__class__(plonq) < 0", "is not a quantity"),
        ("(lambda: 1)() < 0", "is not a quantity"),
        ("bd_rate(plonq, [x for x in y]) < 0", "expected a number"),
        ("bd_rate(plonq, open('x')) < 0", "expected a number"),
        ("bd_rate(*plonq) < 0", "expected a number"),
        ("bd_rate(**plonq) < 0", "is not allowed"),
        ("bd_rate(plonq) < 0", "missing a required argument: 'anchor'"),
        ("bd_rate(plonq, spiht, speed=1) < 0", "unexpected keyword argument 'speed'"),
        ("bd_rate(plonq, spiht, metric=psnr) < 0", "metric is one of"),
        ("mean_gain(plonq, spiht, part=top) < 0", "part is one of"),
        ("at_point(plonq, bpp, 1.5) < 0", "a whole number"),
        ("loss(plonq, high) < 0", "rate_weight is a number above 0"),
        ("loss(plonq, 0) < 0", "rate_weight is a number above 0"),
        ("bd_rate(plonq, spiht)", "is not a comparison"),
        ("bd_rate(plonq, spiht) == 0", "is not a comparison"),
        ("bd_rate(plonq, spiht) < 0 or 1 > 0", "is not a comparison"),
        ("bd_rate(plonq, spiht) < bd_rate(plonq, bpg444)", "expected one quantity"),
        ("1 < 2", "expected one quantity"),
        ("bd_rate(plonq, spiht) ** 2 < 0", "expected a number"),
        ("bd_rate(plonq, spiht) <", "is not an expression"),
    ],
)
def test_a_test_that_is_no_comparison_of_quantities_is_refused_with_the_claims_name(tmp_path, test, message):
    with pytest.raises(UsageError, match=r"claim 1 \(the_claim\).*") as refused:
        read_claims(ledger(tmp_path, test=test))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": None}, "expected the fields"),
        ({"verdict": "reproduced"}, "expected the fields"),
        ({"says": ""}, "says has to be a text"),
        ({"tolerance": -1}, "0 or more"),
        ({"tolerance": "1 %"}, "0 or more"),
        ({"paper": "q"}, "no paper is called 'q'"),
        ({"kind": "main"}, "kind is one of headline, detail, by construction, not 'main'"),
    ],
)
def test_a_wrong_field_is_refused_with_the_claims_name(tmp_path, changes, message):
    with pytest.raises(UsageError, match=r"claim 1 \(the_claim\)") as refused:
        read_claims(ledger(tmp_path, **changes))
    assert message in str(refused.value)


def test_a_name_used_twice_is_refused(tmp_path):
    path = ledger(tmp_path)
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"claims": content["claims"] * 2}))
    with pytest.raises(UsageError, match=r"claim 2 \(the_claim\): an earlier claim"):
        read_claims(path)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("least_gain(plonq, spiht) > 0 and bd_rate(plonq, spiht) < 0", "one tolerance cannot hold in % and dB"),
        ("bd_rate(plonq, spiht) - bd_rate(qsf, spiht) < 0", "cannot be used in a calculation"),
        ("at_point(plonq, bpp, 0) - at_point(plonq, psnr_rgb_db, 0) < 0", "bpp - dB has no meaning"),
    ],
)
def test_a_test_without_meaning_is_refused_with_the_claims_name(make_run, tmp_path, test, message):
    with pytest.raises(UsageError, match="the_claim") as refused:
        judged(tmp_path, make_run(), test)
    assert message in str(refused.value)


def test_a_comparison_knows_the_codecs_and_studies_it_needs():
    (comparison,) = parse('bd_rate(resgdn, "tfc/bpg444") - bd_rate("plonq_orders/x", anchor=spiht) < 0')
    assert comparison.curves() == {"resgdn", "spiht"} and comparison.columns() == set()
    (comparison,) = parse('fact(costs, bytes, take=max, trains="net*") / study_mean(layers, share, number=0) < 0')
    assert comparison.columns() == {("costs", "bytes"), ("costs", "trains"), ("layers", "share")}


def test_a_column_that_a_study_lacks_is_said(make_run, tmp_path):
    claim = judged(tmp_path, make_run(), "study_mean(resgdn_layers, shares) > 0")
    assert claim["verdict"] == NOT_TESTABLE and "no column 'shares', it has image, point" in claim["reason"]


def test_every_codec_and_study_column_of_the_ledger_exists():
    tests = [test for claim in read_claims().claims for test in claim.tests]
    codecs = {codec.name for wrapper in discover() for codec in wrapper.codecs}
    assert {name for test in tests for name in test.curves()} <= codecs
    assert {"jpeg_standard", "stanh_6anchors"} <= claimed_codecs() <= codecs  # of the role validation
    named = {text for claim in read_claims().claims for text in re.findall(r'"(\w+/[^"]+)"', claim.test)}
    published = set(load_published().source + "/" + load_published().codec)
    unknown = {text for text in named - published if text.split("/")[0] not in studies()}
    assert unknown == {"resgdn_fig4/cai2018", "resgdn_fig4/zhang2019"}  # nobody published their points
    columns = {(study.name, column) for study in studies().values() for column in study.columns}
    assert {pair for test in tests for pair in test.columns()} <= columns


# What is written


def test_the_files_hold_every_verdict(ideal):
    result, table = json.loads((ideal / "claims.json").read_text()), pd.read_csv(ideal / "claims.csv")
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == sum(len(claim["parts"]) for claim in result["claims"])
    assert dict(table.groupby("claim").verdict.first()) == {it["name"]: it["verdict"] for it in result["claims"]}


def test_the_same_run_gives_the_same_bytes(make_run, tmp_path):
    folder, path = make_run(), ledger(tmp_path, test="mean_gain(plonq, spiht) > 0 and least_gain(plonq, spiht) > 0")
    arguments = ["claims", "--folder", str(folder), "--spec", str(path), "--write"]
    written = []
    for _ in range(2):
        assert main(arguments) == 0
        written.append([(folder / name).read_bytes() for name in ("claims.json", "claims.csv")])
    assert written[0] == written[1]


def test_the_command_prints_text_or_json(make_run, tmp_path, capsys):
    folder, path = make_run(), ledger(tmp_path)
    arguments = ["claims", "--folder", str(folder), "--spec", str(path)]
    result = judge_run(folder, path)
    assert main(arguments) == 0
    assert capsys.readouterr().out == as_text(result)
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == result["claims"] and document["about"]["counts"] == result["counts"]
    assert not (folder / "claims.json").exists()


def test_a_users_mistake_is_a_sentence_and_exit_code_2(tmp_path, make_run, capsys):
    assert main(["claims", "--folder", str(tmp_path / "nowhere")]) == 2
    assert "records.parquet is missing" in capsys.readouterr().err
    wrong = ledger(tmp_path, test="bd_rate(plonq) < 0")
    assert main(["claims", "--folder", str(make_run()), "--spec", str(wrong)]) == 2
    assert "the_claim" in capsys.readouterr().err


def test_the_page_shows_every_verdict_on_a_line_of_its_own_with_links_that_resolve(ideal):
    folder, page = ideal, build(ideal)
    text = page.read_text(encoding="utf-8")
    claims = json.loads((folder / "claims.json").read_text())["claims"]
    untested = text.index(f'id="untested-{DATASET}"')
    for claim in claims:
        row = text[text.index(f'id="claim-{DATASET}-{claim["name"]}"') :]
        if claim["verdict"] == NOT_TESTABLE:
            row = row.split("</li>")[0]
            assert text.index(row) > untested and row.count("<code>") == bool(claim["run"])
            continue
        row = row.split("</details>")[0]
        assert f">{claim['verdict']}</span>" in row.split("</summary>")[0]
        controls = sum(control["value"] is not None for control in claim["controls"])
        assert row.count("<code>") == len(claim["parts"]) + controls + bool(claim["run"])
        assert ("Measured reason: " in row) == bool(claim["cause"])
    count = sum(claim["verdict"] == NOT_TESTABLE for claim in claims)
    assert re.search(rf"All papers: {count} claims that this run cannot test[:,]", text)
    for name in ("claims.json", "claims.csv"):
        assert (page.parent / "claims" / name).read_bytes() == (folder / name).read_bytes()
    assert "claims/kodak.resgdn_layers.json" in text and (page.parent / "claims/kodak.resgdn_layers.json").is_file()


def test_what_a_comparison_measures_is_said_in_words():
    assert quantity_in_words("bd_rate(a, b) < 0") == "BD-rate"
    assert quantity_in_words("least_gain('a/b c', b) > 0") == "smallest gain"
    assert quantity_in_words("mean_gain(a, b, part=high) - mean_gain(a, b, part=low) > 0") == "difference"
    assert quantity_in_words("at_point(a, bpp, -1) / at_point(b, bpp, -1) < 1") == "ratio"
    assert quantity_in_words("fact(x, y, take=max, trains='a/b') - fact(x, y) < 1") == "difference"


def test_without_verdicts_the_page_says_how_to_get_them(make_run):
    text = build(make_run()).read_text(encoding="utf-8")
    assert "claims.json is absent" in textwrap.dedent(text) and "rdbench claims --folder" in text


def test_a_loss_is_that_of_a_point_or_the_least_on_each_images_curve(make_run, tmp_path):
    folder = make_run()
    rates, weight = np.array(RATES), 0.01 * 255**2
    losses = [rates + weight * 10 ** (-quality(rates, image) / 10) for image in range(len(IMAGES))]
    claim = judged(tmp_path, folder, "loss(bpg444, 0.01, 2) < 0")
    assert claim["parts"][0]["value"] == pytest.approx(np.mean([loss[2] for loss in losses]))
    claim = judged(tmp_path, folder, "loss(bpg444, 0.01) < 0")
    fine = np.exp(np.linspace(np.log(RATES[0]), np.log(RATES[-1]), 20_000))
    least = [(fine + weight * 10 ** (-quality(fine, image) / 10)).min() for image in range(len(IMAGES))]
    assert claim["parts"][0]["value"] == pytest.approx(np.mean(least), rel=2e-3)
    assert claim["parts"][0]["value"] < np.mean([loss.min() for loss in losses])
    claim = judged(tmp_path, folder, "loss(jpeg2000, 0.01, 1) / loss(jpeg2000, 0.01) >= 1")
    assert claim["verdict"] == "reproduced" and claim["parts"][0]["unit"] == "ratio"
    assert "5 points, not one number 9" in judged(tmp_path, folder, "loss(bpg444, 0.01, 9) < 0")["reason"]
