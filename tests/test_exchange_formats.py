"""Other people's results come in as `claimed`, appear on plots, and go out again as they were."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from smallrun import small_run

from bench import records
from bench.cli import main
from bench.errors import UsageError
from bench.exchange.formats import read_curves
from bench.exchange.written import compressai, of_published, of_run
from bench.figures.spec import read_specification
from bench.rd import published
from bench.rd.curves import averaged_curve

SHARED = ROOT.parent / "shared" / "reference_curves"
SAID = ["--source", "A paper", "--url", "https://example.org/paper", "--averaging", "mean-of-psnrs"]
# In the layout of CompressAI's files: points out of order, whole numbers, a quantity that is no metric, other facts.
DOCUMENT = {
    "name": "mbt-like",
    "description": "Inference (ans)",
    "meta": {"source": "paper", "url": "https://example.org/a", "dataset": "kodak", "device": None},
    "results": {
        "psnr-rgb": [30.123456789012345, 28.5, 33.0],
        "bpp": [0.5, 0.25, 1.0],
        "ms-ssim-rgb": [0.95, 0.9, 0.9876543210987654],
        "encoding_time": [1.5, 1.25, 2],
        "quality": [2, 1, 3],
    },
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """The user's curves lie in a working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RDBENCH_PUBLISHED", raising=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder, rows = small_run(tmp_path_factory.mktemp("run"), ["jpeg", "webp", "identity"])
    records.write(records.table(rows), folder / "records.parquet")
    return folder


def write(path: str, text: str) -> Path:
    Path(path).write_text(text)
    return Path(path)


def test_a_document_of_compressai_comes_back_byte_for_byte():
    file = write("mine.json", compressai(DOCUMENT))
    assert main(["import", str(file), *SAID, "--name", "theirs"]) == 0
    assert main(["export", "compressai", "--curve", "theirs/mbt-like", "--out", "again.json"]) == 0
    assert Path("again.json").read_bytes() == file.read_bytes()


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared beside the checkout")
def test_compressai_s_own_files_of_kodak_come_back_with_every_digit():
    files = [path for path in sorted(SHARED.glob("compressai__results_image_kodak_*.json")) if path.stat().st_size]
    assert len(files) > 20
    for number, file in enumerate(files):
        name, codec = f"s{number}", f"c{number}"
        assert main(["import", str(file), *SAID, "--dataset", "kodak", "--name", name, "--codec", codec]) == 0
        again = of_published(f"{name}/{codec}", "kodak")
        assert json.dumps(again) == json.dumps(json.loads(file.read_bytes())), file.name  # order of keys included
    jpeg = SHARED / "compressai__results_image_kodak_jpeg.json"
    again = of_published(f"s{files.index(jpeg)}/c{files.index(jpeg)}")
    assert compressai(again).encode() == jpeg.read_bytes().rstrip()


def test_what_a_file_does_not_say_is_asked_for(capsys):
    file = write("plain.json", json.dumps({"bpp": [0.1, 0.2], "psnr": [25, 28]}))
    assert main(["import", str(file)]) == 2
    error = capsys.readouterr().err
    assert all(option in error for option in ("--source", "--url", "--dataset", "--averaging", "mean-of-psnrs"))
    assert not Path("published").exists()
    assert main(["import", str(file), *SAID]) == 2  # the set is still not said
    assert "--dataset" in capsys.readouterr().err
    assert main(["import", str(file), *SAID[:-1], "unknown", "--dataset", "kodak"]) == 0
    assert published.load_published().query("source == 'plain'").averaging.unique().tolist() == [
        "not stated by the source"
    ]


def test_a_file_that_says_its_source_and_set_is_not_asked_for_them():
    file = write("mine.json", compressai(DOCUMENT))
    assert main(["import", str(file), "--averaging", "psnr-of-mean-mse"]) == 0
    curve = published.published_curve("mine/mbt-like", "kodak", "psnr_rgb_db")
    assert curve.bpp.tolist() == [0.25, 0.5, 1.0] and curve.value.tolist() == [28.5, 30.123456789012345, 33.0]
    assert set(curve.url) == {"https://example.org/a"} and "mean squared error" in curve.averaging[0]
    derived = published.published_curve("mine/mbt-like", "kodak", "ms_ssim_db_of_mean")
    assert derived.value.tolist() == pytest.approx([10.0, 13.0103, 19.0849], abs=1e-4)


