"""The scale of a blind test: hand-computed values, a known scale found again, and the join to the records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from bench import records
from bench.blind import scale as model
from bench.blind.scale import Z_75, Comparisons, scale
from bench.blind.table import CHANGED, HELPED, NO_INTERVAL, UNLINKED, scale_table


def wins(pairs: dict[tuple[int, int], float], pictures: int) -> np.ndarray:
    found = np.zeros((pictures, pictures))
    for pair, times in pairs.items():
        found[pair] = times
    return found


def fit(one: np.ndarray) -> tuple[np.ndarray, bool]:
    (jnd,), (helped,) = model.fit(one[None])
    return jnd, helped


def simulated(rng, truth, people, rounds=1, unsure=0.0):
    """Answers of ``people`` to every pair, ``rounds`` times, by Thurstone's Case V from the values ``truth`` in JND."""
    i, j = (side.ravel() for side in np.triu_indices(len(truth), 1))
    first, second = (np.tile(side, people * rounds) for side in (i, j))
    value = (rng.random(len(first)) < norm.cdf(Z_75 * (truth[first] - truth[second]))).astype(float)
    value[rng.random(len(value)) < unsure] = 0.5
    return Comparisons(len(truth), first, second, value, np.repeat(np.arange(people), len(i) * rounds))


def test_three_of_four_is_one_jnd_and_a_tie_none():
    assert pytest.approx(norm.ppf(0.75), abs=1e-15) == Z_75
    jnd, helped = fit(wins({(1, 0): 3, (0, 1): 1}, 2))
    assert jnd == pytest.approx([0, 1], abs=1e-6) and not helped
    assert fit(wins({(1, 0): 30, (0, 1): 10}, 2))[0][1] == pytest.approx(1, abs=1e-6)
    assert fit(wins({(1, 0): 0.5, (0, 1): 0.5}, 2))[0][1] == pytest.approx(0, abs=1e-6)
    less = fit(wins({(1, 0): 1, (0, 1): 3}, 2))[0]
    assert less[1] == pytest.approx(-1, abs=1e-6), "taken for the original more often than the original"


def test_values_add_up_along_a_chain():
    """0 against 1 and 1 against 2, each at three of four: with these pairs alone the model fits both exactly."""
    jnd, _ = fit(wins({(1, 0): 3, (0, 1): 1, (2, 1): 3, (1, 2): 1}, 3))
    assert jnd == pytest.approx([0, 1, 2], abs=1e-5)


def test_not_sure_is_half_an_answer_each_way():
    answers = Comparisons(2, np.array([1, 1]), np.array([0, 0]), np.array([1.0, 0.5]), np.array([0, 1]))
    assert answers.wins().tolist() == [[0, 0.5], [1.5, 0]]
    assert scale(answers, 2, draws=10).jnd[1] == pytest.approx(1, abs=1e-6)


def test_a_unanimous_pair_gets_half_an_answer_on_both_sides_and_only_where_it_is_needed():
    jnd, helped = fit(wins({(1, 0): 10}, 2))
    assert jnd[1] == pytest.approx(norm.ppf(10.5 / 11) / Z_75, abs=1e-5) and helped
    loop = {(1, 0): 3, (0, 1): 1, (2, 1): 2, (0, 2): 1, (2, 0): 3}
    jnd, helped = fit(wins(loop, 3))
    assert not helped, "2 has lost to 0, so the unanimous pair (2, 1) needs no help"

    def loss(values):
        whole = [0, *values]
        return -sum(n * norm.logcdf(Z_75 * (whole[i] - whole[j])) for (i, j), n in loop.items())

    assert jnd[1:] == pytest.approx(minimize(loss, [0, 0], method="Nelder-Mead", tol=1e-10).x, abs=1e-4)


def test_a_picture_without_a_link_to_the_original_has_no_value():
    jnd, _ = fit(wins({(1, 0): 3, (0, 1): 1, (2, 3): 1, (3, 2): 1}, 4))
    assert np.isfinite(jnd).tolist() == [True, True, False, False]


