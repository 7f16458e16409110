"""Coding with STanH quantizers on a backbone: integer tables over levels, real bytes.

The symbol of an element is the number of its level, counted from the middle one. Its table depends on the scale index
for y and on the channel for z; both are built once for each pair of quantizers, from their levels (or thresholds). A
:class:`Backbone` gives what the networks compute.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bench.codec import Image
from bench.errors import UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.analysiscache import ANALYSES
from codecs_wrappers.learned.bitstream import Header
from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder
from codecs_wrappers.learned.entropy.factorised import cumulative_logits
from codecs_wrappers.learned.entropy.gaussian import SCALES, bin_mass, scale_index
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperprior.coding import channels_of, mean_values
from codecs_wrappers.learned.hyperprior.hyperdecoder import ACTIVATION_UNIT
from codecs_wrappers.learned.stanh import layer
from codecs_wrappers.learned.stanh.backbones import Backbone, Part

LEVEL_UNIT = ACTIVATION_UNIT  # levels are integers in 1/4096: the grid of the exact hyper-decoder


@dataclass(frozen=True, eq=False)
class Quantizer:
    """The hard form of a STanH layer. levels: float64 (L,), multiples of 1/LEVEL_UNIT; thresholds: float64 (L - 1,)."""

    levels: np.ndarray
    thresholds: np.ndarray
    bins: str = "levels"

    @property
    def middle(self) -> int:
        """The number of the level whose symbol is 0."""
        return len(self.levels) // 2

    def symbols(self, x: np.ndarray) -> np.ndarray:
        """int32, shape of x: the level of each value, counted from the middle; on a threshold, the lower level."""
        numbers = np.searchsorted(self.thresholds.astype(x.dtype), x.ravel())
        return (numbers - self.middle).astype(np.int32).reshape(x.shape)

    def values(self, symbols: np.ndarray) -> np.ndarray:
        """float64, shape of symbols: their levels."""
        return self.levels[symbols + self.middle]

    def edges(self) -> np.ndarray:
        """float64 (L + 1,): the edges of the entropy model's bins, the outermost infinite."""
        inner = (self.levels[1:] + self.levels[:-1]) / 2 if self.bins == "levels" else self.thresholds
        return np.concatenate([[-np.inf], inner, [np.inf]])

    def blend(self, other: Quantizer, fraction: float) -> Quantizer:
        """The quantizer ``fraction`` of the way to ``other``, which has as many levels."""
        levels = (1 - fraction) * self.levels + fraction * other.levels
        thresholds = (1 - fraction) * self.thresholds + fraction * other.thresholds
        return Quantizer(np.rint(levels * LEVEL_UNIT) / LEVEL_UNIT, thresholds, self.bins)


@dataclass(frozen=True, eq=False)
class Pair:
    """The quantizers of y and z at one rate."""

    y: Quantizer
    z: Quantizer

    def blend(self, other: Pair, fraction: float) -> Pair:
        """Interpolate y's quantizer between this rate and that of ``other``; z's stays, as in the authors' code.

        Raises UsageError if they do not belong to one anchor.
        """
        if len(self.y.levels) != len(other.y.levels):
            raise UsageError(
                f"interpolating quantizers: expected two of one anchor, got {len(self.y.levels)} and "
                f"{len(other.y.levels)} levels"
            )
        return Pair(self.y.blend(other.y, fraction), self.z)


@functools.lru_cache(maxsize=64)
def load_pair(*entries: tuple[str, str], fraction: float = 0.0) -> Pair:
    """The pair of a manifest entry, given as (name, sha256), or the pair ``fraction`` of the way to a second entry's.

    Raises UsageError for levels or thresholds that cross, are not finite, or are off their grid.
    """
    (name, _), *further = entries
    if further:
        return load_pair(entries[0]).blend(load_pair(*further), fraction)
    loaded = weights.load(name)
    bins = loaded.entry["architecture"].get("bins", "levels")
    quantizers = []
    for latent in "yz":
        for kind in ("levels", "thresholds"):
            if f"{latent}.{kind}" not in loaded.state:
                raise UsageError(f"loading weights {name}: no {kind} of {latent}; expected a pair of STanH quantizers")
        levels, thresholds = (loaded.state[f"{latent}.{kind}"].double().numpy() for kind in ("levels", "thresholds"))
        layer.check(levels, thresholds, f"loading weights {name}, quantizer of {latent}")
        if not np.array_equal(levels * LEVEL_UNIT, np.rint(levels * LEVEL_UNIT)):
            raise UsageError(f"loading weights {name}: levels of {latent} are not multiples of 1/{LEVEL_UNIT}")
        quantizers.append(Quantizer(levels, thresholds, bins))
    return Pair(*quantizers)


