"""ResGDN's two layers: the quantized code map of the deep encoder, and the residual as a BPG picture.

| part | content |
|---|---|
| header | as in every learned bitstream; its parameters: bit depth (1 byte), size of the enhancement layer (4 bytes), |
| | and for each channel of the code map its scale (float32) and zero point (1 byte) |
| base layer | the code map, losslessly coded by :mod:`codecs_wrappers.native.codemap`; CRC-32 |
| enhancement layer | smallest and largest residual (2 + 2 bytes, signed), a BPG 4:4:4 file; CRC-32 |

Each CRC-32 is over the layer's bytes, the first also over the decoded levels. The bitstream up to the enhancement layer
decodes on its own to the base layer's 8-bit picture, to which the residual is added.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.codec import Image
from bench.errors import BitstreamError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import device as devices
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.resgdn import networks as resgdn
from codecs_wrappers.learned.resgdn.affine import BITS, Affine, affine_of, dequantize, quantize
from codecs_wrappers.learned.tiles import cut, tiles, to_pixels
from codecs_wrappers.native import bpg, codemap

if TYPE_CHECKING:
    from torch import Tensor

SCHEME = "resgdn"
TILE = 128  # samples of the code map (1024 pixels): the largest side that goes through a network at once
HALO = 6  # samples of the code map; a tile's edge reaches 46 pixels in the encoder, 39 in the decoder
_FIXED = struct.Struct(">BI")
_CHANNEL = struct.Struct(">fB")
_RANGE = struct.Struct(">hh")


class Model:
    """A ResGDN network ready to code. name: of the manifest entry; id: the first 4 bytes of its file's sha256."""

    def __init__(self, loaded: weights.Weights, device: str | torch.device = "cpu"):
        self.name, self.id = loaded.name, bytes.fromhex(loaded.sha256)[:4]
        self.device = torch.device(device)
        network: networks.Network = networks.load_weights(
            resgdn.build(loaded.entry["architecture"]), loaded.state, loaded.name
        )
        self.channels: int = network.architecture.channels
        self.tile = TILE if network.architecture.tiles else 1 << 16
        self.network = network.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)

    @staticmethod
    def load(entry: str, device: str = "auto") -> Model:
        """The model of a manifest entry on ``device`` (names: bench/device.py), kept for the next call.

        Raises UnavailableError without the weights, UsageError without the device or for another architecture.
        """
        return _load(entry, weights.sha256(entry), str(devices.resolve(device)))

    def code_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape (h, w, n) of the code map of an image of that size."""
        rows, columns = (max(size, resgdn.LEAST_SIDE) for size in (height, width))
        return -(-rows // resgdn.STRIDE), -(-columns // resgdn.STRIDE), self.channels

    def analyse(self, image: Image) -> Tensor:
        """The code map, float32 (1, n, h, w) on the CPU. image: uint8, H x W x 3; edges are replicated as needed."""
        height, width, channels = self.code_shape(*image.shape[:2])
        wanted = (height * resgdn.STRIDE, width * resgdn.STRIDE)
        padding = [(0, side - size) for side, size in zip(wanted, image.shape[:2], strict=True)]
        padded = np.pad(image, [*padding, (0, 0)], mode="edge")
        code = torch.empty(1, channels, height, width)
        with torch.inference_mode(), networks.exact_float32():
            for target, outer, inner in tiles(height, width, self.tile, HALO):
                pixels = torch.from_numpy(padded[to_pixels(outer, resgdn.STRIDE)]).to(self.device)
                x = pixels.permute(2, 0, 1)[None].float().div_(255)  # (1, 3, H, W), channels last in memory
                code[(..., *target)] = self.network.analyse(x)[(..., *inner)].cpu()
        return code

    def synthesise(self, code: Tensor, height: int, width: int) -> Image:
        """The image, uint8 height x width x 3, of a dequantized code map, float32 (1, n, h, w)."""
        rows, columns = code.shape[2:]
        image = np.empty((rows * resgdn.STRIDE, columns * resgdn.STRIDE, 3), np.uint8)
        code = code.to(self.device)
        with torch.inference_mode(), networks.exact_float32():
            for target, outer, inner in tiles(rows, columns, self.tile, HALO):
                x = self.network.synthesise(cut(code, outer))[(0, ..., *to_pixels(inner, resgdn.STRIDE))]
                samples = x.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
                image[to_pixels(target, resgdn.STRIDE)] = samples.permute(1, 2, 0).cpu().numpy()
        return image[:height, :width]


@functools.lru_cache(maxsize=8)
def _load(entry: str, sha256: str, device: str) -> Model:
    return Model(weights.load(entry), device)


@dataclass(frozen=True)
class Base:
    """A base layer: a bitstream without enhancement layer, and its dequantized code map."""

    model: Model
    bitstream: bytes
    code: Tensor  # float32 (1, n, h, w)
    height: int
    width: int

    @functools.cached_property
    def picture(self) -> Image:
        """What it decodes to, uint8 H x W x 3."""
        return self.model.synthesise(self.code, self.height, self.width)


def encode_base(model: Model, image: Image, bits: int, seed: int | None = None) -> Base:
    """The base layer of ``image`` (uint8, H x W x 3) with a code map of ``bits`` (1..8) per sample.

    seed: if given, the code map is rounded stochastically, as in training, instead of to the nearest level. Raises
    UsageError for other bits or an image that is too large.
    """
    height, width = image.shape[:2]
    stream.check_size(height, width)
    code = model.analyse(image)
    affine = affine_of(code, bits)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    levels = quantize(code, affine, generator)[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()  # (h, w, n)
    coded = codemap.encode(levels, bits)
    payload = coded + _base_checksum(levels, coded)
    header = stream.Header(SCHEME, height, width, model.id, _tables(coded), _pack(affine, 0), len(payload))
    return Base(model, header.write() + payload, _code_of(levels, affine), height, width)


def enhance(base: Base, image: Image, qp: int) -> tuple[bytes, Image]:
    """The whole bitstream and its picture: ``base``, and the residual of ``image`` to its picture coded at ``qp``.

    qp: BPG's, 0 (best) .. 51.
    """
    residual = image.astype(np.int16) - base.picture
    low, high = int(residual.min()), int(residual.max())
    coded = bpg.encode(_to_samples(residual, low, high), qp)
    layer = _RANGE.pack(low, high) + coded
    layer += stream.checksum(np.frombuffer(layer, np.uint8))
    header = stream.read(base.bitstream, SCHEME)
    affine, _ = _unpack(header)
    whole = replace(header, parameters=_pack(affine, len(layer)))
    picture = _sum(base.picture, bpg.decode(coded), low, high)
    return whole.write() + base.bitstream[header.size :] + layer, picture


def decode_base(model: Model, bitstream: bytes, header: stream.Header) -> Image:
    """The base layer's picture, uint8 H x W x 3, of a bitstream with or without its enhancement layer.

    Raises BitstreamError for a truncated or corrupt bitstream, UnavailableError without its lossless coder.
    """
    affine, enhancement_bytes = _unpack(header)
    end = header.size + header.payload_bytes
    if len(bitstream) == end + enhancement_bytes:
        bitstream = bitstream[:end]
    coded = stream.payload(bitstream, header)
    stream.check_tables(header, _tables(coded))
    if affine.scale.shape[1] != model.channels:
        raise BitstreamError(
            f"decoding {SCHEME}: expected {model.channels} channels in the header, got {affine.scale.shape[1]}"
        )
    levels = codemap.decode(coded, model.code_shape(header.height, header.width))
    if bitstream[-stream.CHECKSUM_BYTES :] != _base_checksum(levels, coded):
        raise BitstreamError(f"decoding {SCHEME}: the base layer is corrupt: its checksum does not match")
    return model.synthesise(_code_of(levels, affine), header.height, header.width)


def decode(model: Model, bitstream: bytes, header: stream.Header) -> Image:
    """The picture of both layers, uint8 H x W x 3.

    Raises BitstreamError as :func:`decode_base` does, and without a complete enhancement layer.
    """
    _, enhancement_bytes = _unpack(header)
    end = header.size + header.payload_bytes
    got = len(bitstream) - end
    if not enhancement_bytes:
        raise BitstreamError(f"decoding {SCHEME}: there is no enhancement layer; decode it with resgdn_base")
    if got != enhancement_bytes or got < _RANGE.size + stream.CHECKSUM_BYTES:
        fault = "is truncated" if got < enhancement_bytes else "is followed by something else"
        raise BitstreamError(
            f"decoding {SCHEME}: the bitstream {fault}: its enhancement layer has {got} bytes, the header says "
            f"{enhancement_bytes}"
        )
    layer, crc = bitstream[end : -stream.CHECKSUM_BYTES], bitstream[-stream.CHECKSUM_BYTES :]
    if crc != stream.checksum(np.frombuffer(layer, np.uint8)):
        raise BitstreamError(f"decoding {SCHEME}: the enhancement layer is corrupt: its checksum does not match")
    base = decode_base(model, bitstream, header)
    low, high = _RANGE.unpack_from(layer)
    samples = bpg.decode(layer[_RANGE.size :])
    if samples.shape != base.shape:
        raise BitstreamError(
            f"decoding {SCHEME}: expected an enhancement layer of {base.shape[1]} x {base.shape[0]} as the base layer, "
            f"got {samples.shape[1]} x {samples.shape[0]}"
        )
    return _sum(base, samples, low, high)


def enhancement_bytes(bitstream: bytes) -> int:
    """The size in bytes of a bitstream's enhancement layer, including its checksum."""
    return _unpack(stream.read(bitstream, SCHEME))[1]


