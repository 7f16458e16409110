"""Speed and memory of ResGDN's compact network: a base layer of 768 x 512 under 2 s there and back on one CPU core.

Run with --benchmark-only. The limits are on processor time, so that a busy machine does not fail them. Encoder,
quantizer and decoder are timed apart, as in the paper (65, 2 and 51 ms for Kodak on a TITAN X, with wider networks);
on a GPU where there is one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="ResGDN needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="ResGDN needs the extra rdbench[learned]")

from codecs_wrappers.learned import device, weights
from codecs_wrappers.learned.resgdn import affine, coding, networks

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH, BITS = 512, 768, 4


@pytest.fixture(scope="module")
def model() -> coding.Model:
    """The compact network; its speed does not depend on its weights."""
    torch.manual_seed(0)
    network = networks.build({"family": "resgdn"})
    described = {"architecture": network.architecture.to_dict()}
    return coding.Model(weights.Weights("speed", network.state_dict(), "00" * 32, described), device.resolve())


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    ramp = np.add.outer(np.arange(HEIGHT) // 4, np.arange(WIDTH) // 6)[..., None]
    return (ramp + np.random.default_rng(0).integers(0, 20, (HEIGHT, WIDTH, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.benchmark(timer=time.process_time)
def test_base_layer_of_768_x_512_takes_under_2_s_there_and_back(benchmark, model, image):
    from codecs_wrappers.learned import bitstream

    def both_ways() -> None:
        stream = coding.encode_base(model, image, BITS).bitstream
        coding.decode_base(model, stream, bitstream.read(stream, coding.SCHEME))

    benchmark.pedantic(both_ways, rounds=5, warmup_rounds=1)
    assert benchmark.stats["min"] < 2


@pytest.mark.benchmark(group="ResGDN, 768 x 512", timer=time.process_time)
@pytest.mark.parametrize("part", ["encoder", "quantizer", "decoder"])
def test_part(benchmark, model, image, part):
    code = model.analyse(image)

    def quantizer() -> None:
        chosen = affine.affine_of(code, BITS)
        affine.dequantize(affine.quantize(code, chosen), chosen)

    parts = {
        "encoder": lambda: model.analyse(image),
        "quantizer": quantizer,
        "decoder": lambda: model.synthesise(code, HEIGHT, WIDTH),
    }
    benchmark.pedantic(parts[part], rounds=5, warmup_rounds=1)


def test_nine_megapixels_take_under_12_gib(benchmark):
    script = (
        "import resource, numpy as np, torch\n"
        "from codecs_wrappers.learned import weights\n"
        "from codecs_wrappers.learned.resgdn import coding as resgdn_codec, networks as resgdn\n"
        "network = resgdn.build({'family': 'resgdn'})\n"
        "described = {'architecture': network.architecture.to_dict()}\n"
        "model = resgdn_codec.Model(weights.Weights('memory', network.state_dict(), '00' * 32, described))\n"
        "image = np.random.default_rng(0).integers(0, 256, (2500, 3600, 3), np.uint8)\n"
        "resgdn_codec.encode_base(model, image, 2)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)\n"
    )

    def peak_gib() -> float:
        return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT).stdout)

    assert benchmark.pedantic(peak_gib, rounds=1) < 12
