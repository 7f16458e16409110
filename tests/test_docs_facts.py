"""Numbers in README.md and the docs that are made from the published reports and the weights' manifest."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml
from conftest import ROOT

SPEC = importlib.util.spec_from_file_location("facts", ROOT / "docs" / "facts.py")
facts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(facts)


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name in facts.PAGES if "<!-- facts" in (ROOT / name).read_text()])
def test_the_numbers_of_a_page_are_those_of_the_reports_and_the_manifest(page):
    text = (ROOT / page).read_text()
    assert facts.filled(text) == text, "out of date: run python docs/facts.py"


def test_the_published_kodak_report_is_read_whole():
    frame = facts.report_records("kodak")
    assert frame.image.nunique() == 24 and {"jpeg2000", "bpg444", "mean_scale"} <= set(frame.codec)
    assert frame[frame.codec == "jpeg2000"].groupby("image").size().nunique() == 1


def test_a_block_without_facts_is_an_error():
    with pytest.raises(KeyError):
        facts.filled("<!-- facts nothing -->\n<!-- end -->")


def test_no_training_hours_are_typed_by_hand():
    """Elsewhere than in the block they would go out of date."""
    text = re.sub(facts.BLOCK, "", (ROOT / "README.md").read_text())
    assert not re.search(r"\d+(\.\d+)? hours|half hours", text)


def test_every_target_is_measured_on_the_published_kodak_report():
    lines = facts.targets.table(facts.kodak()).splitlines()[2:]
    entries = yaml.safe_load(facts.targets.TARGETS.read_text())
    assert len(lines) == len(entries) >= 14
    for line, entry in zip(lines, entries, strict=True):
        what, must, measured, *_, reached = (cell.strip() for cell in line.strip("|").split("|"))
        assert what == entry["what"] and must[0] in "≤≥><−-" and measured[0] in "−0123456789"
        assert reached in ("no", "must", "aim")


def test_a_target_that_is_met_says_how_far(tmp_path, monkeypatch):
    entry = {"what": "w", "must": "at_point(jpeg2000, bpp, 0) > 0", "aim": "at_point(jpeg2000, bpp, 0) > 99"}
    entries = [entry, entry | {"aim": entry["must"]}, entry | {"must": "bd_rate(nothing, jpeg2000) < 0"}]
    monkeypatch.setattr(facts.targets, "TARGETS", tmp_path / "targets.yaml")
    (tmp_path / "targets.yaml").write_text(yaml.safe_dump(entries))
    met, whole, missing = facts.targets.table(facts.kodak()).splitlines()[2:]
    assert met.endswith("| must |") and whole.endswith("| the same |  | aim |")
    assert "codec nothing is not in the run" in missing and missing.endswith("| no |")
