"""Lossless coding of code maps: stacks of small images of 1 to 8 bits a symbol, as ResGDN's quantised latents are.

Three methods, named in the stream: ``flif`` (what the paper used; needs the binary on the PATH), ``context`` (our own
context coder, :mod:`codecs_wrappers.native.contextcoder`) and ``jpegxl`` (modular, the best of several efforts).
Each codes the maps stacked one under another; ``separate`` codes every map by itself, as the paper does.
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

METHODS = ("flif", "context", "jpegxl")
MAX_SYMBOLS = 1 << 26  # what a stream may claim before anything is allocated
_JPEGXL_EFFORTS = (3, 7, 8, 9, 10)
_TIMEOUT_S = 600
# The context coder gives no decision less than 1/4096, and so none, of which a symbol has one a bit, less than this.
_LEAST_BITS = 0.00035


def choose(method: str = "auto") -> str:
    """The method meant: "auto" is FLIF when its binary is on the PATH, otherwise the context coder."""
    if method == "auto":
        return "flif" if shutil.which("flif") else "context"
    if method not in METHODS:
        raise UsageError(f"coding code maps: method auto, {', '.join(METHODS)} expected, got {method!r}")
    return method


def version(method: str = "auto") -> str:
    """The method and the version of what it runs; part of the version of a codec that uses it."""
    method = choose(method)
    if method == "flif":
        output = _run_flif([], check=False)
        found = re.search(r"FLIF[^\n]*?(\d+(?:\.\d+)+)", output)
        return f"flif {found.group(1) if found else 'unknown'}"
    if method == "jpegxl":
        import imagecodecs

        return f"jpegxl {imagecodecs.jpegxl_version()} efforts {_JPEGXL_EFFORTS}"
    return "context 1"


def encode(maps: np.ndarray, bits: int, method: str = "auto", separate: bool = False) -> bytes:
    """The stream of ``maps`` (uint8, H x W x C, values below 2^bits; bits 1..8), from which they come back exactly."""
    maps = np.asarray(maps)
    if maps.dtype != np.uint8 or maps.ndim != 3 or not maps.size or bits not in range(1, 9):
        raise UsageError(
            f"coding code maps: uint8 H x W x C of 1 to 8 bits expected, got {maps.dtype} {maps.shape} of {bits} bits"
        )
    if maps.max() >> bits:
        raise UsageError(f"coding code maps: symbols below {1 << bits} expected at {bits} bits, got {maps.max()}")
    if maps.size > MAX_SYMBOLS:
        raise UsageError(f"coding code maps: at most {MAX_SYMBOLS} symbols, got {maps.size}; code the picture in tiles")
    method = choose(method)
    planes = np.ascontiguousarray(maps.transpose(2, 0, 1))
    flags = METHODS.index(method) << 4 | separate << 3 | bits - 1
    stream = bytes([flags]) + b"".join(map(_number, planes.shape))
    if not separate:
        return stream + _encode_stack(planes, bits, method)
    for plane in planes:
        code = _encode_stack(plane[None], bits, method)
        stream += _number(len(code)) + code
    return stream


def decode(stream: bytes, shape: tuple[int, int, int] | None = None) -> np.ndarray:
    """The maps (uint8, H x W x C) of a stream. shape: H, W, C, where the caller knows them and any other is an error.

    Raises BitstreamError for what is no stream or ends early, UnavailableError for a FLIF stream without the binary.
    There is no checksum: damage inside the context coder's data gives other symbols of the right shape.
    """
    method, separate, bits = method_of(stream), bool(stream[0] & 8), (stream[0] & 7) + 1
    at, sizes = 1, []
    for _ in range(3):
        size, at = _read_number(stream, at)
        sizes.append(size)
    channels, height, width = sizes
    if shape is not None and (height, width, channels) != tuple(shape):
        raise BitstreamError(f"decoding code maps: shape {shape} expected, the stream says {(height, width, channels)}")
    count = channels * height * width
    if not 0 < count <= MAX_SYMBOLS or (
        method == "context" and count * bits * _LEAST_BITS > 8 * (len(stream) - at) + 64
    ):
        raise BitstreamError(
            f"decoding code maps: {len(stream)} bytes cannot hold {channels} x {height} x {width} symbols"
        )
    if not separate:
        return _decode_stack(stream[at:], (channels, height, width), bits, method).transpose(1, 2, 0)
    planes = []
    for _ in range(channels):
        length, at = _read_number(stream, at)
        if at + length > len(stream):
            raise BitstreamError(f"decoding code maps: {at + length} bytes announced, {len(stream)} there; truncated")
        planes.append(_decode_stack(stream[at : at + length], (1, height, width), bits, method))
        at += length
    return np.concatenate(planes).transpose(1, 2, 0)


def method_of(stream: bytes) -> str:
    """The method that a stream names. Raises BitstreamError if it names none."""
    if not stream or stream[0] >> 4 >= len(METHODS):
        number = stream[0] >> 4 if stream else "(empty stream)"
        raise BitstreamError(f"decoding code maps: no method is numbered {number}")
    return METHODS[stream[0] >> 4]


def _encode_stack(planes: np.ndarray, bits: int, method: str) -> bytes:
    if method == "context":
        from codecs_wrappers.native import contextcoder

        return contextcoder.encode(planes, bits)
    image = planes.reshape(-1, planes.shape[2])
    if method == "flif":
        with tempfile.TemporaryDirectory(prefix="rdbench-flif-") as folder:
            source, target = Path(folder, "maps.png"), Path(folder, "maps.flif")
            PillowImage.fromarray(image).save(source)
            _run_flif(["-e", "-E100", str(source), str(target)])
            return target.read_bytes()
    import imagecodecs

    tries = (imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, numthreads=1) for effort in _JPEGXL_EFFORTS)
    return min(tries, key=len)


def _decode_stack(code: bytes, shape: tuple[int, int, int], bits: int, method: str) -> np.ndarray:
    if method == "context":
        from codecs_wrappers.native import contextcoder

        return contextcoder.decode(code, shape, bits)
    try:
        image = _decode_flif(code) if method == "flif" else _decode_jpegxl(code)
    except (OSError, RuntimeError, ValueError) as error:
        raise BitstreamError(f"decoding code maps: {method} cannot decode its part: {error}") from error
    if image.dtype != np.uint8 or image.shape != (shape[0] * shape[1], shape[2]):
        raise BitstreamError(f"decoding code maps: {shape} symbols expected of {method}, got an image of {image.shape}")
    return image.reshape(shape)


def _decode_flif(code: bytes) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="rdbench-flif-") as folder:
        source, target = Path(folder, "maps.flif"), Path(folder, "maps.png")
        source.write_bytes(code)
        _run_flif(["-d", str(source), str(target)])
        with PillowImage.open(io.BytesIO(target.read_bytes())) as picture:
            return np.asarray(picture.convert("L"))


def _decode_jpegxl(code: bytes) -> np.ndarray:
    import imagecodecs

    return np.squeeze(imagecodecs.jpegxl_decode(code, numthreads=1))


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
