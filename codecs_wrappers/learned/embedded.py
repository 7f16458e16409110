"""What the embedded learned wrappers share: their operating points, and how a bitstream is truncated to them."""

from __future__ import annotations

import math
import sys

from bench.codec import Embedded, Point
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.codec import LearnedCodec

AT_BPP = tuple(
    Point(f"bpp{tenths / 10:.2f}", bpp=tenths / 10) for tenths in range(1, 21)
)  # like SPIHT's (PLONQ, appendix B)
AT_PERCENT = tuple(Point(f"percent{percent:03}", percent=percent) for percent in (5, *range(10, 101, 10)))


class LearnedEmbedded(LearnedCodec, Embedded):
    """A learned codec whose every prefix behind the header decodes. Subclasses set ``scheme`` and do the coding."""

    scheme: str
    points: tuple[Point, ...] = AT_BPP
    monotone = False  # an image's points beyond the end of its bitstream all have the same rate
    detects_corruption = False  # the checksum covers the whole bitstream, not its prefixes

    def truncate(self, bitstream: bytes, point: Point) -> bytes:
        """The prefix of a whole bitstream that ``point`` asks for, by bpp or percent; the header is never cut."""
        header = stream.read(bitstream, self.scheme)
        if "percent" in point.parameters:
            length = math.ceil(point["percent"] * len(bitstream) / 100)
        else:
            length = math.floor(
                min(point["bpp"] * header.height * header.width / 8, sys.maxsize) + 1e-6
            )  # 0.1 has no exact float
        return bitstream[: max(header.size, length)]
