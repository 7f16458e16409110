"""PLONQ: one bitstream of a mean-scale hyperprior, refined level by level; every prefix of it decodes.

The latent is that of plain rounding at step 1 (`hyperprior/coding.py`); only the order of its information differs:

    header | z | level 1 of all elements | level 1 -> 2 | 2 -> 3 | ... | CRC-32

Within a level, elements are coded in order of decreasing scale index (or in another :class:`~ordering.Order`). An
element whose bin has only one child costs nothing. The whole stream gives plain rounding's latent and a checksum over
it. From a prefix, the symbols that its bytes determine are decoded. Each element is reconstructed at the conditional
mean of its bin; an element without any symbol is at its mean, and an element of z without one at its median.

Header parameters, a byte each: the code of the order, the step and centre of every level but the last, and for the
order by gain its blend.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.codec import Image
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.bitstream import CHECKSUM_BYTES, Header
from codecs_wrappers.learned.entropy.coder import RangeDecoder, RangeEncoder
from codecs_wrappers.learned.entropy.gaussian import scale_index
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperprior.coding import (
    MAX_SYMBOL,
    MEAN_UNIT,
    Latent,
    channels_of,
    quantize,
    tables_digest,
)
from codecs_wrappers.learned.plonq import ordering, priority
from codecs_wrappers.learned.plonq.levels import (
    FINEST,
    Levels,
    Stage,
    levels_of,
    nodes,
    outlier_symbol,
    outlier_value,
    stages,
)
from codecs_wrappers.learned.plonq.ordering import GAIN, GAIN_CODE, Order

if TYPE_CHECKING:
    from codecs_wrappers.learned.hyperprior.model import Model

SCHEME = "plonq"
LEVELS = levels_of((12, 15), (4, 7), (2, 3), (1, 1))  # chosen on validation images: docs/plonq.md
BY_SIGMA = Order("element", "sigma")


class Section(NamedTuple):
    """A part of the payload: symbols and the table of each. A level also says which element gets which value."""

    name: str
    symbols: np.ndarray
    which: np.ndarray
    tables: Tables
    places: np.ndarray | None = None  # of y, flat
    values: np.ndarray | None = None  # relative to the mean, in 1/MEAN_UNIT


def encode(
    model: Model,
    image: Image,
    levels: Levels = LEVELS,
    order: Order = BY_SIGMA,
    sent: Sequence[np.ndarray] = (),
) -> bytes:
    """The whole bitstream of ``image`` (uint8, H x W x 3). sent: as for :func:`sections`.

    Raises UsageError for an image that is too large, levels that do not nest, and steps or centres above 255.
    """
    height, width = image.shape[:2]
    stream.check_size(height, width)
    parameters = _write_parameters(levels, order)
    latent = quantize(model, image)
    encoder = RangeEncoder()
    for section in sections(model, image, latent, levels, order, sent):
        encoder.encode(section.symbols, section.which, section.tables)
    payload = encoder.finish() + latent.checksum()
    header = Header(SCHEME, height, width, model.id, _digest(model, levels, order), parameters, len(payload))
    return header.write() + payload


def sections(
    model: Model, image: Image, latent: Latent, levels: Levels, order: Order, sent: Sequence[np.ndarray] = ()
) -> Iterator[Section]:
    """The parts of the payload of ``latent`` in order: z, then every level, each after its order if that is sent.

    image: the latent's, needed by the order by slope. sent: the units of each level for an order that is sent, such as
    those of :func:`units_of`; if empty, this image's own.
    """
    yield Section("z", latent.z.ravel(), channels_of(latent.z.shape), model.z_tables)
    tree, shape, placed = stages(levels), latent.symbols.shape, priority.reconstructions(levels, order.blend)
    index, k = latent.indices.ravel(), latent.symbols.ravel()
    units = ordering.by_sigma(latent.indices, order.unit)
    parents, shown = index.astype(np.int32), np.zeros(k.shape, np.int32)
    for number, (stage, node) in enumerate(zip(tree, nodes(tree, index, k), strict=True), 1):
        symbols = node - stage.child[parents]
        refined = placed[number - 1][node]
        outliers = np.flatnonzero(node == stage.outlier)
        refined[outliers] = MEAN_UNIT * k[outliers]
        if number == 1:
            symbols[outliers] = outlier_symbol(stage, index[outliers], k[outliers])
        if order.is_sent:
            bits = ordering.per_unit(stage.tables.ideal_bits(symbols, parents).reshape(shape), order.unit)
            if sent:
                units = sent[number - 1]
            elif order.criterion == "rate":
                units = ordering.descending(bits)
            else:
                units = _by_slope(model, image, latent.means, shown, refined, bits, order.unit)
            packed = ordering.pack(units)
            yield Section(f"order {number}", packed, np.zeros(len(packed), np.int32), _bytes_table())
        elif order.criterion == GAIN:
            units = priority.by_gain(priority.priorities(levels)[number - 1], parents)
        coded = _coded(units, order.unit, shape, stage, parents)
        yield Section(f"level {number}", symbols[coded], parents[coded], stage.tables, coded, refined[coded])
        parents, shown = node, refined


def units_of(model: Model, image: Image, levels: Levels, order: Order) -> list[np.ndarray]:
    """The units of each level in the order found for ``image``, to be passed to :func:`encode` for another image."""
    count = ordering.per_unit(np.zeros(model.latent_shapes(*image.shape[:2])[0]), order.unit).size
    found = sections(model, image, quantize(model, image), levels, order)
    return [ordering.unpack(section.symbols, count) for section in found if section.name.startswith("order")]


def encoder_latent(model: Model, image: Image, bitstream: bytes) -> np.ndarray:
    """y_hat (float32, M x H/16 x W/16) of ``bitstream`` (of ``image``, or a prefix), from the encoder's integers.

    The bytes only determine how many symbols are decoded; the symbols' values are the encoder's own.
    """
    header = stream.read(bitstream, SCHEME)
    levels, order = _read_parameters(header.parameters)
    whole = len(bitstream) >= header.size + header.payload_bytes
    decoder = RangeDecoder(bitstream[header.size : header.size + header.payload_bytes - CHECKSUM_BYTES], not whole)
    latent = quantize(model, image)
    means, values = latent.means, np.zeros(latent.symbols.size, np.int32)
    for section in sections(model, image, latent, levels, order):
        done = len(decoder.decode(section.which, section.tables))
        if section.places is not None and section.values is not None:
            values[section.places[:done]] = section.values[:done]
        if done < len(section.symbols):
            if section.name == "z":
                means = model.hyper(np.where(np.arange(latent.z.size).reshape(latent.z.shape) < done, latent.z, 0))[0]
            break
    return (values.reshape(means.shape) + means).astype(np.float32) / np.float32(MEAN_UNIT)


def decode(model: Model, bitstream: bytes, header: Header, midpoint: bool = False) -> Image:
    """The image (uint8, H x W x 3) of a bitstream whose header has been read, or of any prefix that holds the header.

    midpoint: reconstruct a coarse bin at its middle instead of its conditional mean. Raises BitstreamError for a whole
    bitstream with a wrong checksum or bytes left over, and for tables of another release.
    """
    y_hat = decode_latent(model, bitstream, header, midpoint)
    return model.synthesise(y_hat, header.height, header.width)


def decode_latent(model: Model, bitstream: bytes, header: Header, midpoint: bool = False) -> np.ndarray:
    """y_hat (float32, M x H/16 x W/16) of a bitstream or prefix; arguments and errors as for :func:`decode`."""
    levels, order = _read_parameters(header.parameters)
    whole = len(bitstream) >= header.size + header.payload_bytes
    end = header.size + header.payload_bytes - CHECKSUM_BYTES
    data = stream.payload(bitstream, header) if whole else bitstream[header.size : end]
    stream.check_tables(header, _digest(model, levels, order))
    y_shape, z_shape = model.latent_shapes(header.height, header.width)
    decoder = RangeDecoder(data, prefix=not whole)
    z = np.zeros(math.prod(z_shape), np.int32)
    known = decoder.decode(channels_of(z_shape), model.z_tables)
    z[: len(known)] = known
    z = z.reshape(z_shape)
    means, sigma = model.hyper(z)
    indices = scale_index(sigma)
    values = np.zeros(y_shape, np.int32)
    if len(known) == z.size:
        values = _decode_elements(decoder, indices, levels, order, midpoint).reshape(y_shape)
    if whole:
        decoder.finish()
        stream.check_checksum(bitstream, header, z, values // MEAN_UNIT, means, indices)
    return (values + means).astype(np.float32) / np.float32(MEAN_UNIT)


def _decode_elements(
    decoder: RangeDecoder, indices: np.ndarray, levels: Levels, order: Order, midpoint: bool
) -> np.ndarray:
    """What the bytes determine of each element: its value relative to its mean, in 1/MEAN_UNIT; int32, flat."""
    index = indices.ravel()
    units = ordering.by_sigma(indices, order.unit)
    parents, values = index.astype(np.int32), np.zeros(index.shape, np.int32)
    placed = priority.reconstructions(levels, order.blend)
    for number, stage in enumerate(stages(levels)):
        if order.is_sent:
            packed = decoder.decode(np.zeros(ordering.packed_bytes(len(units)), np.int32), _bytes_table())
            if len(packed) < ordering.packed_bytes(len(units)):
                break
            units = ordering.unpack(packed, len(units))
        elif order.criterion == GAIN:
            units = priority.by_gain(priority.priorities(levels)[number], parents)
        coded = _coded(units, order.unit, indices.shape, stage, parents)
        which = parents[coded]
        symbols = decoder.decode(which, stage.tables)
        done, which = coded[: len(symbols)], which[: len(symbols)]
        node = stage.child[parents]  # correct for every parent with a single child
        node[done] += symbols
        outside = np.flatnonzero((symbols < 0) | (symbols >= stage.tables.size[which]))
        node[done[outside]] = stage.outlier
        values[done] = (stage.midpoint if midpoint else placed[number])[node[done]]
        if len(outside):
            k = outlier_value(stage, which[outside], symbols[outside])
            values[done[outside]] = MEAN_UNIT * np.clip(k, -MAX_SYMBOL, MAX_SYMBOL)
        if len(done) < len(coded):
            break
        parents = node
    return values


def _coded(units: np.ndarray, unit: str, shape: tuple[int, ...], stage: Stage, parents: np.ndarray) -> np.ndarray:
    """Flat indices of the elements that a level codes, in order: those whose parent has more than one child."""
    elements = ordering.elements_of(units, unit, shape)
    return elements[stage.is_coded[parents[elements]]]


def _by_slope(
    model: Model, image: Image, means: np.ndarray, before: np.ndarray, after: np.ndarray, bits: np.ndarray, unit: str
) -> np.ndarray:
    """A level's units by decreasing dD/dR; its elements go from ``before`` to ``after`` (int32, in 1/MEAN_UNIT)."""
    shown = before.copy()
    members = ordering.elements_of(np.arange(len(bits)), unit, means.shape).reshape(len(bits), -1)

    def error_after(number: int) -> float:
        shown[members[number]] = after[members[number]]
        return error()

    def error() -> float:
        y_hat = (shown.reshape(means.shape) + means).astype(np.float32) / np.float32(MEAN_UNIT)
        return float(np.square(model.synthesise(y_hat, *image.shape[:2]) - image.astype(np.float32)).sum())

    return ordering.by_slope(bits, error_after, error())


