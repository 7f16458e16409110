"""HEVC's sequence parameter set, and the few of its fields that a BPG file keeps (H.265 clause 7.3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import BitstreamError, RdbenchError

from .bits import BitReader, BitWriter, escape, unescape

IDR_W_RADL, IDR_N_LP, VPS, SPS, PPS = 19, 20, 32, 33, 34  # NAL unit types
POC_BITS = 8  # log2_max_pic_order_cnt_lsb, fixed by the format


@dataclass(frozen=True)
class CodingTools:
    """The fields of the sequence parameter set that a BPG file keeps, in its order."""

    min_block_log2: int  # of coding blocks
    block_log2_range: int  # to the coding tree block
    min_transform_log2: int
    transform_log2_range: int
    transform_depth_intra: int
    sao: int
    pcm: tuple[int, int, int, int, int] | None  # luma depth - 1, chroma depth - 1, smallest - 3, range, no loop filter
    strong_intra_smoothing: int
    range_extension: int | None  # nine flags

    def check(self) -> CodingTools:
        """Itself; raises BitstreamError for block sizes that HEVC does not allow."""
        largest = self.min_block_log2 + self.block_log2_range
        largest_transform = self.min_transform_log2 + self.transform_log2_range
        if not (
            4 <= largest <= 6
            and self.min_transform_log2 < self.min_block_log2
            and largest_transform <= min(largest, 5)
            and self.transform_depth_intra <= largest - self.min_transform_log2
        ):
            raise BitstreamError(f"decoding BPG: HEVC does not allow these block sizes: {self}; the file is corrupt")
        return self

    def to_bytes(self) -> bytes:
        """The reduced header of a BPG file."""
        out = BitWriter()
        self._write_blocks(out)
        out.ue(self.transform_depth_intra)
        out.u(self.sao, 1)
        self._write_pcm(out)
        self._write_end(out)
        return out.bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> CodingTools:
        """The fields of the reduced header of a BPG file. Raises BitstreamError if it is truncated or illegal."""
        bits = BitReader(data)
        blocks = _read_blocks(bits)
        depth, sao, pcm = bits.ue(), bits.u(1), _read_pcm(bits)
        return cls(*blocks, depth, sao, pcm, bits.u(1), _read_extension(bits)).check()

    def _write_blocks(self, out: BitWriter) -> None:
        out.ue(self.min_block_log2 - 3)
        out.ue(self.block_log2_range)
        out.ue(self.min_transform_log2 - 2)
        out.ue(self.transform_log2_range)

    def _write_pcm(self, out: BitWriter) -> None:
        out.u(self.pcm is not None, 1)
        if self.pcm is not None:
            out.u(self.pcm[0], 4)
            out.u(self.pcm[1], 4)
            out.ue(self.pcm[2])
            out.ue(self.pcm[3])
            out.u(self.pcm[4], 1)

    def _write_end(self, out: BitWriter, vui: bool = False) -> None:
        out.u(self.strong_intra_smoothing, 1)
        if vui:
            out.u(0, 1)  # vui_parameters_present_flag
        out.u(self.range_extension is not None, 1)
        if self.range_extension is not None:
            out.u(0x80, 8)  # the range extension and no other
            out.u(self.range_extension, 9)


def _read_blocks(bits: BitReader) -> tuple[int, int, int, int]:
    return bits.ue() + 3, bits.ue(), bits.ue() + 2, bits.ue()


def _read_pcm(bits: BitReader) -> tuple[int, int, int, int, int] | None:
    return (bits.u(4), bits.u(4), bits.ue(), bits.ue(), bits.u(1)) if bits.u(1) else None


def _read_extension(bits: BitReader) -> int | None:
    if not bits.u(1):
        return None
    if bits.u(8) != 0x80:
        raise BitstreamError(
            "decoding BPG: the file has an HEVC extension other than the range extension, which is not supported"
        )
    return bits.u(9)


def parameter_sets(tools: CodingTools, width: int, height: int, chroma_format: int, bit_depth: int) -> list[bytes]:
    """VPS and SPS (escaped NAL units), which a BPG file omits. width, height: multiples of the smallest block."""
    vps, sps = BitWriter(), BitWriter()
    for out, nal_type in ((vps, VPS), (sps, SPS)):
        out.u(nal_type << 9 | 1, 16)  # layer 0, temporal id 0
    vps.u(0b0000_11, 6)  # id 0, base layer internal and available
    vps.u(0, 9)  # one layer, one sub-layer
    vps.u(1, 1)
    vps.u(0xFFFF, 16)
    _write_profile(vps)
    _write_buffering(vps)
    vps.u(0, 6)
    vps.ue(0)
    vps.u(0, 2)  # no timing, no extension

    sps.u(1, 8)  # VPS 0, one sub-layer, nested
    _write_profile(sps)
    sps.ue(0)  # id
    sps.ue(chroma_format)
    if chroma_format == 3:
        sps.u(0, 1)
    sps.ue(width)
    sps.ue(height)
    sps.u(0, 1)  # no conformance window: the BPG header has the true size
    sps.ue(bit_depth - 8)
    sps.ue(bit_depth - 8)
    sps.ue(POC_BITS - 4)
    _write_buffering(sps)
    tools._write_blocks(sps)
    sps.ue(tools.transform_depth_intra)  # inter; not used in a still picture
    sps.ue(tools.transform_depth_intra)
    sps.u(0b01, 2)  # no scaling lists; asymmetric partitions, which only inter blocks have
    sps.u(tools.sao, 1)
    tools._write_pcm(sps)
    sps.ue(0)  # no short-term reference picture sets
    sps.u(0b01, 2)  # no long-term ones; temporal motion vectors
    tools._write_end(sps, vui=True)
    for out in (vps, sps):
        out.u(1, 1)  # stop bit
    return [escape(vps.bytes()), escape(sps.bytes())]


def _write_profile(out: BitWriter) -> None:
    out.u(4, 8)  # main tier, profile 4: format range extensions
    out.u(1 << 27, 32)  # compatible with profile 4
    out.u(0b1001 << 44, 48)  # progressive, frames only
    out.u(255, 8)  # level 8.5: no limit


def _write_buffering(out: BitWriter) -> None:
    out.u(1, 1)
    for _ in range(3):  # one picture, no reordering, no latency limit
        out.ue(0)


def read_sps(nal: bytes) -> CodingTools:
    """The kept fields of an encoder's SPS (escaped NAL unit).

    Raises RdbenchError if the SPS differs in what a BPG decoder assumes: such a stream cannot be stored in a BPG file.
    """
    bits = BitReader(unescape(nal))

    def expect(value: int, expected: int, name: str) -> None:
        if value != expected:
            raise RdbenchError(
                f"encoding BPG: expected {name} {expected} in the HEVC stream, got {value}; check the x265 version"
            )

    expect(bits.u(16) >> 9, SPS, "the NAL unit type")
    expect(bits.u(7), 0, "VPS id and sub-layers")
    bits.u(1 + 96)  # nesting, profile, tier, level
    expect(bits.ue(), 0, "the SPS id")
    if bits.ue() == 3:
        expect(bits.u(1), 0, "separate_colour_plane_flag")
    bits.ue()  # width and height
    bits.ue()
    expect(bits.u(1), 0, "the conformance window flag")
    bits.ue()  # bit depths
    bits.ue()
    expect(bits.ue() + 4, POC_BITS, "log2_max_pic_order_cnt_lsb")
    bits.u(1)
    for _ in range(3):  # buffering
        bits.ue()
    blocks = _read_blocks(bits)
    bits.ue()  # transform depth of inter blocks
    depth = bits.ue()
    expect(bits.u(1), 0, "scaling_list_enabled_flag")
    bits.u(1)  # asymmetric partitions
    sao, pcm = bits.u(1), _read_pcm(bits)
    expect(bits.ue(), 0, "num_short_term_ref_pic_sets")
    expect(bits.u(1), 0, "long_term_ref_pics_present_flag")
    bits.u(1)  # temporal motion vectors
    smoothing = bits.u(1)
    if bits.u(1):
        _skip_vui(bits)
    return CodingTools(*blocks, depth, sao, pcm, smoothing, _read_extension(bits)).check()


def _skip_vui(bits: BitReader) -> None:
    """Read past the video usability information (H.265 clause E.2.1), without HRD parameters."""
    if bits.u(1) and bits.u(8) == 255:  # sample aspect ratio
        bits.u(32)
    if bits.u(1):  # overscan
        bits.u(1)
    if bits.u(1):  # video signal type
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):  # chroma location
        bits.ue()
        bits.ue()
    bits.u(3)
    if bits.u(1):  # default display window
        for _ in range(4):
            bits.ue()
    if bits.u(1):  # timing
        bits.u(64)
        if bits.u(1):
            bits.ue()
        if bits.u(1):
            raise RdbenchError(
                "encoding BPG: expected no HRD parameters in the SPS of the HEVC stream; check the x265 version"
            )
    if bits.u(1):  # bitstream restrictions
        bits.u(3)
        for _ in range(5):
            bits.ue()
