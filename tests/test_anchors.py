"""The anchors beyond the papers: heic, HTJ2K, JPEG XR, vvc420, VTM's command wrapper.

What all codecs promise is in test_contract.
"""

import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.discovery import load
from bench.errors import BitstreamError
from codecs_wrappers.native.bpg import colour
from codecs_wrappers.native.bpg.container import C420, Header

ROOT = Path(__file__).parent.parent


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture with an edge and a little noise, uint8 H x W x 3."""
    y, x = np.mgrid[0:height, 0:width]
    rng = np.random.default_rng(7)
    planes = [128 + 90 * np.sin(x / 9 + c) + 30 * (y > height // 2) for c in range(3)]
    return np.clip(np.stack(planes, -1) + rng.normal(0, 3, (height, width, 3)), 0, 255).astype(np.uint8)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(1e-10, np.mean((a.astype(float) - b) ** 2)))


def needs(name: str):
    runs, reason = load(name).available()
    return pytest.mark.skipif(not runs, reason=reason)


@needs("heic")
def test_heic_codes_chroma_at_full_size_and_in_full_range():
    """Columns that differ in chroma only survive 4:4:4 and blur in 4:2:0; extremes survive full range."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 0::2], image[:, 1::2] = (255, 0, 0), (0, 0, 255)
    image[:8], image[24:] = 0, 255
    codec = load("heic")
    decoded = codec.decode(codec.encode(image, codec.points[-1]))
    assert psnr_db(image, decoded) > 35
    assert decoded[:4].max() < 6 and decoded[28:].min() > 249


@needs("vvc420")
def test_vvc420_converts_within_the_ceiling_of_its_colour_conversion():
    """On grey, chroma does not count: what is lost is VVC's quantisation and BPG's rounding."""
    image = np.repeat(picture(40, 56)[..., :1], 3, 2)
    codec = load("vvc420")
    streams = [codec.encode(image, point) for point in codec.points[::3]]
    quality = [psnr_db(image, codec.decode(stream)) for stream in streams]
    assert [len(stream) for stream in streams] == sorted(len(stream) for stream in streams)
    assert quality == sorted(quality) and quality[-1] > 43


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_conversion_at_more_bits_is_closer_to_reversible(bit_depth):
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    planes = colour.rgb_to_ycbcr(image, bit_depth)
    back = colour.to_rgb(planes, Header(64, 64, bit_depth=bit_depth))
    assert planes[0].max() < 1 << bit_depth
    assert (psnr_db(image, back) > 90) == (bit_depth > 8)  # CODECS.md: 53 dB at 8 bit, lossless at 10
    flat = np.full((5, 7), 3 << (bit_depth - 3), planes[0].dtype)
    half = colour.halve_chroma(flat, bit_depth)
    assert half.dtype == flat.dtype and (half == flat[0, 0]).all()
    assert (colour.upsample(half, Header(7, 5, C420, bit_depth), 0, 5) == flat[0, 0]).all()


FUZZ = """
import random, sys, time
from bench.discovery import load
codec = load(sys.argv[1])
stream = sys.stdin.buffer.read()
rng = random.Random(5)
for index in range(int(sys.argv[2])):
    data = bytearray(stream)
    if index % 3 == 0:
        data = data[: rng.randrange(len(data))]
    elif index % 3 == 1:
        for _ in range(rng.choice((1, 4, 16))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        data = data[: rng.randrange(8)] + rng.randbytes(rng.randrange(300))
    begun = time.monotonic()
    try:
        image = codec.decode(bytes(data))
        assert image.ndim == 3 and image.shape[2] == 3 and image.size < 1 << 26, (index, image.shape)
    except Exception as error:
        assert not isinstance(error, (AssertionError, MemoryError)), (index, error)
    assert time.monotonic() - begun < 5, index
"""


STANDARD = ("heic", "htj2k", "jpegxr", "jpegls", "jpegxl_lossless", "jpeg2000_embedded", "jpeg_progressive")


@pytest.mark.parametrize(("name", "count"), [*((name, 200) for name in STANDARD), ("vvc420", 12)])
def test_damaged_files_crash_nothing(name, count):
    """In a process of its own with 4 GB: a crash or a memory blow-up is a failure. vvc420 starts ffmpeg each time."""
    codec = load(name)
    if not codec.available()[0]:
        pytest.skip(codec.available()[1])
    stream = codec.encode(picture(33, 47), codec.points[len(codec.points) // 2])
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
    result = subprocess.run(
        [sys.executable, "-c", limit + FUZZ, name, str(count)], input=stream, capture_output=True, timeout=120, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr.decode()[-1500:]


@needs("vvc420")
def test_vvc420_refuses_sizes_its_data_cannot_hold_before_it_starts_ffmpeg():
    codec = load("vvc420")
    with pytest.raises(BitstreamError, match="got 268435455 x 268435455"):
        codec.decode(b"\xff\xff\xff\x7f\xff\xff\xff\x7f" + bytes(50))
    with pytest.raises(BitstreamError, match="vvc420"):
        codec.decode(b"\x80")


@pytest.fixture
def fake_vtm(tmp_path, monkeypatch):
    """Binaries with VTM's arguments that keep the samples as they are."""
    head = f"#!{sys.executable}\nimport shutil, sys\na = sys.argv[1:]\n"
    bodies = {
        "EncoderAppStatic": (
            "assert a[a.index('-q') + 1] == '32' and '--InputChromaFormat=444' in a\n"
            "across, down = (int(a[a.index(o) + 1]) for o in ('-wdt', '-hgt'))\n"
            "data = open(a[a.index('-i') + 1], 'rb').read()\n"
            "assert len(data) == 3 * across * down, (len(data), across, down)\n"
            "open(a[a.index('-b') + 1], 'wb').write(data)\n"
        ),
        "DecoderAppStatic": (
            "if not a: print('VVCSoftware: VTM Decoder Version 23.4 [Linux]'); sys.exit(1)\n"
            "shutil.copy(a[a.index('-b') + 1], a[a.index('-o') + 1])\n"
        ),
    }
    for name, body in bodies.items():
        path = tmp_path / name
        path.write_text(head + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    configuration = tmp_path / "encoder_intra_vtm.cfg"
    configuration.write_text("")
    monkeypatch.setenv("VTM_CONFIG", str(configuration))


def test_vtm_gets_padded_444_samples_and_its_output_becomes_the_picture(fake_vtm):
    codec = load("vtm444")
    assert codec.available() == (True, "")
    assert codec.version().startswith("DecoderAppStatic 23.4")
    for shape in ((1, 1), (17, 33), (40, 64)):
        image = picture(*shape)
        stream = codec.encode(image, codec.point("q32"))
        assert psnr_db(image, codec.decode(stream)) > 49
    with pytest.raises(BitstreamError, match=r"expected \d+ samples"):
        codec.decode(stream[: random.Random(1).randrange(100, 1000)])


def test_vtm_says_why_it_is_unavailable(fake_vtm, monkeypatch):
    monkeypatch.delenv("VTM_CONFIG")
    assert load("vtm444").available() == (
        False,
        "VTM_CONFIG names no file; set it to the path of VTM's encoder_intra_vtm.cfg",
    )
    monkeypatch.setenv("PATH", "")
    assert load("vtm444").available() == (False, "EncoderAppStatic and DecoderAppStatic not on the PATH")
