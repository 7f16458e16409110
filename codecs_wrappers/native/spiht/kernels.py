"""The compiled list coder, cached on disk.

Numba's cache only checks whether the cached function's own file has changed, not the files of what it calls. So in this
package a function is cached if everything it calls is in its own file; the others are cached here, as a closure over a
number computed from the package's sources, which becomes part of the key.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from numba import njit

from codecs_wrappers.native.spiht import bits, lists


@cache
def coder() -> Callable:
    """The function ``code`` below, compiled on its first call ever, loaded from the cache in later processes."""
    sources = zlib.crc32(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))))
    return _coder(sources)


def _coder(sources: int) -> Callable:
    @njit(cache=True)
    def code(data, models, partition, shape, planes, mode, limit):
        """Codes or decodes the planes in ``limit`` bytes of ``data``; returns the plane it ended in, the bytes used."""
        if sources < 0:  # never; a closure's key holds only what it mentions
            return 0, 0
        registers = bits.start(data, mode, limit)
        plane = lists.code_planes(registers, data, models, partition, shape, planes)
        return plane, bits.finish(registers, data)

    return code
