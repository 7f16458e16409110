"""Where the bytes of a learned bitstream go, compared with the ideal code length under the network's densities.

The ideal length is -log2 of CompressAI's floating-point likelihoods of the coded integers: what papers that estimate
rates would report. It is a figure of merit, never a rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from bench.codec import Image, Point, check_image
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.entropy.gaussian import SIGMA_MIN, SIGMA_UNIT
from codecs_wrappers.learned.hyperprior import coding

if TYPE_CHECKING:
    from codecs_wrappers.learned.codec import SteppedCodec

AFFECTS_BITSTREAM = False

LIKELIHOOD_MIN = 1e-9  # CompressAI's lower bound of a likelihood


@dataclass(frozen=True)
class CodeLength:
    """Bytes of one bitstream: header, checksum, payload (range-coded), and the payload's ideal lengths for z and y."""

    header: int
    payload: int
    checksum: int
    ideal_z: float
    ideal_y: float

    @property
    def excess(self) -> float:
        """Payload over its ideal length, in bytes."""
        return self.payload - self.ideal_z - self.ideal_y


def code_length(codec: SteppedCodec, image: Image, point: Point) -> CodeLength:
    """The lengths of ``image`` (uint8, H x W x 3) coded at ``point``."""
    image = check_image(image)
    model, step = codec.model(codec.entry_of(point)), codec.step_of(codec.parameters_of(point))
    bitstream, _ = codec.encode_network(image, point)
    header = stream.read(bitstream, codec.scheme)
    latent = coding.quantize(model, image, step)
    _, sigma = model.hyper(latent.z)
    return CodeLength(
        header.size,
        len(bitstream) - header.size - stream.CHECKSUM_BYTES,
        stream.CHECKSUM_BYTES,
        ideal_z_bits(model, latent.z) / 8,
        ideal_y_bits(latent.symbols, sigma / SIGMA_UNIT, coding.per_channel(step)) / 8,
    )


def ideal_y_bits(symbols: np.ndarray, sigma: np.ndarray, step: np.ndarray | float = 1.0) -> float:
    """-log2 P of symbols coded at ``step`` under N(0, sigma), PLONQ's equation 1.

    symbols: int (M, h, w); sigma: in units of y, after scaling bounded below by 0.11, as the tables are.
    """
    scaled = np.maximum(sigma / step, SIGMA_MIN)
    nearest = -np.abs(symbols)
    likelihood = ndtr((nearest + 0.5) / scaled) - ndtr((nearest - 0.5) / scaled)
    return float(-np.log2(np.maximum(likelihood, LIKELIHOOD_MIN)).sum())


def ideal_z_bits(model: coding.Model, z: np.ndarray) -> float:
    """-log2 P of z's symbols under CompressAI's factorised prior, evaluated by CompressAI."""
    import torch

    prior = model.network.entropy_bottleneck
    medians = prior.quantiles[:, 0, 1].detach().cpu()
    with torch.inference_mode():
        values = torch.from_numpy(z.astype(np.float32))[None] + medians[:, None, None]
        _, likelihood = prior.cpu()(values, training=False)
    return float(-likelihood.double().log2().sum())
