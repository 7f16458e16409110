"""The report tells how networks were trained and where their bitstreams decode; the index lists published reports."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from smallrun import small_run

from bench import records
from bench.report.build import build
from bench.report.publish import publish


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rows = small_run(tmp_path_factory.mktemp("trained"), ("jpeg", "webp"))
    records.write(records.table(rows), folder / "records.parquet")
    return folder


@pytest.fixture
def run_folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "results" / "small")


def section(page: Path, name: str) -> str:
    return re.search(rf'<section id="{name}".*?</section>', page.read_text(encoding="utf-8"), re.S)[0]


def teach(run_folder: Path, codec: str, *training: dict) -> None:
    path = run_folder / "status" / f"{codec}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": training}))


def test_a_run_without_networks_says_so(run_folder):
    assert "No codec of this run has trained weights." in section(build(run_folder), "cost")


def test_weights_stand_once_with_all_that_use_them_and_hours_are_summed(run_folder):
    net = {"name": "net", "bytes": 7_106_066, "steps": 900, "crops": 1800, "crop": 256, "hours": 1.5, "device": "CPU"}
    teach(run_folder, "webp", net, {"name": "a_few", "bytes": 1072, "hours": 0.5, "base": "net"})
    teach(run_folder, "jpeg", net)
    text = section(build(run_folder), "cost")
    assert "for 2.0 hours in all" in text
    rows = re.findall(r'<tr><th scope="row"(.*?)</tr>', text, re.S)
    assert len(rows) == 2 and rows[0].startswith(">net<") and 'title="on net"' in rows[1]
    assert "1800 × 256" in rows[0] and ">7106<" in rows[0] and ">1.1</td>" in rows[1]
    assert "and 1 more" in rows[0] and "more" not in rows[1]
    assert "decode_matrix" in text


def test_the_decode_matrix_shows_failures_and_differing_samples(run_folder):
    teach(run_folder, "webp", {"name": "net", "hours": 1})
    (run_folder / "devices").mkdir()
    (run_folder / "devices" / "photos.csv").write_text(
        "codec,encoder,decoder,bitstreams,failed,differing,differing_samples,samples,largest_difference,images,error\n"
        'webp,"CPU, 1 thread","CPU, 2 threads",6,0,2,17,4000,1,2,\n'
        'webp,"CPU, 2 threads","CPU, 1 thread",6,1,0,0,4000,0,2,checksum of the symbols\n'
    )
    text = section(build(run_folder), "cost")
    assert "17 of 4000" in text and "checksum of the symbols" in text and "CPU, 2 threads" in text
    assert "was not measured" not in text


def test_published_reports_are_listed_with_the_identity_of_their_records(run_folder, tmp_path):
    reports = tmp_path / "reports"
    page = publish("small", run_folder.parent, reports)
    assert page == reports / "small" / "index.html"
    index = (reports / "index.html").read_text(encoding="utf-8")
    facts = json.loads((reports / "small" / "report.json").read_text())
    assert 'href="small/index.html"' in index and facts["records"][:12] in index
    assert (reports / "assets" / "report.css").is_file()
    publish("small", run_folder.parent, reports)
    assert (reports / "index.html").read_text(encoding="utf-8") == index
