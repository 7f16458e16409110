"""PLONQ's bitstream: the whole is plain rounding, every prefix decodes, damage is found. A toy model stands in for the
network, so that thousands of prefixes take a second; the last tests use the committed weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import data
from toymodel import ToyModel

from bench.codec import Image, Point
from bench.discovery import load
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperprior import coding as meanscale
from codecs_wrappers.learned.plonq import coding as plonq
from codecs_wrappers.learned.plonq import ordering
from codecs_wrappers.learned.plonq.levels import levels_of
from codecs_wrappers.learned.plonq.ordering import Order

ORDERS = [
    Order(unit, by) for unit in ordering.UNITS for by in ordering.CRITERIA if (unit, by) not in ordering.INFEASIBLE
]
ORDERS += [Order("element", ordering.GAIN, 14)]


MODEL = ToyModel()


def photographs() -> list[Image]:
    """Five images of several sizes, one of them odd, one of one colour, one narrow."""
    return [
        data.astronaut()[:192, 100:356],
        data.coffee()[50:180, 60:275],
        data.chelsea()[:65, :129],
        np.full((70, 30, 3), 77, np.uint8),
        data.astronaut()[5:8, :200],
    ]


def whole(image: Image, **options) -> tuple[bytes, stream.Header]:
    bitstream = plonq.encode(MODEL, image, **options)
    return bitstream, stream.read(bitstream, "plonq")


def squared_error(image: Image, other: Image) -> float:
    return float(np.square(image.astype(float) - other).mean())


# The whole bitstream


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.unit}-{order.criterion}")
@pytest.mark.parametrize("image", photographs(), ids=lambda image: "x".join(map(str, image.shape[:2])))
def test_the_whole_bitstream_is_plain_rounding_at_its_cost(image, order):
    plain, latent = meanscale.encode(MODEL, image, "naive_scaling", 1.0)
    bitstream, header = whole(image, order=order)
    assert np.array_equal(plonq.decode_latent(MODEL, bitstream, header), latent)
    assert np.array_equal(plonq.decode(MODEL, bitstream, header), MODEL.synthesise(latent, *image.shape[:2]))
    units = {"element": 0, "channel": MODEL.M, "pixel": latent[0].size}[order.unit] if order.is_sent else 0
    told = len(plonq.LEVELS) * ordering.packed_bytes(units) + header.size
    assert len(bitstream) - told == pytest.approx(
        len(plain) - stream.read(plain, "naive_scaling").size, rel=0.01, abs=3
    )


@pytest.mark.parametrize("levels", [((1, 1),), ((9, 11), (3, 5), (1, 1)), ((16, 31), (8, 15), (4, 7), (2, 3), (1, 1))])
def test_the_bitstream_carries_its_levels(levels):
    image = photographs()[0]
    bitstream, header = whole(image, levels=levels_of(*levels))
    assert np.array_equal(
        plonq.decode_latent(MODEL, bitstream, header), meanscale.quantize(MODEL, image).reconstruction()
    )


def test_outliers_come_back_and_cost_what_they_cost_in_plain_rounding():
    narrow, image = ToyModel(limit=0.5), photographs()[0]
    latent = meanscale.quantize(narrow, image)
    assert (np.abs(latent.symbols) > 6).mean() > 0.2  # far outside tables of sigma 0.5
    bitstream = plonq.encode(narrow, image)
    assert np.array_equal(
        plonq.decode_latent(narrow, bitstream, stream.read(bitstream, "plonq")), latent.reconstruction()
    )
    assert len(bitstream) == pytest.approx(len(meanscale.encode(narrow, image, "naive_scaling")[0]), rel=0.01)


def test_the_sections_are_all_that_the_payload_holds():
    image = photographs()[0]
    bitstream, header = whole(image, order=Order("channel", "rate"))
    made = list(plonq.sections(MODEL, image, meanscale.quantize(MODEL, image), plonq.LEVELS, Order("channel", "rate")))
    levels = [f"{what} {number}" for number in range(1, 5) for what in ("order", "level")]
    assert [section.name for section in made] == ["z", *levels]
    ideal = sum(section.tables.ideal_bits(section.symbols, section.which).sum() for section in made) / 8
    assert len(bitstream) - header.size - stream.CHECKSUM_BYTES == pytest.approx(ideal, abs=3)


# Prefixes


@pytest.mark.parametrize("image", photographs(), ids=lambda image: "x".join(map(str, image.shape[:2])))
def test_two_hundred_random_prefixes_decode_and_more_bytes_look_no_worse(image):
    bitstream, header = whole(image)
    lengths = np.sort(np.random.default_rng(1).integers(header.size, len(bitstream) + 1, 200))
    pictures = [plonq.decode(MODEL, bitstream[:length], header) for length in lengths]
    assert all((picture.shape, picture.dtype) == (image.shape, np.uint8) for picture in pictures)
    errors = np.array([squared_error(image, picture) for picture in pictures])
    best = np.minimum.accumulate(errors)
    begun = lengths > header.size + 40  # z is there: before, medians stand for it
    assert (errors[begun] <= 1.1 * best[begun] + 1).all()
    assert errors[-1] <= errors[0]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.unit}-{order.criterion}")
def test_what_a_prefix_decides_lies_in_the_right_bins_and_grows(order):
    image = photographs()[2]
    bitstream, header = whole(image, order=order)
    latent = meanscale.quantize(MODEL, image)
    truth = latent.reconstruction()
    farthest, settled = np.inf, 0
    for length in range(header.size + 60, len(bitstream), 3):
        shown = plonq.decode_latent(MODEL, bitstream[:length], header)
        assert (shown - truth == 0).sum() >= 0.98 * settled
        settled = (shown == truth).sum()
        farthest = np.abs(shown - truth).sum()
    assert settled > 0.9 * truth.size
    assert farthest < 0.05 * np.abs(truth).sum()


def test_a_level_complete_leaves_no_element_outside_its_bin():
    image = photographs()[0]
    latent = meanscale.quantize(MODEL, image)
    made = list(plonq.sections(MODEL, image, latent, plonq.LEVELS, plonq.BY_SIGMA))
    bitstream, header = whole(image)
    bits = 0.0
    for level, section in zip((None, *plonq.LEVELS), made, strict=True):
        bits += section.tables.ideal_bits(section.symbols, section.which).sum()
        shown = plonq.decode_latent(MODEL, bitstream[: header.size + math.ceil(bits / 8) + 2], header)
        value = shown - meanscale.mean_values(latent.means)
        if level is not None:
            half, bins = level.centre / 2, np.abs(level.bins(latent.symbols))
            least = np.where(bins > 0, half + (bins - 1) * level.step, 0.0)
            assert (np.abs(value) >= least).all()
            assert (np.abs(value) <= half + bins * level.step).all()
            assert (value * latent.symbols >= 0).all()


def test_the_header_alone_gives_the_medians_picture_and_nothing_less_decodes():
    image = photographs()[1]
    bitstream, header = whole(image)
    means, _ = MODEL.hyper(np.zeros(MODEL.latent_shapes(*image.shape[:2])[1], np.int32))
    expected = MODEL.synthesise(meanscale.mean_values(means), *image.shape[:2])
    assert np.array_equal(plonq.decode(MODEL, bitstream[: header.size], header), expected)
    for length in range(header.size):
        with pytest.raises(BitstreamError):
            stream.read(bitstream[:length], "plonq")


def test_the_middle_of_the_bins_is_a_switch_and_the_whole_bitstream_does_not_know_it():
    image = photographs()[0]
    bitstream, header = whole(image)
    cut = bitstream[: len(bitstream) // 2]
    assert not np.array_equal(plonq.decode_latent(MODEL, cut, header), plonq.decode_latent(MODEL, cut, header, True))
    shown = (plonq.decode_latent(MODEL, bitstream, header, midpoint) for midpoint in (False, True))
    assert np.array_equal(*shown)


# The encoder's own reconstruction


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.unit}-{order.criterion}")
@pytest.mark.parametrize("model", [MODEL, ToyModel(limit=1.0)], ids=["usual", "outliers"])
def test_the_encoder_knows_what_every_prefix_decodes_to(order, model):
    image = photographs()[2].copy()
    image.setflags(write=False)
    bitstream = plonq.encode(model, image, order=order)
    header = stream.read(bitstream, "plonq")
    step = 1 if order == plonq.BY_SIGMA else 17
    for length in [*range(header.size, len(bitstream), step), len(bitstream)]:
        own = plonq.encoder_latent(model, image, bitstream[:length])
        assert np.array_equal(own, plonq.decode_latent(model, bitstream[:length], header)), length


def test_the_encoder_of_nested_dropout_knows_what_every_prefix_decodes_to():
    image = photographs()[2].copy()
    bitstream, latent = meanscale.encode(MODEL, image, "nested_dropout")
    header = stream.read(bitstream, "nested_dropout")
    assert np.array_equal(meanscale.encoder_latent(MODEL, image, bitstream, header), latent)
    for length in range(header.size, len(bitstream) + 1):
        own = meanscale.encoder_latent(MODEL, image, bitstream[:length], header)
        decoded = meanscale.decode_prefix(MODEL, bitstream[:length], header)
        assert np.array_equal(MODEL.synthesise(own, *image.shape[:2]), decoded), length


def test_a_decoder_that_differs_from_its_encoder_is_found(monkeypatch):
    """The encoder's reconstruction does not come from the decoder: a decoder gone wrong does not change it."""
    image = photographs()[2].copy()
    bitstream = plonq.encode(MODEL, image)[:400]
    own = plonq.encoder_latent(MODEL, image, bitstream)
    monkeypatch.setattr(plonq, "_decode_elements", lambda decoder, indices, *_: np.zeros(indices.size, np.int32))
    header = stream.read(bitstream, "plonq")
    assert not np.array_equal(plonq.decode_latent(MODEL, bitstream, header), own)
    assert np.array_equal(plonq.encoder_latent(MODEL, image, bitstream), own)


