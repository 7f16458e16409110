"""NaiveScaling (PLONQ, section 3): one network, its latent divided by one step before rounding."""

from __future__ import annotations

import struct

from bench.codec import Point, VariableRate
from codecs_wrappers.learned.codec import ONE_NETWORK, SteppedCodec
from codecs_wrappers.learned.study import code_length_study

STEPS = (
    16,
    12.8,
    10,
    8,
    6.4,
    5,
    4,
    3.2,
    2.5,
    2,
    1.6,
    1.25,
    1,
)  # in order of rising rate; the paper does not list its own
_STEP = struct.Struct(">f")


class NaiveScaling(SteppedCodec, VariableRate):
    """The mean-scale hyperprior with one quantization step for every element of the latent."""

    name = scheme = "naive_scaling"
    extension = ".rdl"
    label = "NaiveScaling"
    description = "one mean-scale model, latent quantized with one step s >= 1"
    counterpart = "mean_scale"
    entries = (ONE_NETWORK,)
    parameter, meaning = "s", "quantization step of the latent"
    limits = (1.0, 64.0)
    points = tuple(Point(f"s{step:g}", s=float(step)) for step in STEPS)

    def parameters_of(self, point: Point) -> bytes:
        return _STEP.pack(self.at(point["s"])["s"])

    def step_of(self, parameters: bytes) -> float:
        (step,) = _STEP.unpack(parameters)
        return self.at(step)["s"]


CODECS = [NaiveScaling()]
STUDIES = [code_length_study(CODECS[0])]