def test_a_known_scale_is_found_again_within_its_intervals():
    truth = np.array([0, 0.4, 0.9, 1.5, 2.3])
    rng = np.random.default_rng(7)
    answers = simulated(rng, truth, people=40, rounds=2)
    found = scale(answers, 40, draws=200)
    assert found.jnd == pytest.approx(truth, abs=0.35)
    assert np.all((found.low[1:] <= truth[1:]) & (truth[1:] <= found.high[1:]))
    assert np.all(found.high[1:] - found.low[1:] < 1)
    assert np.isnan([found.low[0], found.high[0]]).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Over 60 simulated studies of 20 people; for 95 % the chance of fewer than 50 is below 0.1 %."""
    truth = np.array([0, 0.7, 1.4])
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(60):
        found = scale(simulated(rng, truth, people=20, rounds=2), 20, draws=100)
        held += found.low[1] <= truth[1] <= found.high[1]
    assert 50 <= held <= 60


def test_one_unit_has_no_interval():
    found = scale(simulated(np.random.default_rng(1), np.array([0, 1.0]), 1, rounds=8), 1)
    assert np.isfinite(found.jnd[1]) and np.isnan(found.low[1])


# The table


def condition(image, codec, rate, sha, bpp=0.5):
    names = {"dataset": "set", "image": image, "codec": codec, "point": "p", "wanted_bpp": rate, "bpp": bpp}
    return names | {"reconstruction_sha256": sha, "bitstream_sha256": f"b{sha}", "bitstream": "x"}


KEY = {
    "conditions": [
        condition("a", "", None, "orig-a", None),
        condition("a", "one", 0.5, "a1"),
        condition("a", "two", 0.5, "a2"),
        condition("b", "", None, "orig-b", None),
        condition("b", "one", 0.5, "b1"),
        condition("b", "two", 0.5, "b2"),
        condition("a", "one", None, "trap"),
    ]
}


def said(participant, first, second, value, times=1, kind="pair"):
    row = {"participant": participant, "first": first, "second": second, "value": value, "kind": kind}
    return [row] * times


def answers() -> pd.DataFrame:
    rows = []
    for who in ("p1", "p2"):  # each: one at 1 JND on a, two linked on a only; on b one and the original alike
        rows += said(who, 0, 1, 0.0, 3) + said(who, 0, 1, 1.0) + said(who, 1, 2, 0.5, 2)
        rows += said(who, 3, 4, 0.5, 2) + said(who, 0, 6, 0.0, kind="trap")
    return pd.DataFrame(rows)


def test_the_table_has_a_row_per_bitstream_and_one_per_codec_over_all_images(tmp_path):
    row = {"dataset": "set", "image": "a", "codec": "one", "role": "codec", "status": "ok", "point": "p"}
    row |= {"point_index": 0, "bpp": 0.51, "psnr_rgb_db": 30.0, "reconstruction_sha256": "a1"}
    other = row | {"image": "b", "psnr_rgb_db": np.inf, "reconstruction_sha256": "b1", "bpp": 0.49}
    records.write(records.table([row, other]), tmp_path / "records.parquet")
    table = scale_table(answers(), KEY, tmp_path, draws=50)
    of = {(row.scope, row.image if row.scope == "image" else "", row.codec): row for row in table.itertuples()}
    assert len(table) == len(of) == 6
    first = of["image", "a", "one"]
    assert (first.jnd, first.jnd_low, first.jnd_high) == pytest.approx((1, 1, 1), abs=1e-5), "both said the same"
    assert (first.bpp, first.psnr_rgb_db, first.answers) == (0.51, 30.0, 12) and not first.note
    assert of["image", "a", "two"].jnd == pytest.approx(1, abs=1e-5) and of["image", "a", "two"].note == CHANGED
    assert of["image", "b", "one"].jnd == pytest.approx(0, abs=1e-5)
    assert UNLINKED in of["image", "b", "two"].note and np.isnan(of["image", "b", "two"].jnd)
    pooled = of["all", "", "one"]
    assert pooled.jnd == pytest.approx(norm.ppf(8 / 12) / Z_75, abs=1e-5), "(6 + 2) of 12 answers against originals"
    assert (pooled.bpp, pooled.psnr_rgb_db) == pytest.approx((0.5, 30.0)), "an identical one is left out of the mean"
    assert "trap" not in set(table.reconstruction_sha256)


def test_one_participant_is_resampled_by_pair_and_gets_no_interval_where_the_links_break():
    rng = np.random.default_rng(5)
    truth = np.linspace(0, 2, 9)
    key = {"conditions": [condition("a", "", None, "o", None)]}
    key["conditions"] += [condition("a", f"c{number}", 0.5, str(number)) for number in range(1, 9)]
    found = simulated(rng, truth, people=1, rounds=2)
    rows = zip(found.first, found.second, found.value, strict=True)
    many = pd.DataFrame([said("p1", *row)[0] for row in rows])
    table = scale_table(many, key, None, draws=200).query("scope == 'image'")
    assert (table.jnd_low < table.jnd).all() and (table.jnd < table.jnd_high).all()
    few = scale_table(answers().query("participant == 'p1'"), KEY, None, draws=200).iloc[0]
    assert few.jnd == pytest.approx(1, abs=1e-6) and np.isnan(few.jnd_low) and few.note == NO_INTERVAL
    unanimous = pd.DataFrame(said("p1", 0, 1, 0.0, 4))
    assert HELPED in scale_table(unanimous, KEY, None, draws=10).note.iloc[0]


def test_draws_are_fitted_together_as_one_by_one():
    rng = np.random.default_rng(3)
    several = rng.poisson(0.7, (40, 6, 6)).astype(float) * (1 - np.eye(6))
    together, helped = model.fit(several)
    assert 0 < helped.sum() < 40, "with and without an added answer"
    for number, one in enumerate(several):
        assert together[number] == pytest.approx(fit(one)[0], abs=1e-6, nan_ok=True)
