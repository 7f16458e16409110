"""What one bitstream or process may take: pixels and threads.

A bitstream may claim only so many pixels, so that a few forged bytes cannot exhaust the machine's memory.

RDBENCH_MAX_PIXELS sets the most pixels that this project's own codecs encode or decode, within the limits of their
formats. If it is not set, the limit is 67 million (2^26), and a learned or embedded bitstream is also limited by its
size: 16.8 million pixels (2^24) or 32,768 per byte, whichever is more. (Any prefix decodes, so a tiny one may be
valid.)
"""

from __future__ import annotations

import os

from bench.errors import UsageError

VARIABLE = "RDBENCH_MAX_PIXELS"
THREADS = "RDBENCH_THREADS"
DEFAULT = 1 << 26
ALWAYS_ALLOWED = 1 << 24  # pixels, however short the bitstream
PER_BYTE = 1 << 15  # pixels; a flat picture takes x265 one byte per 4096 pixels, and a learned codec far fewer bytes


def max_pixels(format_limit: int) -> int:
    """The most pixels an image may have. format_limit: of the format. Raises UsageError for an invalid setting."""
    return min(format_limit, _setting() or DEFAULT)


def pixel_count_fault(height: int, width: int, size: int, format_limit: int = DEFAULT) -> str:
    """Why a bitstream of ``size`` bytes that claims height x width pixels is refused; empty if it is accepted."""
    pixels, most = height * width, max_pixels(format_limit)
    allowed = most if _setting() else min(most, max(ALWAYS_ALLOWED, size * PER_BYTE))
    if 0 < pixels <= allowed:
        return ""
    return (
        f"the header claims {width} x {height} = {pixels} pixels; expected 1 to {allowed} for {size} bytes "
        f"(if the size is right, set {VARIABLE})"
    )


def library_threads() -> int:
    """How many threads a codec's library may use: RDBENCH_THREADS, which the harness sets for its workers; else 1.

    For a wrapper whose library is given a number; torch, OpenMP and numba have variables of their own. The bitstream
    must not depend on it. Raises UsageError for an invalid setting.
    """
    text = os.environ.get(THREADS, "1")
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"reading {THREADS}: expected a number of threads, got {text!r}")
    return int(text)


def _setting() -> int:
    text = os.environ.get(VARIABLE, "")
    if text and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"reading {VARIABLE}: expected a number of pixels such as {DEFAULT}, got {text!r}")
    return int(text or 0)
