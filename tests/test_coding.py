"""The two-process round trip: what it measures, what it refuses, and that it resumes where it was killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, shell
from PIL import Image

from bench import metrics, records
from bench.cli import main
from bench.data.datasets import fetch
from bench.discovery import load
from bench.errors import TransientError, UsageError
from bench.files import sha256_file, sha256_pixels
from bench.run import client
from bench.run import job as coding
from bench.run.job import Job, decode_files, part_of
from bench.run.timing import time_codec

# A small honest codec whose calls can be counted; each test changes the one thing it is about.
PATIENCE_S = 4.0  # for one encode; starting a process takes a second of it, and more on a busy machine

SOURCE = """
import os, signal, time
from pathlib import Path
import numpy as np
from bench.codec import Codec, Point, check_image

class Tested(Codec):
    name = "tested"
    extension = ".raw"
    points = (Point("coarse", step=32), Point("fine", step=8))

    def version(self):
        return "1"

    def encode(self, image, point):
        image = check_image(image)
        with open(os.environ["CALLS"], "a") as calls:
            calls.write("encode\\n")
        {encode}
        height, width = image.shape[:2]
        return np.array([height, width, point["step"]], "<u2").tobytes() + (image // point["step"]).tobytes()

    def decode(self, bitstream):
        {decode}
        height, width, step = np.frombuffer(bitstream[:6], "<u2").astype(int)
        levels = np.frombuffer(bitstream[6:], np.uint8).reshape(height, width, 3)
        return (levels * step + step // 2).astype(np.uint8)

CODECS = [Tested()]
"""


@pytest.fixture
def tested(add_wrapper, tmp_path, monkeypatch):
    """Puts the codec in place with a line of its encoder or decoder replaced."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def put(encode: str = "pass", decode: str = "pass", extra: str = "") -> None:
        add_wrapper("tested", SOURCE.format(encode=encode, decode=decode) + extra)

    return put


def job(image_folder: Path, tmp_path: Path, codec: str = "tested", **options) -> Job:
    manifest = fetch(f"folder:{image_folder}")
    return Job(codec, manifest, tmp_path / "run", tmp_path / "log", manifest.images, **options)


def calls(tmp_path: Path) -> int:
    path = tmp_path / "calls"
    return len(path.read_text().split()) if path.is_file() else 0


def test_every_number_follows_from_the_file_on_disk_and_the_decoded_pixels(tested, image_folder, tmp_path, photographs):
    tested()
    rows = job(image_folder, tmp_path).rows()
    assert [(row["image"], row["point"]) for row in rows] == [
        (image, point) for image in ("astronaut", "coffee") for point in ("coarse", "fine")
    ]
    for row in rows:
        assert row["status"] == "ok"
        file = tmp_path / "run" / row["bitstream"]
        image = photographs[row["image"]]
        assert row["bytes"] == file.stat().st_size
        assert row["bpp"] == 8 * file.stat().st_size / (image.shape[0] * image.shape[1])
        assert row["bitstream_sha256"] == sha256_file(file)
        decoded = next(decode_files("tested", [file]))
        assert row["reconstruction_sha256"] == sha256_pixels(decoded)
        mse = np.mean((image.astype(float) - decoded) ** 2)
        assert row["psnr_rgb_db"] == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encode": "raise ValueError('no luck')"}, "encode: ValueError: no luck"),
        ({"decode": "raise KeyError('table')"}, "decode: KeyError"),
        ({"decode": "return np.zeros((9, 9, 3), np.uint8)"}, "expected a reconstruction of 176 x 192, got 9 x 9"),
        ({"decode": "return np.zeros((176, 192, 3), np.float32)"}, "must return uint8 H x W x 3; it returned float32"),
        ({"encode": "return None"}, "encode must return bytes"),
        ({"encode": r"raise ValueError('caf\udce9 and ü')"}, "encode: ValueError: caf\\udce9 and ü"),
        ({"decode": "raise SystemExit(3)"}, "process ended (exit code 3)"),
        ({"encode": "os.kill(os.getpid(), signal.SIGSEGV)"}, "process ended (killed by SIGSEGV)"),
        ({"decode": "os._exit(3)"}, "process ended (exit code 3)"),
        # needs the original: it is remembered while encoding, and a fresh process has nothing to remember
        ({"encode": "self.original = image", "decode": "return self.original"}, "has no attribute 'original'"),
        (
            {"extra": "Tested.encode_with_reconstruction = lambda s, i, p: (s.encode(i, p), i)\n"},
            "differ from the encoder's reconstruction",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_codec_that_misbehaves_is_a_failed_row_with_its_reason(tested, image_folder, tmp_path, change, reason):
    tested(**change)
    rows = job(image_folder, tmp_path, timeout_s=PATIENCE_S).rows()
    assert {row["status"] for row in rows[:2]} == {"failed"}
    assert reason in rows[0]["reason"]
    assert (tmp_path / "run" / rows[0]["log"]).resolve() == (tmp_path / "log").resolve()
    assert rows[0].get("psnr_rgb_db") is None
    assert len(records.table(rows)) == 4
    records.write(records.table(rows), tmp_path / "part.parquet")
    records.write_csv(records.read(tmp_path / "part.parquet"), tmp_path / "part.csv")


def test_one_bad_image_does_not_take_the_others_with_it(tested, image_folder, tmp_path):
    tested(encode="if image.shape[0] == 176: os.kill(os.getpid(), signal.SIGSEGV)")
    rows = job(image_folder, tmp_path).rows()
    assert [row["status"] for row in rows] == ["failed", "failed", "ok", "ok"]


BAD_DAY = "if image.shape[0] == 176 and Path(os.environ['CALLS']).with_name('bad').exists(): "


@pytest.mark.parametrize(
    ("encode", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "killed by SIGTERM"),
        pytest.param("time.sleep(60)", "no answer within 4 s", marks=pytest.mark.slow),
        ("raise OSError(28, os.strerror(28))", "No space left on device"),
        ("raise OSError(122, os.strerror(122))", "quota exceeded"),
        ("raise MemoryError", "MemoryError"),
        ("raise RuntimeError('program said: write error: No space left on device')", "No space left on device"),
        pytest.param(
            "import subprocess; subprocess.Popen(['sleep', '60']).wait()",
            "no answer within 4 s",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_failure_of_the_machine_fails_the_job_and_the_next_one_redoes_those_rows_alone(
    tested, image_folder, tmp_path, encode, reason
):
    (tmp_path / "bad").touch()
    tested(encode=BAD_DAY + encode)
    with pytest.raises(TransientError, match="2 of 4 pieces failed because of the machine") as failure:
        job(image_folder, tmp_path, timeout_s=PATIENCE_S).rows()
    assert reason in str(failure.value)
    rows = job(image_folder, tmp_path, timeout_s=PATIENCE_S, accept_failures=True).rows()
    assert [row["status"] for row in rows] == ["failed", "failed", "ok", "ok"]
    (tmp_path / "bad").unlink()
    (tmp_path / "calls").unlink()
    rows = job(image_folder, tmp_path).rows()
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert calls(tmp_path) == 2


def test_a_full_disk_under_the_harness_itself_fails_the_job_too(tested, image_folder, tmp_path, monkeypatch):
    tested()
    whole, link = [], coding._link

    def full(source, target):
        if "coarse" in target.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole.append(target.name)
        link(source, target)

    monkeypatch.setattr(coding, "_link", full)
    with pytest.raises(TransientError, match=r"2 of 4 .*No space left on device"):
        job(image_folder, tmp_path).rows()
    assert "coffee.fine.raw" in whole
    monkeypatch.setattr(coding, "_link", link)
    assert {row["status"] for row in job(image_folder, tmp_path).rows()} == {"ok"}
    assert calls(tmp_path) == 4


def test_a_job_that_the_machine_failed_ends_with_exit_code_1_and_no_table(tested, image_folder, tmp_path, capsys):
    tested(encode="os.kill(os.getpid(), signal.SIGKILL)")
    command = ["run", "tested", "--dataset", f"folder:{image_folder}", "--out", str(tmp_path / "part.parquet")]
    assert main(command) == 1
    assert not (tmp_path / "part.parquet").exists()
    assert "to repeat only these" in capsys.readouterr().err
    assert main([*command, "--accept-failures"]) == 0
    assert set(records.read(tmp_path / "part.parquet").status) == {"failed"}


def test_a_crash_that_does_not_come_back_is_no_failure(tested, image_folder, tmp_path):
    tested(encode="os.stat(os.environ['CALLS']).st_size < 8 and os.kill(os.getpid(), signal.SIGSEGV)")
    assert {row["status"] for row in job(image_folder, tmp_path).rows()} == {"ok"}
    assert calls(tmp_path) == 5


def test_times_are_not_those_of_a_machine_that_failed(tested, image_folder, tmp_path):
    tested(encode="os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(TransientError, match="killed by SIGKILL"):
        time_codec("tested", fetch(f"folder:{image_folder}"), tmp_path / "log")


def test_an_image_replaced_after_it_was_fetched_gives_no_rows(tested, image_folder, tmp_path, photographs):
    tested()
    asked = job(image_folder, tmp_path)
    original = (image_folder / "coffee.png").read_bytes()
    Image.fromarray(255 - photographs["coffee"]).save(image_folder / "coffee.png")
    with pytest.raises(TransientError, match=r"2 of 4 .*coffee.png: the image has changed.* got [0-9a-f]{12}"):
        asked.rows()
    (image_folder / "coffee.png").unlink()
    with pytest.raises(TransientError, match="no such file"):
        asked.rows()
    (image_folder / "coffee.png").write_bytes(original)
    assert [row["status"] for row in asked.rows()] == ["ok"] * 4


def test_measurements_of_a_cached_bitstream_are_not_taken_from_a_replaced_image(
    tested, image_folder, tmp_path, photographs, monkeypatch
):
    tested()
    job(image_folder, tmp_path).rows()
    asked = job(image_folder, tmp_path)
    monkeypatch.setitem(metrics.METRICS, "psnr_rgb_db", "other")
    Image.fromarray(255 - photographs["coffee"]).save(image_folder / "coffee.png")
    with pytest.raises(TransientError, match=r"2 of 4 .*has changed"):
        asked.rows()


def test_an_encoder_that_changes_its_input_is_a_failed_row(tested, image_folder, tmp_path):
    tested(encode="image -= 16")
    rows = job(image_folder, tmp_path).rows()
    assert {row["status"] for row in rows} == {"failed"}
    assert "read-only" in rows[0]["reason"]


def test_a_decoder_that_goes_on_using_its_array_changes_nothing(tested, image_folder, tmp_path):
    tested()
    expected = [row["psnr_rgb_db"] for row in job(image_folder, tmp_path).rows()]
    kept = "old, decode = [], Tested.decode\n\ndef keep(self, data):\n    for array in old: array[:] = 0\n"
    kept += "    old.append(decode(self, data))\n    return old[-1]\n\nTested.decode = keep\n"
    tested(extra=kept)
    assert [row["psnr_rgb_db"] for row in job(image_folder, tmp_path).rows()] == expected


def processes_with(text: str) -> list[int]:
    """The ids of the running processes with ``text`` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            if text.encode() in path.read_bytes() and state != "Z":
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(text: str, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while processes_with(text) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_with(text)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux which processes run")
def test_a_timeout_ends_the_programs_that_the_codec_started(tested, image_folder, tmp_path):
    length = f"6{os.getpid()}.5"
    tested(encode=f"import subprocess; subprocess.run(['sh', '-c', 'sleep {length}; true'])")
    with pytest.raises(TransientError):
        job(image_folder, tmp_path, timeout_s=1.0).rows()
    assert gone(length, 2.0)


def _heed_signals():
    """nohup and & start a suite with some of them ignored, and its processes with it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux which processes run")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process_and_no_folder_behind(tested, image_folder, tmp_path, number):
    length = f"7{os.getpid()}{number}.5"
    tested(encode=f"import subprocess; subprocess.run(['sh', '-c', 'sleep {length}; true'])")
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "bench.cli", "run", "tested", "--dataset", f"folder:{image_folder}"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "part.parquet")],
        cwd=ROOT,
        env={**shell(), "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_signals,
    )
    deadline = time.monotonic() + 60
    while not processes_with(f"sleep {length}") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    try:
        _, messages = process.communicate(timeout=30)
    finally:
        process.kill()
    assert gone(length)
    if number != signal.SIGKILL:  # after which nobody clears away
        assert process.returncode == 128 + number
        assert "Traceback" not in messages and f"stopped by {number.name}" in messages
        assert not list((tmp_path / "tmp").iterdir())


def test_a_wrapper_that_cannot_be_imported_is_a_failed_row(add_wrapper, image_folder, tmp_path):
    add_wrapper("broken", "import a_library_that_is_not_there\n")
    (row,) = job(image_folder, tmp_path, codec="broken").rows()
    assert row["status"] == "failed"
    assert "broken.py could not be imported: ModuleNotFoundError" in row["reason"]
    assert load("jpeg").name == "jpeg"


def test_an_unavailable_codec_and_an_unavailable_dataset_are_skipped_with_the_reason(tested, image_folder, tmp_path):
    tested(extra="Tested.available = lambda self: (False, 'no licence file')\n")
    (row,) = job(image_folder, tmp_path).rows()
    assert (row["status"], row["reason"]) == ("skipped", "no licence file")
    tested()
    missing = job(image_folder, tmp_path)
    missing.manifest = type(missing.manifest)(name="far", status="skipped", reason="unreachable", images=[])
    (row,) = missing.rows()
    assert (row["status"], row["reason"]) == ("skipped", "unreachable")


def test_finished_pieces_are_not_made_again(tested, image_folder, tmp_path):
    tested()
    first = job(image_folder, tmp_path).rows()
    assert calls(tmp_path) == 4
    assert job(image_folder, tmp_path).rows() == first
    assert calls(tmp_path) == 4


def test_changed_code_is_coded_anew_and_a_comment_is_not_a_change(tested, add_wrapper, image_folder, tmp_path):
    tested()
    job(image_folder, tmp_path).rows()
    tested(extra="# a remark\n")
    job(image_folder, tmp_path).rows()
    assert calls(tmp_path) == 4
    tested(extra="LIMIT = 3\n")
    job(image_folder, tmp_path).rows()
    assert calls(tmp_path) == 8


def test_another_metric_version_measures_again_without_encoding(tested, image_folder, tmp_path, monkeypatch):
    tested()
    job(image_folder, tmp_path).rows()
    monkeypatch.setitem(metrics.METRICS, "psnr_rgb_db", "other")
    rows = job(image_folder, tmp_path).rows()
    assert calls(tmp_path) == 4
    assert json.loads(rows[0]["metric_versions"])["psnr_rgb_db"] == "other"


@pytest.mark.parametrize("damage", ["bitstream", "facts"])
def test_a_damaged_cache_entry_is_named_and_redone(tested, image_folder, tmp_path, own_cache, caplog, damage):
    tested()
    first = job(image_folder, tmp_path).rows()
    pieces = own_cache / "pieces" / "tested"
    victim = sorted(pieces.rglob("*.raw" if damage == "bitstream" else "*.json"))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    assert job(image_folder, tmp_path).rows() == first
    assert calls(tmp_path) == 5
    assert "damaged" in caplog.text


@pytest.mark.slow
def test_a_run_killed_in_the_middle_gives_the_same_file_as_one_that_was_not(tested, image_folder, tmp_path):
    tested(encode="time.sleep(0.15)")

    def run(name: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "bench.cli", "run", "tested", "--dataset", f"folder:{image_folder}"]
        return subprocess.Popen(
            [*command, "--out", str(tmp_path / name / "part.parquet")],
            cwd=ROOT,
            env={**shell(), "RDBENCH_CACHE": str(tmp_path / f"cache-{name}")},
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    whole = run("whole")
    assert whole.wait(timeout=60) == 0, whole.stderr.read()
    made = calls(tmp_path)
    killed = run("killed")
    deadline = time.monotonic() + 60
    while calls(tmp_path) < made + 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "part.parquet").exists()
    again = run("killed")
    assert again.wait(timeout=60) == 0, again.stderr.read()
    assert calls(tmp_path) < made + 3 + made  # at least one piece was not made twice
    assert (tmp_path / "killed" / "part.parquet").read_bytes() == (tmp_path / "whole" / "part.parquet").read_bytes()


def test_parts_of_a_dataset_add_up_to_the_whole(image_folder):
    images = fetch(f"folder:{image_folder}").images
    assert sorted(image.name for k in (1, 2, 3) for image in part_of(images, f"{k}-of-3")) == sorted(
        image.name for image in images
    )
    for wrong in ("0-of-3", "4-of-3", "x", "1-of-"):
        with pytest.raises(UsageError, match="k-of-n"):
            part_of(images, wrong)


def test_the_decoding_process_is_told_nothing_of_the_images(tested, image_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_DATA", str(image_folder))
    monkeypatch.setenv("RDBENCH_MIRROR", str(image_folder))
    tested(decode="raise ValueError(str([os.getcwd(), os.listdir(), sorted(os.environ.items()), os.sys.argv]))")
    reason = job(image_folder, tmp_path).rows()[0]["reason"]
    assert str(image_folder) not in reason
    assert "astronaut" not in reason


def test_embedded_points_are_prefixes_and_say_when_the_stream_was_too_short(add_wrapper, image_folder, tmp_path):
    add_wrapper(
        "nested",
        """
        import numpy as np
        from bench.codec import Embedded, Point

        class Nested(Embedded):
            name, extension = "nested", ".n"
            points = (Point("b1", bpp=1.0), Point("b99", bpp=99.0))
            def version(self): return "1"
            def encode_full(self, image): return np.array(image.shape[:2], "<u2").tobytes() + image.tobytes()
            def truncate(self, bitstream, point):
                height, width = np.frombuffer(bitstream[:4], "<u2").astype(int)
                return bitstream[: int(point["bpp"] * height * width / 8)]
            def decode(self, bitstream):
                height, width = np.frombuffer(bitstream[:4], "<u2").astype(int)
                image = np.full(height * width * 3, 128, np.uint8)
                image[: len(bitstream) - 4] = np.frombuffer(bitstream[4:], np.uint8)
                return image.reshape(height, width, 3)

        CODECS = [Nested()]
        """,
    )
    low, high = job(image_folder, tmp_path, codec="nested").rows()[:2]
    assert (low["target_bpp"], low["saturated"], high["saturated"]) == (1.0, False, True)
    assert low["bpp"] <= 1.0
    assert high["identical"] and high["psnr_rgb_db"] == float("inf")
    files = [tmp_path / "run" / row["bitstream"] for row in (low, high)]
    assert files[1].read_bytes().startswith(files[0].read_bytes())


def test_the_cache_holds_facts_that_can_be_read_without_rdbench(tested, image_folder, tmp_path, own_cache):
    tested()
    job(image_folder, tmp_path).rows()
    facts = json.loads(next((own_cache / "pieces" / "tested").rglob("*.json")).read_text())
    assert facts["coded"]["bytes"] > 0 and facts["measured"]["psnr_rgb_db"] > 20


def test_an_image_that_was_refused_is_a_skipped_row_with_its_reason(tested, image_folder, tmp_path):
    tested()
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(image_folder / "deep.png")
    command = ["run", "tested", "--dataset", f"folder:{image_folder}", "--out", str(tmp_path / "part.parquet")]
    assert main(command) == 0
    frame = records.read(tmp_path / "part.parquet")
    (row,) = frame[frame.status != "ok"].to_dict("records")
    assert (row["image"], row["status"]) == ("deep", "skipped")
    assert "16" in row["reason"]


# The channel between the harness and its workers


def test_an_answer_to_another_request_is_a_failed_row_and_the_next_pieces_go_on(image_folder, tmp_path, tested):
    """A codec that forges the channel's next answer fails; one number later all is in order again."""
    forge = (
        "import sys; frame = sys._getframe();\n"
        "        while 'answers' not in frame.f_locals: frame = frame.f_back\n"
        "        if point['step'] == 32: print('{\"id\": 7, \"bytes\": 1}', file=frame.f_locals['answers'], flush=True)"
    )
    tested(encode=forge)
    rows = job(image_folder, tmp_path).rows()
    by_point = {row["point"]: row for row in rows}
    assert by_point["coarse"]["status"] == "failed"
    assert by_point["coarse"]["reason"].endswith("got that to 7")
    assert by_point["fine"]["status"] == "ok"


def test_a_log_that_a_codec_fills_keeps_its_end_only(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "LONGEST_LOG", 1000)
    monkeypatch.setattr(client, "KEPT_OF_LOG", 100)
    log = tmp_path / "log"
    with open(log, "ab") as appended:
        appended.write(b"".join(b"line %05d\n" % number for number in range(90)))
        appended.flush()
        client.cut_log(log)
        assert log.stat().st_size == 990, "short enough"
        appended.write(b"".join(b"line %05d\n" % number for number in range(90, 200)))
        appended.flush()
        client.cut_log(log)
        appended.write(b"after\n")
        appended.flush()
    lines = log.read_text().splitlines()
    assert lines[0] == "(the beginning was removed: over 1000 bytes)"
    assert lines[-2:] == ["line 00199", "after"] and lines[1].startswith("line 001") and len(lines) < 13
    client.cut_log(tmp_path / "none")


def test_a_codec_that_prints_without_end_fills_no_disk(image_folder, tmp_path, tested, monkeypatch):
    monkeypatch.setattr(client, "LONGEST_LOG", 1 << 20)
    monkeypatch.setattr(client, "KEPT_OF_LOG", 1 << 16)
    tested(encode="print('x' * (1 << 22))")
    assert {row["status"] for row in job(image_folder, tmp_path).rows()} == {"ok"}
    assert (tmp_path / "log").stat().st_size < 2 << 20


def test_a_codec_that_does_not_exist_is_a_mistake_and_a_broken_one_a_row(image_folder, tmp_path, add_wrapper, capsys):
    run = ["--dataset", f"folder:{image_folder}", "--out", str(tmp_path / "a.parquet")]
    assert main(["run", "typo", *run]) == 2
    assert "no codec is called 'typo'; there are" in capsys.readouterr().err
    assert not (tmp_path / "a.parquet").exists()
    add_wrapper("broken_here", "import nosuchmodule\n")
    assert main(["run", "broken_here", *run]) == 0
    assert "1 failed" in capsys.readouterr().err
