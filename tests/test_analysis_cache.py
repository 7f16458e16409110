"""The cache of the last image's analysis: what its key is, how much it may hold, and that codecs use it."""

from __future__ import annotations

import numpy as np
import pytest
from toymodel import ToyModel

from bench.codec import Codec
from bench.run.worker import _times
from codecs_wrappers.learned.analysiscache import ANALYSES, AnalysisCache
from codecs_wrappers.learned.codec import LearnedCodec
from codecs_wrappers.learned.hyperprior import coding

IMAGE = np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)


class Counted:
    """A network that counts its analyses."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[np.ndarray]:
        self.calls += 1
        return (np.full(10, self.calls, np.float32),)


@pytest.mark.parametrize("max_bytes", [40, 39])
def test_an_analysis_is_kept_unless_it_is_too_large(max_bytes):
    cache, network = AnalysisCache(max_bytes), Counted()
    for _ in range(3):
        (array,) = cache.get(network, IMAGE, network)
    assert network.calls == (1 if max_bytes == 40 else 3)
    assert array[0] == network.calls


def test_the_key_is_the_network_and_the_pixels_not_the_array():
    cache, network = AnalysisCache(), Counted()
    read_only = IMAGE.copy()
    read_only.setflags(write=False)
    for same in (IMAGE, IMAGE.copy(), read_only):
        cache.get(network, same, network)
    assert network.calls == 1
    changed = IMAGE.copy()
    cache.get(network, changed, network)
    changed[0, 0, 0] += 1  # an image that is changed in place is another image
    cache.get(network, changed, network)
    cache.get(network, changed.reshape(32, 128, 3), network)
    assert network.calls == 3
    other = Counted()
    assert cache.get(other, changed, other)[0][0] == 1


def test_one_analysis_is_kept_and_clear_forgets_it():
    cache, network = AnalysisCache(), Counted()
    for image in (IMAGE, IMAGE[::-1], IMAGE):
        cache.get(network, image, network)
    assert network.calls == 3
    cache.clear()
    cache.get(network, IMAGE, network)
    assert network.calls == 4


def test_what_is_kept_cannot_be_written_to():
    network = Counted()
    (array,) = AnalysisCache().get(network, IMAGE, network)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 7


def test_coding_at_many_steps_analyses_once(monkeypatch):
    model = ToyModel()
    analyse, calls = model.analyse, []
    monkeypatch.setattr(model, "analyse", lambda image: calls.append(image) or analyse(image))
    coded = [coding.encode(model, IMAGE, "naive_scaling", step)[0] for step in (1.0, 2.0, 4.0)]
    assert len(calls) == 1
    for bitstream, step in zip(coded, (1.0, 2.0, 4.0), strict=True):
        ANALYSES.clear()
        assert bitstream == coding.encode(model, IMAGE, "naive_scaling", step)[0]


def test_timed_calls_find_nothing_kept():
    """Each of them pays for its analysis: the harness has the codec forget before every call."""

    class Keeping(Codec):
        kept = False

        def forget(self) -> None:
            self.kept = False

    codec, found = Keeping(), []

    def call() -> bytes:
        found.append(codec.kept)
        codec.kept = True
        return b"bitstream"

    seconds, result = _times(codec, call, 3)
    assert found == [False] * 4 and result == b"bitstream" and len(seconds["seconds"]) == 3


def test_every_learned_codec_forgets():
    model = ToyModel()
    coding.analysis(model, IMAGE)
    assert ANALYSES._arrays is not None
    LearnedCodec().forget()
    assert ANALYSES._arrays is None