@dataclass(frozen=True, eq=False)
class PairTables:
    """Integer tables of a pair on a backbone: one per scale index for y, one per channel for z, over all levels."""

    y: Tables
    z: Tables

    @staticmethod
    @functools.lru_cache(maxsize=32)
    def build(pair: Pair, backbone: Backbone) -> PairTables:
        """Probabilities of the levels' bins, with the tails in the outer levels and a count of at least 1 each."""
        edges = pair.y.edges() / SCALES[:, None]  # (scales, L + 1)
        y = bin_mass(edges[:, :-1], edges[:, 1:])
        state, medians = backbone.prior()
        logits = cumulative_logits(state, medians[:, None] + pair.z.edges()[1:-1])
        logits = np.pad(logits, ((0, 0), (1, 1)), constant_values=((0, 0), (-np.inf, np.inf)))
        flip = logits[:, :-1] > 0  # so that the smaller tail keeps its precision
        z = expit(np.where(flip, -logits[:, :-1], logits[:, 1:])) - expit(
            np.where(flip, -logits[:, 1:], logits[:, :-1])
        )
        return PairTables(_tables(y, pair.y.middle), _tables(np.maximum(z, 0), pair.z.middle))

    @functools.cached_property
    def digest(self) -> bytes:
        """4 bytes over every table."""
        return hashlib.sha256(self.y.digest() + self.z.digest()).digest()[:4]


def _tables(pmfs: np.ndarray, middle: int) -> Tables:
    count, levels = pmfs.shape
    return Tables.from_flat(pmfs.ravel(), np.full(count, levels), np.full(count, -middle), np.full(count, np.nan))


@dataclass(frozen=True, eq=False)
class Latent:
    """What a bitstream carries and what follows from it. z: symbols; parts: of y; symbols: of each part."""

    z: np.ndarray
    parts: list[Part]
    symbols: list[np.ndarray]

    def y_hat(self) -> np.ndarray:
        """float32 (M, h, w)."""
        return np.concatenate([part.y_hat for part in self.parts])

    def integers(self) -> list[np.ndarray]:
        """All integers that encoder and decoder have to agree on."""
        parts = zip(self.symbols, self.parts, strict=True)
        return [self.z, *(array for symbols, part in parts for array in (symbols, part.means, scale_index(part.sigma)))]


def quantize(backbone: Backbone, pair: Pair, image: Image) -> Latent:
    """The latent of ``image`` (uint8, H x W x 3): the levels of z and of y minus its mean."""
    y, z = ANALYSES.get(backbone, image, lambda: backbone.latents(image))
    z_symbols = pair.z.symbols(z)
    parts, symbols = [], []
    for part in backbone.parts(pair.z.values(z_symbols)):
        symbols.append(pair.y.symbols(y[part.channels] - mean_values(part.means)))
        part.y_hat = _reconstruct(pair, symbols[-1], part)
        parts.append(part)
    return Latent(z_symbols, parts, symbols)


def _reconstruct(pair: Pair, symbols: np.ndarray, part: Part) -> np.ndarray:
    """Level plus mean, exact in float32, since both lie on coarse grids."""
    return pair.y.levels.astype(np.float32)[symbols + pair.y.middle] + mean_values(part.means)


def encode(backbone: Backbone, pair: Pair, image: Image, scheme: str, parameters: bytes) -> tuple[bytes, np.ndarray]:
    """The bitstream of ``image``, and the latent that its decoder synthesises (float32, M x h x w).

    parameters: what the decoder needs to find the pair. Raises UsageError for an image that is too large.
    """
    height, width = image.shape[:2]
    stream.check_size(height, width)
    latent, tables = quantize(backbone, pair, image), PairTables.build(pair, backbone)
    encoder = RangeEncoder()
    encoder.encode(latent.z.ravel(), channels_of(latent.z.shape), tables.z)
    for symbols, part in zip(latent.symbols, latent.parts, strict=True):
        encoder.encode(symbols.ravel(), scale_index(part.sigma).ravel(), tables.y)
    payload = encoder.finish() + stream.checksum(*latent.integers())
    header = Header(scheme, height, width, backbone.id, tables.digest, parameters, len(payload))
    return header.write() + payload, latent.y_hat()


def decode(backbone: Backbone, pair: Pair, bitstream: bytes, header: Header) -> Image:
    """The image (uint8, H x W x 3) of a bitstream whose header has been read.

    Raises BitstreamError for bytes missing or left over, tables of another release, a checksum that does not match.
    """
    payload = stream.payload(bitstream, header)
    tables = PairTables.build(pair, backbone)
    stream.check_tables(header, tables.digest)
    _, z_shape = backbone.latent_shapes(header.height, header.width)
    decoder = RangeDecoder(payload)
    z_symbols = decoder.decode(channels_of(z_shape), tables.z).reshape(z_shape)
    parts, symbols = [], []
    for part in backbone.parts(pair.z.values(z_symbols)):
        symbols.append(decoder.decode(scale_index(part.sigma).ravel(), tables.y).reshape(part.means.shape))
        part.y_hat = _reconstruct(pair, symbols[-1], part)
        parts.append(part)
    decoder.finish()
    latent = Latent(z_symbols, parts, symbols)
    stream.check_checksum(bitstream, header, *latent.integers())
    return backbone.synthesise(latent.y_hat(), header.height, header.width)
