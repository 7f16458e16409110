"""The regression gate: what it lets pass, what it refuses, and what it does not compare."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench import gate, records
from bench.cli import main
from bench.errors import UsageError


def run(rate: float = 1.0, seed: int = 0, code: str = "c0", version: str = "1", bits: str = "") -> pd.DataFrame:
    """Records of one codec on six images at five points; ``rate`` multiplies its bytes."""
    images = np.random.default_rng(seed).uniform(0.8, 1.2, 6)
    rows = [
        {
            **{"dataset": "set", "image": f"i{i}", "width": 100, "height": 100, "codec": "mine", "role": "codec"},
            **{"point": f"p{k}", "point_index": k, "status": "ok", "identical": False, "codec_version": version},
            **{"code_sha256": code, "metric_versions": "{}", "bpp": rate * size * 0.2 * 2**k},
            **{"bytes": int(rate * size * 250 * 2**k), "psnr_rgb_db": 25.0 + 3 * k + size, "ms_ssim_db": 10.0 + k},
            **{"bitstream_sha256": f"b{i}{k}{rate}{bits}", "reconstruction_sha256": f"r{i}{k}"},
        }
        for i, size in enumerate(images)
        for k in range(5)
    ]
    return records.table(rows)


def verdict(current: pd.DataFrame, baseline: pd.DataFrame, limit: float = 0.5) -> gate.Verdict:
    (one,) = gate.judge(current, baseline, limit)
    return one


def test_the_same_bits_are_the_same():
    assert verdict(run(), run()).verdict == "same"


def test_a_codec_that_costs_more_than_the_limit_fails_with_the_figure():
    lost = verdict(run(rate=1.01, code="c1"), run())
    assert lost.verdict == "failed"
    assert "+1.000 %" in lost.detail


@pytest.mark.parametrize("rate", [1.004, 0.9])
def test_a_small_loss_or_a_gain_is_a_change_that_passes(rate):
    assert verdict(run(rate=rate, code="c1"), run()).verdict == "changed"


def test_other_bits_from_the_same_code_are_not_reproducible():
    odd = verdict(run(bits="x"), run())
    assert odd.verdict == "failed"
    assert "same code, other bits, 30 times; the first: i0 at p0" in odd.detail


def test_another_library_version_is_not_compared():
    assert verdict(run(rate=2.0, version="2"), run()).verdict == "new"


def test_a_codec_that_ran_before_and_fails_or_is_gone_now_fails():
    broken = records.table([{"dataset": "set", "codec": "mine", "status": "failed", "reason": "no luck"}])
    assert verdict(broken, run()).detail.endswith("no luck")
    assert verdict(run()[:0], run()).verdict == "failed"


def test_a_baseline_comes_back_from_its_file_and_needs_a_reason(tmp_path):
    path = tmp_path / "base.csv"
    gate.write_baseline(run(), path, "first")
    assert verdict(run(), gate.read_baseline(path)).verdict == "same"
    assert path.with_suffix(".reasons.txt").read_text() == "first\n"
    with pytest.raises(UsageError, match="needs a reason"):
        gate.write_baseline(run(), path, " ")
    with pytest.raises(UsageError, match="rdbench baseline"):
        gate.read_baseline(tmp_path / "none.csv")


def test_the_command_exits_with_1_for_a_loss_and_2_for_a_wrong_limit(tmp_path, capsys):
    folder = tmp_path / "run"
    gate.write_baseline(run(), tmp_path / "base.csv", "first")
    command = ["gate", "--folder", str(folder), "--baseline", str(tmp_path / "base.csv")]
    records.write(run(), folder / "records.parquet")
    assert main(command) == 0
    records.write(run(rate=1.02, code="c1"), folder / "records.parquet")
    assert main(command) == 1
    assert "1 of 1 failed: mine" in capsys.readouterr().err
    assert main([*command, "--fail", "bd:3%"]) == 0
    assert main([*command, "--fail", "5"]) == 2
