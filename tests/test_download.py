"""Downloads are resumed, retried and verified; archives cannot harm; what fails says why, and soon."""

import gzip
import hashlib
import io
import socket
import stat
import tarfile
import threading
import time
import tracemalloc
import zipfile

import pytest
from web import serve

from bench.data.archive import ArchiveError, archive_fault, extract_images, extract_one
from bench.data.download import Source, obtain
from bench.data.transfer import NotFoundError, Transfers
from bench.errors import RdbenchError, UnavailableError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@pytest.fixture
def web():
    with serve() as web:
        web.files["/file"] = CONTENT
        yield web


@pytest.fixture
def transfers():
    with Transfers(quiet=True, wait_s=0.001) as transfers:
        yield transfers


def get(transfers, path, *sources, **options):
    obtain(
        transfers, path, [s if isinstance(s, Source) else Source(s, digest(CONTENT)) for s in sources], "it", **options
    )


def test_a_download_cut_half_way_goes_on_where_it_stood(web, transfers, tmp_path):
    web.faults["/file"] = ["drop"]
    get(transfers, tmp_path / "file", f"{web.url}/file")
    assert web.ranges("/file") == [None, f"bytes={len(CONTENT) // 2}-"]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_download_left_by_a_killed_process_goes_on(web, tmp_path):
    web.faults["/file"] = ["drop", "503", "503", "503", "503", "503"]
    for _ in range(2):
        with Transfers(quiet=True, wait_s=0.001) as transfers:
            try:
                get(transfers, tmp_path / "file", f"{web.url}/file")
            except UnavailableError:
                assert (tmp_path / ".file.part").stat().st_size == len(CONTENT) // 2
    assert web.ranges("/file")[-1] == f"bytes={len(CONTENT) // 2}-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_many_cuts_in_a_row_are_survived_while_each_attempt_brings_something(web, transfers, tmp_path):
    web.faults["/file"] = ["drop"] * 9
    get(transfers, tmp_path / "file", f"{web.url}/file")
    assert len(web.asked) == 10