def test_an_imported_curve_is_claimed_on_every_plot_of_all_codecs_and_nowhere_in_measured_tables(run):
    curve = {"name": "theirs", "results": {"bpp": [0.5, 1, 2, 4], "psnr-rgb": [20, 25, 30, 35]}}
    file = write("theirs.json", json.dumps(curve))
    assert main(["import", str(file), *SAID, "--dataset", "photos"]) == 0
    figures = {it["name"]: it for it in read_specification(ROOT / "figures.yaml")["figures"]}
    assert "theirs/theirs" in figures["rd_psnr"]["claimed"] and "theirs/theirs" in figures["rd_ms_ssim"]["claimed"]
    of_paper = [it for it in figures.values() if it["kind"] == "rd" and it.get("codecs", "all") != "all"]
    assert of_paper and not any("theirs/theirs" in it.get("claimed", []) for it in of_paper)
    arguments = ["--folder", str(run), "--spec", str(ROOT / "figures.yaml"), "--only", "rd_psnr"]
    assert main(["figures", *arguments]) == 0
    drawn = pd.read_csv(next(run.glob("figures/**/rd_psnr_photos.csv")))
    assert drawn[drawn.codec == "theirs/theirs"].kind.tolist() == ["claimed"] * 4
    assert main(["compare", "jpeg", "--folder", str(run), "--dataset", "photos", "--csv", "--out", "bd.csv"]) == 0
    assert "theirs" not in Path("bd.csv").read_text()


def test_codec_compare_s_rows_become_a_curve_for_each_setting_averaged_over_images():
    fields = ["original_name", "width", "height", "effort", "quality", "encoded_size", "encoding_time", "psnr", "ssim"]
    rows = [
        [f"{image}.png", 100, 80 + 20 * number, effort, quality, 100 * quality + 10 * effort + number, 0.1 * number]
        + [20 + quality + effort + number, 5.0 + number + quality / 7]
        for number, image in enumerate(("a", "b"))
        for effort in (0, 6)
        for quality in (10, 20, 30)
    ]
    rows.append(["c.png", 10, 10, 0, 10, 50, 0.1, 40.0, 3.0])  # not at every point: in no mean
    document = {
        "constant_descriptions": [{"name": "Batch"}, {"codec": "Codec"}, {"version": "Version"}],
        "constant_values": ["WebP", "libwebp", "1.2"],
        "field_descriptions": [{name: name} for name in fields],
        "field_values": rows,
    }
    curves = read_curves(write("batch.json", json.dumps(document)))
    curve = curves.points[(curves.points.codec == "_effort6") & (curves.points.metric == "psnr_rgb_db")]
    assert curve.value.tolist() == [36.5, 46.5, 56.5]
    assert curve.bpp.tolist() == pytest.approx([(8 * s / 8000 + 8 * (s + 1) / 10000) / 2 for s in (1060, 2060, 3060)])
    assert curves.facts["averaging"] == "mean-of-psnrs" and any("averaged over 2 images" in it for it in curves.notes)
    assert main(["import", "batch.json", *SAID[:4], "--dataset", "kodak"]) == 0
    found = published.load_published().query("source == 'batch'")
    assert set(found.codec) == {"libwebp_effort0", "libwebp_effort6"}


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("bpp,PSNR\n0.1,25\n0.2,28\n", ""),
        ("# a comment\nbits_per_pixel;psnr_rgb\n0.1;25\n0.2;28\n", ""),
        ("codec,metric,bpp,value\nx,psnr_rgb_db,0.1,25\nx,psnr_rgb_db,0.2,28\n", ""),
        ("# bpp, psnr\n0.1, 25\n0.2, 28\n", "psnr_rgb_db"),
        ("image,qp,bytes,width,height,psnr\na,30,125,100,100,24\nb,30,125,100,100,26\na,20,250,100,100,28\n"
         "b,20,250,100,100,28\n", ""),
        (json.dumps({"psnr": [25, 28], "bpp": [0.1, 0.2]}), ""),
    ],
)  # fmt: skip
def test_the_same_curve_in_other_forms_is_the_same_curve(text, metric):
    points = read_curves(write("file", text), metric).points
    assert points.metric.unique().tolist() == ["psnr_rgb_db"]
    np.testing.assert_allclose(points[["bpp", "value"]].to_numpy(), [[0.1, 25], [0.2, 28]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[1, 2]", "object of lists"),
        ("[" * 100_000, "nested"),
        ('{"results": {"psnr-rgb": [1, 2]}}', "bpp"),
        ('{"bpp": [1, 2], "psnr": [1]}', "one length"),
        ('{"bpp": [1, 2], "psnr": [1, NaN]}', "finite"),
        ('{"bpp": [0, 2], "psnr": [1, 2]}', "positive rate"),
        ('{"bpp": [1, 2], "ms-ssim": [12, 14]}', "ms_ssim_db"),
        ('{"field_values": [[1]], "field_descriptions": []}', "codec-compare"),
        ("0.1,25\n0.2,28\n", "--metric"),
        ("bpp,psnr\n0.1,high\n", "numbers"),
        ("bpp,colour\n0.1,2\n", "metric"),
        ("image,bpp,psnr\na,0.1,25\n", "belong together"),
        ("image,qp,bpp,psnr\na,30,0.1,25\na,30,0.2,26\n", "two rows"),
    ],
)
def test_what_is_no_curve_is_refused_in_a_sentence_that_names_the_file(text, says):
    with pytest.raises(UsageError, match=says) as raised:
        read_curves(write("strange.txt", text))
    assert str(raised.value).startswith("reading strange.txt: ") and "\n" not in str(raised.value)


