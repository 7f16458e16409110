"""How many pixels a bitstream may claim to have, so that a few forged bytes do not take the machine's memory.

RDBENCH_MAX_PIXELS sets the most that a codec of this project codes or decodes, up to what its format holds; 67 million
(2^26) if it is not set. Then a learned or embedded bitstream is held to its size as well: 16.8 million pixels (2^24),
or 32,768 for each byte it has, whichever is more. Of the shortest prefix, with hardly a byte, nothing more is known.
"""

from __future__ import annotations

import os

from bench.errors import UsageError

VARIABLE = "RDBENCH_MAX_PIXELS"
DEFAULT = 1 << 26
OF_ANY_SIZE = 1 << 24  # pixels that a bitstream of however few bytes may have
PER_BYTE = 1 << 15  # and beyond: an even picture takes x265 a byte for 4096 pixels, a learned codec far less


def max_pixels(format_limit: int) -> int:
    """The most pixels of an image here. format_limit: what the format holds. Raises UsageError for a wrong setting."""
    return min(format_limit, _set() or DEFAULT)


def pixel_count_fault(height: int, width: int, size: int, format_limit: int = DEFAULT) -> str:
    """Why a bitstream of ``size`` bytes that claims height x width pixels is not decoded; empty if it is."""
    pixels, most = height * width, max_pixels(format_limit)
    allowed = most if _set() else min(most, max(OF_ANY_SIZE, size * PER_BYTE))
    if 0 < pixels <= allowed:
        return ""
    return (
        f"the header claims {width} x {height} = {pixels} pixels; of {size} bytes 1 to {allowed} are decoded "
        f"(for a true one set {VARIABLE})"
    )


def _set() -> int:
    text = os.environ.get(VARIABLE, "")
    if text and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"{VARIABLE} is {text!r}; expected a number of pixels, such as {DEFAULT}")
    return int(text or 0)
