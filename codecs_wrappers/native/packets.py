"""Packet headers of JPEG 2000: how long each packet is (ISO/IEC 15444-1, annex B.10).

For codestreams of one precinct per resolution and code-blocks of 64 x 64 without further terminations, as OpenJPEG
writes them unless told otherwise.
"""

from __future__ import annotations

_BLOCK = 64
_UNKNOWN = 1 << 30  # a value of a tag tree


class Precinct:
    """The code-blocks of one component and resolution, and what earlier layers said of them.

    height, width: of the image; levels: wavelet decompositions; resolution: 0 is the lowest. Packets have to be
    skipped in the order of their layers, each once.
    """

    def __init__(self, height: int, width: int, levels: int, resolution: int):
        halvings = levels - max(resolution - 1, 0)
        kinds = [(0, 0)] if resolution == 0 else [(0, 1), (1, 0), (1, 1)]  # high-pass down, across
        self.bands = [
            _Band(_samples(height, halvings, down), _samples(width, halvings, across)) for down, across in kinds
        ]

    def skip(self, data: bytes, at: int, layer: int) -> int | None:
        """Where the packet of ``layer`` that begins at byte ``at`` ends; None where ``data`` ends before."""
        bits = _Bits(data, at)
        try:
            length = sum(band.bytes(bits, layer) for band in self.bands) if bits.next() else 0
            end = bits.align() + length
        except IndexError:
            return None
        return end if end <= len(data) else None


def _samples(side: int, halvings: int, high: int) -> int:
    """Samples along one side of a subband after so many halvings, the last of them high-pass or not."""
    return -(-(side - high * (1 << halvings >> 1)) // (1 << halvings))


class _Band:
    def __init__(self, height: int, width: int):
        rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
        self.blocks = rows * columns
        if self.blocks:
            self.inclusion, self.planes = _TagTree(rows, columns), _TagTree(rows, columns)
        self.length_bits = [0] * self.blocks  # of its length in bytes; 0 before its first layer

    def bytes(self, bits: _Bits, layer: int) -> int:
        """How many bytes the band's code-blocks have in this packet."""
        return sum(self._of_block(bits, layer, block) for block in range(self.blocks))

    def _of_block(self, bits: _Bits, layer: int, block: int) -> int:
        first = not self.length_bits[block]
        if not (self.inclusion.below(block, layer + 1, bits) if first else bits.next()):
            return 0
        if first:
            self.length_bits[block], threshold = 3, 1
            while not self.planes.below(block, threshold, bits):
                threshold += 1
        passes = _passes(bits)
        while bits.next():
            self.length_bits[block] += 1
        return bits.number(self.length_bits[block] + passes.bit_length() - 1)


def _passes(bits: _Bits) -> int:
    """The number of coding passes (table B.4)."""
    if not bits.next():
        return 1
    if not bits.next():
        return 2
    for width, base in ((2, 3), (5, 6)):
        if (more := bits.number(width)) != (1 << width) - 1:
            return base + more
    return 37 + bits.number(7)


class _Bits:
    """Bits of a packet header: behind a byte 0xFF the next has only seven. Raises IndexError at the end of the data."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at, self.byte, self.left = data, at, 0, 0

    def next(self) -> int:
        if not self.left:
            self.left = 7 if self.byte == 0xFF else 8
            self.byte = self.data[self.at]
            self.at += 1
        self.left -= 1
        return self.byte >> self.left & 1

    def number(self, width: int) -> int:
        """An unsigned number of so many bits."""
        value = 0
        for _ in range(width):
            value = value << 1 | self.next()
        return value

    def align(self) -> int:
        """Where the header ends."""
        return self.at + (self.byte == 0xFF)


class _TagTree:
    """Small numbers of a grid of rows x columns, each sent as far as it is above the least of its neighbourhood."""

    def __init__(self, rows: int, columns: int):
        self.paths: list[list[int]] = [[] for _ in range(rows * columns)]  # of each leaf, from the root down
        start, shift, tall, wide = 0, 0, rows, columns
        while True:
            for leaf, path in enumerate(self.paths):
                row, column = divmod(leaf, columns)
                path.insert(0, start + (row >> shift) * wide + (column >> shift))
            start += tall * wide
            if tall * wide == 1:
                break
            shift, tall, wide = shift + 1, tall + 1 >> 1, wide + 1 >> 1
        self.low, self.value = [0] * start, [_UNKNOWN] * start

    def below(self, leaf: int, threshold: int, bits: _Bits) -> bool:
        """Whether the leaf's number is below ``threshold``, reading as many bits as that takes."""
        low = 0
        for node in self.paths[leaf]:
            low = max(low, self.low[node])
            while low < threshold and low < self.value[node]:
                if bits.next():
                    self.value[node] = low
                else:
                    low += 1
            self.low[node] = low
        return self.value[self.paths[leaf][-1]] < threshold
