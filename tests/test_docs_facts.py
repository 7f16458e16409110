"""Numbers in README.md and the docs that are made from the published reports and the weights' manifest."""

from __future__ import annotations

import importlib.util
import re

import pytest
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
