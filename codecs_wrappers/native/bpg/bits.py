"""Bits most significant first, Exp-Golomb codes, and escaped NAL units (H.265 clauses 7.3.1.1 and 9.2)."""

from __future__ import annotations

from bench.errors import BitstreamError


class BitReader:
    """Reads bits of ``data``; raises BitstreamError past its end."""

    def __init__(self, data: bytes):
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        """The next ``count`` bits as an unsigned integer."""
        if count > self._left:
            raise BitstreamError(
                f"reading an HEVC header: expected {count} more bits, {self._left} are left; truncated"
            )
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """The next Exp-Golomb code (at most 32 bits of value)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise BitstreamError(
                    "reading an HEVC header: got an Exp-Golomb code of over 32 bits; the file is corrupt"
                )
        return (1 << zeros) - 1 + self.u(zeros)


class BitWriter:
    """Collects bits; ``bytes()`` pads the last byte with zeros."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def u(self, value: int, count: int) -> None:
        if count:
            self._bits.append(f"{value:0{count}b}")

    def ue(self, value: int) -> None:
        code = f"{value + 1:b}"
        self._bits.append("0" * (len(code) - 1) + code)

    def bytes(self) -> bytes:
        bits = "".join(self._bits)
        bits += "0" * (-len(bits) % 8)
        return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def escape(payload: bytes) -> bytes:
    """``payload`` with a byte 3 inserted between two zeros and a byte of at most 3."""
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def unescape(payload: bytes) -> bytes:
    """``payload`` without its emulation prevention bytes."""
    return payload.replace(b"\0\0\3", b"\0\0")


def split_nals(annex_b: bytes) -> list[bytes]:
    """The NAL units (escaped, without start codes) of a byte stream; bytes before the first start code count as one."""
    # A NAL unit never ends in a zero byte, so zeros before a start code belong to it (H.265 annex B).
    return [nal for nal in (part.rstrip(b"\0") for part in annex_b.split(b"\0\0\1")) if nal]
