"""A BPG encoder and decoder built from PyAV (libx265, ffmpeg's HEVC decoder) and the container code in this folder.

Interoperable with libbpg 0.9.8: its files decode here to the same pixels as with bpgdec, and vice versa.
"""

from __future__ import annotations

import numpy as np

from bench.errors import BitstreamError, UsageError
from bench.limits import max_pixels

from . import colour, container, hevc, sps
from .container import C420, C444, Header

_SUBSAMPLINGS = {"4:4:4": C444, "4:2:0": C420}


def encode(image: np.ndarray, qp: int, subsampling: str = "4:4:4") -> bytes:
    """The BPG file of ``image`` (uint8, H x W x 3), 8 bit, YCbCr BT.601 full range, as `bpgenc -e x265 -b 8 -q QP`.

    qp: 0 (best) .. 51; subsampling: "4:4:4" or "4:2:0".
    """
    if subsampling not in _SUBSAMPLINGS or isinstance(qp, bool) or qp not in range(52):
        raise UsageError(f"encoding BPG: expected qp 0..51 and 4:4:4 or 4:2:0, got {qp!r} and {subsampling!r}")
    height, width = image.shape[:2]
    if width * height > (most := max_pixels(container.MAX_PIXELS)):
        raise UsageError(
            f"encoding BPG: expected at most {most} pixels (RDBENCH_MAX_PIXELS), got {width} x {height}; tile the image"
        )
    header = Header(width, height, _SUBSAMPLINGS[subsampling])
    planes = colour.rgb_to_ycbcr(image)
    if header.pixel_format == C420:
        planes[1:] = [colour.halve_chroma(plane) for plane in planes[1:]]
    block = 8 if min(width, height) > 8 else 16  # x265 accepts no picture of fewer than 16 pixels a side
    across, down = _round_up(width, block), _round_up(height, block)
    factor = 1 if header.pixel_format == C444 else 2
    padded = [_pad(planes[0], down, across), *(_pad(plane, down // factor, across // factor) for plane in planes[1:])]
    nals = hevc.encode_picture(padded, header.chroma_format, int(qp), block)
    tools = sps.read_sps(next(nal for nal in nals if nal[0] >> 1 == sps.SPS))
    kept = [_as_reference(nal) for nal in nals if nal[0] >> 1 not in (sps.VPS, sps.SPS)]
    return container.write(header, tools.to_bytes(), kept)


def decode(bitstream: bytes) -> np.ndarray:
    """The picture (uint8, H x W x 3) of a BPG file: grey, 4:2:0, 4:2:2, 4:4:4, 8 to 12 bit, any colour space and range.

    Raises BitstreamError for files that are corrupt or have alpha, CMYK or several frames.
    """
    header, reduced, nals = container.read(bitstream)
    tools = sps.CodingTools.from_bytes(reduced)
    block = 1 << tools.min_block_log2
    across, down = _round_up(header.width, block), _round_up(header.height, block)
    sets = sps.parameter_sets(tools, across, down, header.chroma_format, header.bit_depth)
    planes = hevc.decode_picture(sets, nals, header.chroma_format, header.bit_depth)
    if planes[0].shape != (down, across):
        raise BitstreamError(
            f"decoding BPG: expected {across} x {down} samples, got {planes[0].shape[::-1]}; the file is corrupt"
        )
    if header.color_space not in ("rgb", "ycgco") and len(planes) == 3 and not any(p[-4:, -4:].any() for p in planes):
        # ffmpeg leaves zeros where the data ended early. They are far outside RGB, so no encoder codes them.
        raise BitstreamError("decoding BPG: the data ends before the picture is complete; the file is truncated")
    return colour.to_rgb(planes, header)


def _as_reference(nal: bytes) -> bytes:
    """``nal`` with the reference encoder's type for an IDR picture; newer x265 uses another with the same syntax."""
    return bytes([sps.IDR_W_RADL << 1]) + nal[1:] if nal[0] >> 1 == sps.IDR_N_LP else nal


def _round_up(size: int, block: int) -> int:
    return -(-size // block) * block


def _pad(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])), mode="edge")
