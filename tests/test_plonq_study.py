"""The studies behind PLONQ's choices: what is measured of a variant, and how variants are told apart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from scipy.special import ndtr
from skimage import data
from toymodel import ToyModel

from bench.cli import main
from bench.discovery import load
from bench.errors import UsageError
from bench.metrics import psnr_rgb_db
from bench.studies import studies
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.plonq import coding
from codecs_wrappers.learned.plonq.levels import levels_of
from codecs_wrappers.learned.plonq.nesting import GRIDS, bin_of, ideal_bits, nesting
from codecs_wrappers.learned.plonq.ordering import Order
from codecs_wrappers.learned.plonq.variants import (
    FAMILIES,
    Measured,
    grids,
    measure,
    orders,
    parse_levels,
    summary,
    title,
)


def test_families_are_nested_different_and_begin_with_the_codecs_own():
    assert FAMILIES[0] == coding.LEVELS
    assert len(set(map(title, FAMILIES))) == len(FAMILIES)
    assert sum(all(level.step == level.centre for level in levels) for levels in FAMILIES) >= 5  # uniform ones


def test_a_measurement_is_a_real_prefix_at_its_rate():
    model, image = ToyModel(), data.astronaut()[:128, :192]
    variants = {
        "own": (coding.LEVELS, coding.BY_SIGMA),
        "channels": (levels_of((3, 5), (1, 1)), Order("channel", "rate")),
    }
    rows = list(measure(model, "astronaut", image, variants, (0.001, 0.05, 0.1, 50.0)))
    assert [(row.variant, row.target_bpp) for row in rows] == [(name, bpp) for name in variants for bpp in (0.05, 0.1)]
    for row in rows:
        levels, order = variants[row.variant]
        bitstream = coding.encode(model, image, levels, order)
        prefix = bitstream[: int(row.target_bpp * 128 * 192 / 8)]
        assert row.bpp == 8 * len(prefix) / (128 * 192)
        shown = coding.decode(model, prefix, stream.read(bitstream, "plonq"))
        assert row.psnr_rgb_db == psnr_rgb_db(image, shown)


def test_an_order_by_slope_is_measured_on_the_middle_and_sent_for_the_whole_image():
    model, order = ToyModel(), Order("channel", "slope")
    image = data.astronaut()[:320, :384]
    middle = image[32:288, 64:320]
    units = coding.units_of(model, middle, coding.LEVELS, order)
    own = coding.units_of(model, image, coding.LEVELS, order)
    assert [sorted(level) for level in units] == [list(range(model.M))] * len(coding.LEVELS)
    assert any((a != b).any() for a, b in zip(units, own, strict=True))  # the images' orders differ
    (row,) = measure(model, "", image, {"slope": (coding.LEVELS, order)}, (0.1,))
    sent = coding.encode(model, image, coding.LEVELS, order, units)
    prefix = sent[: int(0.1 * 320 * 384 / 8)]
    assert row.psnr_rgb_db == psnr_rgb_db(image, coding.decode(model, prefix, stream.read(sent, "plonq")))
    assert coding.encode(model, image, coding.LEVELS, order, own) == coding.encode(model, image, coding.LEVELS, order)
    whole = coding.decode(model, sent, stream.read(sent, "plonq"))
    plain = coding.encode(model, image)
    assert (whole == coding.decode(model, plain, stream.read(plain, "plonq"))).all()


def test_the_studies_of_orders_and_levels_take_whole_images_and_at_least_eight(monkeypatch):
    image = data.astronaut()[:320, :384]
    monkeypatch.setattr("codecs_wrappers.learned.plonq.variants.BPP", (0.1,))
    for rows in (orders(ToyModel(), image), grids(ToyModel(), image)):
        for row in rows:
            assert row["bpp"] == 8 * int(0.1 * 320 * 384 / 8) / (320 * 384)
    assert studies()["plonq_orders"].images >= 8 and studies()["plonq_levels"].images >= 8
    settings = {name: yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()) for name in ("kodak", "sample")}
    assert settings["kodak"].get("study_images", 0) == 0 and settings["sample"]["study_images"] == 2


def test_the_bins_of_a_level_contain_the_value_and_have_its_widths():
    x = np.array([-9.0, -7.4, -0.2, 0.0, 3.9, 7.49, 7.51, 19.6])
    lower, upper = bin_of(x, 12, 15)
    assert lower.tolist() == [-19.5, -7.5, -7.5, -7.5, -7.5, -7.5, 7.5, 19.5]
    assert upper.tolist() == [-7.5, 7.5, 7.5, 7.5, 7.5, 7.5, 19.5, 31.5]


def test_levels_that_do_not_nest_take_the_bits_of_the_intersection_and_nested_ones_those_of_the_finest():
    steps = [(8, 8), (4, 4), (2, 2), (1, 1)]
    sure = -math.log2(ndtr(1.0) - ndtr(0.5))  # 0.7 lies in (-4, 4), (-2, 2), (-1, 1) and (0.5, 1.5)
    assert ideal_bits(np.array([0.7]), np.array([1.0]), steps) == pytest.approx(sure, abs=1e-12)
    level_by_level, known = 0.0, 1.0  # each level's conditional code length
    for low, high in ((-4, 4), (-2, 2), (-1, 1), (0.5, 1)):
        mass = ndtr(high) - ndtr(low)
        level_by_level, known = level_by_level - math.log2(mass / known), mass
    assert level_by_level == pytest.approx(sure, abs=1e-12)
    rng = np.random.default_rng(0)
    sigma = np.exp(rng.normal(0, 1.5, 5000)).clip(0.11, 100)
    residual = sigma * rng.laplace(0, 0.7, 5000)
    finest = ideal_bits(residual, sigma, [(1, 1)])
    assert ideal_bits(residual, sigma, [(it.step, it.centre) for it in coding.LEVELS]) == pytest.approx(
        finest, rel=1e-12
    )
    assert ideal_bits(residual, sigma, steps) > 1.05 * finest


def test_the_study_of_nesting_gives_each_grid_its_ideal_rate():
    rows = {row["levels"]: row["bpp"] for row in nesting(ToyModel(), data.astronaut()[:128, :192])}
    assert set(rows) == set(GRIDS) and rows["nested"] == pytest.approx(rows["finest alone"], rel=1e-9)
    assert rows["not nested (uniform steps 8, 4, 2, 1)"] > rows["finest alone"] > 0


def test_the_study_of_factors_between_trained_ones_gives_real_rates():
    qsf = load("qsf")
    available, reason = qsf.available()
    if not available:
        pytest.skip(reason)
    image = np.ascontiguousarray(data.astronaut()[:192, :192])
    rows = list(studies()["qsf_between"].run(image.copy()))
    assert [row["position"] for row in rows] == [quarter / 4 for quarter in range(29)]
    for position in (0, 2.5, 7):
        row = next(row for row in rows if row["position"] == position)
        assert row["bpp"] == 8 * len(qsf.encode(image, qsf.at(position))) / 192**2
    rises = [row["rise_bpp"] for row in rows]
    assert rises[0] is None and rises[1:] == pytest.approx(np.diff([row["bpp"] for row in rows]).tolist())


def test_the_summary_compares_with_the_first_variant_and_puts_the_best_first():
    rates = (0.1, 0.2, 0.4, 0.8)
    factors = {"anchor": 1.0, "worse": 1.1, "better": 0.9}
    rows = [
        Measured(name, image, bpp, bpp * factor, 30 + offset + place)
        for name, factor in factors.items()
        for image, offset in (("a", 0), ("b", 3))
        for place, bpp in enumerate(rates)
    ]
    table = summary(rows)
    assert [row["variant"] for row in table] == ["better", "anchor", "worse"]
    assert [row["bd_rate_percent"] for row in table] == pytest.approx([-10, 0, 10])
    assert table[0]["bd_psnr_db"] > 0 > table[2]["bd_psnr_db"]
    assert {row["images"] for row in table} == {2}


def test_levels_are_read_from_words():
    assert title(parse_levels("8,15 4,7 2,3 1,1")) == "(8, 15) (4, 7) (2, 3) (1, 1)"
    for text, message in (
        ("4;7 1,1", "pairs of step,centre"),
        ("4,7,1 1,1", "pairs"),
        ("4,7 3,5 1,1", "does not nest"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_levels(text)


def test_the_commands_measure_with_the_codecs_weights(tmp_path, capsys):
    available, reason = load("plonq").available()
    if not available:
        pytest.skip(reason)
    common = ["--dataset", "sample", "--images", "1", "--crop", "128", "--bpp", "0.8", "1.2", "1.8"]
    assert main(["plonq-levels", *common, "--levels", "4,7 1,1", "3,3 1,1", "--out", str(tmp_path / "levels.csv")]) == 0
    curves = pd.read_csv(tmp_path / "levels.csv")
    assert list(curves.columns) == list(Measured._fields)
    assert set(curves.variant) == {"(4, 7) (1, 1)", "(3, 3) (1, 1)"}
    assert main(["plonq-orders", *common]) == 0
    printed = capsys.readouterr().out
    lines = [line.split()[:3] for line in printed.splitlines()[-6:]]
    feasible = ["element by sigma", "channel by sigma", "channel by rate", "pixel by sigma", "pixel by rate"]
    assert sorted(map(" ".join, lines[1:])) == sorted(feasible)
    assert "--slope includes it" in printed