# Damage


def test_every_flip_behind_the_header_is_found_in_the_whole_and_harmless_before_it():
    image = photographs()[2]
    bitstream, header = whole(image)
    for position in range(header.size, len(bitstream)):
        damaged = bytearray(bitstream)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            plonq.decode(MODEL, bytes(damaged), header)
        if position % 9 == 0:
            before = plonq.decode_latent(MODEL, bitstream[:position], header)
            assert np.array_equal(plonq.decode_latent(MODEL, bytes(damaged[:position]), header), before)
            assert plonq.decode(MODEL, bytes(damaged[:-5]), header).shape == image.shape


def test_bytes_left_over_and_tables_of_another_kind_are_refused():
    image = photographs()[2]
    bitstream, header = whole(image)
    with pytest.raises(BitstreamError, match="followed by something else"):
        plonq.decode(MODEL, bitstream + b"\0", header)
    other = ToyModel()
    other.z_tables = Tables.from_pmfs([np.ones(33)] * other.N, [0] * other.N)
    for some in (bitstream, bitstream[:-30]):
        with pytest.raises(BitstreamError, match="tables"):
            plonq.decode(other, some, header)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (b"", "expected an odd number of parameter bytes, got 0"),
        (b"\0\4", "expected an odd number of parameter bytes, got 2"),
        (b"\x09\4\7\x11", "no encoder writes the header's order 9.*a blend of 0 to 16"),
        (b"\0\4\6", "odd, positive"),
        (b"\0\3\3\2\3", "does not nest"),
        (b"\1", "order 1"),
    ],
)
def test_parameters_that_no_encoder_writes_are_refused(parameters, message):
    header = stream.Header("plonq", 64, 64, MODEL.id, bytes(4), parameters, 100)
    with pytest.raises(BitstreamError, match=message):
        plonq.decode(MODEL, header.write() + bytes(50), header)


