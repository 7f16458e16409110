"""A bundle holds what witnesses a run, `verify` finds every row that is not so, and no bundle does harm."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from smallrun import small_run

from bench import records
from bench.cli import main
from bench.errors import UsageError
from bench.exchange.bundle import open_bundle
from bench.exchange.zipped import write_zip
from bench.files import sha256, to_json

TABLE = "records.parquet"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder, rows = small_run(tmp_path_factory.mktemp("run"), ["jpeg", "grey"])
    rows.append({"dataset": "photos", "codec": "absent", "status": "skipped", "reason": "not here"})
    records.write(records.table(rows), folder / TABLE)
    return folder


@pytest.fixture(scope="module")
def bundle(run) -> Path:
    """With the images, so that the metrics are measured again."""
    path = run.parent / "whole.zip"
    assert main(["export", "bundle", "--folder", str(run), "--images", "--out", str(path)]) == 0
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(bundle: Path, path: Path, change: Callable[[dict[str, bytes]], None], manifest: bool = True) -> Path:
    """The bundle with its members changed, and a manifest that fits them again, as a forger would write it."""
    content = members(bundle)
    change(content)
    if manifest:
        said = json.loads(content["manifest.json"])
        files = {name: data for name, data in content.items() if name != "manifest.json"}
        said["files"] = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()}
        content["manifest.json"] = to_json(said).encode()
    write_zip(path, list(content.items()))
    return path


def with_rows(change: Callable[[list[dict]], list[dict]]) -> Callable[[dict[str, bytes]], None]:
    """A change of members that gives the records other rows."""

    def apply(content: dict[str, bytes]) -> None:
        frame = records.table(change(pq.read_table(io.BytesIO(content[TABLE])).to_pylist()))
        content[TABLE], content["records.csv"] = records.to_parquet(frame), records.to_csv(frame).encode()

    return apply


def verified(path: Path, tmp_path: Path, code: int) -> pd.DataFrame:
    """The table that verify writes, after checking its exit code."""
    out = tmp_path / "verified.csv"
    assert main(["verify", str(path), "--out", str(out)]) == code
    return pd.read_csv(out, keep_default_na=False)


def test_a_bundle_has_the_records_bitstreams_hashes_and_environment_and_always_the_same_bytes(run, bundle, tmp_path):
    content = members(bundle)
    frame = records.measured(records.read(run / TABLE))
    named = {name.partition("/")[2]: data for name, data in content.items() if name.startswith("bitstreams/")}
    assert set(named) == set(frame.bitstream_sha256) and all(sha256(data) == name for name, data in named.items())
    assert content[TABLE] == (run / TABLE).read_bytes()
    assert content["environment.json"] == (run / "environment.json").read_bytes()
    manifest = json.loads(content["manifest.json"])
    files = {name: facts["sha256"] for name, facts in manifest["files"].items()}
    assert files == {name: sha256(data) for name, data in content.items() if name != "manifest.json"}
    assert {it["image_sha256"] for it in manifest["images"]} == set(frame.image_sha256)
    assert main(["export", "bundle", "--folder", str(run), "--images", "--out", str(tmp_path / "again.zip")]) == 0
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()
    assert (
        main(["export", "bundle", "--folder", str(run), "--codecs", "jpeg", "--out", str(tmp_path / "jpeg.zip")]) == 0
    )
    fewer = members(tmp_path / "jpeg.zip")
    assert open_bundle(tmp_path / "jpeg.zip", tmp_path / "jpeg").notes == ()
    assert not any(name.startswith("images/") for name in fewer) and len(fewer) < len(content)


def test_a_bundle_alone_witnesses_every_measured_row(bundle, tmp_path, capsys):
    table = verified(bundle, tmp_path, code=0)
    assert len(table) == 10 and set(table.status) == {"witnessed"}  # eight of jpeg, two of grey, none of the skipped
    assert "10  witnessed" in capsys.readouterr().out


def test_one_flipped_byte_of_a_bitstream_costs_its_row_and_no_other(bundle, tmp_path, capsys):
    content, data = members(bundle), bytearray(bundle.read_bytes())
    name = next(name for name in content if name.startswith("bitstreams/") and len(content[name]) > 1000)
    data[data.find(content[name]) + 700] ^= 0x10
    (tmp_path / "flipped.zip").write_bytes(data)
    table = verified(tmp_path / "flipped.zip", tmp_path, code=1)
    wrong = table[table.status != "witnessed"]
    assert wrong.status.tolist() == ["bitstream hash mismatch"]
    assert wrong.bitstream_sha256.tolist() == [name.partition("/")[2]] and "CRC" in wrong.reason.iloc[0]
    assert "1 of 10 rows are not what the bundle says" in capsys.readouterr().err


def test_a_byte_flipped_with_a_checksum_that_fits_is_found_too(bundle, tmp_path):
    def flip(content: dict[str, bytes]) -> None:
        name = next(name for name in content if name.startswith("bitstreams/") and len(content[name]) > 1000)
        content[name] = content[name][:700] + bytes([content[name][700] ^ 1]) + content[name][701:]

    table = verified(rewritten(bundle, tmp_path / "forged.zip", flip), tmp_path, code=1)
    assert table.status.value_counts().to_dict() == {"witnessed": 9, "bitstream hash mismatch": 1}


@pytest.mark.parametrize(
    ("column", "change", "status"),
    [
        ("reconstruction_sha256", lambda value: "0" * 64, "reconstruction differs"),
        ("psnr_rgb_db", lambda value: value + 0.01, "metrics differ"),
        ("ms_ssim", lambda value: value * 1.001, "metrics differ"),
        ("bytes", lambda value: value - 1, "rate differs"),
        ("bpp", lambda value: value * 0.99, "rate differs"),
        ("height", lambda value: value + 1, "rate differs"),
        ("bitstream_sha256", lambda value: "1" * 64, "not in bundle"),
        ("codec", lambda value: "nosuch", "codec not available"),
        ("codec", lambda value: "../../bin/sh", "codec not available"),
        ("weights_sha256", lambda value: "2" * 64, "codec not available"),
    ],
)
def test_a_row_that_says_something_else_is_named(bundle, tmp_path, column, change, status):
    def lie(rows: list[dict]) -> list[dict]:
        one = next(row for row in rows if (row["codec"], row["image"], row["point"]) == ("jpeg", "coffee", "q65"))
        return [one | {column: change(one[column])}, *(row for row in rows if row["codec"] == "grey")]

    unchecked = status in ("not in bundle", "codec not available")
    table = verified(rewritten(bundle, tmp_path / "lie.zip", with_rows(lie)), tmp_path, code=0 if unchecked else 1)
    assert table[table.codec != "grey"].status.tolist() == [status]
    assert set(table[table.codec == "grey"].status) == {"witnessed"}


def test_a_bitstream_that_another_codec_wrote_fails_to_decode(bundle, tmp_path):
    def swap(rows: list[dict]) -> list[dict]:
        return [row | {"codec": "jpeg"} for row in rows if row["codec"] == "grey"]

    table = verified(rewritten(bundle, tmp_path / "swap.zip", with_rows(swap)), tmp_path, code=1)
    assert set(table.status) == {"decoding failed"}


def test_a_bundle_of_which_nothing_could_be_checked_is_no_success(bundle, tmp_path, capsys):
    def rename(rows: list[dict]) -> list[dict]:
        return [row | {"codec": "nosuch"} for row in rows]

    verified(rewritten(bundle, tmp_path / "unknown.zip", with_rows(rename)), tmp_path, code=1)
    assert "none of the 10 rows could be checked" in capsys.readouterr().err


def test_tables_that_do_not_fit_each_other_are_named(bundle, tmp_path, capsys):
    def lie(content: dict[str, bytes]) -> None:
        content["records.csv"] = content["records.csv"].replace(b"coffee", b"cocoa")

    verified(rewritten(bundle, tmp_path / "csv.zip", lie), tmp_path, code=1)
    assert "records.csv does not say what records.parquet says" in capsys.readouterr().err


def test_a_run_whose_bitstreams_changed_makes_no_bundle(tmp_path, capsys):
    folder, rows = small_run(tmp_path, ["grey"])
    records.write(records.table(rows), folder / TABLE)
    command = ["export", "bundle", "--folder", str(folder), "--out", str(tmp_path / "x.zip")]
    path = folder / rows[0]["bitstream"]
    path.write_bytes(path.read_bytes() + b"x")
    assert main(command) == 2 and "is not the file that was measured" in capsys.readouterr().err
    path.unlink()
    assert main(command) == 2 and "is missing" in capsys.readouterr().err
    assert not list(tmp_path.glob("*x.zip*"))


# Hostile bundles


def _entry(name: str, data: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        file.writestr(info, data)
    return buffer.getvalue()


def _added(bundle: bytes, name: str, data: bytes = b"x", how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO(bundle)
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(name, data, how)
    return buffer.getvalue()


def _without(bundle: bytes, name: str) -> bytes:
    return _replaced(bundle, name, None)


def _replaced(bundle: bytes, name: str, data: bytes | None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(buffer, "w") as file:
        for own in old.namelist():
            content = data if own == name else old.read(own)
            if content is not None:
                file.writestr(own, content)
    return buffer.getvalue()


SHA = "a" * 64
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda it: b"", "zip file"),
    "no zip": (lambda it: b"%PDF-1.7 " + bytes(500), "zip file"),
    "half": (lambda it: it[: len(it) // 2], "zip file"),
    "without its beginning": (lambda it: it[1000:], ""),
    "slip": (lambda it: _entry("../outside"), "leads out"),
    "slip in a folder": (lambda it: _entry("bitstreams/../../outside"), "leads out"),
    "absolute": (lambda it: _entry("/tmp/rdbench-outside"), "leads out"),
    "windows": (lambda it: _entry("C:\\outside"), "leads out"),
    "link": (lambda it: _entry(f"bitstreams/{SHA}", b"/etc/passwd", stat.S_IFLNK | 0o777), "link"),
    "device": (lambda it: _entry(f"bitstreams/{SHA}", b"", stat.S_IFCHR | 0o666), "device"),
    "another name": (lambda it: _added(it, "setup.py"), "no bundle has"),
    "twice": (lambda it: _added(it, "environment.json"), "two members"),
    "bomb": (lambda it: _added(it, f"bitstreams/{SHA}", bytes(90 << 20), zipfile.ZIP_DEFLATED), "far"),
    "no manifest": (lambda it: _without(it, "manifest.json"), "no manifest.json"),
    "no records": (lambda it: _without(it, TABLE), "no records.parquet"),
    "manifest is no JSON": (lambda it: _replaced(it, "manifest.json", b"{"), "manifest.json"),
    "manifest is a list": (lambda it: _replaced(it, "manifest.json", b"[]"), "manifest.json"),
    "another version": (
        lambda it: _replaced(it, "manifest.json", b'{"format": "rdbench bundle", "version": 9, "files": {}}'),
        "version 9",
    ),
    "wrong hash": (lambda it: _replaced(it, TABLE, b"PAR1"), "its manifest says"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_is_one_sentence_and_nothing_outside(case, bundle, tmp_path, monkeypatch, capsys):
    make, says = HOSTILE[case]
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    monkeypatch.setattr("tempfile.tempdir", str(home))
    Path("x.zip").write_bytes(make(bundle.read_bytes()))
    assert main(["verify", "x.zip"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("rdbench: reading x.zip: ") and error.count("\n") == 1 and says in error
    assert sorted(it.name for it in tmp_path.rglob("*") if it.is_file()) == ["x.zip"]
    assert not Path("/tmp/rdbench-outside").exists()


def test_records_that_are_no_records_are_one_sentence(bundle, tmp_path, capsys):
    def garbage(content: dict[str, bytes]) -> None:
        content[TABLE] = b"PAR1" + bytes(100) + b"PAR1"

    def without_hash(rows: list[dict]) -> list[dict]:
        return [row | {"bitstream_sha256": "../../x"} for row in rows]

    def without_width(rows: list[dict]) -> list[dict]:
        return [row | {"width": 0} for row in rows]

    for number, change in enumerate((garbage, with_rows(without_hash), with_rows(without_width))):
        path = rewritten(bundle, tmp_path / f"{number}.zip", change)
        assert main(["verify", str(path)]) == 2
        error = capsys.readouterr().err
        assert TABLE in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_byte_flipped_anywhere_is_a_sentence_or_a_note_and_never_a_crash(bundle, tmp_path):
    whole = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as file:
        heads = [info.header_offset + place for info in file.infolist()[:6] for place in range(0, 60, 7)]
    ends = range(len(whole) - 900, len(whole), 17)
    found = {"refused": 0, "noticed": 0, "harmless": 0}
    for number, place in enumerate([*range(0, len(whole), max(1, len(whole) // 60)), *heads, *ends]):
        data = bytearray(whole)
        data[place] ^= 1 << number % 8
        path, into = tmp_path / "x.zip", tmp_path / f"into{number}"
        path.write_bytes(data)
        into.mkdir()
        try:
            opened = open_bundle(path, into)
        except UsageError as error:
            assert "\n" not in str(error) and str(error).startswith(f"reading {path}: ")
            found["refused"] += 1
        else:
            found["noticed" if opened.damaged or opened.notes else "harmless"] += 1
    assert found["refused"] > 10 and found["noticed"] > 10
