"""benchmarks/peers.py: both sides do the same work in turns, or the case fails; the table names the machine."""

from __future__ import annotations

import csv
import os
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import measuring
import peers
from measuring import BEGIN, END, Case, into_page, measure


def case(**changes) -> Case:
    ours, theirs = (lambda: sum(range(1000))), (lambda: sum(range(4000)))
    return Case(**({"name": "c", "work": "w", "peer": "p", "ours": ours, "theirs": theirs, "same": same} | changes))


def same(ours, theirs) -> str:
    return "nothing"


def test_both_sides_take_turns_and_the_ratio_is_of_medians(monkeypatch):
    calls: list[str] = []
    clock = iter([0, 1, 0, 10, 0, 20, 0, 2, 0, 3, 0, 10])  # start and end of each timed call
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    result = measure(case(ours=lambda: calls.append("ours"), theirs=lambda: calls.append("theirs")), 3)
    assert calls == ["ours", "theirs"] + ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert (result.ours_s, result.theirs_s, result.ratio) == (2, 10, 0.2)
    assert (result.ratio_low, result.ratio_high, result.rounds) == (0.1, 0.3, 3)


@pytest.mark.parametrize("error", [ValueError("other bytes"), OSError("no such program")])
def test_other_work_or_an_error_is_a_failed_case_without_a_ratio(error):
    def differs(ours, theirs):
        raise error

    result = measure(case(same=differs), 2)
    assert (result.status, result.ratio) == ("failed", None) and str(error) in result.reason


@pytest.mark.slow
def test_bd_and_bare_loops_are_the_same_work_as_the_peers(tmp_path, image_folder, monkeypatch, capsys):
    pytest.importorskip("bjontegaard")
    monkeypatch.setattr(os, "environ", dict(os.environ))  # it sets thread counts
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    arguments = ["--images", str(image_folder), "--count", "1", "--rounds", "1", "--out", str(tmp_path)]
    assert peers.main([*arguments, "--only", "bd", "pillow", "--page", str(page)]) == 0
    with open(tmp_path / "peers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [
        "bd pchip",
        "bd cubic",
        "bd akima",
        "bd bootstrap",
        "pillow jpeg",
        "pillow webp",
    ]
    for row in rows:
        assert row["status"] == "ok" and float(row["ratio"]) == float(row["ours_s"]) / float(row["theirs_s"])
    table = (tmp_path / "peers.md").read_text()
    assert "Measured on" in table and "bjontegaard.bd_rate (bjontegaard " in table and "pillow jpeg" in table
    assert page.read_text() == f"before\n{BEGIN}\n\n{table}\n{END}\nafter\n"
    assert capsys.readouterr().out == table


def test_a_peer_that_is_not_installed_is_skipped_with_the_reason(tmp_path, image_folder, monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (result,) = peers.cases(image_folder, 1, ["imagecodecs"])
    assert (result.status, result.reason) == ("skipped", "imagecodecs is not installed")


def test_a_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="peers: begin"):
        into_page(page, "table")
    assert page.read_text() == "nothing"
    assert BEGIN in (ROOT / "docs" / "peers.md").read_text()
