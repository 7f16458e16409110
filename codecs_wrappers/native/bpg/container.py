"""The BPG file: its header and the HEVC data after it (BPG specification 0.9.8, https://bellard.org/bpg/bpg_spec.txt)."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import BitstreamError
from bench.limits import max_pixels

from . import bits

MAGIC = b"BPG\xfb"
MAX_PIXELS = 1 << 28  # the limit of ffmpeg's HEVC decoder, and about 1 GB of memory
# Each 64 x 64 block costs a bit for its prediction mode and a fraction of a bit for the rest; x265 spends a byte per
# block on a uniform grey picture (measured).
MAX_PIXELS_PER_BYTE = 1 << 15

COLOR_SPACES = ("ycbcr_bt601", "rgb", "ycgco", "ycbcr_bt709", "ycbcr_bt2020")
GREY, C420, C422, C444, C420_VIDEO, C422_VIDEO = range(6)


@dataclass(frozen=True)
class Header:
    """What a BPG file says of its picture. width, height in pixels; bit_depth 8..14 of the coded samples.

    pixel_format: GREY, C420, C422, C444, or the two with chroma at the left luma sample, as in video.
    color_space: one of COLOR_SPACES. full range unless ``limited_range``.
    """

    width: int
    height: int
    pixel_format: int = C444
    bit_depth: int = 8
    color_space: str = "ycbcr_bt601"
    limited_range: bool = False

    @property
    def chroma_format(self) -> int:
        """HEVC's chroma_format_idc: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4."""
        return {C420_VIDEO: C420, C422_VIDEO: C422}.get(self.pixel_format, self.pixel_format)


def write_ue7(value: int) -> bytes:
    """``value`` in groups of 7 bits, most significant first, all but the last with the top bit set."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127 | 128)
    return bytes(reversed(groups))


def read_ue7(data: bytes, at: int, what: str, of: str = "a BPG header") -> tuple[int, int]:
    """The ue7 number at ``at`` and the position after it. Only the shortest form of at most five bytes is legal."""
    value = 0
    for index in range(at, at + 5):
        if index >= len(data):
            raise BitstreamError(f"reading {what} of {of}: the file ends at byte {len(data)}; it is truncated")
        if index == at and data[index] == 128:
            break
        value = value << 7 | data[index] & 127
        if data[index] < 128:
            return value, index + 1
    raise BitstreamError(f"reading {what} of {of}: no legal ue7 number at byte {at}; the file is corrupt")


def write(header: Header, coding_tools: bytes, nals: list[bytes]) -> bytes:
    """A BPG file of one picture. coding_tools: the reduced SPS; nals: PPS, slices, SEI, escaped, in order."""
    flags = bytes(
        (
            header.pixel_format << 5 | header.bit_depth - 8,
            COLOR_SPACES.index(header.color_space) << 4 | header.limited_range << 1,
        )
    )
    size = write_ue7(header.width) + write_ue7(header.height)
    to_the_end = write_ue7(0)
    return MAGIC + flags + size + to_the_end + write_ue7(len(coding_tools)) + coding_tools + b"\0\0\1".join(nals)


def read(data: bytes) -> tuple[Header, bytes, list[bytes]]:
    """Header, reduced SPS and NAL units of a BPG file. Extension blocks (EXIF, ICC, XMP, thumbnail) are skipped.

    Raises BitstreamError for another format, alpha, CMYK, animations, reserved values, truncation, and headers that
    claim more pixels than ffmpeg decodes or than the data can hold.
    """
    if data[:4] != MAGIC:
        raise BitstreamError(
            f"decoding BPG: expected the first four bytes {MAGIC.hex()}, got {data[:4].hex()}; not a BPG file"
        )
    if len(data) < 6:
        raise BitstreamError(f"decoding BPG: expected a header of at least 9 bytes, got a file of {len(data)}")
    pixel_format, alpha, bit_depth = data[4] >> 5, data[4] >> 4 & 1, (data[4] & 15) + 8
    color_space, extension, second_alpha = data[5] >> 4, data[5] >> 3 & 1, data[5] >> 2 & 1
    if alpha or second_alpha:
        kind = "an alpha plane" if alpha else "a fourth colour plane (CMYK)"
        raise BitstreamError(f"decoding BPG: the picture has {kind}, which is not supported; flatten it first")
    if data[5] & 1:
        raise BitstreamError("decoding BPG: expected one picture, got an animation; extract a frame first")
    if pixel_format > C422_VIDEO or bit_depth > 14 or color_space >= len(COLOR_SPACES):
        raise BitstreamError(
            f"decoding BPG: reserved values in the header bytes {data[4:6].hex()}; the file is corrupt"
        )
    if pixel_format == GREY and color_space:
        raise BitstreamError(
            f"decoding BPG: expected colour space 0 for a grey picture, got {color_space}; the file is corrupt"
        )

    width, at = read_ue7(data, 6, "the width")
    height, at = read_ue7(data, at, "the height")
    picture_length, at = read_ue7(data, at, "the picture data length")
    if extension:
        extension_length, at = read_ue7(data, at, "the extension data length")
        at += extension_length
    end = at + picture_length if picture_length else len(data)
    if at > len(data) or end > len(data):
        raise BitstreamError(f"decoding BPG: expected {max(at, end)} bytes, got {len(data)}; the file is truncated")
    most = max_pixels(MAX_PIXELS)
    if not 0 < width * height <= most:
        raise BitstreamError(
            f"decoding BPG: expected 1..{most} pixels (RDBENCH_MAX_PIXELS), the header claims {width} x {height}"
        )
    if width * height > (end - at) * MAX_PIXELS_PER_BYTE:
        raise BitstreamError(
            f"decoding BPG: the header claims {width} x {height} pixels, which {end - at} bytes of data cannot hold"
        )
    length, at = read_ue7(data, at, "the HEVC header length")
    if at + length > end:
        raise BitstreamError(f"decoding BPG: expected an HEVC header of {length} bytes, got {end - at}; truncated")
    header = Header(width, height, pixel_format, bit_depth, COLOR_SPACES[color_space], bool(data[5] >> 1 & 1))
    return header, data[at : at + length], bits.split_nals(data[at + length : end])
