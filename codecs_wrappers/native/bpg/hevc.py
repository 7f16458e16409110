"""One HEVC picture through PyAV: libx265 configured as in BPG's reference encoder, and ffmpeg's decoder."""

from __future__ import annotations

import math
import re
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from bench.errors import BitstreamError, UsageError

from .bits import split_nals

X265_PARAMETERS = {
    "keyint": 1,
    "total-frames": 1,
    "repeat-headers": 1,
    "rect": 1,
    "amp": 1,
    "info": 0,
    "hash": 0,
    "log-level": "none",
    # One worker: any pool gives the same bytes and the reference encoder's wavefront flag, unlike no pool.
    "pools": 1,
    "frame-threads": 1,
}
_FORMATS = ("gray", "yuv420p", "yuv422p", "yuv444p")
# ffmpeg reads this far past the end of truncated data. PyAV passes the bytes without padding, so ffmpeg would read
# whatever follows them in memory.
_PADDING = bytes(64)
_PPS, _FIRST_SEI, _LAST_SEI, _LAST_SLICE = 34, 39, 40, 31


def lambda_tables(bit_depth: int = 8) -> str:
    """x265's tables of lambda and lambda2 over QP 0..69 as they were when bpgenc was built, for the option lambda-file.

    lambda = 2^(QP/6 - 2) * 2^(bit_depth - 8), lambda2 = 0.85 lambda^2. Newer releases weight rate less at each QP,
    which moves every point by +7 to +13 % in bytes along the same curve.
    """
    scale = 2.0 ** (bit_depth - 8)
    first = [2 ** (qp / 6 - 2) * scale for qp in range(70)]
    return (
        "\n".join(",".join(f"{value:.12g}" for value in row) for row in (first, [0.85 * v * v for v in first])) + "\n"
    )


def encode_picture(planes: list[np.ndarray], chroma_format: int, qp: int, block: int, info: int = 0) -> list[bytes]:
    """The NAL units (escaped: VPS, SPS, PPS, slice) of one intra picture.

    planes: uint8, luma first; the luma size is a multiple of the smallest coding ``block`` (8 or 16). qp: 0..51 on
    bpgenc's scale; x265 codes intra slices 3 steps below it.
    """
    height, width = planes[0].shape
    with tempfile.TemporaryDirectory(prefix="rdbench-x265-") as folder:
        # In libx265 the tables are global to the process, so they are passed every time; it reads them when it opens.
        tables = Path(folder, "lambda.txt")
        tables.write_text(lambda_tables())
        context = av.CodecContext.create("libx265", "w")
        context.width, context.height, context.pix_fmt = width, height, _FORMATS[chroma_format]
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        parameters = {**X265_PARAMETERS, "info": info, "qp": qp, "lambda-file": _quote(str(tables))}
        if block > 8:
            parameters["min-cu-size"] = block
        context.options = {
            "preset": "veryslow",
            "tune": "ssim",
            "x265-params": ":".join(f"{name}={value}" for name, value in parameters.items()),
        }
        try:
            context.open()
        except av.FFmpegError as error:
            raise UsageError(
                f"encoding BPG: x265 refuses a picture of {width} x {height} samples at QP {qp}: {error}"
            ) from error
    frame = av.VideoFrame(width, height, context.pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        _view(plane, np.uint8)[...] = samples
    return split_nals(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))


def _quote(text: str) -> str:
    """``text`` with ffmpeg's option separators escaped: a temporary folder may have a colon in its name."""
    return re.sub(r"([\\':=])", r"\\\1", text)


def x265_version() -> str:
    """The release of libx265 inside PyAV, from the information it writes into a stream on request."""
    stream = b"".join(encode_picture([np.zeros((16, 16), np.uint8)] * 3, 3, 51, 16, info=1))
    found = re.search(rb"x265 \(build \d+\) - ([^:]+):", stream)
    return found.group(1).decode() if found else "unknown"


def decode_picture(sets: list[bytes], nals: list[bytes], chroma_format: int, bit_depth: int) -> list[np.ndarray]:
    """The planes (uint8, or uint16 above 8 bits; luma first) of the first picture in ``nals``.

    sets: VPS and SPS, which alone determine the size. Raises BitstreamError if ffmpeg finds an error or returns no
    picture or one of another format.
    """
    context = av.CodecContext.create("hevc", "r")
    context.thread_count = 1
    context.options = {"err_detect": "crccheck+explode", "max_pixels": str(1 << 29)}
    stream = b"".join(b"\0\0\1" + nal for nal in [*sets, *_first_picture(nals)])
    packet = av.Packet(stream + _PADDING)
    try:
        frames = [*context.decode(packet), *context.decode(None)]
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise BitstreamError(
            f"decoding BPG: ffmpeg cannot decode the HEVC data ({error}); the file is corrupt"
        ) from error
    name = _FORMATS[chroma_format] + (f"{bit_depth}le" if bit_depth > 8 else "")
    if not frames or frames[0].format.name != name or frames[0].is_corrupt:
        got = f"one of {frames[0].format.name}" if frames else "none"
        raise BitstreamError(f"decoding BPG: expected a complete picture of {name}, got {got}; the file is corrupt")
    return [_view(plane, np.uint16 if bit_depth > 8 else np.uint8) for plane in frames[0].planes]


def _first_picture(nals: list[bytes]) -> list[bytes]:
    """PPS, slices and SEI of the first picture. Other parameter sets could change the size, so they are omitted."""
    kept, started = [], False
    for nal in nals:
        kind, layer = nal[0] >> 1 & 63, (nal[0] & 1) << 5 | nal[1] >> 3 if len(nal) > 2 else 1
        if layer or not (kind <= _LAST_SLICE or kind == _PPS or _FIRST_SEI <= kind <= _LAST_SEI):
            continue
        if kind <= _LAST_SLICE and nal[2] & 128:  # first slice of a picture
            if started:
                break
            started = True
        kept.append(nal)
    return kept


def _view(plane: av.video.plane.VideoPlane, dtype: type) -> np.ndarray:
    """The samples of ``plane``, height x width, sharing its memory."""
    row = plane.line_size // np.dtype(dtype).itemsize
    samples: np.ndarray = np.frombuffer(memoryview(plane), dtype)[: math.prod((plane.height, row))]
    return samples.reshape(plane.height, row)[:, : plane.width]
