"""QSF (Chen & Ma 2020): quantization scaling factors per channel and rate, trained on one frozen network."""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

from bench.codec import Point, VariableRate
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.codec import ONE_NETWORK, SteppedCodec
from codecs_wrappers.learned.study import between_study, code_length_study

ENTRY = "qsf"
_POSITION = struct.Struct(">f")
_STEP_UNIT = 4096  # steps are rounded to 1/4096, far coarser than two exponential functions differ by


@lru_cache(maxsize=1)
def _log_steps() -> np.ndarray:
    """float64 (rates, M): ln of the quantization steps, the coarsest rate first."""
    factors = weights.load(ENTRY).state["factors"].double().numpy()
    return -np.log(factors)


class Qsf(SteppedCodec, VariableRate):
    """The mean-scale hyperprior with one quantization step per channel, interpolated between two trained rates.

    A point's position counts the trained sets of factors: 0 is the lowest rate, 2.5 is half-way between the third and
    the fourth (by the geometric mean; the authors state no rule).
    """

    name = scheme = "qsf"
    extension = ".rdl"
    label = "QSF"
    description = "one mean-scale model, trained quantization scaling factors per channel and rate"
    counterpart = "mean_scale"
    entries = (ONE_NETWORK, ENTRY)
    parameter, meaning = "position", "place among the trained sets of factors"

    def __init__(self) -> None:
        rates = len(weights.entry(ENTRY)["rate_weights"]) if ENTRY in weights.names() else 8
        self.limits = (0.0, rates - 1.0)
        self.points = tuple(Point(f"position{index}", position=float(index)) for index in range(rates))

    def parameters_of(self, point: Point) -> bytes:
        return _POSITION.pack(self.at(point["position"])["position"])

    def step_of(self, parameters: bytes) -> np.ndarray:
        (position,) = _POSITION.unpack(parameters)
        position = self.at(position)["position"]
        low = min(int(position), int(self.limits[1]) - 1)
        part, steps = position - low, _log_steps()
        between = np.exp((1 - part) * steps[low] + part * steps[low + 1])
        return (np.rint(between * _STEP_UNIT) / _STEP_UNIT).astype(np.float32)


CODECS = [Qsf()]
STUDIES = [code_length_study(CODECS[0]), between_study(CODECS[0])]
