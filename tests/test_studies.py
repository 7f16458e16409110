"""Studies: found in wrappers, run on the images of a set, written with a reason where they cannot be."""

from __future__ import annotations

import json
import textwrap

import pytest

from bench import studies
from bench.data.datasets import manifest_or_reason
from bench.errors import UsageError

WRAPPER = """
    import numpy as np
    from bench.codec import Codec, Point
    from bench.errors import UsageError
    from bench.studies import Study

    class Measured(Codec):
        name, extension, points = "measured", ".m", (Point("a"),)
        def available(self): return {available}
        def version(self): return "1"

    def rows(image):
        if {broken}: raise UsageError("this image cannot be studied")
        yield {{"half": "top", "mean": float(image[: len(image) // 2].mean())}}
        yield {{"half": "bottom", "mean": float(image[len(image) // 2 :].mean())}}

    CODECS = [Measured()]
    STUDIES = [Study("halves", "measured", ("half", "mean"), rows, images={images})]
"""


def _study(add_wrapper, tmp_path, available="(True, '')", broken=False, images=0):
    add_wrapper("measured", textwrap.dedent(WRAPPER.format(available=available, broken=broken, images=images)))
    return studies.run_study("halves", manifest_or_reason("sample"), tmp_path / "halves.json")


@pytest.mark.parametrize(("images", "at_most", "taken"), [(0, 0, 5), (3, 0, 3), (0, 2, 2), (3, 2, 2), (2, 4, 2)])
def test_a_configuration_can_only_lower_how_many_images_a_study_takes(add_wrapper, tmp_path, images, at_most, taken):
    _study(add_wrapper, tmp_path, images=images)
    result = studies.run_study("halves", manifest_or_reason("sample"), tmp_path / "few.json", at_most=at_most)
    assert len({row[0] for row in result["rows"]}) == taken


def test_a_study_has_rows_for_every_image(add_wrapper, tmp_path):
    result = _study(add_wrapper, tmp_path)
    assert result == json.loads((tmp_path / "halves.json").read_text())
    images = [image.name for image in manifest_or_reason("sample").images]
    assert [row[:2] for row in result["rows"]] == [[name, half] for name in images for half in ("top", "bottom")]
    assert all(0 < row[2] < 255 for row in result["rows"])


def test_a_study_may_take_a_few_images(add_wrapper, tmp_path):
    assert len({row[0] for row in _study(add_wrapper, tmp_path, images=2)["rows"]}) == 2


def test_what_cannot_be_studied_says_why(add_wrapper, tmp_path):
    skipped = _study(add_wrapper, tmp_path, available="(False, 'no weights')")
    assert (skipped["status"], skipped["reason"], skipped["rows"]) == ("skipped", "measured: no weights", [])


def test_a_failing_study_is_a_reason(add_wrapper, tmp_path):
    failed = _study(add_wrapper, tmp_path, broken=True)
    assert failed["status"] == "failed" and "cannot be studied" in failed["reason"]


def test_an_unknown_study_names_those_there_are(tmp_path):
    with pytest.raises(UsageError, match="no study is called 'nothing'"):
        studies.run_study("nothing", manifest_or_reason("sample"), tmp_path / "x.json")
