"""Sets are fetched from mirrors and addresses, verified, locked on first use, and refused when they are not right."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from web import serve

from bench.data import datasets
from bench.data.datasets import fetch, load_image, manifest_or_reason, read_manifest, source_of, write_manifest
from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.files import sha256_pixels

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "datasets"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared beside the checkout")

PIXELS = {name: np.random.default_rng(i).integers(0, 256, (9, 8, 3), dtype=np.uint8) for i, name in enumerate("abc")}


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {f"{name}.png": png(pixels) for name, pixels in PIXELS.items()}


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def zipped(files, below=""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in files.items():
            file.writestr(below + name, data)
    return buffer.getvalue()


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RDBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("RDBENCH_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def web():
    with serve() as web:
        yield web


def get(entry, name="set", **others):
    """Fetches ``name`` as ``entry`` describes it."""
    Path("spec.yaml").write_text(yaml.safe_dump({name: entry, **others}, sort_keys=False))
    return fetch(name, "spec.yaml", quiet=True, wait_s=0.001)


def listed(web, hashes=True):
    """The three images behind one address each."""
    web.files.update({f"/at/{name}": data for name, data in FILES.items()})
    return {
        "urls": [f"{web.url}/at/{{file}}"],
        "files": {name: digest(data) if hashes else None for name, data in FILES.items()},
        "licence": "CC0",
    }


def packed(web, hashes=True, **archive):
    """The three images in one archive, none of them named in the entry."""
    web.files["/at/set.zip"] = data = zipped(FILES, "set/RGB/")
    source = {"url": f"{web.url}/at/set.zip", "hash": digest(data, "md5") if hashes else None}
    return {"archive": {"count": 3, "sources": [source], **archive}}


def test_a_set_is_downloaded_verified_and_listed_in_name_order(web):
    manifest = get(listed(web))
    assert (manifest.status, manifest.licence) == ("ok", "CC0")
    assert [image.name for image in manifest.images] == ["a", "b", "c"]
    for image in manifest.images:
        assert Path(image.path).is_absolute()
        assert (image.width, image.height) == (8, 9)
        assert image.sha256 == sha256_pixels(PIXELS[image.name])
        assert f"sha256:{image.file_sha256}" == digest(FILES[f"{image.name}.png"])
        assert np.array_equal(load_image(image.path), PIXELS[image.name])


def test_a_set_that_is_here_is_neither_downloaded_nor_read_again(web, monkeypatch):
    first = get(listed(web))
    web.asked.clear()
    for function in ("hash_mismatch", "load_image", "sha256_file"):
        monkeypatch.delattr(f"bench.data.store.{function}")
    assert get(listed(web)) == first
    assert web.asked == []


def test_two_jobs_that_want_one_set_download_it_once(web):
    entry = listed(web)
    Path("spec.yaml").write_text(yaml.safe_dump({"set": entry}))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch("set", "spec.yaml", quiet=True), range(2))
    assert first == second
    assert sorted(where for where, _ in web.asked) == ["/at/a.png", "/at/b.png", "/at/c.png"]


def test_a_file_with_the_right_hash_that_cannot_be_taken_is_listed_as_refused(web):
    web.files["/at/d.png"] = b"right, but no image"
    entry = listed(web)
    entry["files"]["d.png"] = digest(web.files["/at/d.png"])
    manifest = get(entry)
    assert [image.name for image in manifest.images] == ["a", "b", "c"]
    assert manifest.refused[0]["name"] == "d" and "expected a PNG" in manifest.refused[0]["reason"]


def test_a_manifest_survives_the_way_through_a_file(web, tmp_path):
    manifest = get(listed(web))
    write_manifest(manifest, tmp_path / "m.json")
    assert read_manifest(tmp_path / "m.json") == manifest
    assert json.loads((tmp_path / "m.json").read_text())["images"][0]["name"] == "a"
    with pytest.raises(UsageError, match="expected a file written by"):
        read_manifest(tmp_path / "spec.yaml")


def test_a_wrong_byte_in_an_image_is_refused_and_named_with_both_hashes(web):
    entry = listed(web)
    wrong = FILES["b.png"][:-30] + b"\0" + FILES["b.png"][-29:]
    web.files["/at/b.png"] = wrong
    with pytest.raises(RdbenchError) as caught:
        get(entry)
    message = str(caught.value)
    assert "b.png of set" in message
    assert digest(FILES["b.png"]) in message and digest(wrong) in message
    assert not Path("data/set/b.png").exists()
    assert Path("data/set/b.png.bad").read_bytes() == wrong
    manifest = manifest_or_reason("set", "spec.yaml")
    assert manifest.status == "skipped" and digest(wrong) in manifest.reason


def test_a_byte_that_changes_later_on_disk_is_found_and_the_file_fetched_anew(web):
    get(listed(web))
    path = Path("data/set/b.png")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    web.asked.clear()
    assert get(listed(web)).images[1].sha256 == sha256_pixels(PIXELS["b"])
    assert [where for where, _ in web.asked] == ["/at/b.png"]
    assert Path("data/set/b.png.bad").read_bytes().endswith(b"!")


def test_a_byte_that_changes_on_disk_is_named_when_there_is_no_network_to_repair_it(web):
    entry = listed(web)
    get(entry)
    path = Path("data/set/b.png")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    web.files.clear()
    with pytest.raises(RdbenchError, match=f"b.png: expected {digest(FILES['b.png'])}, got sha256:") as caught:
        get(entry)
    assert not isinstance(caught.value, UnavailableError)


def test_a_dead_network_makes_a_skipped_set_within_seconds():
    Path("spec.yaml").write_text(
        yaml.safe_dump({"set": {"urls": ["http://nowhere.invalid/{file}"], "files": dict.fromkeys(FILES)}})
    )
    start = time.monotonic()
    manifest = manifest_or_reason("set", "spec.yaml", rename="slug")
    assert time.monotonic() - start < 8
    assert (manifest.name, manifest.status, manifest.images) == ("slug", "skipped", [])
    assert manifest.reason.startswith("unreachable: a.png of set: http://nowhere.invalid/a.png")


def test_a_set_with_an_unknown_name_is_a_mistake_not_a_skip():
    for call in (fetch, manifest_or_reason, source_of):
        with pytest.raises(UsageError, match=r"no dataset is called 'kodac'.*kodak"):
            call("kodac")


def test_an_entry_with_an_unknown_field_is_refused():
    with pytest.raises(UsageError, match=r"unknown fields \['licens'\]"):
        get({"licens": "CC0"})


# Mirrors


def test_a_mirror_folder_is_tried_first_and_copied_from(web, monkeypatch):
    Path("mirror/set").mkdir(parents=True)
    for name, data in FILES.items():
        Path("mirror/set", name).write_bytes(data)
    monkeypatch.setenv("RDBENCH_MIRROR", "mirror")
    manifest = get(listed(web))
    assert web.asked == []
    assert all(Path(image.path).is_relative_to(Path("data").absolute()) for image in manifest.images)


def test_what_a_mirror_lacks_or_has_wrong_comes_from_the_address(web, monkeypatch):
    Path("mirror/set").mkdir(parents=True)
    Path("mirror/set/a.png").write_bytes(FILES["a.png"])
    Path("mirror/set/b.png").write_bytes(b"wrong")
    monkeypatch.setenv("RDBENCH_MIRROR", "mirror")
    assert len(get(listed(web)).images) == 3
    assert [where for where, _ in web.asked] == ["/at/b.png", "/at/c.png"]
    assert Path("data/set/b.png.bad").read_bytes() == b"wrong"


def test_a_mirror_may_be_a_url(web, monkeypatch):
    web.files.update({f"/m/set/{name}": data for name, data in FILES.items()})
    monkeypatch.setenv("RDBENCH_MIRROR", f"{web.url}/m/")
    entry = listed(web)
    assert len(get(entry).images) == 3
    assert {where for where, _ in web.asked} == {f"/m/set/{name}" for name in FILES}


@pytest.mark.parametrize("place", ["/m/set.zip", "/m/set/set.zip"])
def test_a_mirror_may_hold_the_archive(web, monkeypatch, place):
    entry = packed(web)
    web.files[place] = web.files.pop("/at/set.zip")
    monkeypatch.setenv("RDBENCH_MIRROR", f"{web.url}/m")
    assert len(get(entry).images) == 3


def test_a_set_without_address_asks_for_a_mirror():
    entry = {"files": {"a.png": digest(FILES["a.png"])}, "mirror": "train/set"}
    with pytest.raises(UnavailableError, match=r"no public URL; set RDBENCH_MIRROR .* train/set/"):
        get(entry)


def test_a_mirror_that_is_no_folder_is_a_mistake(web, monkeypatch):
    monkeypatch.setenv("RDBENCH_MIRROR", "absent")
    with pytest.raises(UsageError, match="reading RDBENCH_MIRROR: expected a folder or an http"):
        get(listed(web))


# Archives


def test_an_archive_is_unpacked_and_its_images_remembered(web):
    manifest = get(packed(web, folder="RGB"))
    assert [image.name for image in manifest.images] == ["a", "b", "c"]
    assert names_in("data/set") == [".in-use", "a.png", "b.png", "c.png", "lock.json", "verified.json"]
    web.asked.clear()
    assert get(packed(web, folder="RGB")) == manifest
    assert web.asked == []


def test_the_next_source_of_an_archive_is_tried_with_a_hash_of_its_own(web):
    entry = packed(web)
    web.files["/other.zip"] = data = zipped(FILES)
    web.files["/at/set.zip"] = b"not it"
    entry["archive"]["sources"].append({"url": f"{web.url}/other.zip", "hash": digest(data)})
    assert len(get(entry).images) == 3


def test_a_page_instead_of_an_archive_is_not_trusted_and_the_next_source_tried(web):
    entry = packed(web, hashes=False)
    entry["archive"]["sources"].insert(0, {"url": f"{web.url}/page/set.zip", "hash": None})
    web.files["/page/set.zip"] = b"<!doctype html>Sorry"
    assert len(get(entry).images) == 3
    assert json.loads(Path("data/set/lock.json").read_text())["set.zip"] == digest(web.files["/at/set.zip"])


def test_an_archive_with_another_number_of_images_is_refused(web):
    with pytest.raises(RdbenchError, match="expected 4 images in its archive, found 3"):
        get(packed(web) | {"archive": {**packed(web)["archive"], "count": 4}})
    assert not list(Path("data/set").glob("*.png"))


def test_a_deleted_image_of_an_archive_is_fetched_again(web):
    get(packed(web))
    Path("data/set/b.png").unlink()
    assert len(get(packed(web)).images) == 3


def test_one_zip_for_each_image_is_unpacked_and_the_image_verified(web):
    web.files["/zip/a.png.zip"] = zipped({"a.png": FILES["a.png"]})
    entry = {"urls": [f"{web.url}/zip/{{file}}.zip"], "files": {"a.png": digest(FILES["a.png"], "md5")}}
    assert get(entry).images[0].sha256 == sha256_pixels(PIXELS["a"])
    assert not list(Path("data/set").glob("*.zip"))


# Trust on first use


def test_a_file_without_a_published_hash_is_locked_and_a_change_refused_with_both_hashes(web):
    entry = listed(web, hashes=False)
    get(entry)
    lock = json.loads(Path("data/set/lock.json").read_text())
    assert lock == {name: digest(data) for name, data in FILES.items()}
    Path("data/set/a.png").unlink()
    web.files["/at/a.png"] = FILES["b.png"]
    with pytest.raises(RdbenchError) as caught:
        get(entry)
    message = str(caught.value)
    assert digest(FILES["a.png"]) in message and digest(FILES["b.png"]) in message
    assert "hash is that of the first download" in message and "lock.json" in message
    assert json.loads(Path("data/set/lock.json").read_text()) == lock


def test_an_archive_without_a_published_hash_is_locked_too(web):
    entry = packed(web, hashes=False)
    get(entry)
    Path("data/set/a.png").unlink()
    web.files["/at/set.zip"] = zipped({**FILES, "a.png": FILES["b.png"]})
    with pytest.raises(RdbenchError, match=r"set.zip of set.*hash is that of the first download"):
        get(entry)


def test_an_image_that_differs_inside_a_new_archive_is_named(web):
    """A hash is published for the archive, then for another archive; the images were got with the first."""
    get(packed(web))
    Path("data/set/a.png").unlink()
    entry = packed(web)
    web.files["/at/set.zip"] = data = zipped({**FILES, "a.png": FILES["b.png"]})
    entry["archive"]["sources"][0]["hash"] = digest(data)
    with pytest.raises(RdbenchError, match=f"a.png of set: expected {digest(FILES['a.png'])}, got") as caught:
        get(entry)
    assert digest(FILES["b.png"]) in str(caught.value)


def test_a_page_instead_of_an_image_is_never_locked(web):
    entry = listed(web, hashes=False)
    web.files["/at/b.png"] = b"<!doctype html>Sorry"
    with pytest.raises(RdbenchError, match=r"b.png of set.*expected a PNG"):
        get(entry)
    assert not Path("data/set/b.png").exists()


def test_a_lock_that_cannot_be_read_is_not_taken_for_an_empty_one(web):
    get(listed(web, hashes=False))
    Path("data/set/lock.json").write_text("{")
    with pytest.raises(RdbenchError, match=r"reading .*lock.json: expected JSON"):
        get(listed(web, hashes=False))


def test_a_damaged_record_is_made_anew(web):
    first = get(listed(web))
    for damage in ("{", "[]", '{"a.png": 3}'):
        Path("data/set/verified.json").write_text(damage)
        assert get(listed(web)) == first


# Variants


def test_a_variant_cuts_images_of_another_set_keeping_the_top(web):
    crop = {"b.png": {"to": "b_8x5", "box": [0, 0, 8, 5]}}
    manifest = get({"of": "base", "crop": crop}, base=listed(web))
    assert [image.name for image in manifest.images] == ["a", "b_8x5", "c"]
    cut = manifest.images[1]
    assert (cut.width, cut.height) == (8, 5)
    assert np.array_equal(load_image(cut.path), PIXELS["b"][:5])
    assert cut.sha256 == sha256_pixels(PIXELS["b"][:5])
    made = Path(cut.path).stat().st_mtime_ns
    assert get({"of": "base", "crop": crop}, base=listed(web)) == manifest
    assert Path(cut.path).stat().st_mtime_ns == made


def test_another_box_makes_another_image(web):
    get({"of": "base", "crop": {"b.png": {"to": "x", "box": [0, 0, 8, 5]}}}, base=listed(web))
    manifest = get({"of": "base", "crop": {"b.png": {"to": "x", "box": [2, 1, 8, 5]}}}, base=listed(web))
    assert np.array_equal(load_image(manifest.images[1].path), PIXELS["b"][1:5, 2:8])


def test_a_box_larger_than_the_image_is_refused(web):
    with pytest.raises(RdbenchError, match="within its 8 x 9 pixels"):
        get({"of": "base", "crop": {"b.png": {"to": "x", "box": [0, 0, 8, 10]}}}, base=listed(web))


# A user's own folder


def test_a_folder_lists_its_images_in_name_order_and_leaves_other_files_alone():
    Path("mine").mkdir()
    for name in ("b.PNG", "a.png", "notes.txt", ".hidden.png"):
        Path("mine", name).write_bytes(FILES["a.png"])
    manifest = fetch("folder:mine")
    assert [image.name for image in manifest.images] == ["a", "b"]
    assert Path(manifest.images[0].path) == Path("mine/a.png").absolute()
    assert names_in("mine") == [".hidden.png", "a.png", "b.PNG", "notes.txt"]


def test_images_of_a_folder_that_cannot_be_taken_are_listed_with_the_reason():
    Path("mine").mkdir()
    Path("mine/good.png").write_bytes(FILES["a.png"])
    Image.fromarray(PIXELS["a"][..., 0].astype(np.uint16)).save("mine/deep.png")
    Path("mine/broken.png").write_bytes(FILES["a.png"][:60])
    for _ in range(2):  # the second time from the record
        manifest = fetch("folder:mine")
        assert [image.name for image in manifest.images] == ["good"]
        assert [refused["name"] for refused in manifest.refused] == ["broken", "deep"]
        assert "bits per sample" in manifest.refused[1]["reason"]


def test_a_folder_without_a_usable_image_says_why():
    Path("mine").mkdir()
    with pytest.raises(UsageError, match="it contains no image"):
        fetch("folder:mine")
    Path("mine/broken.png").write_bytes(b"")
    assert "expected a PNG" in manifest_or_reason("folder:mine").reason


def test_two_images_with_one_stem_go_by_their_whole_names():
    Path("mine").mkdir()
    Path("mine/a.png").write_bytes(FILES["a.png"])
    Path("mine/a.bmp").write_bytes(FILES["b.png"])
    assert [image.name for image in fetch("folder:mine").images] == ["a.bmp", "a.png"]


def test_a_folder_that_does_not_exist_is_a_mistake():
    for call in (fetch, source_of, manifest_or_reason):
        with pytest.raises(UsageError, match="absent is not a folder"):
            call("folder:absent")


def test_an_edited_image_in_a_folder_is_looked_at_again_and_changes_the_source():
    Path("mine").mkdir()
    Path("mine/a.png").write_bytes(FILES["a.png"])
    source, first = source_of("folder:mine"), fetch("folder:mine").images[0]
    assert source_of("folder:mine") == source
    Path("mine/a.png").write_bytes(FILES["b.png"] + b" ")
    assert source_of("folder:mine") != source
    assert fetch("folder:mine").images[0].sha256 == sha256_pixels(PIXELS["b"]) != first.sha256


# The sets in datasets.yaml


def test_listing_a_set_imports_neither_scikit_image_nor_torch_nor_the_http_library():
    code = (
        "import sys, bench.data.datasets as d; d.fetch('sample'); print({'skimage', 'torch', 'httpx'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_the_sample_set_works_without_network(monkeypatch):
    monkeypatch.setattr("bench.data.transfer.Transfers", None)
    manifest = fetch("sample")
    sizes = {image.name: (image.width, image.height) for image in manifest.images}
    assert sizes == {
        "astronaut": (512, 512),
        "chelsea": (451, 300),
        "coffee": (600, 400),
        "motorcycle_left": (741, 500),
        "rocket": (640, 427),
    }
    assert manifest.source.startswith("inside scikit-image ")
    rocket = next(image for image in manifest.images if image.name == "rocket")
    assert load_image(rocket.path).shape == (427, 640, 3)


def test_a_wheel_with_another_file_is_named_with_both_hashes():
    entry = dict(datasets.specification()["sample"])
    entry["files"] = {**entry["files"], "coffee.png": digest(b"")}
    with pytest.raises(RdbenchError, match=rf"coffee.png is not the file .*expected {digest(b'')}, got sha256:cc02"):
        get(entry, "sample")


def test_the_synthetic_set_is_made_where_it_is_needed_and_checked_by_its_samples():
    first = fetch("synthetic")
    assert len(first.images) == 22 and not first.refused
    assert {(image.width, image.height) for image in first.images} >= {(1, 1), (257, 1), (1, 257), (1024, 3), (67, 131)}
    stamps = {image.path: Path(image.path).stat().st_mtime_ns for image in first.images}
    broken = next(image for image in first.images if image.name == "text")
    Path(broken.path).write_bytes(Path(first.images[0].path).read_bytes())
    again = fetch("synthetic")
    assert again.images == first.images
    made = {path for path, stamp in stamps.items() if Path(path).stat().st_mtime_ns != stamp}
    assert made == {broken.path}


def test_a_synthetic_image_that_comes_out_otherwise_is_an_error_with_both_hashes():
    entry = dict(datasets.specification()["synthetic"])
    entry["files"] = {**entry["files"], "text.png": "samples:" + "0" * 64}
    with pytest.raises(RdbenchError, match=r"making text: expected samples with the sha256 0{64}, got [0-9a-f]{64}"):
        get(entry, "synthetic")


def test_every_set_has_a_licence_a_split_and_a_hash_or_a_lock():
    for name, entry in datasets.specification().items():
        assert entry["split"] in ("test", "training", "validation"), name
        assert entry.get("licence") or "of" in entry, name
        for digest_ in entry.get("files", {}).values():
            algorithm, _, value = (digest_ or "md5:" + "0" * 32).partition(":")
            assert len(value) == 2 * hashlib.new("sha256" if algorithm == "samples" else algorithm).digest_size
        assert json.loads(json.dumps(source_of(name))) == source_of(name)


def test_the_sets_of_the_papers_have_their_numbers_of_images():
    entries = datasets.specification()
    assert len(entries["kodak"]["files"]) == 24
    assert len(entries["jpegai"]["files"]) == 16
    assert entries["clic"]["archive"]["count"] == 41
    assert entries["tecnick"]["archive"]["count"] == 100
    assert set(entries["jpegai_plonq"]["crop"]) <= set(entries["jpegai"]["files"])


def test_numbered_names_expand_with_their_zeros():
    from bench.data.acquire import expand

    assert expand("x_{001..100}.png")[0] == "x_001.png"
    assert expand("x_{001..100}.png")[-1] == "x_100.png"
    assert expand("plain.png") == ["plain.png"]


def test_tecnick_comes_out_of_an_archive_built_like_the_real_one(web):
    """The real archive is not at hand: this one has its folder, its names, and another sampling beside it."""
    entry = dict(datasets.specification()["tecnick"])
    names = [f"RGB_OR_1200x1200_{number:03d}.png" for number in range(1, 101)]
    files = {f"RGB/RGB_OR_1200x1200/{name}": FILES["a.png"] for name in names}
    files |= {f"RGB/RGB_OR_0600x0600/{name}": FILES["b.png"] for name in names}
    web.files["/testimages.zip"] = zipped(files)
    entry["archive"] = {**entry["archive"], "sources": [{"url": f"{web.url}/testimages.zip", "hash": None}]}
    manifest = get(entry, "tecnick")
    assert [f"{image.name}.png" for image in manifest.images] == names
    assert {image.sha256 for image in manifest.images} == {sha256_pixels(PIXELS["a"])}


@needs_shared
def test_kodak_comes_from_the_mirror_beside_the_checkout(monkeypatch):
    monkeypatch.setenv("RDBENCH_MIRROR", str(SHARED))
    manifest = fetch("kodak")
    assert [image.name for image in manifest.images] == [f"kodim{number:02d}" for number in range(1, 25)]
    assert {(image.width, image.height) for image in manifest.images} == {(768, 512), (512, 768)}
    assert manifest.refused == []


@needs_shared
def test_the_hashes_of_the_mirror_are_those_of_datasets_yaml():
    sums = [line.split("  ", 1) for line in (SHARED / "SHA256SUMS").read_text().splitlines()]
    entries = datasets.specification()
    expected = {
        f"{entries[name].get('mirror', name)}/{file}": digest_.partition(":")[2]
        for name in ("kodak", "clic_subset", "gb82", "unsplash", "cid22")
        for file, digest_ in entries[name]["files"].items()
    }
    assert {path: value for value, path in sums if path in expected} == expected


@needs_shared
def test_fifteen_public_jpeg_ai_images_are_in_the_official_list_under_their_resolution():
    official = {}
    for line in (SHARED / "jpegai_official_md5.tsv").read_text().splitlines()[1:]:
        _, name, _, md5 = line.split("\t")
        official[f"md5:{md5}"] = name.split("_")[2]
    files = datasets.specification()["jpegai"]["files"]
    found = {name: official[value] for name, value in files.items() if value in official}
    assert set(files) - set(found) == {"00010_TE_2000x1128.png"}
    assert all(resolution in name for name, resolution in found.items())


def test_an_image_replaced_at_equal_size_and_time_is_noticed(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    Image.fromarray(PIXELS["a"]).save(folder / "x.bmp")
    name = f"folder:{folder}"
    first, source, before = fetch(name).images[0], source_of(name), (folder / "x.bmp").stat()
    assert source_of(name) == source
    Image.fromarray(PIXELS["b"]).save(folder / "x.bmp")
    os.utime(folder / "x.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (folder / "x.bmp").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert fetch(name).images[0].sha256 == sha256_pixels(PIXELS["b"]) != first.sha256
    assert source_of(name) != source