def test_a_server_that_ignores_ranges_is_asked_for_the_whole(web, transfers, tmp_path):
    web.faults["/file"] = ["drop", "whole"]
    get(transfers, tmp_path / "file", f"{web.url}/file")
    assert web.ranges("/file")[1] is not None
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_stitched_together(web, transfers, tmp_path):
    (tmp_path / ".file.part").write_bytes(b"old" * 1000)
    (tmp_path / ".file.part.json").write_text(f'{{"url": "{web.url}/file", "validator": "\\"0\\""}}')
    get(transfers, tmp_path / "file", Source(f"{web.url}/file"))
    assert web.ranges("/file") == ["bytes=3000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_without_a_validator_a_part_is_not_trusted(web, transfers, tmp_path):
    web.tags["/file"] = ""
    web.faults["/file"] = ["drop"]
    get(transfers, tmp_path / "file", Source(f"{web.url}/file"))
    assert web.ranges("/file") == [None, None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_hash_after_a_resume_starts_over(web, transfers, tmp_path):
    (tmp_path / ".file.part").write_bytes(b"x" * 1000)
    (tmp_path / ".file.part.json").write_text(f'{{"url": "{web.url}/file", "validator": "\\"1\\""}}')
    get(transfers, tmp_path / "file", f"{web.url}/file")
    assert web.ranges("/file") == ["bytes=1000-", None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_an_overloaded_server_is_asked_again(web, transfers, tmp_path):
    web.faults["/file"] = ["503", "503"]
    get(transfers, tmp_path / "file", f"{web.url}/file")
    assert len(web.asked) == 3


def test_a_server_that_stays_overloaded_is_given_up_after_five_attempts(web, transfers, tmp_path):
    web.faults["/file"] = ["503"] * 99
    with pytest.raises(UnavailableError, match=r"unreachable: it: .*HTTP 503"):
        get(transfers, tmp_path / "file", f"{web.url}/file")
    assert len(web.asked) == 5


def test_a_missing_file_is_not_asked_for_twice(web, transfers, tmp_path):
    with pytest.raises(NotFoundError, match="HTTP 404"):
        transfers.get(f"{web.url}/absent", tmp_path / "x")
    assert len(web.asked) == 1


def test_a_wrong_hash_is_kept_aside_and_the_next_mirror_tried(web, transfers, tmp_path):
    web.files["/wrong"] = b"not it"
    get(transfers, tmp_path / "file", f"{web.url}/wrong", f"{web.url}/file")
    assert (tmp_path / "file.bad").read_bytes() == b"not it"
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_an_error_names_both_hashes_and_leaves_nothing_under_the_name(web, transfers, tmp_path, algorithm):
    web.files["/wrong"] = b"not it"
    expected = digest(CONTENT, algorithm)
    with pytest.raises(RdbenchError, match=f"expected {expected}, got {digest(b'not it', algorithm)}") as caught:
        get(transfers, tmp_path / "file", Source(f"{web.url}/wrong", expected), Source(f"{web.url}/absent", expected))
    assert "HTTP 404" in str(caught.value)
    assert not isinstance(caught.value, UnavailableError)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bad"]


def test_a_dead_address_is_unreachable_within_seconds_and_not_asked_again(transfers, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/file"
    start = time.monotonic()
    for _ in range(3):
        with pytest.raises(UnavailableError, match=r"unreachable: it: .*refused"):
            get(transfers, tmp_path / "file", url)
    assert time.monotonic() - start < 5
    assert list(transfers.dead) == [url.split("/")[2]]


def test_a_name_that_does_not_resolve_is_unreachable(transfers, tmp_path):
    with pytest.raises(UnavailableError, match=r"unreachable: it: http://nowhere.invalid/file"):
        get(transfers, tmp_path / "file", "http://nowhere.invalid/file")


def test_a_dead_mirror_does_not_stand_in_the_way_of_the_next(web, transfers, tmp_path):
    get(transfers, tmp_path / "file", "http://nowhere.invalid/file", str(tmp_path / "absent"), f"{web.url}/file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_full_disk_is_named(transfers, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.data.transfer.shutil.copyfile", full)
    (tmp_path / "source").write_bytes(CONTENT)
    with pytest.raises(RdbenchError, match="fetching it: the disk is full"):
        get(transfers, tmp_path / "file", str(tmp_path / "source"))


# Archives. Each attack is a whole archive that also holds a harmless image.


def zipped(path, members, kinds=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (kinds or {}).get(name, 0) << 16
            file.writestr(info, data)
    return path


def tarred(path, members, kinds=None):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), (kinds or {}).get(name, tarfile.REGTYPE)
            info.linkname = "/etc/passwd" if info.issym() or info.islnk() else ""
            file.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, pack, name):
    archive = pack(tmp_path / "in" / "x.zip" if (tmp_path / "in").mkdir() else tmp_path / "in" / "x", {name: b"x"})
    with pytest.raises(ArchiveError, match=r"leads out of the archive"):
        extract_images(archive, tmp_path / "out" / "deep")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x"]


def test_links_and_devices_are_refused(tmp_path):
    link = zipped(tmp_path / "a.zip", {"a.png": b"/etc/passwd"}, {"a.png": stat.S_IFLNK | 0o777})
    attacks = [link]
    for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
        attacks.append(tarred(tmp_path / f"{number}.tar", {"a.png": b""}, {"a.png": kind}))
    for archive in attacks:
        with pytest.raises(ArchiveError, match=r"'a.png' is a link or device"):
            extract_images(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, pack):
    archive = pack(tmp_path / "bomb.tar.gz", {"a.png": bytes(10_000_000)})
    with pytest.raises(ArchiveError, match="more than 1,000,000 bytes"):
        extract_images(archive, tmp_path / "out", limit=1_000_000)
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 1_000_000


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path):
    archive = zipped(tmp_path / "liar.zip", {"a.png": bytes(5_000_000)})
    data = archive.read_bytes().replace((5_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    archive.write_bytes(data)
    with pytest.raises(ArchiveError):
        extract_images(archive, tmp_path / "out", limit=1_000_000)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_images_come_out_under_their_base_names_from_the_wanted_folder_only(tmp_path, pack):
    members = {"top/RGB/small/b.png": b"1", "top/RGB/small/a.png": b"2", "top/RGB/large/a.png": b"3"}
    members |= {"top/RGB/small/notes.txt": b"4", "__MACOSX/RGB/small/._a.png": b"5"}
    images = extract_images(pack(tmp_path / "x.tar", members), tmp_path / "out", folder="RGB/small")
    assert [(path.name, path.read_bytes()) for path in images] == [("a.png", b"2"), ("b.png", b"1")]


def test_two_images_of_one_name_are_refused(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"1/a.png": b"1", "2/a.png": b"2"})
    with pytest.raises(ArchiveError, match=r"two images called 'a.png'"):
        extract_images(archive, tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
def test_a_damaged_archive_is_an_error_and_never_a_traceback(tmp_path, pack, keep):
    noise = hashlib.shake_256(b"").digest(100_000)
    archive = pack(tmp_path / "x.tar.gz", {"a.png": noise, "b.png": noise})
    data = archive.read_bytes()
    archive.write_bytes(data[: keep if keep >= 1 or keep == 0 else int(len(data) * keep)])
    with pytest.raises(ArchiveError):
        extract_images(archive, tmp_path / "out")


def test_a_flipped_byte_in_a_zip_is_found(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"a.png": hashlib.shake_256(b"").digest(100_000)})
    data = bytearray(archive.read_bytes())
    data[50_000] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="corrupt"):
        extract_images(archive, tmp_path / "out")


def test_one_image_is_taken_out_whole_or_not_at_all(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"deep/a.png": b"1"})
    extract_one(archive, "a.png", tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == b"1"
    with pytest.raises(ArchiveError, match=r"contain 'b.png', found \['a.png'\]"):
        extract_one(archive, "b.png", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image", "x.zip"]


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_a_member_with_a_name_no_file_system_takes_is_refused(tmp_path, pack):
    archive = pack(tmp_path / "long", {"a.png": b"x", "n" * 300 + ".png": b"x"})
    with pytest.raises(ArchiveError, match="a name of over 200 bytes"):
        extract_images(archive, tmp_path / "out")


def endless(rate_bytes_s=None):
    """The address of a server on the loopback that never stops sending, one byte at a time where a rate is given."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent = []

    def serve_forever():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                sent.append(0)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    while True:
                        connection.sendall(b"x" if rate_bytes_s else bytes(1 << 16))
                        sent[-1] += 1 if rate_bytes_s else 1 << 16
                        time.sleep(1 / rate_bytes_s if rate_bytes_s else 0)
                except OSError:
                    continue

    threading.Thread(target=serve_forever, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/file", sent


def test_a_reply_without_an_end_is_cut_off_at_the_file_s_size_and_the_next_source_tried(web, transfers, tmp_path):
    listener, url, sent = endless()
    with listener:
        sources = [Source(url, digest(CONTENT), max_bytes=2_000_000), Source(f"{web.url}/file", digest(CONTENT))]
        get(transfers, tmp_path / "file", *sources)
        assert (tmp_path / "file").read_bytes() == CONTENT
        with pytest.raises(UnavailableError, match="refused, expected at most 2,000,000 bytes"):
            get(transfers, tmp_path / "other", sources[0])
    assert len(sent) == 2 and max(sent) < 20_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_reply_or_file_that_announces_too_much_is_refused_before_it_is_taken(web, transfers, tmp_path):
    with pytest.raises(UnavailableError, match="at most 1,000 bytes"):
        get(transfers, tmp_path / "file", Source(f"{web.url}/file", digest(CONTENT), max_bytes=1000))
    (tmp_path / "source").write_bytes(CONTENT)
    with pytest.raises(UnavailableError, match="at most 1,000 bytes"):
        get(transfers, tmp_path / "file", Source(str(tmp_path / "source"), max_bytes=1000))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_server_that_trickles_is_given_up_after_two_stalls(transfers, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.data.transfer.STALL_S", 0.3)
    listener, url, sent = endless(rate_bytes_s=50)
    start = time.monotonic()
    with listener, pytest.raises(UnavailableError, match=r"only \d+ bytes arrived in 0.3 s"):
        get(transfers, tmp_path / "file", url)
    assert time.monotonic() - start < 5 and len(sent) == 2


def test_a_set_bounds_its_downloads(tmp_path, monkeypatch):
    from bench.data.acquire import MAX_MB, _Acquisition
    from bench.data.store import Store

    entry = {"files": {"a.png": None}, "urls": ["http://x/{file}"], "max_mb": 3}
    assert {s.max_bytes for s in _Acquisition("set", entry, Store(tmp_path))._sources("a.png", "")} == {3_000_000}
    del entry["max_mb"]
    (source,) = _Acquisition("set", entry, Store(tmp_path))._sources("a.png", "")
    assert source.max_bytes == MAX_MB * 1_000_000


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_that_takes_the_memory_is_refused(tmp_path, kind):
    """400 MB of zeros are 400 kB in a .tar.gz, and were 840 MiB in memory."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 50_000_000
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="a header of 50,000,000 bytes"):
            extract_images(path, tmp_path / "out")
        with pytest.raises(ArchiveError, match="a header of 50,000,000 bytes"):
            archive_fault(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
