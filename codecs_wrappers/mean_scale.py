"""The mean-scale hyperprior of Minnen et al. 2018, without its context model: one network, one rate."""

from __future__ import annotations

from bench.codec import Parameter, Point
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.codec import SteppedCodec
from codecs_wrappers.learned.commands import add_commands  # noqa: F401  (`rdbench train` and others)
from codecs_wrappers.learned.study import code_length_study


class MeanScale(SteppedCodec):
    """One separately trained network per operating point: the curve that variable-rate schemes are compared with."""

    name = scheme = "mean_scale"
    extension = ".rdl"
    label = "MeanScale (a model per point)"
    description = "mean-scale hyperprior trained here, one model per rate"
    source = "committed"

    def __init__(self) -> None:
        manifest = {name: weights.entry(name) for name in weights.names()}
        found = {name: entry for name, entry in manifest.items() if self._uses(entry)}
        self.entries = tuple(sorted(found, key=lambda name: found[name]["rate_weight"]))
        self.points = tuple(Point(f"lambda{found[name]['rate_weight']}", model=name) for name in self.entries)
        self.parameters = (Parameter("model", str, self.entries, "entry of the weights manifest"),)

    def _uses(self, entry: dict) -> bool:
        is_plain = entry["architecture"]["family"] == entry.get("scheme", "mean_scale") == "mean_scale"
        return is_plain and entry["source"] == self.source and entry.get("distortion", "mse") == "mse"

    def models(self) -> tuple[str, ...]:
        return self.entries

    def entry_of(self, point: Point) -> str:
        return point["model"]


class MeanScaleZoo(MeanScale):
    """CompressAI's published weights (mbt2018-mean, MSE), in this project's bitstream."""

    name = "mean_scale_zoo"
    label = "MeanScale (CompressAI's weights)"
    description = "mean-scale hyperprior with CompressAI's published weights, one model per rate"
    source = "zoo"


CODECS = [codec for codec in (MeanScale(), MeanScaleZoo()) if codec.points]
STUDIES = [code_length_study(CODECS[0])]
