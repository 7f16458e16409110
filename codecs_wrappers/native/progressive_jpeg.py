"""Progressive JPEG files cut at any byte (ITU-T T.81): the size at the front, and prefixes as files that end."""

from __future__ import annotations

import re
import struct

from bench.errors import BitstreamError
from bench.limits import pixel_count_fault
from codecs_wrappers.native.markers import segments

START, END = b"\xff\xd8", b"\xff\xd9"  # SOI, EOI
SOF2, SOS = 0xFFC2, 0xFFDA
_BEHIND_A_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # a marker that is no part of entropy-coded data


def size_first(data: bytes) -> bytes:
    """The same file with its frame header, which has the size, right behind the JFIF header and before all tables.

    The standard leaves that order to the encoder; libjpeg writes the quantisation tables first.
    """
    found = list(segments(data, len(START), SOF2))
    (_, _, first), (_, start, end) = found[0], found[-1]
    return data[:first] + data[start - 4 : end] + data[first : start - 4] + data[end:]


def size(data: bytes) -> tuple[int, int]:
    """Height and width in a file or prefix.

    Raises BitstreamError for what is no progressive JPEG, for a prefix without them, and for more pixels than are
    decoded.
    """
    if not data or not data.startswith(START[: len(data)]):
        raise BitstreamError(f"decoding progressive JPEG: expected a file that begins {START!r}, got {data[:2]!r}")
    for marker, start, _ in segments(data, len(START), SOF2):
        if marker == SOF2:
            height, width = struct.unpack_from(">HH", data, start + 1)
            if fault := pixel_count_fault(height, width, len(data)):
                raise BitstreamError(f"decoding progressive JPEG: {fault}")
            return height, width
    raise BitstreamError(
        f"decoding progressive JPEG: the {len(data)} bytes have no whole progressive frame header, which has the size; "
        "a longer prefix or another file is needed"
    )


def files(data: bytes) -> list[bytes]:
    """A prefix as files that end: none before the first scan, one where its last scan is whole, else three.

    These are the prefix itself, the same without the last scan's data, and without that scan (empty for the first).
    Tables behind a scan that are cut are dropped.
    """
    at, kept = len(START), 0
    while True:
        for marker, _, end in segments(data, at, SOS):
            at = end
            if marker == SOS:
                break
        else:
            return [data[:kept] + END] if kept else []
        behind = _BEHIND_A_SCAN.search(data, at)
        if behind is None:
            return [data + END, data[:at] + END, data[:kept] + END if kept else b""]
        at = kept = behind.start()
        if data.startswith(END, at):
            return [data[:at] + END]
