"""Whether a JPEG file's coded data is intact; libjpeg, and so Pillow, only gives a warning that nobody sees.

A file with a gap in the middle decodes to a picture of the right size whose second half is wrong. ffmpeg's decoder, in
strict mode, detects data that ends early, runs over, or contains invalid codes. Damage that happens to be a valid
sequence of codes cannot be detected, as JPEG has no checksum.
"""

from __future__ import annotations

from collections.abc import Iterator

_SOI, _EOI, _SOS, _ADOBE = 0xD8, 0xD9, 0xDA, 0xEE
_IGNORED = {*range(0xE0, 0xF0), 0xFE} - {_ADOBE}  # application data and comments, which are not part of the picture
_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}


def fault(data: bytes) -> str:
    """What is wrong with the coded data of a JPEG file that Pillow could decode; empty if nothing is found.

    JPEG variants that ffmpeg cannot decode (arithmetic coding, four colours) are not checked.
    """
    import av  # slow to import, and most files are not JPEGs

    context = av.CodecContext.create("mjpeg", "r")
    context.options = _STRICT
    context.thread_count = 1
    picture = bytes([0xFF, _SOI]) + b"".join(_coded(data)) + bytes([0xFF, _EOI])
    try:
        frames = [*context.decode(av.Packet(picture)), *context.decode(None)]
    except av.InvalidDataError:
        return "its coded data has a gap, ends early or contains invalid codes, so the picture would be wrong"
    except (av.FFmpegError, ValueError):
        return ""
    return "" if frames else "its coded data contains no picture"


def _coded(data: bytes) -> Iterator[bytes]:
    """The segments of the first picture in ``data``, without the metadata of a camera or an editor."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] == 0xFF:  # bytes between segments; fill bytes
            at += 1
            continue
        marker = data[at + 1]
        if marker == _EOI:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            end = _end_of_scan(data, end)
        if marker not in _IGNORED:
            yield data[at:end]
        at = end


def _end_of_scan(data: bytes, at: int) -> int:
    """The end of the entropy-coded bytes: the first marker that is neither a stuffed byte nor a restart."""
    while (at := data.find(b"\xff", at)) >= 0:
        if at + 1 < len(data) and data[at + 1] != 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 1
    return len(data)
