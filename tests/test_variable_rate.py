"""The variable-rate condition: its targets, what its rows come to, and a run of it in two processes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from test_rate import WRAPPER

from bench.cli import main
from bench.codec import is_variable
from bench.data.datasets import fetch
from bench.discovery import codecs, load
from bench.errors import UsageError
from bench.figures.kinds import variable_rate as kind
from bench.rd.variable_rate import summary, targets
from bench.run.variable_rate import SCHEMA, random_shares, variable_rate


def test_one_target_lies_in_each_equal_part_of_the_range_and_always_at_the_same_place():
    shares = random_shares()
    assert (np.floor(shares * 20) == np.arange(20)).all()
    assert np.array_equal(shares, random_shares())
    assert shares[:2] == pytest.approx([0.02940654, 0.09488569], abs=1e-8)
    assert len(random_shares(5)) == 5


def test_the_condition_is_for_codecs_of_which_any_rate_can_be_asked():
    found = {name for name, codec in codecs().items() if is_variable(codec)}
    assert found >= {"spiht", "plonq", "naive_scaling", "qsf", "stanh"}
    assert not found & {"jpeg", "mean_scale", "bpg444", "plonq_percent"}
    with pytest.raises(UsageError, match="jpeg has fixed rates"):
        variable_rate("jpeg", fetch("sample"), None)


def test_every_counterpart_is_a_codec_with_fixed_rates():
    named = {codec.counterpart for codec in codecs().values()} - {""}
    assert named and all(not is_variable(load(name)) for name in named)


def row(test: str, bpp: float | None = None, psnr: float | None = None, **more: object) -> dict[str, object]:
    of = {"dataset": "d", "codec": "c", "image": "i", "test": test, "bpp": bpp, "psnr_rgb_db": psnr}
    return dict.fromkeys(SCHEMA.names) | of | more


def made(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=SCHEMA.names)
    numbers = [field.name for field in SCHEMA if str(field.type) != "string"]
    return frame.astype(dict.fromkeys(numbers, float))


def on_line(bpp: float) -> float:
    """6.02 dB more for each doubling of the rate: the curve of ideal codes."""
    return 30 + 20 * np.log10(bpp)


LISTED = [row("listed", bpp, on_line(bpp)) for bpp in (0.25, 0.5, 1.0, 2.0)]


def test_targets_on_the_curve_are_off_it_by_nothing_and_a_planted_dent_is_found():
    asked = [row("target", bpp, on_line(bpp), target_bpp=bpp / 1.01, evaluations=3) for bpp in (0.3, 0.6, 0.9, 1.5)]
    (found,) = summary(made(LISTED + asked)).to_dict("records")
    assert (found["targets"], found["missed"], found["drops"]) == (4, 0, 0)
    assert found["error_percent_median"] == pytest.approx(1) and found["bitstreams_per_target"] == 3
    assert found["off_curve_db_worst"] == pytest.approx(0, abs=1e-9)
    asked[2] = row("target", 0.9, on_line(0.9) - 4.0, target_bpp=0.9, evaluations=5)
    asked.append(row("target", None, None, target_bpp=1.8, reason="its rate jumps"))
    (found,) = summary(made(LISTED + asked)).to_dict("records")
    assert (found["targets"], found["missed"], found["drops"]) == (5, 1, 1)
    assert found["off_curve_db_worst"] == pytest.approx(-4)
    assert found["off_curve_db_rms"] == pytest.approx(2)  # of four, one is 4 dB off
    assert found["bitstreams_per_target"] == 3.5


def test_the_counterpart_prefixes_and_changes_of_rate_come_to_their_planted_values():
    asked = [row("target", bpp, on_line(bpp), target_bpp=bpp, evaluations=1) for bpp in (0.3, 0.6, 0.9, 1.5)]
    other = [row("counterpart", 0.9 * bpp, on_line(bpp)) for bpp in (0.25, 0.5, 1.0, 2.0)]
    prefixes = [row("prefix", bpp, psnr) for bpp, psnr in ((0.1, 20), (0.2, 24), (0.3, 23.5), (0.4, 26))]
    prefixes.append(row("prefix", reason="too short"))
    switches = [row("switch", switch_s=0.110, steady_s=0.100), row("switch", switch_s=0.130, steady_s=0.100)]
    (found,) = summary(made(LISTED + asked + other + prefixes + switches)).to_dict("records")
    assert found["bd_rate_percent"] == pytest.approx(100 * (1 / 0.9 - 1)) and found["bd_images"] == 1
    assert (found["prefixes"], found["prefix_drops"], found["first_prefix_bpp"]) == (5, 1, 0.1)
    assert found["prefix_drop_db_worst"] == pytest.approx(0.5)
    assert found["switch_ms"] == pytest.approx(20)


def test_a_target_beyond_the_listed_points_is_not_held_against_a_curve_that_is_not_there():
    asked = targets(made([*LISTED, row("target", 2.1, 40.0, target_bpp=2.1)]))
    assert asked.off_curve_db.isna().all()


def with_points(*steps: int) -> str:
    """A wrapper whose only parameter is its step, with an operating point at each of ``steps``."""
    points = "".join(f'Point("s{step}", s={step}.0), ' for step in steps)
    return WRAPPER.replace('Point("s8", s=8.0),', points)


def test_a_codec_is_measured_in_two_processes_and_keeps_the_tolerance(add_wrapper, image_folder, tmp_path):
    add_wrapper("stepped", with_points(32, 8, 3))
    manifest = fetch(f"folder:{image_folder}")
    frame = variable_rate("stepped", manifest, tmp_path / "log", images=1, targets=6)
    assert list(frame.columns) == SCHEMA.names
    assert frame.test.value_counts().to_dict() == {"target": 6, "listed": 3, "switch": 10}
    asked = targets(frame)
    assert (asked.error_percent.abs() <= 2).all() and (asked.evaluations >= 2).all()
    assert asked.target_bpp.is_monotonic_increasing
    (found,) = summary(frame).to_dict("records")
    assert found["missed"] == 0 and pd.isna(found["prefixes"]) and found["bd_images"] == 0


def test_an_embedded_codec_is_cut_and_its_prefixes_are_decoded(image_folder, tmp_path, capsys):
    out = tmp_path / "vrc.parquet"
    folder = f"folder:{image_folder}"
    assert main(["variable-rate", "spiht", "--dataset", folder, "--targets", "4", "--out", str(out), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["rows"]
    assert found["bitstreams_per_target"] == 1 and found["missed"] == 0 and found["prefix_drops"] == 0
    assert found["error_percent_worst"] < 1 and found["bd_rate_percent"] is not None
    frame = pd.read_parquet(out)
    prefixes = frame[(frame.test == "prefix") & frame.bpp.notna()]
    assert len(prefixes) >= 20 and prefixes.psnr_rgb_db.is_monotonic_increasing
    assert set(frame[frame.test == "counterpart"].point) <= {point.name for point in load("jpeg2000").points}


def test_what_a_decoder_refuses_is_a_row_with_its_reason(add_wrapper, image_folder, tmp_path):
    refuses = 'if step < 10:\n            raise ValueError("not that fine")\n        levels = np.frombuffer(zlib'
    add_wrapper("stepped", with_points(32, 16, 8).replace("levels = np.frombuffer(zlib", refuses))
    frame = variable_rate("stepped", fetch(f"folder:{image_folder}"), tmp_path / "log", targets=3)
    listed = frame[frame.test == "listed"]
    assert listed.bpp.isna().tolist() == [False, False, True]
    assert "not that fine" in listed.reason.iloc[2]
    assert (frame[frame.test == "target"].bpp.notna()).all()


def test_the_figures_table_has_a_row_for_each_target():
    asked = [row("target", bpp, on_line(bpp), target_bpp=bpp, evaluations=1) for bpp in (0.3, 0.6)]

    class Context:
        variable_rate = made(LISTED + asked)

        def codecs(self, spec, dataset):
            return ["c", "other"]

        def style(self, codec):
            return type("Style", (), {"label": codec.upper()})

    found = kind.table(Context(), {}, "d")
    assert list(found.columns) == kind.COLUMNS and found.label.tolist() == ["C", "C"]
    assert found.off_curve_db.tolist() == pytest.approx([0, 0], abs=1e-9)
