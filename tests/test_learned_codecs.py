"""The learned codecs' bitstreams with the committed weights: lengths, checks, errors, and what every point promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from skimage import data

pytest.importorskip("torch")
pytest.importorskip("compressai")

from bench.codec import Embedded, Point
from bench.discovery import codecs, load
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import codelength, weights
from codecs_wrappers.learned.codec import ONE_NETWORK, LearnedCodec
from codecs_wrappers.learned.hyperprior import coding

PHOTOGRAPH = data.astronaut()[60:300, 100:420].copy()  # 240 x 320
PHOTOGRAPH.setflags(write=False)


@pytest.fixture(scope="module")
def naive():
    codec = load("naive_scaling")
    available, reason = codec.available()
    if not available:
        pytest.skip(reason)
    return codec


@pytest.fixture(scope="module")
def coded(naive):
    return naive.encode(PHOTOGRAPH, naive.point("s4"))


def header(**changes):
    fields = {"scheme": "naive_scaling", "height": 240, "width": 320, "model": b"abcd", "tables": b"efgh"}
    return stream.Header(**{**fields, "parameters": b"xyz", "payload_bytes": 7, **changes})


def test_a_header_is_read_as_written():
    assert stream.read(header().write() + b"payload", "naive_scaling") == header()
    assert len(header().write()) == header().size


def test_a_changed_header_is_refused_at_every_bit():
    written = header().write()
    for bit in range(8 * len(written)):
        changed = bytearray(written)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            stream.read(bytes(changed), "naive_scaling")


@pytest.mark.parametrize("size", range(27))
def test_a_cut_header_is_refused(size):
    with pytest.raises(BitstreamError, match=r"truncated|not a learned bitstream"):
        stream.read(header().write()[:size], "naive_scaling")


def test_errors_say_which(naive, coded):
    changed = coded[:3] + bytes([stream.FORMAT + 1]) + coded[4:]
    with pytest.raises(BitstreamError, match=f"version {stream.FORMAT + 1}"):
        naive.decode(changed)
    with pytest.raises(BitstreamError, match="bitstream is of naive_scaling"):
        load("mean_scale").decode(coded)
    with pytest.raises(BitstreamError, match="truncated"):
        naive.decode(coded[:-10])
    with pytest.raises(BitstreamError, match="followed by"):
        naive.decode(coded + b"more")
    with pytest.raises(BitstreamError, match="not a learned bitstream"):
        naive.decode(b"BPG\xfb" + coded)
    found = stream.read(coded, "naive_scaling")
    other = dataclasses.replace(found, model=b"\0\0\0\0")
    with pytest.raises(BitstreamError, match=f"model 00000000, this installation has {ONE_NETWORK}"):
        naive.decode(other.write() + coded[found.size :])
    other = dataclasses.replace(found, tables=b"\0\0\0\0")
    with pytest.raises(BitstreamError, match="tables 00000000"):
        naive.decode(other.write() + coded[found.size :])
    other = dataclasses.replace(found, parameters=b"\x7f\xc0\0\0")  # a step that is not a number
    with pytest.raises(BitstreamError, match="no valid step"):
        naive.decode(other.write() + coded[found.size :])


@pytest.mark.slow
def test_a_flipped_bit_is_an_error_never_noise(naive, coded):
    random = np.random.default_rng(1)
    begin = 8 * stream.read(coded, "naive_scaling").size
    for bit in random.integers(begin, 8 * len(coded), 25):
        changed = bytearray(coded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            naive.decode(bytes(changed))


@pytest.mark.parametrize("name", [c.name for c in codecs().values() if isinstance(c, LearnedCodec)])
@pytest.mark.parametrize("junk", [b"\0", b"\xff", bytes(range(256)) * 3], ids=["a zero", "a 255", "768 bytes"])
def test_bytes_added_to_the_payload_are_refused_although_the_header_counts_them(name, junk):
    """Only the decoder of the symbols can tell: header and checksum over the symbols are as an encoder writes them."""
    codec = load(name)
    if not codec.available()[0]:
        pytest.skip(codec.available()[1])
    image = PHOTOGRAPH[:40, :56]
    whole = codec.encode_full(image) if isinstance(codec, Embedded) else codec.encode(image, codec.points[0])
    found = stream.read(whole, codec.scheme)
    payload, rest = whole[found.size : found.size + found.payload_bytes], whole[found.size + found.payload_bytes :]
    longer = dataclasses.replace(found, payload_bytes=len(payload) + len(junk))
    end = len(payload) - stream.CHECKSUM_BYTES
    with pytest.raises(BitstreamError):
        codec.decode(longer.write() + payload[:end] + junk + payload[end:] + rest)
    with pytest.raises(BitstreamError):
        codec.decode(found.write() + payload + rest + junk)


def test_the_payload_is_as_long_as_the_ideal_code(naive):
    for point in naive.points[::3]:
        length = codelength.code_length(naive, PHOTOGRAPH, point)
        ideal = length.ideal_y + length.ideal_z
        assert 0.995 * ideal - 16 < length.payload < 1.005 * ideal + 16


def test_any_step_is_a_point_and_rate_falls_with_it(naive):
    sizes = [len(naive.encode(PHOTOGRAPH, naive.at(step))) for step in (1, 1.37, 2.7182, 9.99, 33)]
    assert sizes == sorted(sizes, reverse=True)
    with pytest.raises(UsageError, match="from 1 to 64"):
        naive.encode(PHOTOGRAPH, Point("s0.5", s=0.5))


def test_step_one_is_the_plain_model(naive):
    plain = load("mean_scale")
    one = naive.decode(naive.encode(PHOTOGRAPH, naive.at(1)))
    point = next(point for point in plain.points if point["model"] == ONE_NETWORK)
    assert np.array_equal(one, plain.decode(plain.encode(PHOTOGRAPH, point)))


def test_encoder_and_decoder_share_their_pixels(naive):
    bitstream, pixels = naive.encode_with_reconstruction(PHOTOGRAPH, naive.point("s2"))
    naive.forget()
    assert bitstream == naive.encode(PHOTOGRAPH, naive.point("s2"))  # from a second analysis
    assert np.array_equal(pixels, naive.decode(bitstream))


def test_the_reconstruction_is_near_the_image(naive):
    mse = [
        np.mean((naive.decode(naive.encode(PHOTOGRAPH, naive.at(step))).astype(float) - PHOTOGRAPH) ** 2)
        for step in (1, 4)
    ]
    assert 10 * np.log10(255**2 / mse[0]) > 35
    assert mse[0] < mse[1]


def test_noise_in_the_hyper_decoder_agrees_or_raises(naive, coded, monkeypatch):
    """Float noise of 1e-6 in every product and sum of h_s, as another library or device would have."""
    model = naive.model(ONE_NETWORK)
    expected, hyper, random = naive.decode(coded), model.hyper, np.random.default_rng(2)
    outcomes = []
    for scale in (1e-6, 1e-3):

        def noisy(z, scale=scale):
            means, sigma = hyper(z)
            factor = 1 + scale * random.standard_normal(means.shape)
            return np.rint(means * factor).astype(means.dtype), np.rint(sigma * factor).astype(sigma.dtype)

        monkeypatch.setattr(model, "hyper", noisy)
        try:
            outcomes.append(np.array_equal(naive.decode(coded), expected))
        except BitstreamError:
            outcomes.append(True)
    assert outcomes == [True, True]


def test_weights_of_a_bitstream_are_named_by_their_hash(naive, coded):
    found = stream.read(coded, "naive_scaling")
    assert weights.sha256(ONE_NETWORK).startswith(found.model.hex())


def test_a_latent_reconstructs_within_half_a_step(naive):
    model = naive.model(ONE_NETWORK)
    y, *_ = coding.analysis(model, PHOTOGRAPH)
    for step in (1.0, 3.7):
        latent = coding.quantize(model, PHOTOGRAPH, step)
        assert np.abs(latent.reconstruction() - y).max() <= 0.5 * step * (1 + 1e-4)
    steps = np.linspace(1, 5, model.M, dtype=np.float32)
    latent = coding.quantize(model, PHOTOGRAPH, steps)
    assert (np.abs(latent.reconstruction() - y) <= 0.5 * steps[:, None, None] * (1 + 1e-4)).all()


def test_every_prefix_of_a_channel_wise_bitstream_decodes(naive):
    """Nested dropout's way to send a latent, on a network that was not trained for it."""
    model = naive.model(ONE_NETWORK)
    whole, y_hat = coding.encode(model, PHOTOGRAPH, "nested_dropout")
    header = stream.read(whole, "nested_dropout")
    expected = model.synthesise(y_hat, *PHOTOGRAPH.shape[:2])
    assert np.array_equal(coding.decode_prefix(model, whole, header), expected)
    cuts = [header.size, header.size + 20, *np.linspace(header.size + 200, len(whole), 4).astype(int)]
    errors = [
        np.mean((coding.decode_prefix(model, whole[:cut], header).astype(float) - PHOTOGRAPH) ** 2) for cut in cuts
    ]
    assert errors[-1] < errors[-2] < errors[-3] < errors[0]
    with pytest.raises(BitstreamError, match=r"checksum|payload|bytes"):
        coding.decode_prefix(model, whole[:-1] + bytes([whole[-1] ^ 1]), header)


def test_codecs_of_one_network_and_their_trainings_have_the_same():
    from codecs_wrappers.learned.training import config as configs
    from codecs_wrappers.learned.training.derived import parents

    for name in ("naive_scaling", "qsf", "plonq", "plonq_best"):
        assert load(name).entries[0] == ONE_NETWORK
    assert load("stanh_1anchor").models() == (ONE_NETWORK,)
    top = configs.load(ONE_NETWORK).rate_weight
    assert max(configs.load("qsf").rate_weights) == configs.load("nested_dropout").rate_weight == top
    assert parents("qsf") == [ONE_NETWORK]
    assert configs.load("nested_dropout").start_from == (f"model:{ONE_NETWORK}",)
    wanted = (*load("stanh_1anchor").quantizers, *load("stanh_1anchor").missing)
    assert all(configs.load(name).rate_weight <= top for name in wanted)
