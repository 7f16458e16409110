"""Marker segments, of which JPEG, JPEG-LS and JPEG 2000 files are made: a marker, a length, and what it covers."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def segments(data: bytes, at: int, last: int) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment from byte ``at`` on, the first of type ``last`` being the last one.

    data[start:end] is what stands behind the marker and the length, 4 bytes in all. Ends without that last segment
    where ``data`` ends inside a segment, or where no marker stands.
    """
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        end = at + 2 + length
        if marker < 0xFF01 or length < 2 or end > len(data):
            return
        yield marker, at + 4, end
        if marker == last:
            return
        at = end