def _to_samples(residual: np.ndarray, low: int, high: int) -> Image:
    """The residual's range low..high spread over 0..255, rounded to uint8."""
    return np.rint((residual - low) * (255 / max(high - low, 1))).astype(np.uint8)


def _sum(base: Image, samples: Image, low: int, high: int) -> Image:
    """The base layer's picture plus the residual that the samples represent, clipped to 0..255."""
    residual = np.rint(samples * ((high - low) / 255)) + low
    return np.clip(base + residual, 0, 255).astype(np.uint8)


def _code_of(levels: np.ndarray, affine: Affine) -> Tensor:
    """The dequantized code map (1, n, h, w) of levels, uint8 (h, w, n)."""
    return dequantize(torch.from_numpy(levels).permute(2, 0, 1)[None].float(), affine)


def _base_checksum(levels: np.ndarray, coded: bytes) -> bytes:
    return stream.checksum(levels, np.frombuffer(coded, np.uint8))


def _tables(coded: bytes) -> bytes:
    """4 bytes that identify the lossless coder of a code map; a changed context coder counts as another."""
    method = codemap.method_of(coded)
    return hashlib.sha256((codemap.version(method) if method == "context" else method).encode()).digest()[:4]


def _pack(affine: Affine, enhancement_bytes: int) -> bytes:
    channels = zip(affine.scale.flatten().tolist(), affine.zero_point.flatten().tolist(), strict=True)
    values = b"".join(_CHANNEL.pack(scale, int(zero_point)) for scale, zero_point in channels)
    return _FIXED.pack(affine.bits, enhancement_bytes) + values


def _unpack(header: stream.Header) -> tuple[Affine, int]:
    """The quantizer and the size of the enhancement layer. Raises BitstreamError for what no encoder writes."""
    fault = BitstreamError(f"decoding {SCHEME}: the header's parameters do not describe a quantizer")
    rest = header.parameters[_FIXED.size :]
    if len(header.parameters) < _FIXED.size or not rest or len(rest) % _CHANNEL.size:
        raise fault
    bits, enhancement_bytes = _FIXED.unpack_from(header.parameters)
    channels = zip(*_CHANNEL.iter_unpack(rest), strict=True)
    scales, zero_points = (torch.tensor(values).view(1, -1, 1, 1) for values in channels)
    if bits not in BITS or not (scales.isfinite() & (scales > 0)).all() or zero_points.max() >> bits:
        raise fault
    return Affine(scales, zero_points.float(), bits), enhancement_bytes
