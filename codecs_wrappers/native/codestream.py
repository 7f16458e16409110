"""Prefixes of a layered JPEG 2000 codestream as whole codestreams that any decoder reads (ISO/IEC 15444-1).

A codestream in LRCP order is a header and packets: of each quality layer, each resolution, each component. A decoder
that is given a cut inside a packet loses up to 2.7 dB against a cut at its end, or refuses the file. So the packets
that are whole are found by parsing their headers, the layer that they begin is completed with empty packets (a zero
byte each), and the counts in the header are set to what is there. Nothing is added to the codestream itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product

from bench.errors import BitstreamError
from bench.limits import pixel_count_fault
from codecs_wrappers.native.markers import segments
from codecs_wrappers.native.packets import Precinct

START, END = b"\xff\x4f\xff\x51", b"\xff\xd9"  # SOC and SIZ; EOC
SIZ, COD, SOT, SOD = 0xFF51, 0xFF52, 0xFF90, b"\xff\x93"
SIZE_ENDS = 24  # bytes up to the size and the offset of the image
MAX_SIDE = 1 << 15  # a longer one has several precincts
_EMPTY = b"\0"
_COMPONENTS = 3


def size(data: bytes) -> tuple[int, int]:
    """Height and width of a codestream or prefix.

    Raises BitstreamError for what is none, for a prefix without them, and for more pixels than are decoded.
    """
    if not data.startswith(START[: len(data)]) or not data:
        raise BitstreamError(f"decoding JPEG 2000: expected a codestream, which begins {START!r}, got {data[:4]!r}")
    if len(data) < SIZE_ENDS:
        raise BitstreamError(
            f"decoding JPEG 2000: the prefix of {len(data)} bytes ends before the size, at byte {SIZE_ENDS}; "
            "a longer prefix is needed"
        )
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    height, width = max(0, bottom - top), max(0, right - left)
    if fault := pixel_count_fault(height, width, len(data)):
        raise BitstreamError(f"decoding JPEG 2000: {fault}")
    return height, width


@dataclass(frozen=True)
class _Tile:
    """Where a codestream's only tile-part stands: its marker, its end by its own count (0: none), its packets."""

    at: int
    end: int
    packets_at: int


def whole(data: bytes) -> bytes | None:
    """``data`` if it is a whole codestream, else one of the whole packets in it; None where it has none.

    Raises BitstreamError for a prefix of a codestream that this project's encoder does not write.
    """
    segment = {marker: (start, end) for marker, start, end in segments(data, 2, SOT)}
    if SOT not in segment or len(data) < segment[SOT][1] + 2:
        return None
    tile = _tile(data, *segment[SOT])
    if data[tile.end : tile.end + 2] == END:
        return data
    levels, layers_at = _checked(data, segment)
    ends = _packet_ends(data, tile.packets_at, levels, int.from_bytes(data[layers_at : layers_at + 2]))
    if not ends:
        return None
    a_layer = _COMPONENTS * (levels + 1)
    layers = -(-len(ends) // a_layer)
    body = data[tile.packets_at : ends[-1]] + _EMPTY * (layers * a_layer - len(ends))
    made = bytearray(data[: tile.packets_at])
    struct.pack_into(">H", made, layers_at, layers)
    struct.pack_into(">I", made, tile.at + 6, tile.packets_at - tile.at + len(body))
    return bytes(made) + body + END


def packet_ends(data: bytes) -> list[int]:
    """Where each packet of a codestream of this project's encoder ends, in bytes."""
    segment = {marker: (start, end) for marker, start, end in segments(data, 2, SOT)}
    levels, layers_at = _checked(data, segment)
    layers = int.from_bytes(data[layers_at : layers_at + 2])
    return _packet_ends(data, _tile(data, *segment[SOT]).packets_at, levels, layers)


def _packet_ends(data: bytes, at: int, levels: int, layers: int) -> list[int]:
    height, width = size(data)
    order = product(range(levels + 1), range(_COMPONENTS))
    precincts = [Precinct(height, width, levels, resolution) for resolution, _ in order]
    ends: list[int] = []
    for layer, precinct in product(range(layers), precincts):
        end = precinct.skip(data, at, layer)
        if end is None:
            break
        ends.append(at := end)
    return ends


def _tile(data: bytes, start: int, end: int) -> _Tile:
    if end - start != 8:
        raise _other(f"its first tile-part has a header of {end - start} bytes instead of 8")
    tile, length, part = struct.unpack_from(">HIB", data, start)
    if (tile, part) != (0, 0):
        raise _other(f"it begins with tile {tile}, part {part}")
    return _Tile(start - 4, start - 4 + length, end + len(SOD))


def _checked(data: bytes, segment: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many wavelet levels there are, and where the number of layers stands, in a header that our encoder writes."""
    height, width = size(data)
    if {SIZ, COD} - set(segment):
        raise _other("its header has no SIZ or no COD segment")
    (siz, siz_end), (cod, cod_end), packets_at = segment[SIZ], segment[COD], segment[SOT][1]
    if siz_end - siz != 36 + 3 * _COMPONENTS or cod_end - cod != 10:
        raise _other("it has not three components, or it has precincts")
    sides = struct.unpack_from(">8I", data, siz + 2)
    if sides != (width, height, 0, 0, width, height, 0, 0) or max(height, width) > MAX_SIDE:
        raise _other("it has several tiles or precincts")
    if data[siz + 36 : siz_end] != b"\x07\x01\x01" * _COMPONENTS:
        raise _other("its components are not of 8 bits and full size")
    style, order, _, _, levels, *blocks = struct.unpack_from(">BBHBBBBB", data, cod)
    if (style, order, *blocks) != (0, 0, 4, 4, 0) or levels > 5:
        raise _other("its order is not LRCP, or its code-blocks are not 64 x 64")
    if data[packets_at : packets_at + 2] != SOD:
        raise _other("its tile-part has further markers")
    return levels, cod + 2


def _other(why: str) -> BitstreamError:
    return BitstreamError(f"decoding a prefix of JPEG 2000: {why}; only rdbench's own layered codestreams can be cut")