def _write_parameters(levels: Levels, order: Order) -> bytes:
    values = [order.code, *(value for level in levels[:-1] for value in (level.step, level.centre))]
    values += [order.blend] if order.criterion == GAIN else []
    if max(values) > 255:
        raise UsageError(f"encoding plonq: expected steps and centre bins up to 255, got {' '.join(map(str, levels))}")
    return bytes(values)


def _read_parameters(parameters: bytes) -> tuple[Levels, Order]:
    """Raises BitstreamError for parameters that no encoder writes."""
    blend = 0
    if parameters[:1] == bytes([GAIN_CODE]):
        parameters, blend = parameters[:-1], parameters[-1]
    if len(parameters) % 2 == 0:
        raise BitstreamError(f"decoding plonq: expected an odd number of parameter bytes, got {len(parameters)}")
    try:
        levels = levels_of(*zip(parameters[1::2], parameters[2::2], strict=True), (FINEST.step, FINEST.centre))
    except UsageError as error:
        raise BitstreamError(f"decoding plonq: the header's levels are invalid: {error}") from error
    return levels, Order.of_code(parameters[0], blend)


@cache
def _bytes_table() -> Tables:
    """One table over the 256 values of a byte, all equally probable."""
    return Tables.from_pmfs([np.ones(256)], [0])


def _digest(model: Model, levels: Levels, order: Order) -> bytes:
    """4 bytes over every table that codes a bitstream of ``model`` with ``levels`` in this order."""
    tables = tables_digest(model) + _stages_digest(levels)
    if order.criterion == GAIN:  # what the decoder's order and values depend on, apart from the counts
        tables += priority.digest_of([*priority.priorities(levels), *priority.reconstructions(levels, order.blend)])
    return hashlib.sha256(tables).digest()[:4]


@cache
def _stages_digest(levels: Levels) -> bytes:
    return b"".join(stage.tables.digest() for stage in stages(levels))
