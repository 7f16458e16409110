"""What a bitstream may claim: a few forged bytes take neither the machine's memory nor its time."""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from conftest import ROOT, shell

from bench import limits
from bench.codec import Embedded
from bench.discovery import codecs, load
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.native import codemap
from codecs_wrappers.native.bpg import container
from codecs_wrappers.native.spiht.header import Header, levels_for

EMBEDDED = ["spiht", "spiht_bu", "plonq", "nested_dropout", "jpeg2000_embedded", "jpeg_progressive"]
DECODE = """
import json, sys, time
from bench.discovery import load
from bench.run.worker import _peak_rss_mib  # this program's own, where ru_maxrss begins with the parent's
codec, data = load(sys.argv[1]), bytes.fromhex(sys.argv[2])
codec.prepare()
codec.decode(codec.encode(__import__("numpy").zeros((16, 16, 3), "uint8"), codec.points[0]))  # compiled and loaded
before, start = _peak_rss_mib(), time.perf_counter()
try:
    told = str(codec.decode(data).shape)
except ValueError as error:
    told = str(error)
print(json.dumps({"told": told, "mib": _peak_rss_mib() - before, "s": time.perf_counter() - start}))
"""


def forged(name: str, height: int, width: int) -> bytes:
    """The first bytes of a bitstream of ``name`` whose header, in order in itself, claims that size."""
    if name == "jpeg2000_embedded":
        stream = bytearray(load(name).encode_full(np.zeros((16, 16, 3), np.uint8))[:400])
        struct.pack_into(">II", stream, 8, width, height)
        struct.pack_into(">II", stream, 24, width, height)  # the tile
        return bytes(stream)
    if name == "jpeg_progressive":
        stream = bytearray(load(name).encode_full(np.zeros((16, 16, 3), np.uint8))[:300])
        struct.pack_into(">HH", stream, 25, height, width)
        return bytes(stream)
    if name.startswith("spiht"):
        return Header(height, width, levels_for(height, width), 12, name == "spiht").pack() + b"\x55"
    from codecs_wrappers.learned import bitstream as stream

    codec = load(name)
    if not codec.available()[0]:
        pytest.skip(codec.available()[1])
    small = np.zeros((16, 16, 3), np.uint8)
    whole = codec.encode_full(small) if isinstance(codec, Embedded) else codec.encode(small, codec.points[0])
    found = stream.read(whole, codec.scheme)
    return dataclasses.replace(found, height=height, width=width, payload_bytes=0).write()


def decoded(name: str, data: bytes, **environment: str) -> dict:
    command = [sys.executable, "-c", DECODE, name, data.hex()]
    done = subprocess.run(command, cwd=ROOT, env={**shell(), **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", EMBEDDED + ["mean_scale", "stanh", "resgdn_base"])
@pytest.mark.parametrize(("height", "width"), [(8192, 8192), (1 << 13, (1 << 11) + 1)])
def test_a_few_bytes_that_claim_many_pixels_are_refused_at_once(name, height, width):
    told = rf"{height * width} pixels; expected 1 to {1 << 24} for \d+ bytes .*MAX_PIXELS"
    with pytest.raises(BitstreamError, match=told):
        load(name).decode(forged(name, height, width))


@pytest.mark.parametrize("name", ["jpeg2000_embedded", "jpeg_progressive"])
def test_the_largest_picture_that_a_few_bytes_may_claim_takes_bounded_memory_and_time(name):
    found = decoded(name, forged(name, 4096, 4096))
    assert found["mib"] < 1200 and found["s"] < 20, found


@pytest.mark.slow
def test_the_narrowest_picture_that_a_prefix_may_claim_costs_no_more_memory_than_a_square_one():
    """A side under 8 has no wavelet levels: every pixel is a root, which took 6 GiB for 10 bytes."""
    for height, width in ((4096, 4096), (7, (1 << 24) // 7)):
        found = decoded("spiht", forged("spiht", height, width))
        assert found["told"] == f"({height}, {width}, 3)"
        assert found["mib"] < 800 and found["s"] < 20


def test_the_limit_can_be_set_and_a_wrong_setting_is_refused(monkeypatch):
    assert limits.pixel_count_fault(8192, 8192, 24) and not limits.pixel_count_fault(8192, 8192, 2048)
    monkeypatch.setenv(limits.VARIABLE, str(1 << 26))
    assert not limits.pixel_count_fault(8192, 8192, 24)
    monkeypatch.setenv(limits.VARIABLE, "1000")
    assert limits.pixel_count_fault(40, 40, 10**6)
    with pytest.raises(UsageError, match="1000"):
        load("bpg444").encode(np.zeros((40, 40, 3), np.uint8), load("bpg444").points[0])
    monkeypatch.setenv(limits.VARIABLE, "1 GB")
    with pytest.raises(UsageError, match=r"reading RDBENCH_MAX_PIXELS: expected a number of pixels.*got '1 GB'"):
        limits.pixel_count_fault(4, 4, 10)


def test_a_bpg_file_may_claim_no_more_than_the_limit():
    header = container.write(container.Header(1 << 14, (1 << 12) + 1), b"", [bytes(3000)])
    with pytest.raises(BitstreamError, match=f"expected 1..{1 << 26} pixels"):
        load("bpg444").decode(header)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_code_map_s_symbols_are_bounded_by_its_bytes_and_depth(bits):
    """Each symbol has a decision a bit, and none costs less than 0.00035 bits."""
    side = 1 << 10
    planes = int(8 * 410 / 0.00035 / bits / side / side) + 2
    stream = bytes([0x10 | bits - 1]) + codemap._number(planes) + codemap._number(side) * 2 + bytes(400)
    with pytest.raises(BitstreamError, match="cannot hold"):
        codemap.decode(stream)
    even = np.zeros((128, 128, 2), np.uint8)
    assert np.array_equal(codemap.decode(codemap.encode(even, bits, "context")), even)


def test_a_picture_without_pixels_is_refused_by_every_format_of_ours():
    grey = b"RDG1" + struct.pack(">II", 0, 5) + bytes(3)
    for name, data in (
        ("grey", grey + struct.pack(">I", zlib.crc32(grey))),
        ("bpg444", container.write(container.Header(0, 5), b"", [bytes(30)])),
        ("spiht", Header(0, 5, 0, 4, True).pack() + bytes(9)),
        ("mean_scale", forged("mean_scale", 0, 5)),
    ):
        with pytest.raises(BitstreamError, match=r"0 x 5|5 x 0"):
            load(name).decode(data)


def test_every_embedded_codec_is_among_those_tried():
    tried = set(EMBEDDED)
    tried |= {"plonq_best"}  # plonq's decoder
    assert {c.name for c in codecs().values() if isinstance(c, Embedded) and c.role == "codec"} - tried <= {"plonq_zoo"}
