"""How long the BD table of one codec pair takes: 24 images, 19 points, 10,000 draws, both averagings. Target: 1 s."""

import numpy as np
import pandas as pd
import pytest

from bench import records
from bench.rd import bootstrap
from bench.rd.bd_table import bd_rates, compare
from bench.rd.curves import curve_table


@pytest.fixture(scope="module")
def kodak_sized() -> pd.DataFrame:
    """Records of two codecs on 24 images at 19 points, with noise that makes some averaged curves need repair."""
    rng = np.random.default_rng(0)
    rows = []
    content = rng.uniform(0.5, 2, 24)
    for codec, factor in (("anchor", 1.0), ("codec", 0.9)):
        own = content * factor * np.exp(rng.normal(0, 0.05, 24))
        for image in range(24):
            for point in range(19):
                quality = 26 + point
                rows.append(
                    {
                        "dataset": "set", "image": f"i{image:02}", "codec": codec, "point": f"q{point}",
                        "point_index": point, "status": "ok", "bpp": own[image] * 2 ** ((quality - 30) / 5),
                        "psnr_rgb_db": quality + rng.normal(0, 0.5), "saturated": False,
                    }
                )  # fmt: skip
    return records.table(rows)


def test_both_averagings_all_methods_and_intervals_of_one_pair(benchmark, kodak_sized):
    table = benchmark(compare, kodak_sized, "anchor", ["codec"], "psnr_rgb_db", "set")
    assert table[table.method == "pchip"].ci_low.notna().all()


def test_10000_bd_rates_of_averaged_curves(benchmark, kodak_sized):
    anchor, codec = (curve_table(kodak_sized, "set", name, "psnr_rgb_db") for name in ("anchor", "codec"))

    def draw() -> np.ndarray:
        counts = bootstrap.image_counts(24)
        return bd_rates(*anchor.averaged(counts), *codec.averaged(counts))

    assert np.isfinite(benchmark(draw)).all()
