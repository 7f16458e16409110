"""The pages of docs/formats as data: the tables of their fields, their Python, their checksums."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any

import numpy as np
from conftest import ROOT

FORMATS = ROOT / "docs" / "formats"
STREAMS = ROOT / "tests" / "fixtures" / "bitstreams"


def fields(page: str, number: int, bitstream: bytes, **known: Any) -> tuple[dict[str, Any], bytes]:
    """The fields of the page's table ``number`` (from 0) with a column `bytes`, and what follows them."""
    table = re.findall(r"^\| bytes \| type \|.*\n\|[-|]+\n((?:\|.*\n)+)", (FORMATS / page).read_text(), re.M)[number]
    found = dict(known)
    for row in table.splitlines():
        size, kind, name = (cell.strip() for cell in row.strip("|").split("|")[:3])
        if kind == "leb128":
            length = next(place for place, byte in enumerate(bitstream, 1) if byte < 128)
        else:
            length = len(bitstream) if size == "rest" else eval(size, {}, found)
        part, bitstream = bitstream[:length], bitstream[length:]
        assert len(part) == length
        match kind:
            case "ascii":
                found[name] = part.decode()
            case "unsigned" | "signed":
                found[name] = int.from_bytes(part, "big", signed=kind == "signed")
            case "leb128":
                found[name] = sum((byte & 127) << 7 * place for place, byte in enumerate(part))
            case "pairs":
                found[name] = list(zip(part[::2], part[1::2], strict=True))
            case "channels":
                found[name] = list(struct.iter_unpack(">fB", part))
            case "raw":
                found[name] = part
            case _:
                raise AssertionError(f"{page}: no type is called {kind}")
    return found, bitstream


def python_of(*pages: str) -> dict[str, Any]:
    """What the Python of these pages, run one after another, defines."""
    names: dict[str, Any] = {}
    for page in pages:
        for block in re.findall(r"^```python\n(.*?)^```", (FORMATS / page).read_text(), re.M | re.S):
            exec(compile(block, page, "exec"), names)
    return names


def crc16(part: bytes) -> int:
    """CRC-16 by the page's words: polynomial 0x1021, start 0xFFFF, not reflected."""
    crc = 0xFFFF
    for byte in part:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


def crc32(*arrays: Any) -> bytes:
    """CRC-32 over arrays of integers, each as little-endian int32."""
    return zlib.crc32(b"".join(np.asarray(array, "<i4").tobytes() for array in arrays)).to_bytes(4, "big")
