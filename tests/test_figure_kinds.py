"""Kinds of figures: panels, BD-rates, tables; figures drawn by name from what they need; what is missing is named."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import yaml
from test_workflow import project  # noqa: F401  (a fixture)

from bench import records
from bench.codec import Point
from bench.discovery import codecs, load
from bench.errors import UsageError
from bench.figures import draw
from bench.figures.context import Context
from bench.figures.demands import figure_demands
from bench.figures.kinds import tables
from bench.figures.spec import SPECIFICATION, codecs_of, datasets_of, named_pairs, needs, read_specification
from bench.files import sha256, sha256_pixels
from bench.metrics import psnr_rgb_db
from bench.rd import bd_table
from bench.run.equal_rates import WANTED, Demand

POINTS = ("p0", "p1", "p2", "p3", "p4")


def _records(codecs: tuple[str, ...] = ("reference", "six", "one"), dataset: str = "kodak") -> pd.DataFrame:
    """Curves of 6 dB a doubling; each codec is 0.5 dB worse than the one before; one codec was skipped."""
    rng, rows = np.random.default_rng(3), []
    for image in range(4):
        for rank, codec in enumerate(codecs):
            for index, point in enumerate(POINTS):
                bpp = 0.2 * 1.6**index * rng.uniform(0.95, 1.05)
                psnr = 33 + 6 * np.log2(bpp) - 0.5 * rank
                rows.append(
                    {"dataset": dataset, "image": f"image{image}", "codec": codec, "role": "codec", "status": "ok"}
                    | {"point": point, "point_index": index, "bpp": bpp, "saturated": False, "identical": False}
                    | {"psnr_rgb_db": psnr, "ms_ssim_db": psnr / 3, "ms_ssim": 1 - 10 ** (-psnr / 30)}
                )
    rows.append({"dataset": dataset, "codec": "absent", "role": "codec", "status": "skipped", "reason": "no weights"})
    return records.table(rows)


def _draw(folder: Path, *specs: dict, frame: pd.DataFrame | None = None, **more: object) -> list[dict]:
    records.write(_records() if frame is None else frame, folder / "records.parquet")
    path = folder / "figures.yaml"
    path.write_text(yaml.safe_dump({"figures": list(specs), "datasets": {"kodak": "Kodak"}}))
    return draw.draw_all(folder, path, **more)


def _comments(folder: Path, entry: dict) -> str:
    """The texts of a figure, which Matplotlib writes into its SVG as comments."""
    return " ".join(re.findall(r"<!-- (.*?) -->", (folder / entry["files"]["svg"]).read_text()))


# A figure says what is missing from it


def test_a_codec_that_a_figure_names_and_the_run_lacks_stands_in_the_legend_with_its_reason(tmp_path):
    spec = {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "codecs": ["six", "absent", "elsewhere"]}
    (entry,) = _draw(tmp_path, spec)
    assert entry["status"] == "ok" and entry["codecs"] == ["six"]
    table = pd.read_csv(tmp_path / entry["files"]["csv"])
    missing = table[table.kind == "missing"].set_index("codec").note
    assert missing.to_dict() == {"absent": "skipped: no weights", "elsewhere": "not part of this run"}
    assert "Not measured here" in (text := _comments(tmp_path, entry)) and "no weights" in text


def test_a_figure_none_of_whose_codecs_was_measured_names_them_and_their_reasons(tmp_path):
    spec = {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "codecs": ["absent", "a", "b"]}
    (entry,) = _draw(tmp_path, spec)
    assert entry["status"] == "missing"
    assert "absent: skipped: no weights; a, b: not part of this run" in entry["reason"]


def test_a_paper_s_dataset_that_is_not_in_the_run_is_named_with_those_of_the_run(tmp_path):
    spec = {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "datasets": ["all", "kodak", "tecnick"]}
    entries = _draw(tmp_path, spec)
    assert [(entry["dataset"], entry["status"]) for entry in entries] == [("kodak", "ok"), ("tecnick", "missing")]
    assert entries[1]["reason"] == "dataset tecnick is not part of this run"


def test_what_nobody_can_draw_has_its_reason(tmp_path):
    (entry,) = _draw(tmp_path, {"name": "unread", "kind": "absent", "reason": "the paper could not be read"})
    assert (entry["status"], entry["reason"]) == ("missing", "the paper could not be read")
    assert entry["files"] == {}


# Panels


def test_panels_hold_the_rows_of_an_rd_plot_and_mark_the_points_they_are_told_to(tmp_path):
    panels = [
        {"title": "(a)", "codecs": ["six", "reference"], "claimed": ["compressai/vtm"]},
        {"title": "(b)", "codecs": ["one", "absent", "reference"]},
        {"title": "(c)", "codecs": ["absent"]},
    ]
    spec = {"name": "panels", "kind": "panels", "metric": "psnr_rgb_db", "panels": panels}
    spec |= {"marked": {"six": ["p0", "p4"], "one": ["p4"]}, "mark_label": "own network"}
    plain = {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "codecs": ["six"]}
    entry, rd = _draw(tmp_path, spec, plain)
    assert entry["status"] == "ok" and entry["claimed"] == ["compressai/vtm"]
    assert entry["codecs"] == ["one", "reference", "six"] and list(entry["left_out"]) == ["absent"]
    table = pd.read_csv(tmp_path / entry["files"]["csv"])
    six = table[(table.panel == "(a)") & (table.codec == "six")]
    assert six[six.marked].point.tolist() == ["p0", "p4"]
    alone = pd.read_csv(tmp_path / rd["files"]["csv"])
    assert six.bpp.tolist() == alone.bpp.tolist() and six.value.tolist() == alone.value.tolist()
    text = _comments(tmp_path, entry)
    assert "own network" in text and "not measured" in text and "(c)" in text


def test_panels_together_are_one_plot_with_the_reference_once(tmp_path):
    panels = [{"title": f"({name})", "codecs": [name, "reference"]} for name in ("six", "one")]
    spec = {"name": "panels", "kind": "panels", "metric": "psnr_rgb_db", "panels": panels, "together": True}
    apart = {**spec, "name": "apart", "together": False}
    entry, other = _draw(tmp_path, spec, apart)
    assert entry["sha256"] == other["sha256"], "the numbers are the same"
    svg, comments = (tmp_path / entry["files"]["svg"]).read_text(), _comments(tmp_path, entry)
    assert comments.split().count("reference") == 1 and "(six)" not in comments
    assert "#222222" in svg and "(six)" in _comments(tmp_path, other)


def test_a_figure_about_a_codec_that_the_run_lacks_is_not_drawn_of_the_others(tmp_path):
    spec = {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "codecs": ["absent", "six"]}
    (entry,) = _draw(tmp_path, spec)
    assert (entry["status"], entry["files"]) == ("missing", {})
    assert entry["reason"] == "the figure is about absent: skipped: no weights"


def test_a_table_for_a_paper_is_text(tmp_path):
    _study(tmp_path)
    (entry,) = _draw(tmp_path, TABLE, paper=True)
    assert set(entry["files"]) == {"csv", "md", "tex"}
    lines = (tmp_path / entry["files"]["tex"]).read_text().splitlines()
    assert lines[0] == r"\begin{tabular}{lrrlr}" and lines[-1] == r"\end{tabular}"
    assert lines[2] == r"Point & Base [bpp] & Share [\%] & Note & Paper \\"


# BD-rates of pairs


def test_bd_rates_of_pairs_are_those_of_the_bd_table_and_a_pair_without_one_has_its_reason(tmp_path):
    pairs = [["six", "reference"], ["one", "six"], ["absent", "reference"]]
    spec = {"name": "bd", "kind": "bd", "metrics": ["psnr_rgb_db", "ms_ssim_db"], "pairs": pairs}
    (entry,) = _draw(tmp_path, spec)
    table = pd.read_csv(tmp_path / entry["files"]["csv"])
    for codec, anchor in pairs[:2]:
        row = table[(table.codec == codec) & (table.metric == "psnr_rgb_db")].iloc[0]
        compared = bd_table.compare(_records(), anchor, [codec], "psnr_rgb_db", "kodak")
        expected = compared[(compared.averaging == "per_image") & (compared.method == "pchip")].iloc[0]
        assert (row.anchor, row.n_images) == (anchor, 4)
        for column in ("bd_rate_percent", "ci_low", "ci_high", "overlap"):
            assert row[column] == pytest.approx(expected[column])
    # half a dB at 6 dB a doubling, on the lines these curves are
    assert table.bd_rate_percent[0] == pytest.approx(100 * (2 ** (0.5 / 6) - 1), abs=0.05)
    absent = table[table.codec == "absent"]
    assert len(absent) == 2 and set(absent.reason) == {"absent: skipped: no weights"}


def test_bd_rates_of_which_none_can_be_had_say_why(tmp_path):
    spec = {"name": "bd", "kind": "bd", "metrics": ["psnr_rgb_db"], "pairs": [["absent", "six"], ["gone", "six"]]}
    (entry,) = _draw(tmp_path, spec)
    assert entry["status"] == "missing"
    assert entry["reason"] == "absent: skipped: no weights; gone: not part of this run"


# Tables of studies

STUDY = {
    "status": "ok",
    "reason": "",
    "columns": ["image", "point", "base", "rest", "note"],
    "rows": [
        ["image0", "low", 1.0, 1.0, "a|b"],
        ["image0", "high", 1.0, 3.0, ""],
        ["image1", "low", 3.0, 1.0, "a|b"],
        ["image1", "high", 3.0, 9.0, ""],
    ],
}
TABLE = {"name": "shares", "kind": "table", "study": "layers", "by": "point", "by_label": "Point", "title": "Shares"}
TABLE |= {
    "columns": [
        {"column": "base", "title": "Base [bpp]", "digits": 2},
        {"column": "share", "title": "Share [%]", "ratio": ["rest", "base"], "times": 100},
        {"column": "note", "title": "Note"},
        {"column": "paper", "title": "Paper", "given": {"high": 34}},
    ]
}


def _study(folder: Path, study: dict = STUDY) -> None:
    (folder / "studies" / "kodak").mkdir(parents=True)
    (folder / "studies" / "kodak" / "layers.json").write_text(json.dumps(study))


def test_a_table_has_means_over_images_ratios_of_means_and_given_numbers(tmp_path):
    _study(tmp_path)
    (entry,) = _draw(tmp_path, TABLE)
    frame = pd.read_csv(tmp_path / entry["files"]["csv"])
    assert frame.point.tolist() == ["low", "high"] and frame.n_images.tolist() == [2, 2]
    assert frame.base.tolist() == [2.0, 2.0]
    assert frame.share.tolist() == [0.5, 3.0], "of the means, not the mean of the images' ratios (0.667, 3)"
    assert frame.paper.isna()[0] and frame.paper[1] == 34
    assert entry["cells"] == [
        ["Point", "Base [bpp]", "Share [%]", "Note", "Paper"],
        ["low", "2.00", "50", "a|b", "-"],
        ["high", "2.00", "300", "-", "34"],
    ]
    lines = (tmp_path / entry["files"]["md"]).read_text().splitlines()
    assert lines[1] == "| --- | ---: | ---: | --- | ---: |" and lines[2] == r"| low | 2.00 | 50 | a\|b | - |"
    assert "Base [bpp]" in _comments(tmp_path, entry)


def test_no_cell_of_a_wide_table_lies_outside_the_picture(tmp_path):
    columns = [{"column": f"c{number}", "title": f"A title of column {number}"} for number in range(9)]
    frame = pd.DataFrame(
        {"row": ["a", "b"], "n_images": [1, 1]} | {c["column"]: ["long text " * 9] * 2 for c in columns}
    )
    context = Context(_records(), None, None, pd.DataFrame(), {}, {})
    figure = tables.draw(frame, context, {"by": "row", "columns": columns, "title": "wide"}, "kodak")
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else _renderer(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.texts[:-2]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height, text.get_text()


def _renderer(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg(figure).get_renderer()


def test_a_table_of_a_study_that_was_skipped_says_why(tmp_path):
    _study(tmp_path, STUDY | {"status": "skipped", "reason": "resgdn: no weights", "rows": []})
    (entry,) = _draw(tmp_path, TABLE)
    assert entry["status"] == "missing" and "resgdn: no weights" in entry["reason"]


# Pictures at one rate


def _coded(folder: Path, image: np.ndarray) -> pd.DataFrame:
    """Records of real bitstreams of a photograph: WebP once, JPEG at three qualities, and the photograph itself."""
    rows = []
    for codec, points in (("webp", ["q40"]), ("jpeg", ["q05", "q50", "q95"]), ("identity", ["lossless"])):
        for index, point in enumerate(load(codec).point(name) for name in points):
            bitstream = load(codec).encode(image, point)
            (folder / f"{codec}.{point.name}").write_bytes(bitstream)
            pixels = load(codec).decode(bitstream)
            rows.append(
                {"dataset": "kodak", "image": "coffee", "codec": codec, "role": "codec", "status": "ok"}
                | {"point": point.name, "point_index": index, "parameters": json.dumps(dict(point.parameters))}
                | {"bytes": len(bitstream), "bpp": 8 * len(bitstream) / image[..., 0].size, "saturated": False}
                | {"psnr_rgb_db": psnr_rgb_db(image, pixels), "identical": codec == "identity"}
                | {"bitstream": f"{codec}.{point.name}", "bitstream_sha256": sha256(bitstream)}
                | {"reconstruction_sha256": sha256_pixels(pixels)}
            )
    return records.table(rows)


def test_pictures_at_one_rate_are_those_that_the_run_coded_at_it_and_else_the_nearest(tmp_path, photographs):
    frame = _coded(tmp_path, photographs["coffee"])
    spec = {"name": "pictures", "kind": "pictures", "codecs": ["identity", "webp", "jpeg"], "match": "webp"}
    (entry,) = _draw(tmp_path, spec, frame=frame)
    rows = pd.read_csv(tmp_path / entry["files"]["csv"]).set_index("codec")
    assert rows.point["jpeg"] in ("q05", "q50", "q95"), "without rows at equal rates the nearest point has to do"
    (demand,) = figure_demands({"figures": [spec]}, frame)
    assert demand == Demand("kodak", "coffee", "jpeg", rows.bpp["webp"]), "identity, being lossless, matches any rate"
    bitstream = load("jpeg").encode(photographs["coffee"], Point("quality30", quality=30))
    (tmp_path / "equal").write_bytes(bitstream)
    made = frame[frame.codec == "jpeg"].iloc[0].to_dict() | {"point": "quality30", "bitstream": "equal"}
    made |= {"bpp": demand.bpp * 1.001, "bitstream_sha256": sha256(bitstream), "wanted_bpp": demand.bpp}
    made |= {"reconstruction_sha256": sha256_pixels(load("jpeg").decode(bitstream))}
    records.write(pd.DataFrame([made]), tmp_path / "matched.parquet", WANTED)
    (entry,) = _draw(tmp_path, spec, frame=frame)
    rows = pd.read_csv(tmp_path / entry["files"]["csv"]).set_index("codec")
    assert rows.point["jpeg"] == "quality30" and rows.bitstream["jpeg"] == "equal"
    assert "Original" in _comments(tmp_path, entry)


def test_the_page_has_tables_as_tables(tmp_path):
    from bench.report.build import build

    _study(tmp_path)
    frame = _records()
    _draw(tmp_path, TABLE, frame=frame[frame.codec == "absent"])
    page = build(tmp_path).read_text()
    assert '<th scope="col">Share [%]</th>' in page and '<td class="n">300</td>' in page
    assert (tmp_path / "report" / "figures" / "shares_kodak.md").is_file()


# Figures by their names


def test_named_figures_are_drawn_alone_to_the_same_bytes_and_leave_the_index(tmp_path):
    rd = {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "codecs": ["six", "one"]}
    gain = {"name": "gain", "kind": "gain", "metric": "psnr_rgb_db", "codecs": ["six"], "anchor": "reference"}
    whole = _draw(tmp_path, rd, gain)
    before = {entry["name"]: (tmp_path / entry["files"]["svg"]).read_bytes() for entry in whole}
    index = (tmp_path / "figures" / "index.json").read_bytes()
    frame = _records()
    part = tmp_path / "six.parquet"
    records.write(frame[frame.codec.isin(["six", "reference"])], part)
    (alone,) = draw.draw_all(tmp_path, tmp_path / "figures.yaml", only=["gain"], parts=[part])
    assert (tmp_path / alone["files"]["svg"]).read_bytes() == before["gain_kodak"]
    assert (tmp_path / "figures" / "index.json").read_bytes() == index
    (nothing,) = draw.draw_all(tmp_path, tmp_path / "figures.yaml", only=["rd"], parts=[], datasets=["kodak"])
    assert nothing["status"] == "missing" and nothing["dataset"] == "kodak"
    with pytest.raises(UsageError, match="no figure is called pie; there are rd, gain"):
        draw.draw_all(tmp_path, tmp_path / "figures.yaml", only=["pie"])


def test_a_figure_needs_its_codecs_its_anchors_and_its_study_and_no_others():
    run, pairs = ("kodak", "clic"), [(codec, name) for codec in "abcd" for name in ("kodak", "clic")]
    rd = {
        "kind": "rd",
        "metric": "psnr_rgb_db",
        "codecs": ["a", "z"],
        "anchor": ["b", "y"],
        "datasets": ["all", "kodak"],
    }
    assert set(needs(rd, run, pairs, [], []).pairs) == {(c, name) for c in "ab" for name in run}
    assert set(needs(rd | {"datasets": ["kodak"]}, run, pairs, [], []).pairs) == {("a", "kodak"), ("b", "kodak")}
    everything = {"kind": "speed", "metric": "psnr_rgb_db", "anchor": "a"}
    assert (
        len(needs(everything, run, pairs, [], pairs).pairs) == len(needs(everything, run, pairs, [], pairs).timed) == 8
    )
    table = {"kind": "table", "study": "s", "by": "x", "columns": []}
    found = needs(table, run, pairs, [("s", "kodak"), ("t", "kodak")], pairs)
    assert (found.pairs, found.studies, found.timed) == ((), (("s", "kodak"),), ())


def test_every_figure_of_the_three_papers_that_can_be_drawn_is_specified():
    names = {spec["name"] for spec in read_specification()["figures"]}
    assert {f"plonq_fig{n}" for n in ("4", "5a", "5b", "5c", "6", "7", "8", "9")} <= names
    assert {"stanh_fig2", "stanh_fig3", "stanh_fig4", "stanh_fig5", "stanh_bd", "stanh_storage", "stanh_costs"} <= names
    assert {"resgdn_fig4", "resgdn_fig4_ms_ssim", "resgdn_fig5", "resgdn_fig6", "resgdn_fig6_bd"} <= names
    assert {"resgdn_shares", "resgdn_times", "stanh_unknown"} <= names


def test_every_codec_and_study_that_a_figure_names_exists():
    from bench.studies import studies

    specification, known = read_specification(), set(codecs())
    for spec in specification["figures"]:
        assert set(codecs_of(spec) or ()) <= known, spec["name"]
        assert spec.get("study") in (None, *studies()), spec["name"]


def test_figure_3_marks_the_points_whose_rates_have_a_network_of_their_own():
    from codecs_wrappers.learned.stanh.codec import ANCHORS, LADDER

    found = codecs()
    (spec,) = [spec for spec in read_specification()["figures"] if spec["name"] == "stanh_fig3"]
    for codec, points in spec["marked"].items():
        assert points == [f"lambda{LADDER[rate]}" for rate in ANCHORS[found[codec].anchors]]


def test_validation_codecs_run_where_a_figure_names_them():
    pairs = named_pairs(read_specification(SPECIFICATION), ["sample", "kodak"])
    assert {("stanh_6anchors", "kodak"), ("resgdn_short_relu", "sample"), ("resgdn_sr", "kodak")} <= pairs
    assert not any(dataset == "tecnick" for _, dataset in pairs)
    assert datasets_of({"datasets": ["all", "clic"]}, ["kodak", "clic"]) == ["clic", "kodak"]


@pytest.mark.slow
def test_snakemake_makes_a_figure_by_its_name_from_the_codecs_it_needs(project, photographs, tmp_path):  # noqa: F811
    images = tmp_path / "images"
    images.mkdir()
    PIL.Image.fromarray(photographs["coffee"][:64, :96]).save(images / "coffee.png")
    settings = {"name": "test", "datasets": [f"folder:{images}"], "codecs": ["jpeg", "webp", "jpegxl"]}
    (project / "config" / "test.yaml").write_text(json.dumps(settings))
    shutil.copy(SPECIFICATION, project / "figures.yaml")  # the fixture's has one figure
    command, config = [sys.executable, "-m", "snakemake", "--cores", "1"], ["--configfile", "config/test.yaml"]
    done = subprocess.run([*command, "resgdn_fig4", *config], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = project / "results" / "test"
    (entry, kodak) = json.loads((run / "figures" / "by_name" / "resgdn_fig4.json").read_text())
    assert "resgdn" in entry["left_out"] and "jpeg" not in entry["left_out"]
    assert (entry["status"], entry["reason"]) == ("missing", "the figure is about resgdn: not part of this run")
    assert kodak["reason"] == "dataset kodak is not part of this run"
    assert sorted(path.name for path in (run / "parts").glob("*/*")) == ["jpeg", "webp"]
    listed = subprocess.run([*command, "stanh_figures", "-n", *config], cwd=project, capture_output=True, text=True)
    of_paper = [spec for spec in read_specification()["figures"] if spec["name"].startswith("stanh_")]
    assert re.search(rf"^figure +{len(of_paper)}$", listed.stdout, re.MULTILINE), listed.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "expected sections"),
        ("figures: 3", "expected a list under figures"),
        ("styles: [1]", "expected a mapping under styles"),
        ("figures: [3]", "figure 1: expected fields"),
        ("figures: [{name: a, kind: rd, metric: psnr_rgb_db, claimd: []}]", "did you mean claimed"),
        ("figures: [{name: 3, kind: rd, metric: psnr_rgb_db}]", "with a text as its name"),
    ],
)
def test_a_specification_of_the_wrong_type_is_refused_in_a_sentence(tmp_path, text, message):
    (tmp_path / "figures.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_specification(tmp_path / "figures.yaml")


def test_an_empty_section_of_a_specification_counts_as_none(tmp_path):
    (tmp_path / "figures.yaml").write_text("figures:\npage:\n")
    assert read_specification(tmp_path / "figures.yaml")["page"] == {}