def test_levels_that_a_byte_cannot_hold_are_refused():
    with pytest.raises(UsageError, match=r"up to 255.*\(300, 301\)"):
        plonq.encode(MODEL, photographs()[3], levels_of((300, 301), (1, 1)))


# The wrappers, on the committed weights


@pytest.fixture(scope="module")
def coded():
    codec = load("plonq")
    available, reason = codec.available()
    if not available:
        pytest.skip(reason)
    image = data.astronaut()[:130, 100:290]
    return codec, image, codec.encode_full(image)


def test_the_wrappers_whole_bitstream_shows_what_naive_scaling_shows_at_step_one(coded):
    codec, image, bitstream = coded
    naive = load("naive_scaling")
    plain = naive.encode(image, naive.at(1.0))
    assert np.array_equal(codec.decode(bitstream), naive.decode(plain))
    assert len(bitstream) == pytest.approx(len(plain), rel=0.01)


def test_points_cut_at_a_rate_or_at_a_part_and_never_inside_the_header(coded):
    codec, image, bitstream = coded
    pixels, header = image.shape[0] * image.shape[1], stream.read(bitstream, "plonq").size
    assert len(codec.truncate(bitstream, codec.point("bpp0.50"))) == pixels * 0.5 // 8
    assert codec.truncate(bitstream, Point("bpp99", bpp=99)) == bitstream
    assert codec.truncate(bitstream, Point("bpp0", bpp=0)) == bitstream[:header]
    at_percent = load("plonq_percent")
    assert at_percent.truncate(bitstream, at_percent.point("percent010")) == bitstream[: math.ceil(len(bitstream) / 10)]
    assert at_percent.truncate(bitstream, at_percent.points[-1]) == bitstream


def test_another_models_bitstream_and_another_schemes_are_named(coded):
    codec, _, bitstream = coded
    header = stream.read(bitstream, "plonq")
    other = stream.Header("plonq", 64, 64, b"\0\1\2\3", header.tables, header.parameters, 10).write()
    with pytest.raises(BitstreamError, match="made with model 00010203"):
        codec.decode(other)
    with pytest.raises(BitstreamError, match="of plonq; decode it with that codec"):
        load("naive_scaling").decode(bitstream)
