"""A blind test's page and answers: pictures that are the records', names that say nothing, and what bad input gets."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from smallrun import small_run

from bench import records
from bench.blind import design
from bench.blind.answers import COLUMNS, read_answers, read_key, screen
from bench.blind.page import crop_window
from bench.cli import main
from bench.data.images import load_image
from bench.files import sha256_pixels

CODECS = ("jpeg", "webp")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder, rows = small_run(tmp_path_factory.mktemp("run"), CODECS)
    records.write(records.table(rows), folder / "records.parquet")
    return folder


@pytest.fixture(scope="module")
def page(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("study") / "page"
    assert main(["study-page", *options(run, out)]) == 0
    return out


def options(run: Path, out: Path, *more: str, questions: int = 20) -> list[str]:
    given = ["--folder", str(run), "--codecs", *CODECS, "--rates", "0.5", "1.5", "--questions", str(questions)]
    return [*given, "--out", str(out), *more]


@pytest.fixture
def key(page) -> dict:
    return read_key(page.with_name("page.key.json"))


def answered(key, participant="p1", say=lambda question, number: "left", **changes) -> list[dict]:
    """A row per question, with the first picture left."""
    rows = []
    for number, question in enumerate(key["questions"]):
        left, right, _ = question["names"]
        row = {"study": key["study"], "participant": participant, "order": number + 1, "question": question["id"]}
        row |= {"left": left, "right": right, "answer": say(question, number), "seconds": 2.5, "mode": "flicker"}
        rows.append(row | changes)
    return rows


def attentive(question, number):
    """Left and right in turn, and in a trap the compressed picture, which is the second."""
    return "right" if question["kind"] == "trap" else ("left", "right", "not sure")[number % 3]


def write(path: Path, rows: list[dict]) -> Path:
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    return path


# The page


def test_the_pictures_are_the_records_reconstructions_and_originals(run, page, key):
    frame = records.read(run / "records.parquet")
    assert {it["kind"] for it in key["questions"]} == {"pair", "trap", "repeat"} and len(key["questions"]) == 20
    for question in key["questions"]:
        shown = [key["conditions"][index] for index in question["shown"]]
        assert not shown[2]["codec"] and len({it["image"] for it in shown}) == 1
        for name, condition in zip(question["names"], shown, strict=True):
            pixels = load_image(page / "pictures" / f"{name}.png")
            assert sha256_pixels(pixels) == condition["reconstruction_sha256"]
            if condition["codec"]:
                row = frame[(frame.codec == condition["codec"]) & (frame.image == condition["image"])]
                assert condition["reconstruction_sha256"] in set(row.reconstruction_sha256)
    names = [name for question in key["questions"] for name in question["names"]]
    assert len(set(names)) == len(names) == len(list((page / "pictures").iterdir()))


def test_nothing_in_the_page_names_a_codec_an_image_or_a_point(run, page):
    frame = records.read(run / "records.parquet")
    secrets = {*frame.codec, *frame.image, *frame.reconstruction_sha256} - {None}
    for path in page.rglob("*"):
        content = path.read_bytes() if path.is_file() and path.suffix != ".png" else b""
        for secret in secrets:
            assert secret not in path.name and secret.encode() not in content, (path, secret)
        assert not content or b"http" not in content
    assert not list(page.rglob("*key*"))


def test_the_same_seed_gives_the_same_page_and_another_one_another(run, page, tmp_path, capsys):
    for name, seed in (("same", "0"), ("other", "1")):
        assert main(["study-page", *options(run, tmp_path / name, "--seed", seed, "--json")]) == 0
        assert json.loads(capsys.readouterr().out)["rows"][0]["questions"] == 20
    assert (tmp_path / "same.key.json").read_bytes() == page.with_name("page.key.json").read_bytes()
    assert (tmp_path / "same" / "index.html").read_bytes() == (page / "index.html").read_bytes()
    assert (tmp_path / "other" / "index.html").read_bytes() != (page / "index.html").read_bytes()


def test_a_large_image_is_cropped_to_its_middle(run, tmp_path):
    assert crop_window(1000, 500, 620, 800) == (190, 0, 620, 500)
    assert main(["study-page", *options(run, tmp_path / "page", "--crop", "64", "48", "--images", "coffee")]) == 0
    key = read_key(tmp_path / "page.key.json")
    name = key["questions"][0]["names"][2]
    whole = load_image(run.parent.parent / "originals" / "coffee.png")
    left, top, width, height = key["conditions"][0]["crop"]
    assert (left, top, width, height) == (68, 58, 64, 48)
    part = np.asarray(Image.open(tmp_path / "page" / "pictures" / f"{name}.png").convert("RGB"))
    assert np.array_equal(part, whole[top : top + height, left : left + width])


def test_every_picture_is_linked_to_its_original_and_repeats_are_far_from_the_first_time(run):
    measured = records.measured(records.read(run / "records.parquet"))
    conditions, _ = design.choose(measured, None, CODECS, ["astronaut", "coffee"], [0.5, 1.5])
    traps = design.trap_conditions(measured, CODECS, ["astronaut", "coffee"])
    assert len(conditions) == 10 and {trap.image for trap in traps} == {"astronaut", "coffee"}
    for count in (10, 24, 60):
        asked = design.questions(conditions, traps, count, seed=5)
        kinds = [question.kind for question in asked]
        assert (len(asked), kinds.count("trap"), kinds.count("repeat")) == (count, count // 10, count // 10)
        met = {index: index for index in range(10)}
        for a, b in (question.pictures for question in asked if question.kind == "pair"):
            assert conditions[a].image == conditions[b].image
            met = {index: met[a] if root == met[b] else root for index, root in met.items()}
        assert len(set(met.values())) == 2, "one group for each image"
        for place, question in enumerate(asked):
            if question.kind == "repeat":
                first = [it for it, other in enumerate(asked) if other.pictures == question.pictures and it != place]
                assert max(abs(place - it) for it in first) >= count // 4
        if count == 24:
            pairs = {question.pictures for question in asked if question.kind == "pair"}
            assert len(pairs) == 20 == 2 * len(list(combinations(range(5), 2))), "each pair once before one comes again"


def test_what_the_run_lacks_is_one_sentence(run, tmp_path, capsys):
    def refused(*arguments: str) -> str:
        assert main(["study-page", *arguments]) == 2
        assert not list(tmp_path.iterdir())
        return capsys.readouterr().err.strip().splitlines()[-1]

    out = tmp_path / "page"
    given = options(run, out)
    assert "no codec avif; it has jpeg, webp" in refused(*given, "--codecs", "jpeg", "avif")
    assert "no image moon" in refused(*given, "--images", "moon")
    assert "8 are needed" in refused(*options(run, out, questions=8))
    assert "name it with --dataset" in refused(*given, "--dataset", "kodak")
    assert "no records at" in refused(*given, "--folder", str(tmp_path / "nothing"))
    taken = run / "datasets"
    assert main(["study-page", *options(run, taken)]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_the_key_of_another_study_is_not_overwritten(run, page, tmp_path, capsys):
    before = page.with_name("page.key.json").read_bytes()
    (tmp_path / "page.key.json").write_bytes(before)
    assert main(["study-page", *options(run, tmp_path / "page", "--seed", "9")]) == 2
    assert "it is the key of another study" in capsys.readouterr().err
    assert (tmp_path / "page.key.json").read_bytes() == before and not (tmp_path / "page").exists()
    assert main(["study-page", *options(run, tmp_path / "page")]) == 0, "the same study again"


def test_a_bitstream_coded_at_the_rate_is_taken_and_joined(run, tmp_path):
    frame = records.measured(records.read(run / "records.parquet"))
    own = frame[(frame.codec == "jpeg") & (frame.image == "coffee")].sort_values("bpp")
    kept, moved = frame.drop(index=own.index[1]), own.iloc[[1]]
    rate = float(moved.bpp.iloc[0])
    conditions, notes = design.choose(kept, moved.assign(wanted_bpp=rate), ["jpeg"], ["coffee"], [rate])
    assert conditions[1].reconstruction_sha256 == moved.reconstruction_sha256.iloc[0] and not notes
    _, notes = design.choose(kept, None, ["jpeg"], ["coffee"], [rate, rate * 1.01])
    assert any("one bitstream is nearest to" in note for note in notes) and len(notes) == 2


def test_pixels_that_are_not_the_records_stop_the_page_and_leave_nothing(run, tmp_path, capsys):
    frame = records.read(run / "records.parquet")
    frame.loc[frame.codec == "webp", "reconstruction_sha256"] = "0" * 64
    for name in ("datasets", "bitstreams"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).symlink_to(run / name)
    records.write(frame, tmp_path / "run" / "records.parquet")
    (tmp_path / "out").mkdir()
    assert main(["study-page", *options(tmp_path / "run", tmp_path / "out" / "page")]) == 2
    assert "expected pixels with sha256 000000000000" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


# The answers


def test_answers_become_a_table_joined_to_the_records(run, page, key, tmp_path, capsys):
    files = [write(tmp_path / f"{who}.csv", answered(key, who, attentive)) for who in ("p1", "p2", "p3")]
    careless = write(tmp_path / "p4.csv", answered(key, "p4"))
    arguments = [*map(str, files), str(careless), "--key", str(page.with_name("page.key.json"))]
    assert main(["study-scale", *arguments, "--out", str(tmp_path / "jnd.csv"), "--draws", "50", "--json"]) == 0
    captured = capsys.readouterr()
    assert "participant 'p4' is left out: 0 of 2 traps right, 75% needed" in captured.err
    document = json.loads(captured.out)
    people = {row["participant"]: row for row in document["about"]["participants"]}
    assert people["p1"]["reason"] == "" and people["p1"]["seconds"] == 2.5 and people["p4"]["left_share"] == 1
    table = pd.read_csv(tmp_path / "jnd.csv")
    frame = records.read(run / "records.parquet").set_index(["codec", "image", "reconstruction_sha256"])
    own = table[table.scope == "image"]
    assert len(own) == 8 and len(table) == 12 == len(document["rows"])
    for row in own.itertuples():
        record = frame.loc[row.codec, row.image, row.reconstruction_sha256]
        assert (row.bpp, row.psnr_rgb_db) == pytest.approx((record.bpp, record.psnr_rgb_db))
        assert row.bitstream_sha256 == record.bitstream_sha256 and np.isfinite(row.jnd)


def test_a_swapped_pair_counts_the_same(key, tmp_path):
    plain = answered(key, say=attentive)
    mirror = {"left": "right", "right": "left", "not sure": "not sure"}
    swapped = [row | {"left": row["right"], "right": row["left"], "answer": mirror[row["answer"]]} for row in plain]
    tables = [read_answers([write(tmp_path / "a.csv", rows)], key).table for rows in (plain, swapped)]
    assert tables[0].value.tolist() == tables[1].value.tolist()
    assert set(screen(tables[1], True).reason) == {""}


def test_repeats_tell_how_often_the_same_is_said(key, tmp_path):
    def moody(question, number):
        return {"trap": "right", "repeat": "right"}.get(question["kind"], "left")

    row = screen(read_answers([write(tmp_path / "a.csv", answered(key, say=moody))], key).table, True).iloc[0]
    assert (row.repeats, row.repeats_same) == (2, 0)


HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe\x00", "expected the CSV that the study's page downloads"),
        (b"a,b\n1,2\n", "without the column study, participant"),
        (f"{HEADER},study\n".encode(), "two columns have the same name"),
        (f"{HEADER}\n".encode(), "none of"),
        (f"{HEADER}\nother,p1,1,q,a,b,left,1,flicker\n".encode(), "an answer of study 'other'"),
        (b'"' + b"x" * 200_000, "expected the CSV that the study's page downloads"),
    ],
)
def test_a_file_of_answers_that_is_none_is_one_sentence(content, expected, page, tmp_path, capsys):
    (tmp_path / "answers.csv").write_bytes(content)
    key, out = str(page.with_name("page.key.json")), tmp_path / "jnd.csv"
    assert main(["study-scale", str(tmp_path / "answers.csv"), "--key", key, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert expected in line and not out.exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"question": "0123456789"}, "no question '0123456789'"),
        ({"left": "f" * 16}, "are not this question's pictures"),
        ({"answer": "=HYPERLINK(1)"}, "expected left, right or not sure as answer, got '=HYPERLINK(1)'"),
        ({"seconds": "nan"}, "expected seconds of 0 or more, got 'nan'"),
        ({"seconds": "-1"}, "expected seconds"),
        ({"mode": "x" * 99}, "expected flicker or by hand as mode, got '" + "x" * 40 + " ...'"),
        ({"participant": ""}, "no participant"),
    ],
)
def test_a_broken_row_is_left_out_with_a_sentence(change, expected, key, tmp_path):
    rows = answered(key)
    rows[3] |= change
    found = read_answers([write(tmp_path / "answers.csv", rows)], key)
    assert len(found.table) == len(rows) - 1 and len(found.faults) == 1
    assert "answers.csv, line 5: " in found.faults[0] and expected in found.faults[0]


def test_answers_given_twice_count_once_and_short_rows_not_at_all(key, tmp_path):
    path = write(tmp_path / "a.csv", answered(key))
    again = write(tmp_path / "b.csv", answered(key, say=lambda *_: "right"))
    again.write_text(again.read_text() + "cut,off\n")
    found = read_answers([path, again], key)
    assert len(found.table) == 20 and set(found.table.left_value) == {1.0}
    assert len(found.faults) == 21 and "has answered this question before" in found.faults[0]
    assert "not as many cells as the header" in found.faults[-1]


def test_a_spreadsheets_escape_is_undone_and_a_formula_never_written(key, tmp_path):
    found = read_answers([write(tmp_path / "a.csv", answered(key, "'=1+1"))], key)
    assert set(found.table.participant) == {"=1+1"}


def test_without_a_participant_who_looked_there_is_no_scale(page, key, tmp_path, capsys):
    path = write(tmp_path / "a.csv", answered(key))
    beside = str(page.with_name("page.key.json"))
    assert main(["study-scale", str(path), "--key", beside, "--out", str(tmp_path / "jnd.csv")]) == 2
    assert "of 1 participants none is left" in capsys.readouterr().err
    assert main(["study-scale", str(path), "--key", beside, "--out", str(tmp_path / "x"), "--mode", "by hand"]) == 2
    assert "no answer was given in the mode 'by hand'" in capsys.readouterr().err
    cut, wild = dict(key), dict(key)
    cut["conditions"], wild["questions"] = key["conditions"][:2], [key["questions"][0] | {"id": ["x"]}]
    for name, content in (("cut.json", cut), ("wild.json", wild)):
        (tmp_path / name).write_text(json.dumps(content))
    for other in (path, tmp_path / "absent.json", tmp_path / "cut.json", tmp_path / "wild.json"):
        assert main(["study-scale", str(path), "--key", str(other), "--out", str(tmp_path / "jnd.csv")]) == 2
        assert "expected the .key.json that `rdbench study-page` wrote" in capsys.readouterr().err
