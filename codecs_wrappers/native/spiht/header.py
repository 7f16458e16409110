"""The header of a SPIHT stream: what the decoder must know before the first decision."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import BitstreamError
from bench.limits import pixel_count_fault

MAGIC = b"SP"
FORMAT = 1
MAX_PIXELS = 1 << 26  # 67 megapixels: the limit of 32-bit list entries, and about 2.5 GB of memory
MAX_LEVELS = 6
MAX_PLANES = 24  # 255 * 2^6 (gain of the low-pass band) * 1.81 (colour weight) * 4 (fixed point) < 2^17
SHORTEST = 7


@dataclass(frozen=True)
class Header:
    """Height and width in pixels, wavelet levels, magnitude bit-planes coded, and whether decisions are range-coded.

    In bytes: magic (2), format in the high nibble and flags in the low one (1), levels in the high 3 bits and planes in
    the low 5 (1), height and width as LEB128 (1 to 4 each), CRC-8 of all of it (1). A Kodak image has 9 bytes.
    """

    height: int
    width: int
    levels: int
    planes: int
    arithmetic: bool

    def pack(self) -> bytes:
        """The header as bytes."""
        fixed = bytes((FORMAT << 4 | int(self.arithmetic), self.levels << 5 | self.planes))
        body = MAGIC + fixed + _leb128(self.height) + _leb128(self.width)
        return body + bytes((_crc8(body),))


def parse(bitstream: bytes) -> tuple[Header, int]:
    """The header of a stream and its length in bytes.

    Raises BitstreamError for a prefix that ends inside the header, for other formats or corrupt bytes, and for a size
    above MAX_PIXELS.
    """
    if not bitstream:
        raise BitstreamError("decoding SPIHT: the stream is empty; its header alone has 7 to 13 bytes")
    if bitstream[:2] != MAGIC[: len(bitstream)]:
        raise BitstreamError(
            f"decoding SPIHT: expected a stream beginning {MAGIC!r}, got {bytes(bitstream[:2])!r}: not a SPIHT file"
        )
    if len(bitstream) < SHORTEST:
        raise _cut(bitstream)
    version, flags = bitstream[2] >> 4, bitstream[2] & 15
    if version != FORMAT or flags > 1:
        raise BitstreamError(
            f"decoding SPIHT: expected format {FORMAT} with flags 0 or 1, got format {version} with flags {flags}"
        )
    levels, planes = bitstream[3] >> 5, bitstream[3] & 31
    height, at = _read_leb128(bitstream, 4)
    width, at = _read_leb128(bitstream, at)
    if at >= len(bitstream):
        raise _cut(bitstream)
    if bitstream[at] != _crc8(bitstream[:at]):
        raise BitstreamError("decoding SPIHT: the header's CRC-8 does not match: the file is corrupted or not SPIHT")
    if fault := pixel_count_fault(height, width, len(bitstream), MAX_PIXELS):
        raise BitstreamError(f"decoding SPIHT: {fault}")
    if levels != levels_for(height, width) or planes > MAX_PLANES:
        raise BitstreamError(
            f"decoding SPIHT: expected {levels_for(height, width)} levels and at most {MAX_PLANES} bit-planes at "
            f"{width} x {height}, got {levels} levels and {planes} bit-planes"
        )
    return Header(height, width, levels, planes, bool(flags)), at + 1


def levels_for(height: int, width: int) -> int:
    """Wavelet levels by size: as many as leave 4 samples of the short side, at most 6 (6 for Kodak)."""
    return max(0, min(MAX_LEVELS, min(height, width).bit_length() - 3))


def _leb128(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_leb128(bitstream: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 28, 7):
        if at >= len(bitstream):
            raise _cut(bitstream)
        byte = bitstream[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise BitstreamError(
        "decoding SPIHT: the header claims a side of 2^28 pixels or more, at most "
        f"{MAX_PIXELS} pixels in all are decoded"
    )


def _cut(bitstream: bytes) -> BitstreamError:
    return BitstreamError(
        f"decoding SPIHT: the prefix of {len(bitstream)} bytes ends inside the header of {SHORTEST} to 13; "
        "a longer prefix is needed"
    )


def _crc8(data: bytes) -> int:
    """CRC-8, polynomial x^8 + x^2 + x + 1 (as in ITU-T I.432.1), initial value 0: detects any change within 8 bits."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x107 if crc & 128 else 0)) & 255
    return crc
