"""What a bitstream is searched for: a rate that it is to have, or a quality that its picture is to reach."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.codec import Codec, Image, Point
from bench.errors import RdbenchError, UsageError
from bench.metrics import DEFAULT
from bench.metrics.metric import NoValue

# How near is near enough: a share of the rate, dB, dB of -10 log10(1 - MS-SSIM), points of SSIMULACRA 2.
TOLERANCE: Mapping[str, float] = {"bpp": 0.02, "psnr_rgb_db": 0.05, "ms_ssim": 0.05, "ssimulacra2": 0.25}
LABELS: Mapping[str, tuple[str, str]] = {
    "psnr_rgb_db": ("PSNR", "{:.2f} dB"),
    "ms_ssim": ("MS-SSIM", "{:.5f}"),
    "ssimulacra2": ("SSIMULACRA 2", "{:.2f}"),
}


@dataclass(frozen=True)
class Coded:
    """An image coded at one operating point. bpp: 8 * bytes / (height * width). quality: of the decoded picture, in
    the metric that is searched for; None where the rate is.
    """

    point: Point
    bitstream: bytes
    bpp: float
    quality: float | None = None


class Target(ABC):
    """A value that a bitstream is to have, and how near it must come."""

    column: str  # of the records
    value: float
    tolerance: float

    @abstractmethod
    def off(self, coded: Coded) -> float:
        """How far ``coded`` is above the target, negative below it, on a scale along which a search interpolates."""

    @abstractmethod
    def met_by(self, coded: Coded) -> bool:
        """Whether ``coded`` is within the tolerance."""

    @abstractmethod
    def best(self, choices: Iterable[Coded]) -> Coded:
        """Which of several to give."""

    @abstractmethod
    def range_of(self, lowest: Coded, highest: Coded) -> str:
        """What lies between two bitstreams, as a clause of an error message."""

    @abstractmethod
    def shown(self, coded: Coded) -> str:
        """What ``coded`` has of it, with its name."""

    def measure(self, codec: Codec, bitstream: bytes) -> float | None:
        """The quality of what ``codec`` decodes from ``bitstream``, where the target is one."""
        return None


class RateTarget(Target):
    """``value`` bits per pixel of the whole file, within a share ``tolerance`` of it."""

    column = "bpp"

    def __init__(self, value: float, tolerance: float):
        if not (math.isfinite(value) and value > 0 and tolerance > 0):
            raise UsageError(f"expected a rate above 0 bpp and a tolerance above 0, got {value:g} and {tolerance:g}")
        self.value, self.tolerance = value, tolerance

    def off(self, coded: Coded) -> float:
        return math.log(coded.bpp / self.value)

    def met_by(self, coded: Coded) -> bool:
        return abs(coded.bpp / self.value - 1) <= self.tolerance

    def best(self, choices: Iterable[Coded]) -> Coded:
        return min(choices, key=lambda coded: abs(self.off(coded)))

    def range_of(self, lowest: Coded, highest: Coded) -> str:
        return f"its rates go from {lowest.bpp:.4f} to {highest.bpp:.4f} bpp"

    def shown(self, coded: Coded) -> str:
        return f"{coded.bpp:.4f} bpp"

    def __str__(self) -> str:
        return f"{self.value:g} bpp"


class QualityTarget(Target):
    """At least ``value`` of a metric between ``original`` (uint8, H x W x 3) and the decoded picture."""

    def __init__(self, original: Image, column: str, value: float, tolerance: float | None):
        if column not in LABELS:
            raise UsageError(f"no search for {column!r}: expected {', '.join(LABELS)}")
        self.column, self.value = column, value
        self.tolerance = TOLERANCE[column] if tolerance is None else tolerance
        self.label, self.format = LABELS[column]
        most = {"psnr_rgb_db": math.inf, "ms_ssim": 1.0, "ssimulacra2": 100.0}[column]
        if not (math.isfinite(value) and 0 < value < most and self.tolerance > 0):
            below = f" and below {most:g}" if math.isfinite(most) else ""
            article = "a" if self.label == "PSNR" else "an"
            raise UsageError(
                f"expected {article} {self.label} above 0{below} and a tolerance above 0, got {value:g} and "
                f"{self.tolerance:g}"
            )
        self.metric = next(metric for metric in DEFAULT if column in metric.columns)
        if reason := self.metric.missing() or self.metric.refusal(*original.shape[:2]):
            raise UsageError(f"measuring {self.label} of this image: {reason}")
        self._prepared, self._shape = self.metric.prepare(original), original.shape

    def measure(self, codec: Codec, bitstream: bytes) -> float:
        notes: list[str] = []
        picture = codec.decode(bitstream)
        if picture.shape != self._shape:
            raise RdbenchError(f"expected a picture of {self._shape} from its own decoder, got {picture.shape}")
        try:
            found = self.metric.values(self._prepared, picture, [self.column], notes)[self.column]
        except NoValue as error:
            raise UsageError(f"measuring {self.label} of this image: {error}") from None
        if found is None:
            raise UsageError(f"measuring {self.label} of this image: {'; '.join(notes)}")
        return found

    def off(self, coded: Coded) -> float:
        return self._scaled(self._quality(coded)) - self._scaled(self.value)

    def _scaled(self, quality: float) -> float:
        if self.column != "ms_ssim":
            return quality
        return math.inf if quality >= 1 else -10 * math.log10(1 - quality)

    @staticmethod
    def _quality(coded: Coded) -> float:
        assert coded.quality is not None  # measure() was called for it
        return coded.quality

    def met_by(self, coded: Coded) -> bool:
        return 0 <= self.off(coded) <= self.tolerance

    def best(self, choices: Iterable[Coded]) -> Coded:
        """The smallest that is good enough, or else the best."""
        choices = list(choices)
        enough = [coded for coded in choices if self.off(coded) >= 0]
        return min(enough, key=lambda coded: coded.bpp) if enough else max(choices, key=self.off)

    def range_of(self, lowest: Coded, highest: Coded) -> str:
        ends = sorted((self._quality(lowest), self._quality(highest)))
        return f"its {self.label} goes from {self.format.format(ends[0])} to {self.format.format(ends[1])}"

    def shown(self, coded: Coded) -> str:
        """The quality of ``coded``, with its name."""
        return f"{self.label} {self.format.format(self._quality(coded))}"

    def __str__(self) -> str:
        return f"{self.label} {self.value:g}{' dB' if self.column == 'psnr_rgb_db' else ''}"
