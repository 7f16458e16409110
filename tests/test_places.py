"""Where commands write and what they call things: devices, links, long and foreign names, runs and datasets."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import records
from bench.cli import main
from bench.data.datasets import fetch, source_of, write_manifest
from bench.data.slugs import slug, slugs
from bench.errors import UsageError
from bench.files import LONGEST_NAME, check_output, file_name, printable, temp_path, to_json, write_atomically
from bench.run.job import Job
from bench.workflow import run_name

ROOT = Path(__file__).parents[1]
PHOTO = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    Image.fromarray(PHOTO).save("photo.png")
    return tmp_path


@pytest.fixture
def bitstream(here):
    assert main(["encode", "webp", "photo.png", "photo.webp"]) == 0
    return Path("photo.webp")


# Outputs that are no regular files


def test_a_device_is_written_into_and_stays_one(bitstream, capsys):
    before = Path(os.devnull).stat()
    assert main(["encode", "webp", "photo.png", os.devnull]) == 0
    assert main(["decode", "webp", "photo.webp", os.devnull]) == 0
    after = Path(os.devnull).stat()
    assert stat.S_ISCHR(after.st_mode) and after.st_ino == before.st_ino


def test_a_pipe_is_written_into(bitstream):
    os.mkfifo("pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe").read_bytes()))
    reader.start()
    assert main(["encode", "webp", "photo.png", "pipe"]) == 0
    reader.join(20)
    assert got == [bitstream.read_bytes()] and stat.S_ISFIFO(Path("pipe").stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_the_file_it_leads_to_is_replaced(there):
    Path("far").mkdir()
    if there:
        Path("far", "real.webp").write_bytes(b"old")
    Path("link.webp").symlink_to("far/real.webp")
    assert main(["encode", "webp", "photo.png", "link.webp"]) == 0
    assert Path("link.webp").is_symlink() and len(Path("far", "real.webp").read_bytes()) > 50
    assert [path.name for path in Path("far").iterdir()] == ["real.webp"]


# Outputs that cannot be written

WRITERS = {
    "encode": ["encode", "webp", "photo.png", "{out}"],
    "decode": ["decode", "webp", "photo.webp", "{out}"],
    "rate": ["rate", "webp", "photo.png", "--bpp", "8", "--out", "{out}"],
    "convert": ["convert", "photo.png", "{out}"],
    "try": ["try", "webp", "photo.png", "--out", "{out}"],
    "fetch": ["fetch", "folder:images", "--manifest", "{out}"],
    "run": ["run", "identity", "--dataset", "folder:images", "--out", "{out}", "--folder", "trial"],
    "list log": ["run", "identity", "--dataset", "folder:images", "--out", "a.parquet", "--log", "{out}"],
}


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("place", ["folder.png", "photo.png/out.png", "/proc/nosuch/out.png"])
def test_a_place_where_nothing_can_be_written_is_a_mistake_in_a_sentence(command, place, bitstream, capsys):
    Path("folder.png").mkdir()
    Path("images").mkdir()
    Image.fromarray(PHOTO).save("images/a.png")
    capsys.readouterr()
    assert main([word.format(out=place) for word in WRITERS[command]]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert {"folder.png": "folder.png", "photo.png/out.png": "photo.png", "/proc/nosuch/out.png": "/proc"}[
        place
    ] in message
    assert not list(Path("folder.png").iterdir())


def test_a_folder_without_write_permission_is_a_mistake(monkeypatch, capsys):
    real = Path.open

    def refused(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(Path, "open", real)
    with pytest.raises(UsageError, match=r"writing .*out.webp: Permission denied; choose another place"):
        write_atomically("out.webp", b"x")
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(["encode", "webp", "photo.png", "out.webp"]) == 2
    assert "is not a writable folder" in capsys.readouterr().err


def test_a_wrong_place_is_said_before_any_work_is_done(monkeypatch, capsys):
    def worked(*_):
        raise AssertionError("worked in vain")

    monkeypatch.setattr("bench.data.datasets.manifest_or_reason", worked)
    for command in (["run", "webp"], ["time", "webp"], ["study", "stanh_costs"], ["decode-matrix"]):
        assert main([*command, "--dataset", "folder:.", "--out", str(Path.cwd())]) == 2
        assert "expected a file, got a folder" in capsys.readouterr().err


def test_a_full_disk_is_no_mistake_of_the_user(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "out.webp")

    monkeypatch.setattr("bench.files._replace", full)
    assert main(["encode", "webp", "photo.png", "out.webp"]) == 1
    assert capsys.readouterr().err.endswith("out.webp: No space left on device\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "identity", "photo.png", "photo.png"],
        ["encode", "identity", "photo.png", "./link.png"],
        ["encode", "identity", "photo.png", "hard.png"],
        ["decode", "identity", "photo.png", "photo.png"],
        ["rate", "identity", "photo.png", "--bpp", "20", "--out", "photo.png"],
        ["try", "identity", "photo.png", "--out", "photo.png"],
        ["convert", "photo.png", "photo.png"],
    ],
)
def test_the_input_is_never_overwritten(arguments, capsys):
    Path("link.png").symlink_to("photo.png")
    os.link("photo.png", "hard.png")
    before = Path("photo.png").read_bytes()
    assert main(arguments) == 2
    assert "this is also the input, which would be lost" in capsys.readouterr().err
    assert Path("photo.png").read_bytes() == before


def test_other_outputs_are_fine(here):
    check_output(None)
    check_output(Path("new/folder/out.png"), Path("photo.png"))
    check_output(Path("photo.png"), Path("none.png"))
    check_output(Path(os.devnull))


# Pictures


def test_a_picture_is_of_the_format_its_name_says_or_refused(bitstream, capsys):
    assert main(["decode", "webp", "photo.webp", "a.png"]) == 0
    expected = np.asarray(Image.open("a.png"))
    for name, kind in (("b.ppm", "PPM"), ("c.bmp", "BMP"), ("d.tif", "TIFF"), ("e.webp", "WEBP"), ("f", "PNG")):
        assert main(["decode", "webp", "photo.webp", name]) == 0
        with Image.open(name) as picture:
            assert picture.format == kind and np.array_equal(np.asarray(picture.convert("RGB")), expected)
    capsys.readouterr()
    for name in ("g.jpg", "h.gif", "i.xyz"):
        assert main(["decode", "webp", "photo.webp", name]) == 2
        assert ".png, .ppm" in capsys.readouterr().err
        assert not Path(name).exists()


def test_another_codecs_bitstream_is_a_sentence_that_names_it(capsys):
    Path("photo.spiht").write_bytes(b"no picture")
    assert main(["decode", "webp", "photo.spiht", "out.png"]) == 2
    message = capsys.readouterr().err
    said = "decoding photo.spiht as webp: these bytes are not a file in its format; .spiht is the extension of spiht"
    assert message == f"rdbench: {said}\n"


# Libraries that refuse


@pytest.mark.parametrize(
    ("codec", "shape", "words"),
    [
        ("webp", (8, 16384), "16383"),
        ("heic", (8, 16384), "x265"),
        ("bpg444", (8, 16384), "x265 refuses a picture of 16384"),
        ("resgdn", (8, 16384), "x265 refuses a picture of 16384"),
        ("jpeg", (1, 70000), "encoding in.png as jpeg at q50"),
        ("avif", (1, 70000), "encoding in.png as avif at q48"),
        ("avif", (65536, 2), "its own decoder cannot decode the result"),
        ("vvc420", (2, 65536), "its own decoder cannot decode the result"),
    ],
)
def test_an_image_that_a_library_refuses_is_one_sentence_and_no_file(codec, shape, words, capsys):
    from bench.discovery import load

    runs, reason = load(codec).available()
    if not runs:
        pytest.skip(reason)
    Image.new("RGB", shape[::-1]).save("in.png")
    assert main(["encode", codec, "in.png", "out.bin"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert words in message and message.startswith("rdbench: encoding ") and len(message) < 560
    assert not Path("out.bin").exists()


def test_rate_control_says_what_the_library_refuses(capsys):
    Image.new("RGB", (16384, 8)).save("in.png")
    assert main(["rate", "webp", "in.png", "--bpp", "0.5", "--out", "out.webp"]) == 2
    assert "encoding in.png as webp at 0.5 bpp: ValueError: encoding error 5" in capsys.readouterr().err
    assert not Path("out.webp").exists()


# Names of files


def rows_of(folder: str, codec: str = "webp"):
    manifest = fetch(f"folder:{folder}")
    write_manifest(manifest, "manifest.json")
    job = Job(codec, manifest, Path("run"), Path("run/log"), manifest.images, manifest.refused)
    return records.table(job.rows())


@pytest.mark.parametrize("name", [b"n" * 240, b"caf\xe9", "ф".encode() * 118, b"a b'c\"d;e#f?g%h&i", b"-x", b"a\nb"])
def test_images_of_any_name_run_and_their_bitstreams_are_linked(name):
    Path("images").mkdir()
    Image.fromarray(PHOTO).save("images/plain.png")
    Path("images/plain.png").rename(os.fsdecode(b"images/" + name + b".png"))
    Image.fromarray(PHOTO[:8]).save("images/other.png")
    frame = rows_of("images")
    assert set(frame.status) == {"ok"} and frame.image.nunique() == 2
    assert all(Path("run", path).is_file() for path in frame.bitstream)
    assert frame.bitstream.nunique() == len(frame)
    records.write(frame, "records.parquet")
    records.write_csv(frame, Path("records.csv"))
    assert len(records.read("records.parquet")) == len(frame)
    assert main(["try", "webp", os.fsdecode(b"images/" + name + b".png")]) == 0


def test_names_stay_within_what_file_systems_take_and_apart():
    assert file_name("photo", ".webp") == "photo.webp"
    long = [file_name("n" * 250 + str(number), ".q95.webp") for number in range(3)]
    assert len(set(long)) == 3 and all(len(name) == LONGEST_NAME and name.endswith(".q95.webp") for name in long)
    cyrillic = file_name("ф" * 200, ".png")
    assert len(cyrillic.encode()) <= LONGEST_NAME and cyrillic.endswith(".png")
    assert len(os.fsencode(temp_path(Path("n" * 255)).name)) <= LONGEST_NAME
    assert temp_path(Path("a.png")).name.startswith(".a.png.")


def test_text_that_utf8_cannot_hold_is_written_and_read_again():
    name = os.fsdecode(b"caf\xe9 \xff")
    assert json.loads(to_json({"path": name}).encode()) == {"path": name}
    assert (
        printable(name) == "caf\\xe9 \\xff" and printable("plain é") == "plain é" and printable("\ud812") == "\\ud812"
    )


# Folders of images


def test_what_looks_like_an_image_is_used_or_refused_and_never_passed_over(capsys):
    folder = Path("mine")
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    image = Image.fromarray(PHOTO)
    for name in ("a.png", "plain.jpg", "plain.png", "sub/inner.png"):
        image.save(folder / name)
    image.save(folder / "b.jfif", "JPEG")
    image.save(folder / "anim.gif")
    image.save(folder / "c.avif")
    (folder / "gone.png").symlink_to("nothing.png")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    assert main(["fetch", "folder:mine", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["images"] == 4
    reasons = {image["name"]: image["reason"] for image in row["refused"]}
    assert set(reasons) == {"anim", "c", "gone", "sub"}
    assert "got GIF" in reasons["anim"] and "rdbench convert mine/anim.gif" in reasons["anim"].replace(
        str(folder.absolute()), "mine"
    )
    assert "got AVIF" in reasons["c"] and "is a broken link" in reasons["gone"]
    assert "sub-folder with images" in reasons["sub"]
    assert [image.name for image in fetch("folder:mine").images] == ["a", "b", "plain.jpg", "plain.png"]
    assert main(["fetch", "folder:mine"]) == 0
    assert "4 refused:" in capsys.readouterr().out


def test_names_with_and_without_extension_never_become_one():
    Path("mine").mkdir()
    for name in ("plain.jpg", "plain.png", "plain.jpg.png", "plain.png.png"):
        Image.fromarray(PHOTO).save(Path("mine", name))
    names = [image.name for image in fetch("folder:mine").images]
    assert len(set(names)) == 4


def test_an_image_that_cannot_be_read_is_one_refused_row_and_looked_at_again(monkeypatch):
    Path("mine").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(PHOTO).save(Path("mine", name))
    allowed = os.access

    def no_b(path, mode):
        return allowed(path, mode) and not str(path).endswith("b.png")

    def refuse(path):
        if str(path).endswith("b.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return "0" * 64

    before = source_of("folder:mine")
    with monkeypatch.context() as patch:
        patch.setattr("bench.data.store.sha256_file", refuse)
        patch.setattr(os, "access", no_b)
        manifest = fetch("folder:mine")
        assert [image.name for image in manifest.images] == ["a"]
        assert (
            manifest.refused[0]["name"] == "b"
            and "Permission denied; make it readable" in manifest.refused[0]["reason"]
        )
        assert source_of("folder:mine") != before
    assert [image.name for image in fetch("folder:mine").images] == ["a", "b"]


# Names of datasets and runs


def test_folders_of_one_last_name_and_of_any_script_have_names_of_their_own():
    names = ["folder:/x/a/photos", "folder:/x/b/photos/", "folder:/x/фото", "folder:/x/写真", "folder:/x/---", "sample"]
    found = slugs(names)
    assert list(found.values()) == names
    assert list(found)[:4] == ["folder-a-photos", "folder-b-photos", "folder-фото", "folder-写真"]
    assert found["sample"] == "sample" and len(set(found)) == 6
    assert slugs(["folder:/x/my images"]) == {"folder-my-images": "folder:/x/my images"}
    assert slug("folder:/x/my images") == "folder-my-images"
    assert len(slugs(["folder:/x/photos", "folder:/x/photos/", "folder:/x/../x/photos"])) == 1


def test_folders_that_no_name_tells_apart_are_a_mistake_that_names_both():
    with pytest.raises(UsageError, match=r"datasets folder:/x/a b and folder:/x/a\+b would both be called folder-"):
        slugs(["folder:/x/a b", "folder:/x/a+b"])


@pytest.mark.parametrize(
    ("config", "changed", "name"),
    [
        ({"codecs": "all"}, [], "sample"),
        ({"codecs": ["jpeg", "webp"]}, [], "sample"),  # the configuration file's own
        ({"codecs": ["jpeg", "webp"]}, ["codecs"], "sample-jpeg-webp"),
        ({"codecs": "all"}, ["codecs"], "sample"),
        ({"codecs": "all"}, ["datasets"], "sample"),  # without a name the datasets are it
        ({"codecs": "all", "name": "gate"}, [], "gate"),
        ({"codecs": "all", "name": "gate"}, ["datasets"], "gate-sample"),
        ({"codecs": ["jpeg"], "name": "gate"}, ["codecs"], "gate-jpeg"),
        ({"codecs": ["jpeg"], "name": "mine"}, ["codecs", "name", "datasets"], "mine"),
    ],
)
def test_a_run_that_the_command_line_changes_has_a_name_of_its_own(config, changed, name):
    assert run_name(config, ["sample"], changed) == name


def test_many_codecs_make_a_short_name_and_other_ones_another():
    codecs = [f"codec{number}" for number in range(20)]
    first, second = (run_name({"codecs": some}, ["sample"], ["codecs"]) for some in (codecs, codecs[1:] + ["more"]))
    assert first.startswith("sample-20-codecs-") and len(first) < 40 and first != second


def test_of_an_earlier_runs_studies_and_times_none_is_evidence(here):
    from bench.run.contents import studies_of, times_of, write_contents

    run = here / "run"
    for path in ("studies/sample/old.json", "studies/sample/new.json", "studies/other/new.json"):
        write_atomically(run / path, "{}")
    write_atomically(run / "timing/sample/jpeg.parquet", "")
    assert len(studies_of(run)) == 3 and len(times_of(run)) == 1, "a folder without a list has all"
    write_contents(run, [("new", "sample")], [])
    assert studies_of(run) == [run / "studies/sample/new.json"] and times_of(run) == []


def test_compare_finds_the_run_of_a_folder_by_its_path(here, capsys):
    frame = rows_of_two(here)
    run = here / "results" / "folder-imgs"
    records.write(frame, run / "records.parquet")
    write_atomically(run / "datasets" / "sources" / "folder-imgs.json", to_json(source_of("folder:imgs")))
    for given in (["--dataset", "folder:imgs"], ["--dataset", f"folder:{here}/imgs/"], ["--dataset", "folder-imgs"]):
        assert main(["compare", "jpeg", "webp", *given]) == 0
        assert "BD-rate against jpeg on folder-imgs" in capsys.readouterr().out
    assert main(["compare", "jpeg", "webp", "--dataset", "folder:other"]) == 2


def rows_of_two(here):
    (here / "imgs").mkdir()
    Image.fromarray(np.kron(PHOTO, np.ones((8, 8, 1), np.uint8))).save("imgs/a.png")
    manifest = fetch("folder:imgs")
    rows = [
        row
        for codec in ("jpeg", "webp")
        for row in Job(codec, manifest, here / "r", here / "l", manifest.images).rows()
    ]
    return records.table({**row, "dataset": "folder-imgs"} for row in rows)


def test_help_shows_one_percent_sign(capsys):
    for command in ("compare", "gate", "decode"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "%%" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["gate", "--folder", "nosuch"],
        ["claims", "--folder", "nosuch"],
        ["report", "--folder", "nosuch"],
        ["figures", "--folder", "nosuch", "--spec", str(ROOT / "figures.yaml")],
        ["validate", "--folder", "nosuch", "--out", "a.csv"],
        ["compare", "--folder", "nosuch", "--anchors", "jpeg", "--metrics", "psnr_rgb_db"],
        ["baseline", "update", "--folder", "nosuch", "--reason", "x"],
        ["publish", "nosuch"],
    ],
)
def test_a_run_that_is_not_there_is_named(arguments, capsys):
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert "nosuch" in message and "Traceback" not in message and "baseline:" not in message
