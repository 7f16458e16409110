"""Figures show exactly the numbers beside them, the same way every time, for codecs they have never heard of."""

from __future__ import annotations

import io
import json
import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bench import records
from bench.discovery import load
from bench.errors import UsageError
from bench.figures import draw, source
from bench.figures.colour import apart_in_grey, luminance
from bench.figures.spec import read_specification
from bench.figures.style import plain_log, styles
from bench.files import sha256, sha256_file, sha256_pixels
from bench.rd import bd_table

CODECS = ("alpha", "beta", "gamma", "prefix")
SPECIFICATION = {
    "figures": [
        {"name": "rd", "kind": "rd", "metric": "psnr_rgb_db", "x": "log", "anchor": "alpha", "title": "{dataset}"}
        | {"claimed": ["compressai/vtm", "stf/zou22-cnn_mse"]},
        {
            "name": "ssim",
            "kind": "rd",
            "metric": "ms_ssim_db_of_mean",
            "x": "linear",
            "xlim": [0, 1],
            "anchor": "alpha",
        },
        {"name": "gain", "kind": "gain", "metric": "psnr_rgb_db", "anchor": "alpha"},
        {"name": "per_image", "kind": "per_image", "metric": "psnr_rgb_db", "anchor": "alpha"},
        {"name": "speed", "kind": "speed", "metric": "psnr_rgb_db", "anchor": "alpha"},
    ],
    "styles": {"alpha": {"label": "Alpha coder", "colour": "#123456", "marker": "s"}},
    "datasets": {"kodak": "Kodak"},
}


def _records(
    dataset: str = "kodak", images: int = 5, codecs: tuple[str, ...] = CODECS, points: int = 10
) -> pd.DataFrame:
    """Plausible curves: 5 dB a doubling, images of different difficulty, one codec at fixed rates, two controls."""
    rng, rows = np.random.default_rng(7), []
    for image in range(images):
        hardness = rng.normal(0, 2)
        for rank, codec in enumerate(codecs):
            for point in range(points):
                target = 0.1 * 1.4**point
                bpp = target if codec == "prefix" else target * 2 ** (-hardness / 8) * rng.uniform(0.97, 1.03)
                db = 12 + 4 * np.log2(bpp / 0.3) + 0.3 * rank
                rows.append(
                    {"dataset": dataset, "image": f"image{image}", "codec": codec, "role": "codec", "status": "ok"}
                    | {"point": f"p{point}", "point_index": point, "bpp": bpp, "saturated": False, "identical": False}
                    | {"psnr_rgb_db": 32 + 5 * np.log2(bpp) + 0.5 * rank + hardness, "ms_ssim_db": db}
                    | {"ms_ssim": 1 - 10 ** (-db / 10), "target_bpp": target if codec == "prefix" else None}
                )
        rows.append(
            {"dataset": dataset, "image": f"image{image}", "codec": "identity", "role": "control", "status": "ok"}
            | {"point": "lossless", "point_index": 0, "bpp": 11.0, "psnr_rgb_db": np.inf, "identical": True}
        )
    rows.append({"dataset": dataset, "codec": "absent", "role": "codec", "status": "skipped", "reason": "no library"})
    return records.table(rows)


