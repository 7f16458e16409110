"""Coding with a mean-scale hyperprior: the latent minus its mean, divided by a step, rounded, range-coded.

``mean_scale`` codes with step 1, ``naive_scaling`` with one step for all channels (PLONQ, section 3), ``qsf`` with one
step per channel. After the analysis transform only integers decide the bits: z, symbols, means in 1/256, scale indices.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.codec import Image
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.analysiscache import ANALYSES
from codecs_wrappers.learned.bitstream import CHECKSUM_BYTES, Header
from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder
from codecs_wrappers.learned.entropy.gaussian import gaussian_tables, scale_index
from codecs_wrappers.learned.hyperprior.hyperdecoder import MEAN_UNIT

if TYPE_CHECKING:
    from codecs_wrappers.learned.hyperprior.model import Model

MAX_SYMBOL = 1 << 20

Step = float | np.ndarray  # of the quantizer: a number, or float32 per channel


@dataclass(frozen=True)
class Latent:
    """The integers a bitstream carries and those the hyper-decoder derives, equal in encoder and decoder.

    z: int32 (N, H/64, W/64). symbols, means (in 1/256): int32 (M, H/16, W/16). indices: of the tables, uint8, as means.
    """

    z: np.ndarray
    symbols: np.ndarray
    means: np.ndarray
    indices: np.ndarray
    step: Step = 1.0

    def reconstruction(self) -> np.ndarray:
        """y_hat, float32 (M, H/16, W/16): symbol times step, plus mean."""
        return self.symbols.astype(np.float32) * per_channel(self.step) + mean_values(self.means)

    def checksum(self) -> bytes:
        """The checksum over all integers."""
        return stream.checksum(self.z, self.symbols, self.means, self.indices)


def mean_values(means: np.ndarray) -> np.ndarray:
    """Means in units of y (float32, exact) from integers in 1/256."""
    return means.astype(np.float32) / np.float32(MEAN_UNIT)


def analysis(model: Model, image: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(y, z, means, sigma) of ``image`` (uint8, H x W x 3), as Model.analyse and Model.hyper give them.

    Cached (:mod:`analysiscache`): all operating points of an image share it.
    """
    y, z, means, sigma = ANALYSES.get(model, image, lambda: _analysis(model, image))
    return y, z, means, sigma


