"""What every learned bitstream begins and ends with: a header that identifies it, and a checksum over the integers.

| bytes | content |
|---|---|
| 3 | magic, ``rdL`` |
| 1 | version of the format |
| 1 | scheme, plus 128 if the payload is the picture itself (stored.py) |
| 2 + 2 | height and width of the image, big-endian |
| 4 | model: the first bytes of the sha256 of its weights file |
| 4 | tables: the first bytes of the digest of the integer tables that code the payload |
| 4 | length of the payload including the checksum |
| 1 + n | length of the scheme's parameters, and the parameters |
| 2 | CRC-16 (CCITT) of all the above |

The payload follows, and its last four bytes are a CRC-32 over the decoded integers (symbols, quantised means, scale
indices): a decoder whose integers differ from the encoder's raises instead of showing noise.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from bench.errors import BitstreamError, UsageError
from bench.limits import max_pixels, pixel_count_fault

MAGIC = b"rdL"
FORMAT = 1
SCHEMES = (
    "mean_scale",
    "naive_scaling",
    "qsf",
    "nested_dropout",
    "plonq",
    "stanh",
    "resgdn",
)  # the index is the code
STORED = 0x80  # flag in the scheme's byte: the payload is the picture itself, lossless (stored.py)
STORABLE = frozenset(("mean_scale", "naive_scaling", "qsf", "stanh"))
MAX_SIDE = 0xFFFF
MAX_PIXELS = 1 << 26  # 67 megapixels: a forged header must not exhaust memory
CHECKSUM_BYTES = 4
_FIELDS = struct.Struct(">3sBBHH4s4sIB")
_CRC = struct.Struct(">H")


@dataclass(frozen=True)
class Header:
    """The fields of a header. model, tables: 4 bytes each; parameters: at most 255 bytes of the scheme's own."""

    scheme: str
    height: int
    width: int
    model: bytes
    tables: bytes
    parameters: bytes = b""
    payload_bytes: int = 0
    stored: bool = False

    @property
    def size(self) -> int:
        """Of the written header, in bytes."""
        return _FIELDS.size + len(self.parameters) + _CRC.size

    def write(self) -> bytes:
        """The header's bytes. Raises UsageError for an image of more pixels than the format allows."""
        check_size(self.height, self.width)
        fixed = _FIELDS.pack(
            MAGIC,
            FORMAT,
            SCHEMES.index(self.scheme) | STORED * self.stored,
            self.height,
            self.width,
            self.model,
            self.tables,
            self.payload_bytes,
            len(self.parameters),
        )
        return fixed + self.parameters + _CRC.pack(binascii.crc_hqx(fixed + self.parameters, 0xFFFF))


def check_size(height: int, width: int) -> None:
    """Raises UsageError for an image that a header cannot describe."""
    if max(height, width) > MAX_SIDE or height * width > max_pixels(MAX_PIXELS):
        raise UsageError(
            f"encoding with a learned codec: {width} x {height} is too large; the format holds sides up to {MAX_SIDE} "
            f"and {max_pixels(MAX_PIXELS)} pixels; tile the image"
        )


def read(bitstream: bytes, scheme: str) -> Header:
    """The header of a bitstream of ``scheme``; the payload begins at ``header.size``.

    Raises BitstreamError for another format, version or scheme, and for a truncated or corrupt header.
    """
    if bitstream[: len(MAGIC)] != MAGIC[: len(bitstream)] or not bitstream:
        raise BitstreamError(f"decoding {scheme}: this is not a learned bitstream: it does not begin with {MAGIC!r}")
    if len(bitstream) > len(MAGIC) and bitstream[len(MAGIC)] != FORMAT:
        raise BitstreamError(
            f"decoding {scheme}: the bitstream has format version {bitstream[len(MAGIC)]}, this decoder reads version "
            f"{FORMAT}; decode it with the release that made it"
        )
    if len(bitstream) < _FIELDS.size:
        raise BitstreamError(f"decoding {scheme}: truncated inside the header, after {len(bitstream)} bytes")
    *_, number, height, width, model, tables, payload, length = _FIELDS.unpack_from(bitstream)
    end = _FIELDS.size + length
    if len(bitstream) < end + _CRC.size:
        raise BitstreamError(f"decoding {scheme}: truncated inside the header, after {len(bitstream)} bytes")
    if binascii.crc_hqx(bitstream[:end], 0xFFFF) != _CRC.unpack_from(bitstream, end)[0]:
        raise BitstreamError(f"decoding {scheme}: the header is corrupt: its checksum does not match")
    stored, place = bool(number & STORED), number & ~STORED
    found = SCHEMES[place] if place < len(SCHEMES) else f"unknown scheme {number}"
    if found != scheme:
        raise BitstreamError(f"decoding {scheme}: the bitstream is of {found}; decode it with that codec")
    if stored and (scheme not in STORABLE or model != bytes(4) or tables != bytes(4)):
        raise BitstreamError(
            f"decoding {scheme}: the header describes a stored picture that no encoder of {scheme} writes"
        )
    if fault := pixel_count_fault(height, width, len(bitstream), MAX_PIXELS):
        raise BitstreamError(f"decoding {scheme}: {fault}")
    return Header(found, height, width, model, tables, bitstream[_FIELDS.size : end], payload, stored)


def payload(bitstream: bytes, header: Header) -> bytes:
    """The whole payload, without its checksum. Raises BitstreamError if bytes are missing or left over."""
    got = len(bitstream) - header.size
    if got != header.payload_bytes:
        fault = "truncated" if got < header.payload_bytes else "followed by something else"
        raise BitstreamError(
            f"decoding {header.scheme}: the bitstream is {fault}: its payload has {got} bytes, the header says "
            f"{header.payload_bytes}"
        )
    return bitstream[header.size : len(bitstream) - CHECKSUM_BYTES]


def check_tables(header: Header, tables: bytes) -> None:
    """Raises BitstreamError if this installation's tables are not those the bitstream was coded with."""
    if header.tables != tables[:4]:
        raise BitstreamError(
            f"decoding {header.scheme}: the bitstream was coded with tables {header.tables.hex()}, this installation "
            f"builds {tables[:4].hex()}; decode it with the release that made it"
        )


def checksum(*integers: np.ndarray) -> bytes:
    """CRC-32 over integer arrays, each as little-endian int32 in C order."""
    crc = 0
    for array in integers:
        crc = zlib.crc32(np.ascontiguousarray(array, "<i4").data, crc)
    return crc.to_bytes(CHECKSUM_BYTES, "big")


def check_checksum(bitstream: bytes, header: Header, *integers: np.ndarray) -> None:
    """Raises BitstreamError if the integers are not those the encoder had."""
    if checksum(*integers) != bitstream[-CHECKSUM_BYTES:]:
        raise BitstreamError(
            f"decoding {header.scheme}: the checksum over symbols, means and scale indices does not match: the payload "
            "is corrupt, or this machine computes the entropy parameters differently"
        )