def _run(folder: Path, frame: pd.DataFrame, specification: dict | None = None) -> Path:
    """A run's folder and, in it, figures.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    records.write(frame, folder / "records.parquet")
    path = folder / "figures.yaml"
    path.write_text(yaml.safe_dump(specification or SPECIFICATION))
    return path


def _only(*names: str, **more: object) -> dict:
    chosen = [spec | more for spec in SPECIFICATION["figures"] if spec["name"] in names]
    return SPECIFICATION | {"figures": chosen}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("run")
    path = _run(folder, _records())
    (folder / "timing" / "kodak").mkdir(parents=True)
    times = [
        {"dataset": "kodak", "image": "image0", "pixels": 393216, "codec": codec, "point": point, "status": "ok"}
        | {"encode_s_median": 0.1 * (rank + 1), "decode_s_median": 0.01 * (rank + 1), "threads": 1, "device": "a CPU"}
        for rank, codec in enumerate(CODECS)
        for point in ("p0", "p5")
    ]
    pd.DataFrame(times).to_parquet(folder / "timing" / "kodak" / "all.parquet")
    return folder, draw.draw_all(folder, path)


def test_every_figure_has_its_four_files_and_an_entry_in_the_index(drawn):
    folder, entries = drawn
    assert [entry["status"] for entry in entries] == ["ok"] * 5
    for entry in entries:
        assert set(entry["files"]) == {"svg", "pdf", "png", "csv"}
        assert all((folder / path).stat().st_size > 100 for path in entry["files"].values())
    assert json.loads((folder / "figures" / "index.json").read_text()) == json.loads(json.dumps(entries))


def test_a_second_run_is_identical_to_the_byte(drawn, tmp_path):
    folder, entries = drawn
    again = draw.draw_all(folder, folder / "figures.yaml")
    assert again == entries
    path = _run(tmp_path / "other", _records(), _only("rd", "per_image"))
    for entry in draw.draw_all(path.parent, path):
        for file in entry["files"].values():
            assert (path.parent / file).read_bytes() == (folder / file).read_bytes(), file


def test_no_file_carries_a_date(drawn):
    folder, _ = drawn
    svg = (folder / "figures" / "rd_kodak.svg").read_text()
    assert "<dc:date>" not in svg
    assert b"CreationDate" not in (folder / "figures" / "rd_kodak.pdf").read_bytes()
    assert b"tIME" not in (folder / "figures" / "rd_kodak.png").read_bytes()


def test_the_hash_in_the_figure_is_that_of_its_csv_and_changes_with_a_plotted_number(drawn, tmp_path):
    folder, entries = drawn
    before = entries[0]
    assert before["sha256"] == sha256_file(folder / before["files"]["csv"])
    svg = (folder / before["files"]["svg"]).read_text()
    assert f"data {before['sha256'][:12]}" in svg and 'href="rd_kodak.csv"' in svg
    frame = _records()
    frame.loc[(frame.codec == "beta") & (frame.point == "p3"), "psnr_rgb_db"] += 1e-6
    path = _run(tmp_path, frame, _only("rd", "ssim"))
    rd, ssim = draw.draw_all(tmp_path, path)
    assert rd["sha256"] != before["sha256"]
    assert ssim["sha256"] == entries[1]["sha256"], "a figure's hash covers the columns it plots, not others"


def test_the_csv_holds_the_averaged_points(drawn):
    folder, _ = drawn
    table = pd.read_csv(folder / "figures" / "rd_kodak.csv")
    row = table[(table.codec == "beta") & (table.point == "p4")].iloc[0]
    of_point = _records().query("codec == 'beta' and point == 'p4'")
    assert row.bpp == pytest.approx(of_point.bpp.mean(), rel=1e-12)
    assert row.value == pytest.approx(of_point.psnr_rgb_db.mean(), rel=1e-12)
    assert row.n_images == 5


def test_title_and_subtitle_name_dataset_images_and_averaging(drawn):
    folder, entries = drawn
    svg = (folder / entries[0]["files"]["svg"]).read_text()
    comments = " ".join(re.findall(r"<!-- (.*?) -->", svg))  # Matplotlib writes each text as a comment before its paths
    assert entries[0]["title"] == "Kodak" and "Kodak" in comments
    assert "5 images; rate and quality averaged over images at each operating point" in comments
    assert "prefix (at fixed rate)" in comments


def test_claimed_curves_are_dashed_apart_and_in_no_measured_bd(drawn):
    folder, entries = drawn
    rd = entries[0]
    assert rd["claimed"] == ["compressai/vtm", "stf/zou22-cnn_mse"]
    assert all(source["url"] and source["licence"] and source["averaging"] for source in rd["sources"])
    table = pd.read_csv(folder / rd["files"]["csv"])
    assert set(table[table.kind == "claimed"].codec) == set(rd["claimed"])
    looks = styles([*CODECS, *rd["claimed"]], {}, {})
    assert all(bool(look.dashes) == ("/" in name) for name, look in looks.items())
    compared = bd_table.compare(_records(), "alpha", ["beta"], "psnr_rgb_db", "kodak")
    assert not compared.codec.str.contains("/").any()
    for entry in entries[2:]:
        codecs = set(pd.read_csv(folder / entry["files"]["csv"]).codec)
        assert codecs <= set(CODECS), "figures of BD-rates hold measured codecs only"


def test_claimed_curves_of_another_dataset_are_not_drawn(tmp_path):
    path = _run(tmp_path, _records("sample"), _only("rd"))
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["claimed"] == [] and entry["status"] == "ok"


def test_a_codec_nobody_styled_gets_a_look_of_its_own_that_others_do_not_change():
    names = [f"codec{number}" for number in range(30)]
    given = {"known": {"colour": "#0072B2", "marker": "o"}}
    looks = styles(["known", *names], given, {"codec3": "Third"})
    assert len({(look.colour, look.marker) for look in looks.values()}) == 31
    assert (looks["known"].colour, looks["known"].marker) == ("#0072B2", "o")
    assert looks["codec3"].label == "Third" and looks["codec4"].label == "codec4"
    few = styles(["known", "codec5", "stf/zou22-cnn_mse"], given, {})
    assert few["codec5"] == styles(["codec5"], given, {})["codec5"], "claimed curves take no codec's look"
    assert few["codec5"].colour != "#0072B2"


def test_a_new_codec_just_appears_and_controls_and_skipped_ones_do_not(drawn, tmp_path):
    path = _run(tmp_path, _records(codecs=(*CODECS, "newcomer")), _only("rd"))
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["codecs"] == sorted([*CODECS, "newcomer"])
    assert entry["left_out"] == {"absent": "skipped: no library"}


def test_a_missing_dataset_or_anchor_leaves_an_entry_with_the_reason_and_no_file(tmp_path):
    path = _run(tmp_path, _records(), _only("rd", "speed", datasets=["kodak", "tecnick"]))
    entries = {entry["name"]: entry for entry in draw.draw_all(tmp_path, path)}
    assert entries["rd_kodak"]["status"] == "ok"
    assert entries["rd_tecnick"]["status"] == "missing"
    assert entries["rd_tecnick"]["reason"] == "dataset tecnick is not part of this run"
    assert entries["rd_tecnick"]["files"] == {} and entries["rd_tecnick"]["columns"]
    assert not list((tmp_path / "figures").glob("*tecnick*"))
    assert "no times were measured on kodak" in entries["speed_kodak"]["reason"]
    path = _run(tmp_path, _records(), _only("gain"))
    (entry,) = draw.draw_all(tmp_path, path)
    drawn = [tmp_path / file for file in entry["files"].values()]
    path = _run(tmp_path, _records(), _only("gain", anchor="absent"))
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["reason"] == "the anchor absent was not measured on kodak"
    assert len(drawn) == 4 and not any(file.exists() for file in drawn), "those of the earlier run are gone"


def test_of_several_anchors_the_first_measured_one_is_taken(tmp_path):
    path = _run(tmp_path, _records(), _only("gain", anchor=["absent", "beta", "alpha"]))
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["anchor"] == "beta" and entry["codecs"] == sorted(set(CODECS) - {"beta"})


def test_on_a_dataset_on_which_everything_failed_nothing_is_drawn(tmp_path):
    frame = records.table(
        [{"dataset": "kodak", "codec": "alpha", "role": "codec", "status": "failed", "reason": "boom"}]
    )
    path = _run(tmp_path, frame)
    entries = draw.draw_all(tmp_path, path)
    assert {entry["reason"] for entry in entries} == {"nothing was measured on kodak"}


def test_per_image_points_and_their_mean_agree_with_the_bd_table(drawn):
    folder, _ = drawn
    table = pd.read_csv(folder / "figures" / "per_image_kodak.csv")
    compared = bd_table.compare(_records(), "alpha", ["gamma"], "psnr_rgb_db", "kodak")
    headline = compared[(compared.averaging == "per_image") & (compared.method == "pchip")].iloc[0]
    gamma = table[table.codec == "gamma"]
    mean = gamma[gamma.kind == "mean"].iloc[0]
    assert mean.bd_rate_percent == pytest.approx(headline.bd_rate_percent)
    assert (mean.ci_low, mean.ci_high) == pytest.approx((headline.ci_low, headline.ci_high))
    assert gamma[gamma.kind == "measured"].bd_rate_percent.mean() == pytest.approx(headline.bd_rate_percent)


def test_the_runs_own_bd_table_is_used_where_it_has_the_rows(tmp_path):
    path = _run(tmp_path, _records(), _only("per_image"))
    compared = bd_table.compare(_records(), "alpha", CODECS[1:], "psnr_rgb_db", "kodak")
    compared.assign(bd_rate_percent=-42.0).to_csv(tmp_path / "bd.csv", index=False)
    draw.draw_all(tmp_path, path)
    table = pd.read_csv(tmp_path / "figures" / "per_image_kodak.csv")
    assert (table[table.kind == "mean"].bd_rate_percent == -42.0).all()


def test_a_single_image_is_drawn_without_an_interval(tmp_path):
    path = _run(tmp_path, _records(images=1), _only("rd", "per_image"))
    entries = draw.draw_all(tmp_path, path)
    assert [entry["status"] for entry in entries] == ["ok", "ok"]
    table = pd.read_csv(tmp_path / "figures" / "per_image_kodak.csv")
    assert table.ci_low.isna().all()


def test_no_number_depends_on_a_users_matplotlib_settings(drawn, tmp_path):
    import matplotlib

    path = _run(tmp_path, _records(), _only("gain"))
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.hashsalt": "x"}):
        (entry,) = draw.draw_all(tmp_path, path)
    folder, _ = drawn
    assert (tmp_path / entry["files"]["svg"]).read_bytes() == (folder / entry["files"]["svg"]).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "pie"}, "kind 'pie'"), ({"metric": None}, "lacks"), ({"anchor": None}, "lacks")],
)
def test_a_wrong_specification_is_refused_with_the_figures_name(tmp_path, change, message):
    spec = SPECIFICATION["figures"][2] | change
    spec = {key: value for key, value in spec.items() if value is not None}
    path = _run(tmp_path, _records(), {"figures": [spec]})
    with pytest.raises(UsageError, match=f"gain.*{message}"):
        draw.draw_all(tmp_path, path)


def test_the_repositorys_own_specification_is_sound_and_its_claimed_curves_exist():
    from bench.rd.published import load_published, published_curve

    specification, curves = read_specification(), load_published()
    for figure in specification["figures"]:
        for spec, name in [
            (figure | part, name) for part in figure.get("panels", [figure]) for name in part.get("claimed", [])
        ]:
            found = [published_curve(name, dataset, spec["metric"], curves) for dataset in set(curves.dataset)]
            assert any(len(curve) for curve in found), f"{name} has no {spec['metric']} anywhere"


BOLD = {"page": {"bold": ["alpha", "beta"]}, "styles": {name: {"colour": "#123456"} for name in ("alpha", "gamma")}}


def test_where_all_codecs_are_shown_some_stand_out_and_all_have_a_label_at_their_curve(tmp_path):
    path = _run(tmp_path, _records(codecs=(*CODECS, "newcomer")), _only("rd") | BOLD)
    (entry,) = draw.draw_all(tmp_path, path)
    svg = (tmp_path / entry["files"]["svg"]).read_text()
    comments = re.findall(r"<!-- (.*?) -->", svg)
    assert {"alpha", "beta", "gamma", "prefix*", "newcomer", "Published elsewhere"} <= set(comments)
    assert "* at fixed rates" in " ".join(comments)
    assert svg.count("stroke: #c4c4bf") >= 1 and svg.count("stroke: #123456") >= 1
    context = source.read_source(tmp_path, path, None, (), tmp_path / "none")[1]
    source.read_source.cache_clear()
    assert context.standing_out({}, [*CODECS, "newcomer"]) == {"alpha", "beta", "prefix", "newcomer"}, "gamma is known"
    assert context.standing_out({"codecs": ["alpha"]}, ["alpha"]) is None, "a figure of chosen codecs shows all of them"
    table = pd.read_csv(tmp_path / entry["files"]["csv"])
    assert len(table[table.codec == "gamma"]) == 10, "grey curves are in the CSV like the others"


def test_the_axes_are_fitted_to_the_rates_that_the_curves_share(tmp_path):
    frame = _records()
    tiny = frame[(frame.codec == "alpha") & (frame.point_index == 0)].assign(point="tiny", point_index=20, bpp=0.001)
    path = _run(tmp_path, pd.concat([frame, tiny.assign(psnr_rgb_db=5.0)]), _only("rd") | BOLD)
    _, context = source.read_source(tmp_path, path, None, (), tmp_path / "none")
    source.read_source.cache_clear()
    spec = SPECIFICATION["figures"][0]
    table = draw.KINDS["rd"].table(context, spec, "kodak")
    (axes,) = draw.KINDS["rd"].draw(table, context, spec, "kodak").axes
    assert table.bpp.min() == 0.001 and axes.get_xlim()[0] > 0.09 and axes.get_ylim()[0] > 12


def test_captions_say_what_has_to_be_known_of_a_dataset(tmp_path):
    remarks = {"remarks": {"kodak": "Only five images."}}
    path = _run(tmp_path, _records(), _only("rd", caption="Curves.") | remarks)
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["caption"] == "Curves. Only five images."
    assert "one of them decoded from a JPEG" in read_specification()["remarks"]["sample"]


def test_figures_for_a_paper_have_two_widths_text_as_text_and_their_hash_in_the_metadata(drawn, tmp_path):
    _, entries = drawn
    path = _run(tmp_path, _records(), _only("rd", "per_image"))
    for entry, page in zip(draw.draw_all(tmp_path, path, paper=True), (entries[0], entries[3]), strict=True):
        assert set(entry["files"]) == {"csv", "single.svg", "single.pdf", "double.svg", "double.pdf"}
        assert (entry["sha256"], entry["title"]) == (page["sha256"], page["title"]), "the same numbers"
        for layout, inches in (("single", 3.5), ("double", 7.16)):
            svg = (tmp_path / entry["files"][f"{layout}.svg"]).read_text()
            shown = svg[svg.index("</metadata>") :]
            assert f'width="{72 * inches:g}pt"' in svg
            assert entry["sha256"] in svg[: svg.index("</metadata>")] and entry["sha256"][:12] not in shown
            assert "5 images;" in svg and "5 images;" not in shown and "<date>" not in svg
            sizes = {float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", shown)}
            assert len(re.findall("<text", shown)) > 10 and sizes == {8.0}
            pdf = (tmp_path / entry["files"][f"{layout}.pdf"]).read_bytes()
            assert entry["sha256"].encode() in pdf and b"CreationDate" not in pdf
    assert json.loads((tmp_path / "figures" / "paper" / "index.json").read_text())[0]["name"] == "rd_kodak"
    assert not (tmp_path / "figures" / "index.json").exists()


def test_print_without_colour_tells_the_curves_of_a_papers_figure_apart():
    found = [luminance(colour) for colour in apart_in_grey(["#D55E00", "#0072B2", "#009E73", "#CC3311", "#882255"])]
    assert min(abs(p - q) for p, q in combinations(found, 2)) > 0.02
    assert min(abs(p - q) for p, q in pairwise(found)) > 0.08, "neighbours in the legend most of all"
    assert max(found) < 0.6, "none is too pale for white paper"
    assert apart_in_grey(["#0072B2"]) and apart_in_grey([]) == []


@pytest.mark.parametrize(("low", "high"), [(0.003, 20), (0.002, 0.5), (0.7, 40), (0.11, 0.14), (1e-4, 2e3)])
@pytest.mark.parametrize("inches", [1.2, 2.2, 4.5])
def test_the_numbers_of_a_log_axis_do_not_collide(low, high, inches):
    figure = Figure(figsize=(inches / 0.775, 2), dpi=100)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.125, right=0.9)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    plain_log(axes)
    FigureCanvasAgg(figure).draw()
    labels = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert 2 <= len(labels) <= 9
    assert all(after.x0 - before.x1 > 1 for before, after in pairwise(labels))


def test_progress_counts_up_to_the_number_of_figures(tmp_path):
    path = _run(tmp_path, _records(), _only("rd", "gain"))
    seen: list[tuple[int, int]] = []
    draw.draw_all(tmp_path, path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.slow
def test_several_processes_draw_the_same_bytes_in_the_same_order(tmp_path):
    path = _run(tmp_path, _records(), _only("rd", "gain"))

    def drawn(processes: int) -> tuple[list, dict[str, bytes]]:
        entries = draw.draw_all(tmp_path, path, processes=processes)
        files = [tmp_path / file for entry in entries for file in entry["files"].values()]
        contents = {file.name: file.read_bytes() for file in files}
        for file in files:
            file.unlink()
        return entries, contents

    assert drawn(2) == drawn(1)


def test_the_png_is_a_picture_of_print_resolution(drawn):
    from PIL import Image

    folder, _ = drawn
    with Image.open(io.BytesIO((folder / "figures" / "rd_kodak.png").read_bytes())) as picture:
        assert picture.size == (1584, 946)
        assert len(set(picture.convert("RGB").resize((80, 50)).get_flattened_data())) > 50, "something is drawn"


STUDIES = {
    "orders": {
        "status": "ok",
        "reason": "",
        "columns": ["image", "order", "fraction", "bpp", "psnr"],
        "rows": [
            [image, order, fraction, rate * fraction, 30 + 5 * fraction + better]
            for image, rate in (("image0", 1.0), ("image1", 3.0))
            for order, better in (("by sigma", 1.0), ("by channel", 0.0))
            for fraction in (0.25, 0.5, 1.0)
        ],
    },
    "shares": {
        "status": "ok",
        "reason": "",
        "columns": ["image", "stream", "part", "bytes"],
        "rows": [
            [image, "whole", part, size] for image in ("image0", "image1") for part, size in (("z", 10), ("y", 30))
        ],
    },
    "absent": {"status": "skipped", "reason": "no weights", "columns": ["image", "a"], "rows": []},
}
STUDY_FIGURES = [
    {"name": "orders", "kind": "lines", "study": "orders", "series": "order", "at": "fraction", "x_column": "bpp"}
    | {"y_column": "psnr", "x_label": "Rate [bit/pixel]", "y_label": "PSNR [dB]", "title": "{dataset}: orders"},
    {"name": "shares", "kind": "parts", "study": "shares", "series": "stream", "part": "part", "value": "bytes"}
    | {"x_label": "bytes"},
    {"name": "skipped", "kind": "parts", "study": "absent", "series": "a", "part": "a", "value": "a", "x_label": ""},
    {"name": "unknown", "kind": "parts", "study": "unknown", "series": "a", "part": "a", "value": "a", "x_label": ""},
]


def test_studies_are_drawn_as_means_over_images(tmp_path):
    path = _run(tmp_path, _records(), {"figures": STUDY_FIGURES, "datasets": {}})
    (tmp_path / "studies" / "kodak").mkdir(parents=True)
    for name, study in STUDIES.items():
        (tmp_path / "studies" / "kodak" / f"{name}.json").write_text(json.dumps(study))
    entries = {entry["name"]: entry for entry in draw.draw_all(tmp_path, path)}
    orders = pd.read_csv(tmp_path / "figures" / "orders_kodak.csv")
    assert orders.series.tolist() == ["by sigma"] * 3 + ["by channel"] * 3
    assert orders.x.tolist() == [0.5, 1.0, 2.0] * 2
    assert orders.y.tolist() == [32.25, 33.5, 36.0, 31.25, 32.5, 35.0]
    assert pd.read_csv(tmp_path / "figures" / "shares_kodak.csv").value.tolist() == [10, 30]
    assert "no weights" in entries["skipped_kodak"]["reason"]
    assert "was not run" in entries["unknown_kodak"]["reason"]


def test_a_study_figure_that_lacks_a_column_says_which(tmp_path):
    path = _run(tmp_path, _records(), {"figures": [STUDY_FIGURES[0] | {"y_column": "ssim"}], "datasets": {}})
    (tmp_path / "studies" / "kodak").mkdir(parents=True)
    (tmp_path / "studies" / "kodak" / "orders.json").write_text(json.dumps(STUDIES["orders"]))
    (entry,) = draw.draw_all(tmp_path, path)
    assert "no column ssim; it has image, order, fraction, bpp, psnr" in entry["reason"]
    with pytest.raises(UsageError, match="lacks"):
        read_specification(_run(tmp_path, _records(), {"figures": [{"name": "a", "kind": "lines"}]}))


def test_pictures_are_decoded_from_the_bitstreams_of_the_table(tmp_path, photographs):
    codec, rows, photograph = load("jpeg"), [], photographs["coffee"]
    for point in codec.points[::9]:
        bitstream = codec.encode(photograph, point)
        (tmp_path / f"{point.name}.jpg").write_bytes(bitstream)
        about = {"dataset": "kodak", "image": "image0", "codec": "jpeg", "role": "codec", "status": "ok"}
        about |= {"point": point.name, "point_index": 0, "saturated": False, "identical": False, "ms_ssim_db": 9.0}
        about |= {"bytes": len(bitstream), "bpp": 8 * len(bitstream) / photograph[..., 0].size, "psnr_rgb_db": 30.0}
        about |= {"bitstream": f"{point.name}.jpg", "bitstream_sha256": sha256(bitstream), "ms_ssim": 0.9}
        rows.append(about | {"reconstruction_sha256": sha256_pixels(codec.decode(bitstream))})
    spec = {"name": "strip", "kind": "pictures", "codecs": ["jpeg", "webp"], "rates": [0.2, 2], "crop": [40, 60]}
    path = _run(tmp_path, records.table(rows), {"figures": [spec], "datasets": {}})
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["status"] == "ok" and list(entry["left_out"]) == ["webp"]
    table = pd.read_csv(tmp_path / "figures" / "strip_kodak.csv")
    assert table.bitstream.tolist() == [rows[0]["bitstream"], rows[-1]["bitstream"]]
    path = _run(tmp_path, records.table(rows), {"figures": [spec | {"animate": True, "shown": [2]}], "datasets": {}})
    (entry,) = draw.draw_all(tmp_path, path)
    with Image.open(tmp_path / entry["files"]["webp"]) as film:
        assert (film.n_frames, film.size) == (2, (60, 58))
    rows[0]["reconstruction_sha256"] = "0" * 64
    path = _run(tmp_path, records.table(rows), {"figures": [spec], "datasets": {}})
    (entry,) = draw.draw_all(tmp_path, path)
    assert entry["status"] == "missing" and "different pixels" in entry["reason"]