def _analysis(model: Model, image: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    y, z = model.analyse(image)
    return y, z, *model.hyper(z)


def quantize(model: Model, image: Image, step: Step = 1.0) -> Latent:
    """The latent of ``image`` (uint8, H x W x 3), rounded at ``step`` around its mean (PLONQ, section 3)."""
    y, z, means, sigma = analysis(model, image)
    scaled = (y - mean_values(means)) / per_channel(step)
    symbols = np.rint(np.clip(scaled, -MAX_SYMBOL, MAX_SYMBOL)).astype(np.int32)
    return Latent(z, symbols, means, scale_index(sigma, per_channel(step).astype(np.float64)), step)


def encode(
    model: Model, image: Image, scheme: str, step: Step = 1.0, parameters: bytes = b""
) -> tuple[bytes, np.ndarray]:
    """The bitstream of ``image``, and the latent that its decoder synthesises (float32, M x H/16 x W/16).

    parameters: what the scheme's decoder needs to recover the step. Raises UsageError for an image that is too large.
    """
    height, width = image.shape[:2]
    stream.check_size(height, width)
    latent = quantize(model, image, step)
    encoder = RangeEncoder()
    encoder.encode(latent.z.ravel(), channels_of(latent.z.shape), model.z_tables)
    encoder.encode(latent.symbols.ravel(), latent.indices.ravel(), gaussian_tables())
    payload = encoder.finish() + latent.checksum()
    header = Header(scheme, height, width, model.id, tables_digest(model), parameters, len(payload))
    return header.write() + payload, latent.reconstruction()


def decode(model: Model, bitstream: bytes, header: Header, step: Step = 1.0) -> Image:
    """The image (uint8, H x W x 3) of a bitstream whose header has been read.

    Raises BitstreamError for bytes missing or left over, tables of another release, a checksum that does not match.
    """
    payload = stream.payload(bitstream, header)
    stream.check_tables(header, tables_digest(model))
    y_shape, z_shape = model.latent_shapes(header.height, header.width)
    decoder = RangeDecoder(payload)
    z = decoder.decode(channels_of(z_shape), model.z_tables).reshape(z_shape)
    means, sigma = model.hyper(z)
    indices = scale_index(sigma, per_channel(step).astype(np.float64))
    symbols = decoder.decode(indices.ravel(), gaussian_tables()).reshape(y_shape)
    decoder.finish()
    latent = Latent(z, symbols, means, indices, step)
    stream.check_checksum(bitstream, header, z, symbols, means, indices)
    return model.synthesise(latent.reconstruction(), header.height, header.width)


def channels_of(shape: tuple[int, ...]) -> np.ndarray:
    """int32: the channel of each element of a (C, H, W) array, which is its table in the factorised prior."""
    return np.repeat(np.arange(shape[0], dtype=np.int32), shape[1] * shape[2])


def tables_digest(model: Model) -> bytes:
    """4 bytes over every table that codes a bitstream of ``model``."""
    return hashlib.sha256(gaussian_tables().digest() + model.z_tables.digest()).digest()[:4]


def per_channel(step: Step) -> np.ndarray:
    """The step as float32 that broadcasts over (M, h, w)."""
    step = np.asarray(step, np.float32)
    return step.reshape(-1, 1, 1) if step.ndim else step


def decode_prefix(model: Model, bitstream: bytes, header: Header) -> Image:
    """The image of a bitstream at step 1, or of any prefix that holds its header; elements without symbol are means.

    Elements are coded channel by channel, so a network trained with nested dropout has its first channels first. An
    element of z without a symbol is its median. Raises BitstreamError as :func:`decode` does for a whole bitstream.
    """
    if len(bitstream) >= header.size + header.payload_bytes:
        return decode(model, bitstream, header)
    stream.check_tables(header, tables_digest(model))
    y_shape, z_shape = model.latent_shapes(header.height, header.width)
    decoder = RangeDecoder(bitstream[header.size : header.size + header.payload_bytes - CHECKSUM_BYTES], prefix=True)
    known = decoder.decode(channels_of(z_shape), model.z_tables)
    complete = len(known) == math.prod(z_shape)
    z = _filled(known, z_shape)
    means, sigma = model.hyper(z)
    indices = scale_index(sigma)
    symbols = _filled(decoder.decode(indices.ravel(), gaussian_tables()) if complete else known[:0], y_shape)
    return model.synthesise(Latent(z, symbols, means, indices).reconstruction(), header.height, header.width)


def encoder_latent(model: Model, image: Image, bitstream: bytes, header: Header) -> np.ndarray:
    """y_hat (float32, M x H/16 x W/16) of ``bitstream`` (of ``image``, or a prefix) from the encoder's integers.

    The bytes only determine how many symbols are decoded; the symbols' values are the encoder's own.
    """
    whole = len(bitstream) >= header.size + header.payload_bytes
    decoder = RangeDecoder(bitstream[header.size : header.size + header.payload_bytes - CHECKSUM_BYTES], not whole)
    latent = quantize(model, image)
    done = len(decoder.decode(channels_of(latent.z.shape), model.z_tables))
    if done < latent.z.size:
        z = _filled(latent.z.ravel()[:done], latent.z.shape)
        return Latent(z, np.zeros_like(latent.symbols), model.hyper(z)[0], latent.indices).reconstruction()
    done = len(decoder.decode(latent.indices.ravel(), gaussian_tables()))
    symbols = _filled(latent.symbols.ravel()[:done], latent.symbols.shape)
    return Latent(latent.z, symbols, latent.means, latent.indices).reconstruction()


def _filled(known: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An int32 array of that shape that begins with ``known`` and continues with zeros."""
    values = np.zeros(math.prod(shape), np.int32)
    values[: len(known)] = known
    return values.reshape(shape)