def test_a_picture_or_a_missing_file_is_refused():
    Path("x.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(UsageError, match="not text"):
        read_curves(Path("x.png"))
    with pytest.raises(UsageError, match="No such file"):
        read_curves(Path("absent.json"))


def test_names_are_not_taken_twice_and_lead_nowhere_else(capsys):
    file = write("mine.json", compressai(DOCUMENT))
    import_it = ["import", str(file), *SAID]
    assert main([*import_it, "--name", "../evil"]) == 2 and main([*import_it, "--name", "tfc"]) == 2
    assert main(import_it) == 0 and main(import_it) == 2
    assert "--replace" in capsys.readouterr().err
    assert main([*import_it, "--replace"]) == 0
    assert main([*import_it, "--name", "more", "--codec", "=cmd/../x"]) == 0
    assert published.imported_curves() == ["mine/mbt-like", "more/cmd-..-x"]
    names = [Path(path).name for path in published.imported_files()]  # what the figures' rule has among its inputs
    assert names == ["mine.csv", "more.csv", "sources.yaml"]
    assert main([*import_it, "--name", "script", "--url", "javascript:alert(1)"]) == 2
    assert sorted(it.name for it in Path().iterdir() if it.name != "cache") == ["mine.json", "published"]


def test_a_broken_file_of_the_user_is_named():
    Path("published").mkdir()
    write("published/sources.yaml", "mine: {title: x, url: y, licence: z, averaging: w}\n")
    write("published/mine.csv", "codec,dataset,metric,bpp\na,kodak,psnr_rgb_db,1\n")
    with pytest.raises(UsageError, match=r"published/mine\.csv"):
        published.load_published()
    write("published/sources.yaml", "mine: [1")
    with pytest.raises(UsageError, match=r"published/sources\.yaml"):
        published.sources()
    write("published/sources.yaml", yaml.safe_dump({"tfc": dict.fromkeys(published.NEEDED, "x")}))
    with pytest.raises(UsageError, match="tfc"):
        published.sources()


def test_a_run_s_document_has_the_averaged_curve_and_compressai_s_own_plot_reads_it(run):
    frame = records.read(run / "records.parquet")
    assert main(["export", "compressai", "--folder", str(run), "--codecs", "jpeg", "--out", "jpeg.json"]) == 0
    results = json.loads(Path("jpeg.json").read_text())["results"]
    curve = averaged_curve(frame, "photos", "jpeg", "psnr_rgb_db")
    assert results["psnr-rgb"] == curve.value.tolist() and results["bpp"] == curve.bpp.tolist()
    assert results["ms-ssim-rgb"] == averaged_curve(frame, "photos", "jpeg", "ms_ssim").value.tolist()
    if importlib.util.find_spec("compressai") is None or sys.version_info >= (3, 13):
        return
    plot = pytest.importorskip("compressai.utils.plot.__main__")
    read = plot.parse_json_file("jpeg.json", "psnr-rgb")
    assert (list(read["xs"]), list(read["ys"])) == (results["bpp"], results["psnr-rgb"])


def test_a_lossless_codec_has_no_such_document(run):
    frame = records.read(run / "records.parquet")
    with pytest.raises(UsageError, match="finite mean PSNR"):
        of_run(frame, "identity", "photos")


def test_the_csv_of_a_run_read_again_is_its_averaged_curve(run, capsys):
    frame = records.read(run / "records.parquet")
    assert main(["export", "csv", "--folder", str(run), "--codecs", "jpeg", "webp", "--out", "run.csv"]) == 0
    curves = read_curves(Path("run.csv"))
    assert main(["export", "csv", "--averaged", "--folder", str(run), "--codecs", "jpeg", "--out", "mean.csv"]) == 0
    mean = read_curves(Path("mean.csv")).points
    for metric in ("psnr_rgb_db", "ms_ssim"):
        expected = averaged_curve(frame, "photos", "jpeg", metric)[["bpp", "value"]].to_numpy()
        for points in (curves.points, mean):
            own = points[(points.codec == "jpeg") & (points.metric == metric)]
            np.testing.assert_allclose(own[["bpp", "value"]].to_numpy(), expected, rtol=1e-12)
    assert main(["export", "csv", "--folder", str(run), "--codecs", "absent", "--out", "x.csv"]) == 2
    assert "it has identity, jpeg, webp" in capsys.readouterr().err
