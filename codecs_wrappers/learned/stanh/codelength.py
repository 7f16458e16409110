"""Where the bytes of a STanH bitstream go, compared with the ideal length under the probabilities of its bins."""

from __future__ import annotations

import numpy as np

from bench.codec import Image, Point, check_image
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.codelength import LIKELIHOOD_MIN, CodeLength
from codecs_wrappers.learned.entropy.gaussian import SIGMA_MIN, SIGMA_UNIT, bin_mass
from codecs_wrappers.learned.hyperprior.coding import channels_of
from codecs_wrappers.learned.stanh.codec import Stanh
from codecs_wrappers.learned.stanh.coding import PairTables, quantize

AFFECTS_BITSTREAM = False


def code_length(codec: Stanh, image: Image, point: Point) -> CodeLength:
    """The lengths of ``image`` (uint8, H x W x 3) coded at ``point``."""
    image = check_image(image)
    backbone, number, fraction = codec.setting_of(point)
    pair = codec.pair(number, fraction)
    bitstream = codec.encode_network(image, point)[0]
    latent, header = quantize(backbone, pair, image), stream.read(bitstream, codec.scheme)
    edges = pair.y.edges()
    y_bits = 0.0
    for symbols, part in zip(latent.symbols, latent.parts, strict=True):
        sigma, level = np.maximum(part.sigma / SIGMA_UNIT, SIGMA_MIN), symbols + pair.y.middle
        likelihood = bin_mass(edges[level] / sigma, edges[level + 1] / sigma)
        y_bits -= np.log2(np.maximum(likelihood, LIKELIHOOD_MIN)).sum()
    tables = PairTables.build(pair, backbone).z
    z_bits = tables.ideal_bits(latent.z.ravel(), channels_of(latent.z.shape)).sum()
    payload = len(bitstream) - header.size - stream.CHECKSUM_BYTES
    return CodeLength(header.size, payload, stream.CHECKSUM_BYTES, z_bits / 8, y_bits / 8)
