"""BPG: the container, the integer colour, interoperability with the reference's files, and bad input."""

import csv
import hashlib
import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from bench.discovery import load
from bench.errors import BitstreamError, RdbenchError, UsageError
from codecs_wrappers.native import bpg
from codecs_wrappers.native.bpg import bits, colour, container, hevc, sps
from codecs_wrappers.native.bpg.container import C420, C420_VIDEO, C444, GREY, Header
from codecs_wrappers.native.command import CommandCodec

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT.parent / "shared" / "fixtures" / "bpg"
KODAK = ROOT.parent / "shared" / "datasets" / "kodak"
needs_shared = pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs ../shared beside the checkout")
MUTATIONS = int(os.environ.get("RDBENCH_FUZZ", "400"))


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture with an edge and a little noise, uint8 H x W x 3."""
    y, x = np.mgrid[0:height, 0:width]
    rng = np.random.default_rng(7)
    planes = [128 + 90 * np.sin(x / 9 + c) + 30 * (y > height // 2) for c in range(3)]
    return np.clip(np.stack(planes, -1) + rng.normal(0, 3, (height, width, 3)), 0, 255).astype(np.uint8)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(1e-10, np.mean((a.astype(float) - b) ** 2)))


def fixtures() -> list[dict]:
    return json.loads((FIXTURES / "manifest.json").read_text()) if FIXTURES.is_dir() else []


def kodak(name: str) -> np.ndarray:
    return np.asarray(PillowImage.open(KODAK / f"{name}.png").convert("RGB"))


def reference_rows(subsampling: str, qp: int) -> list[dict]:
    """Bytes and PSNR of bpgenc on each image of Kodak."""
    lines = (FIXTURES / "reference_kodak_x265.csv").read_text().splitlines()[1:]
    return [row for row in csv.DictReader(lines) if (row["format"], row["q"]) == (subsampling, str(qp))]


# Reference files


@needs_shared
def test_every_reference_file_decodes_to_bpgdecs_pixels():
    entries = fixtures()
    assert len(entries) == 62
    wrong = []
    for entry in entries:
        image = bpg.decode((FIXTURES / entry["file"]).read_bytes())
        assert image.shape == (entry["height"], entry["width"], 3)
        if hashlib.sha256(image.tobytes()).hexdigest() != entry["decoded_rgb_sha256"]:
            wrong.append(entry["file"])
    assert not wrong


@needs_shared
@pytest.mark.parametrize(("subsampling", "qp"), [("4:4:4", 37), ("4:4:4", 42), ("4:2:0", 32), ("4:2:0", 42)])
def test_headers_up_to_the_slice_equal_the_reference_encoders(subsampling, qp):
    name = f"kodim23_{subsampling.replace(':', '')}_q{qp}.bpg"
    theirs = (FIXTURES / name).read_bytes()
    ours = bpg.encode(kodak("kodim23"), qp, subsampling)
    start = theirs.index(b"\0\0\1\x26")  # IDR slice: what is before are header, reduced SPS, and PPS with the WPP flag
    assert ours[: start + 7] == theirs[: start + 7]
    assert len(container.read(ours)[2]) == len(container.read(theirs)[2]) == 2


@needs_shared
@pytest.mark.parametrize(("subsampling", "qp"), [("444", 28), ("444", 37), ("420", 32)])
def test_one_image_is_close_to_the_reference_encoder(subsampling, qp):
    row = next(r for r in reference_rows(subsampling, qp) if r["image"] == "kodim23")
    image = kodak("kodim23")
    stream = bpg.encode(image, qp, ":".join(subsampling))
    assert len(stream) == pytest.approx(int(row["bytes"]), rel=0.02)  # another x265 release
    assert psnr_db(image, bpg.decode(stream)) == pytest.approx(float(row["psnr_rgb_db"]), abs=0.1)


@needs_shared
@pytest.mark.skipif(not os.environ.get("RDBENCH_KODAK"), reason="two minutes; set RDBENCH_KODAK=1")
@pytest.mark.parametrize(
    ("subsampling", "qp", "rate_tolerance"),
    [("444", 28, 0.005), ("444", 37, 0.005), ("420", 32, 0.005), ("420", 37, 0.005), ("420", 42, 0.01)],
)
def test_kodak_means_equal_the_reference_encoders(subsampling, qp, rate_tolerance):
    rows = reference_rows(subsampling, qp)
    assert len(rows) == 24
    sizes, qualities = [], []
    for row in rows:
        image = kodak(row["image"])
        stream = bpg.encode(image, qp, ":".join(subsampling))
        sizes.append(len(stream))
        qualities.append(psnr_db(image, bpg.decode(stream)))
    assert np.mean(sizes) == pytest.approx(np.mean([int(row["bytes"]) for row in rows]), rel=rate_tolerance)
    if rate_tolerance < 0.01:
        assert np.mean(qualities) == pytest.approx(np.mean([float(row["psnr_rgb_db"]) for row in rows]), abs=0.03)


# Round trips


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (8, 8), (9, 9), (17, 33), (61, 97)])
def test_any_size_decodes_close_to_what_was_encoded(shape, subsampling):
    image = picture(*shape)
    stream = bpg.encode(image, 12, subsampling)
    decoded = bpg.decode(stream)
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    grey = np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    assert psnr_db(grey, bpg.decode(bpg.encode(grey, 12, subsampling))) > 42
    assert psnr_db(image, decoded) > (42 if subsampling == "4:4:4" else 28)


def test_rate_and_quality_rise_along_the_points():
    image = picture(96, 128)
    for name in ("bpg444", "bpg420"):
        codec = load(name)
        streams = [codec.encode(image, point) for point in codec.points]
        assert [point["qp"] for point in codec.points] == [47, 42, 37, 32, 27, 22, 17, 12]
        assert sorted(map(len, streams)) == [len(stream) for stream in streams]
        quality = [psnr_db(image, codec.decode(stream)) for stream in streams]
        assert quality == sorted(quality)


def test_bytes_are_the_same_in_a_process_whose_lambda_tables_were_others():
    """x265 keeps its tables per process: an encoder that ran before with tables of its own must not leave a trace."""
    image = picture(64, 96)
    expected = bpg.encode(image, 30)
    code = (
        "import sys, numpy as np\nfrom codecs_wrappers.native import bpg\nfrom codecs_wrappers.native.bpg import hevc\n"
        "image = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(64, 96, 3)\n"
        "own = hevc.lambda_tables\n"
        "hevc.lambda_tables = lambda: own(10)\n"
        "other = bpg.encode(image, 30)\n"
        "hevc.lambda_tables = own\n"
        "sys.stdout.buffer.write(bpg.encode(image, 30)); sys.stderr.write(str(len(other)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=image.tobytes(), capture_output=True, check=True, cwd=ROOT
    )
    assert result.stdout == expected
    assert int(result.stderr) != len(expected), "the other tables had no effect, so this proves nothing"


def test_a_temporary_folder_with_a_colon_in_its_name_is_no_obstacle(tmp_path, monkeypatch):
    folder = tmp_path / "a:b='c d'"
    folder.mkdir()
    image = picture(32, 32)
    expected = bpg.encode(image, 30)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert bpg.encode(image, 30) == expected


# Container


@pytest.mark.parametrize(("value", "coded"), [(0, "00"), (8, "08"), (542, "841e"), (728855, "acbe17")])
def test_ue7_numbers_are_those_of_the_specification(value, coded):
    assert container.write_ue7(value).hex() == coded
    assert container.read_ue7(bytes.fromhex(coded), 0, "a number") == (value, len(coded) // 2)


def test_a_header_survives_writing_and_reading():
    for header in (Header(768, 512), Header(1, 9999, C420, 12, "ycgco", True), Header(33, 200, GREY)):
        nals = [b"\x44\x01\xc1", b"\x26\x01" + bytes(range(1, 90))]
        assert container.read(container.write(header, b"\x92\x47\x40", nals)) == (header, b"\x92\x47\x40", nals)


def test_veryslow_gives_the_reduced_header_of_the_reference():
    assert container.read(bpg.encode(picture(64, 64), 30))[1].hex() == "924740"


def test_reduced_header_with_every_optional_part_survives():
    tools = sps.CodingTools(3, 3, 2, 3, 2, 1, (7, 7, 0, 2, 1), 0, 0b100010001)
    assert sps.CodingTools.from_bytes(tools.to_bytes()) == tools


def test_extension_blocks_and_trailing_data_are_skipped():
    stream = bpg.encode(picture(24, 40), 30)
    header = 4 + 2 + 2  # magic, flags, width and height of one byte each
    body = stream[header + 1 :]
    block = b"\x01\x05Exif!" + b"\x02\x03ICC"
    flagged = stream[:5] + bytes([stream[5] | 8]) + stream[6:header]
    extended = flagged + b"\x00" + container.write_ue7(len(block)) + block + body
    assert (bpg.decode(extended) == bpg.decode(stream)).all()
    with_length = stream[:header] + container.write_ue7(len(body)) + body + b"anything"
    assert (bpg.decode(with_length) == bpg.decode(stream)).all()


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\0\0", b"\0\0\1\0\0\3\0\0\2", bytes(range(256)) * 2, b"\0\0\3\0\0\3"])
def test_escaping_is_undone_and_hides_every_start_code(payload):
    escaped = bits.escape(payload)
    assert bits.unescape(escaped) == payload
    assert not any(code in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_grey_files_decode_to_their_luma():
    luma = picture(48, 64)[..., 0]
    nals = hevc.encode_picture([luma], GREY, 4, 8)
    tools = sps.read_sps(next(nal for nal in nals if nal[0] >> 1 == sps.SPS)).to_bytes()
    kept = [nal for nal in nals if nal[0] >> 1 not in (sps.VPS, sps.SPS)]
    decoded = bpg.decode(container.write(Header(61, 47, GREY), tools, kept))
    assert decoded.shape == (47, 61, 3)
    assert (decoded == decoded[..., :1]).all() and psnr_db(decoded[..., 0], luma[:47, :61]) > 50


# Colour


def test_colour_arithmetic_is_the_rounded_matrix_and_comes_back_within_two():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    image[:2, :2] = [[[0, 0, 0], [255, 255, 255]], [[255, 0, 0], [0, 0, 255]]]
    y, cb, cr = colour.rgb_to_ycbcr(image)
    red, green, blue = np.moveaxis(image.astype(float), 2, 0)
    exact = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.abs(y - exact).max() <= 0.5001
    assert np.abs(cb - np.clip(128 + (blue - exact) / 1.772, 0, 255)).max() <= 0.5001
    assert np.abs(cr - np.clip(128 + (red - exact) / 1.402, 0, 255)).max() <= 0.5001
    back = colour.to_rgb([y, cb, cr], Header(64, 64))
    assert np.abs(back.astype(int) - image).max() <= 2


def test_rounding_costs_kodak_like_noise_about_53_db():
    image = np.random.default_rng(2).integers(0, 256, (256, 256, 3), np.uint8)
    assert 52.0 < psnr_db(image, colour.to_rgb(colour.rgb_to_ycbcr(image), Header(256, 256))) < 53.5


@pytest.mark.parametrize("pixel_format", [C420, C420_VIDEO])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (129, 65), (130, 64)])
def test_even_chroma_stays_even_at_half_size(size, pixel_format):
    height, width = size
    half = colour.halve_chroma(np.full(size, 77, np.uint8))
    assert half.shape == ((height + 1) // 2, (width + 1) // 2) and (half == 77).all()
    full = colour.upsample(half, Header(width, height, pixel_format), 0, height)
    assert full.shape == size and (full == 77).all()


def test_chroma_filters_do_not_depend_on_the_bands_they_work_in(monkeypatch):
    plane = np.random.default_rng(3).integers(0, 256, (150, 70), np.uint8)
    planes, header = [plane, colour.halve_chroma(plane), colour.halve_chroma(plane[::-1])], Header(70, 150, C420)
    image = colour.to_rgb(planes, header)
    monkeypatch.setattr(colour, "_ROWS", 1000)
    assert (colour.halve_chroma(plane) == planes[1]).all()
    assert (colour.to_rgb(planes, header) == image).all()


# Bad input


def test_what_is_not_coded_is_refused_by_name():
    stream = bytearray(bpg.encode(picture(16, 16), 30))
    cases = {(4, 0x10): "alpha plane", (5, 0x04): "CMYK", (5, 0x01): "animation", (5, 0x70): "reserved"}
    for (index, flag), words in cases.items():
        changed = bytearray(stream)
        changed[index] |= flag
        with pytest.raises(BitstreamError, match=words):
            bpg.decode(bytes(changed))
    with pytest.raises(BitstreamError, match="425047fb"):
        bpg.decode(b"\x89PNG and more")
    for qp, subsampling in ((52, "4:4:4"), (-1, "4:4:4"), (30.5, "4:4:4"), (30, "4:2:2")):
        with pytest.raises(UsageError, match=r"0\.\.51"):
            bpg.encode(picture(16, 16), qp, subsampling)


@pytest.mark.parametrize(
    ("width", "height"), [(1 << 16, 1 << 15), ((1 << 28) + 1, 1), (1 << 31, 1), (16384, 16384), (0, 5)]
)
def test_a_header_that_claims_too_many_pixels_is_refused_before_anything_is_allocated(width, height):
    _, tools, nals = container.read(bpg.encode(picture(64, 64), 40))
    with pytest.raises(BitstreamError, match=rf"the header claims {width} x {height}$"):
        bpg.decode(container.write(Header(width, height), tools, nals))


def test_a_picture_whose_data_ends_early_is_an_error():
    image = picture(256, 256)
    header, tools, nals = container.read(bpg.encode(image, 30))
    with pytest.raises(BitstreamError):
        bpg.decode(container.write(Header(header.width, 4 * header.height, C444), tools, nals))


def test_a_second_sps_in_the_data_cannot_change_the_size():
    header, tools, nals = container.read(bpg.encode(picture(64, 64), 30))
    intruders = sps.parameter_sets(sps.CodingTools.from_bytes(tools), 4096, 4096, 3, 8)
    assert bpg.decode(container.write(header, tools, [nals[0], *intruders, *nals[1:]])).shape == (64, 64, 3)


FUZZ = """
import random, sys, time
from bench.errors import BitstreamError
from codecs_wrappers.native import bpg
from codecs_wrappers.native.bpg import container
files = [open(name, "rb").read() for name in sys.argv[3:]]
rng, count = random.Random(int(sys.argv[1])), int(sys.argv[2])
pictures = errors = 0
for index in range(count):
    data, kind = bytearray(rng.choice(files)), index % 5
    if kind == 0:
        data = data[: rng.randrange(len(data))]
    elif kind == 1:
        for _ in range(rng.choice((1, 2, 8, 64))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        for _ in range(rng.choice((1, 2, 4))):
            data[rng.randrange(min(24, len(data)))] = rng.randrange(256)
    elif kind == 3:
        data = data[:6] + rng.randbytes(rng.randrange(400))
    else:
        start = rng.randrange(len(data))
        stop = rng.randrange(start, len(data))
        data = data[:start] + data[stop:] if rng.random() < 0.5 else data[:stop] + data[start:]
    begun = time.monotonic()
    try:
        image = bpg.decode(bytes(data))
        header = container.read(bytes(data))[0]
        assert image.shape == (header.height, header.width, 3), (index, image.shape, header)
        assert (bpg.decode(bytes(data)) == image).all(), f"mutation {index} decodes to other pixels each time"
        pictures += 1
    except BitstreamError:
        errors += 1
    assert time.monotonic() - begun < 4, f"mutation {index} takes over 2 s a decode"
print(pictures, errors)
"""


def test_mutated_files_give_an_error_or_a_picture_of_the_headers_size(tmp_path):
    """RDBENCH_FUZZ=2000 for more mutations. In a process of its own, with its memory limited: a crash is a failure."""
    names = [str(path) for path in sorted(FIXTURES.glob("kodim23_*x*.bpg"))] if FIXTURES.is_dir() else []
    for shape in ((33, 47), (96, 128)):
        for subsampling in ("4:4:4", "4:2:0"):
            path = tmp_path / f"{shape[0]}_{subsampling[-1]}.bpg"
            path.write_bytes(bpg.encode(picture(*shape), random.Random(shape[0]).randrange(20, 40), subsampling))
            names.append(str(path))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
    command = [sys.executable, "-c", limit + FUZZ, "20261121", str(MUTATIONS), *names]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    pictures, errors = map(int, result.stdout.split())
    assert pictures + errors == MUTATIONS
    assert min(pictures, errors) > MUTATIONS // 10


# The reference binaries, played by a script that calls our own coder


@pytest.fixture
def fake_binaries(tmp_path, monkeypatch):
    script = (
        f"#!{sys.executable}\n"
        "import sys\nsys.path.insert(0, {root!r})\nimport numpy as np\nfrom PIL import Image\n"
        "from codecs_wrappers.native import bpg\narguments = sys.argv\n{body}"
    )
    bodies = {
        "bpgenc": (
            "if '-h' in arguments:\n    print('BPG Image Encoder version 0.9.8'); sys.exit(1)\n"
            "given = dict(zip(arguments[1:-1:2], arguments[2:-1:2]))\n"
            "image = np.asarray(Image.open(arguments[-1]))\n"
            "stream = bpg.encode(image, int(given['-q']), ':'.join(given['-f']))\n"
            "open(given['-o'], 'wb').write(stream)\n"
        ),
        "bpgdec": "Image.fromarray(bpg.decode(open(arguments[3], 'rb').read())).save(arguments[2])\n",
    }
    for name, body in bodies.items():
        path = tmp_path / name
        path.write_text(script.format(root=str(ROOT), body=body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_reference_codecs_run_the_binaries_on_the_path(fake_binaries):
    image = picture(24, 40)
    codec, ours = load("bpg420_ref"), load("bpg420")
    assert codec.available() == (True, "")
    assert codec.version().startswith("bpgenc 0.9.8;")
    stream = codec.encode(image, codec.point("q37"))
    assert stream == ours.encode(image, ours.point("q37"))
    assert (codec.decode(stream) == ours.decode(stream)).all()
    with pytest.raises(BitstreamError, match="425047fb"):  # from the decoder's stderr
        codec.decode(b"not BPG")


def test_reference_codecs_say_why_they_are_unavailable(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert load("bpg444_ref").available() == (False, "bpgenc and bpgdec not on the PATH")


def test_a_command_that_hangs_or_writes_nothing_is_reported():
    class Sleeper(CommandCodec):
        name, extension, timeout_s = "sleeper", ".bin", 0.3
        encoder = decoder = (sys.executable, "-c", "import time; time.sleep(9)")

    class Idler(Sleeper):
        name, timeout_s = "idler", 60
        encoder = decoder = (sys.executable, "-c", "pass")

    point = load("bpg444").points[0]
    with pytest.raises(RdbenchError, match="no result after"):
        Sleeper().encode(picture(8, 8), point)
    with pytest.raises(RdbenchError, match="wrote no"):
        Idler().encode(picture(8, 8), point)
    with pytest.raises(BitstreamError, match="wrote no"):
        Idler().decode(b"x")
