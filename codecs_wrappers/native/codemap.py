"""Lossless coding of code maps: stacks of small images of 1 to 8 bits a symbol, such as ResGDN's quantized latents.

Two methods, named in the stream: ``flif`` (used in the paper; needs the binary on the PATH) and ``context`` (our own
context coder, :mod:`codecs_wrappers.native.contextcoder`). Both code the maps stacked one under another.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench.errors import BitstreamError, UnavailableError, UsageError

METHODS = ("flif", "context")  # their places are codes in the stream
MAX_SYMBOLS = 1 << 26  # what a stream may claim before anything is allocated
_TIMEOUT_S = 600
# The context coder gives no decision a probability above 1 - 1/4096, so each bit of a symbol costs at least this.
_LEAST_BITS = 0.00035


def choose(method: str = "auto") -> str:
    """The method to use: "auto" is FLIF if its binary is on the PATH, otherwise the context coder."""
    if method == "auto":
        return "flif" if shutil.which("flif") else "context"
    if method not in METHODS:
        raise UsageError(f"coding code maps: expected method auto, {' or '.join(METHODS)}, got {method!r}")
    return method


def version(method: str = "auto") -> str:
    """The method and the version of what it runs; part of the version of a codec that uses it."""
    if choose(method) == "context":
        return "context 1"
    output = _run_flif([], check=False)
    found = re.search(r"FLIF[^\n]*?(\d+(?:\.\d+)+)", output)
    return f"flif {found.group(1) if found else 'unknown'}"


def encode(maps: np.ndarray, bits: int, method: str = "auto") -> bytes:
    """The stream of ``maps`` (uint8, H x W x C, values below 2^bits; bits 1..8); :func:`decode` gives them back."""
    maps = np.asarray(maps)
    if maps.dtype != np.uint8 or maps.ndim != 3 or not maps.size or bits not in range(1, 9):
        raise UsageError(
            f"coding code maps: expected uint8 H x W x C of 1 to 8 bits, got {maps.dtype} {maps.shape} of {bits} bits"
        )
    if maps.max() >> bits:
        raise UsageError(f"coding code maps: expected symbols below {1 << bits} at {bits} bits, got {maps.max()}")
    if maps.size > MAX_SYMBOLS:
        raise UsageError(
            f"coding code maps: expected at most {MAX_SYMBOLS} symbols, got {maps.size}; code the picture in tiles"
        )
    method = choose(method)
    planes = np.ascontiguousarray(maps.transpose(2, 0, 1))
    header = bytes([METHODS.index(method) << 4 | bits - 1]) + b"".join(map(_number, planes.shape))
    if method == "flif":
        return header + _encode_flif(planes.reshape(-1, planes.shape[2]))
    from codecs_wrappers.native import contextcoder

    return header + contextcoder.encode(planes, bits)


def decode(stream: bytes, shape: tuple[int, int, int] | None = None) -> np.ndarray:
    """The maps (uint8, H x W x C) of a stream. shape: H, W, C where the caller knows them; any other is an error.

    Raises BitstreamError for a stream that is corrupt or truncated, UnavailableError for a FLIF stream without the
    binary. There is no checksum: damage inside the context coder's data gives other symbols of the right shape.
    """
    method, bits = method_of(stream), (stream[0] & 7) + 1
    at, sizes = 1, []
    for _ in range(3):
        size, at = _read_number(stream, at)
        sizes.append(size)
    channels, height, width = sizes
    if shape is not None and (height, width, channels) != tuple(shape):
        raise BitstreamError(
            f"decoding code maps: expected shape {shape}, the stream says {(height, width, channels)}; it is corrupt"
        )
    count = channels * height * width
    if not 0 < count <= MAX_SYMBOLS or (
        method == "context" and count * bits * _LEAST_BITS > 8 * (len(stream) - at) + 64
    ):
        raise BitstreamError(
            f"decoding code maps: {len(stream)} bytes cannot hold {channels} x {height} x {width} symbols"
        )
    if method == "flif":
        planes = _decode_flif(stream[at:], (channels, height, width))
    else:
        from codecs_wrappers.native import contextcoder

        planes = contextcoder.decode(stream[at:], (channels, height, width), bits)
    return planes.transpose(1, 2, 0)


def method_of(stream: bytes) -> str:
    """The method that a stream names. Raises BitstreamError for flags that no encoder writes."""
    if not stream or stream[0] >> 4 >= len(METHODS) or stream[0] & 8:
        flags = f"flags {stream[0]:#04x}" if stream else "an empty stream"
        raise BitstreamError(f"decoding code maps: expected method 0 or 1 in the flags, got {flags}")
    return METHODS[stream[0] >> 4]


def _encode_flif(image: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory(prefix="rdbench-flif-") as folder:
        source, target = Path(folder, "maps.png"), Path(folder, "maps.flif")
        PillowImage.fromarray(image).save(source)
        _run_flif(["-e", "-E100", str(source), str(target)])
        return target.read_bytes()


def _decode_flif(code: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The planes (uint8, C x H x W) of that shape."""
    try:
        with tempfile.TemporaryDirectory(prefix="rdbench-flif-") as folder:
            source, target = Path(folder, "maps.flif"), Path(folder, "maps.png")
            source.write_bytes(code)
            _run_flif(["-d", str(source), str(target)])
            with PillowImage.open(io.BytesIO(target.read_bytes())) as picture:
                image = np.asarray(picture.convert("L"))
    except (OSError, ValueError) as error:
        raise BitstreamError(f"decoding code maps: flif cannot decode its part: {error}") from error
    if image.shape != (shape[0] * shape[1], shape[2]):
        raise BitstreamError(f"decoding code maps: expected {shape} symbols from flif, got an image of {image.shape}")
    return image.reshape(shape)


def _run_flif(arguments: list[str], check: bool = True) -> str:
    """What flif prints. Raises UnavailableError without the binary, ValueError with its last words if it fails."""
    try:
        result = subprocess.run(
            ["flif", *arguments], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise UnavailableError("coding code maps: flif is not on the PATH; install it or use method context") from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"flif gave no result in {_TIMEOUT_S} s") from error
    if check and result.returncode:
        raise ValueError(
            f"flif ended with status {result.returncode}: {(result.stderr or result.stdout).strip()[-300:]}"
        )
    return result.stdout + result.stderr


def _number(value: int) -> bytes:
    """``value`` in groups of 7 bits, least significant first, all but the last with the top bit set (LEB128)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def _read_number(stream: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(at, min(at + 5, len(stream))):
        value |= (stream[index] & 127) << 7 * (index - at)
        if stream[index] < 128:
            return value, index + 1
    raise BitstreamError(
        f"decoding code maps: no number at byte {at} of {len(stream)}; the stream is truncated or corrupt"
    )
