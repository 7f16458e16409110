"""The studies behind PLONQ's choices: what is measured of a variant, and how variants are told apart."""

from __future__ import annotations

import pandas as pd
import pytest
from skimage import data
from toymodel import ToyModel

from bench.cli import main
from bench.codec import load
from bench.errors import UsageError
from bench.metrics import psnr_rgb_db
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import plonq
from codecs_wrappers.learned.nested import levels_of
from codecs_wrappers.learned.ordering import Order
from codecs_wrappers.learned.plonq_study import FAMILIES, Measured, measure, parse_levels, summary, title


def test_families_are_nested_different_and_begin_with_the_codecs_own():
    assert FAMILIES[0] == plonq.LEVELS
    assert len(set(map(title, FAMILIES))) == len(FAMILIES)
    assert sum(all(level.step == level.centre for level in levels) for levels in FAMILIES) >= 5  # uniform ones


def test_a_measurement_is_a_real_prefix_at_its_rate():
    model, image = ToyModel(), data.astronaut()[:128, :192]
    variants = {
        "own": (plonq.LEVELS, plonq.BY_SIGMA),
        "channels": (levels_of((3, 5), (1, 1)), Order("channel", "rate")),
    }
    rows = list(measure(model, "astronaut", image, variants, (0.001, 0.05, 0.1, 50.0)))
    assert [(row.variant, row.target_bpp) for row in rows] == [(name, bpp) for name in variants for bpp in (0.05, 0.1)]
    for row in rows:
        levels, order = variants[row.variant]
        bitstream = plonq.encode(model, image, levels, order)
        prefix = bitstream[: int(row.target_bpp * 128 * 192 / 8)]
        assert row.bpp == 8 * len(prefix) / (128 * 192)
        shown = plonq.decode(model, prefix, stream.read(bitstream, "plonq"))
        assert row.psnr_rgb_db == psnr_rgb_db(image, shown)


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
    assert "--slope asks for it" in printed
