"""Pictures that a learned code makes larger are stored instead; all others are coded as ever."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from skimage import data

pytest.importorskip("torch")
pytest.importorskip("compressai")

from bench.codec import Codec, Embedded
from bench.discovery import codecs, load
from bench.errors import BitstreamError, RdbenchError
from bench.run.rate_control import encode_to_rate
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import stored

LEARNED = [name for name, codec in codecs().items() if codec.weights_digest() and codec.available()[0]]
STORABLE = [name for name in LEARNED if getattr(load(name), "scheme", "") in stream.STORABLE]


def columns() -> np.ndarray:
    """Red and blue columns, one pixel wide: what these networks take 38 to 58 bit/pixel for."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, ::2, 0] = image[:, 1::2, 2] = 255
    image.setflags(write=False)
    return image


def binary() -> np.ndarray:
    """Samples that are 0 or 255 at random."""
    return (np.random.default_rng(0).integers(0, 2, (64, 96, 3)) * 255).astype(np.uint8)


@pytest.mark.parametrize("name", STORABLE)
@pytest.mark.parametrize("image", [columns(), binary()], ids=["columns", "binary"])
def test_no_bitstream_above_the_trigger_is_longer_than_the_stored_picture(name, image):
    codec = load(name)
    trigger, lossless = stored.TRIGGER_BPP * image[..., 0].size / 8, stored.encode(image, codec.scheme)
    for point in (codec.points[0], codec.points[-1]):
        bitstream, own = codec.encode_with_reconstruction(image, point)
        assert len(bitstream) <= max(trigger, len(lossless))
        assert (bitstream == lossless) == (len(codec.encode_network(image, point)[0]) > max(trigger, len(lossless)))
        assert bitstream == codec.encode(image, point)
        assert np.array_equal(codec.decode(bitstream), own)
    assert np.array_equal(own, image) or name == "stanh_ms_ssim"  # whose highest rate stays below the trigger


@pytest.mark.parametrize("name", [name for name in LEARNED if name not in STORABLE and name != "plonq_percent"])
def test_the_other_learned_codecs_are_bounded_by_their_points(name):
    """A fixed rate, or one bit/pixel of code map and an HEVC picture: documented in stored.py."""
    codec = load(name)
    for image in (columns(), binary()):
        bitstream = codec.encode(image, codec.points[-1])
        assert 8 * len(bitstream) <= 24 * image[..., 0].size
        with pytest.raises(BitstreamError, match=r"no encoder|is of"):
            codec.decode(stored.encode(image, codec.scheme if isinstance(codec, Codec) else ""))


@pytest.mark.parametrize("name", ["mean_scale", "stanh"])
def test_a_photograph_is_coded_by_the_network_at_every_point(name):
    codec, image = load(name), data.coffee()[100:228, 200:392].copy()
    image.setflags(write=False)
    for point in codec.points:
        bitstream = codec.encode(image, point)
        assert bitstream == codec.encode_network(image, point)[0]
        assert not stream.read(bitstream, codec.scheme).stored
        assert 8 * len(bitstream) < stored.TRIGGER_BPP * image[..., 0].size


@pytest.mark.parametrize("name", ["naive_scaling", "qsf", "stanh"])
def test_rate_control_meets_its_target_or_says_where_the_rate_jumps(name):
    codec, image = load(name), columns()
    for target in (0.2, 1.0, 5.0, 12.0, 30.0):
        try:
            reached = encode_to_rate(codec, image, target)
        except RdbenchError as error:
            assert "its rates go from" in str(error) or "its rate jumps from" in str(error)
            continue
        assert reached.within and reached.coded.bpp <= stored.TRIGGER_BPP * 1.02
        assert codec.decode(reached.coded.bitstream).shape == image.shape


def test_the_format_of_stored_samples_is_fixed():
    image = np.array([[[1, 2, 3]]], np.uint8)
    bitstream = stored.encode(image, "stanh")
    assert bitstream.hex() == "72644c01850001000100000000000000000000000701000fca0102030ad78985"
    assert np.array_equal(stored.decode(bitstream, stream.read(bitstream, "stanh")), image)
    assert np.array_equal(load("stanh").decode(bitstream), image)
    assert load("stanh").encode(image, load("stanh").points[0]) == bitstream


@pytest.mark.parametrize("image", [columns(), np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)])
def test_every_bit_flip_and_every_cut_of_a_stored_bitstream_is_an_error(image):
    codec = load("mean_scale")
    bitstream = stored.encode(image, "mean_scale")
    for bit in range(8 * len(bitstream)):
        changed = bytearray(bitstream)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            codec.decode(bytes(changed))
    for length in range(len(bitstream)):
        with pytest.raises(BitstreamError):
            codec.decode(bitstream[:length])


def test_a_stored_bitstream_with_a_lying_header_is_an_error():
    image = columns()
    bitstream = stored.encode(image, "qsf")
    found = stream.read(bitstream, "qsf")
    payload, end = bitstream[found.size :], len(bitstream) - found.size - stream.CHECKSUM_BYTES
    for changes in ({"width": 97}, {"height": 8000, "width": 2000}, {"parameters": b"\0"}, {"parameters": b"\2"}):
        with pytest.raises(BitstreamError):
            load("qsf").decode(dataclasses.replace(found, **changes).write() + payload)
    for changes in ({"model": b"abcd"}, {"tables": b"abcd"}):
        with pytest.raises(BitstreamError, match="that no encoder"):
            load("qsf").decode(dataclasses.replace(found, **changes).write() + payload)
    longer = dataclasses.replace(found, payload_bytes=len(payload) + 9).write()
    with pytest.raises(BitstreamError, match="checksum"):
        load("qsf").decode(longer + payload[:end] + bytes(9) + payload[end:])


def test_no_embedded_codec_stores():
    assert not any(isinstance(load(name), Embedded) for name in STORABLE) and math.isfinite(stored.TRIGGER_BPP)
