"""Rate control: the operating point at which a codec codes an image at a wanted rate, or with a wanted quality.

Every rate is that of a real bitstream, and every quality that of its decoded picture. An embedded codec is truncated,
one whose operating points differ in a single number is searched along that number, and any other gives the best of its
listed points.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from bench.codec import Codec, Embedded, Image, Point, VariableRate, check_image
from bench.errors import RdbenchError, UsageError
from bench.run.targets import TOLERANCE, Coded, QualityTarget, RateTarget, Target
from bench.run.varied import point_with, varied_parameter

Line = Callable[[float], Point]  # the operating point at a value of the one parameter that is searched


@dataclass(frozen=True)
class RateResult:
    """The result of a search. evaluations: bitstreams made (or prefixes measured); continuous: whether the codec can
    meet any target in its range.
    """

    coded: Coded
    target: Target
    evaluations: int
    continuous: bool

    @property
    def within(self) -> bool:
        """Whether the target is met within its tolerance."""
        return self.target.met_by(self.coded)


def encode_to_rate(codec: Codec, image: Image, target_bpp: float, tolerance: float = TOLERANCE["bpp"]) -> RateResult:
    """``image`` (uint8, H x W x 3) coded by ``codec`` to ``target_bpp`` bits per pixel.

    A codec with a real-valued parameter comes within ``tolerance`` (0.02 is 2 %); an Embedded one to within a byte
    below it; any other gives what is nearest, however far away (see ``within``). Raises UsageError for a target that is
    not positive or is out of range, stating the range, and RdbenchError if a VariableRate codec's rate jumps over it.
    """
    return _encode(codec, image, RateTarget(target_bpp, tolerance))


def encode_to_quality(
    codec: Codec, image: Image, metric: str, value: float, tolerance: float | None = None
) -> RateResult:
    """``image`` (uint8, H x W x 3) coded with at least the quality ``value`` in few bytes.

    metric: psnr_rgb_db (dB), ms_ssim (0 to 1) or ssimulacra2 (up to 100). The result's quality is from ``value`` to
    ``tolerance`` above it (default: TOLERANCE; for ms_ssim in dB of -10 log10(1 - MS-SSIM)); where the codec has only
    steps, it is the first step that is good enough. Raises UsageError for a value that is out of range, stating the
    range, and for an image that the metric does not take.
    """
    return _encode(codec, image, QualityTarget(check_image(image), metric, value, tolerance))


def _encode(codec: Codec, image: Image, target: Target) -> RateResult:
    search = _Search(codec, check_image(image), target)
    coded = search.run()
    return RateResult(coded, target, search.evaluations, search.continuous)


class _Search:
    """The bitstreams of one image that a codec makes on the way to one target."""

    def __init__(self, codec: Codec, image: Image, target: Target):
        self.codec, self.target = codec, target
        self.image = image.view()  # read-only, as all bitstreams share it
        self.image.setflags(write=False)
        self.evaluations = 0
        self.continuous = isinstance(codec, Embedded | VariableRate)

    def run(self) -> Coded:
        """The bitstream that meets the target, or comes nearest to it."""
        if isinstance(self.codec, Embedded):
            return self.prefix(self.codec)
        if isinstance(self.codec, VariableRate):
            return self.variable(self.codec)
        return self.stepped(self.codec)

    def prefix(self, codec: Embedded) -> Coded:
        """The prefix of the whole bitstream: cut at the rate, or the shortest that is good enough."""
        self.evaluations += 1
        full = codec.encode_full(self.image)
        pixels = self.image.shape[0] * self.image.shape[1]

        def cut(point: Point) -> Coded:
            return self._coded(point, codec.truncate(full, point))

        if isinstance(self.target, RateTarget):
            wanted = self.target.value
            coded = cut(Point(f"bpp{wanted:g}", bpp=wanted))
            longest = self._coded(coded.point, full)
            too_long = coded.bpp > wanted * (1 + self.target.tolerance)  # its header
            if too_long or longest.bpp < wanted * (1 - self.target.tolerance):
                raise self._out_of_reach(cut(Point("shortest", bpp=0.0)), longest)
            return coded

        def to_bytes(length: float) -> Point:
            bpp = 8 * length / pixels
            return Point(f"bpp{bpp:g}", bpp=bpp)

        def measured(length: float) -> Coded:
            self.evaluations += 1
            return cut(to_bytes(length))

        shortest = len(codec.truncate(full, Point("shortest", bpp=0.0)))
        ends = [(float(length), measured(length)) for length in (shortest, len(full))]
        return self._between(ends, to_bytes, measured, whole=True)

    def variable(self, codec: VariableRate) -> Coded:
        """The bitstream at some value of the codec's parameter."""
        ends = [(value, self._code(codec.at(value))) for value in codec.limits]
        return self._between(ends, codec.at, lambda value: self._code(codec.at(value)), whole=False)

    def stepped(self, codec: Codec) -> Coded:
        """The best of the listed points, and where they differ in one number only, of what lies between them."""
        code = cache(self._code)
        points: Sequence[Point] = codec.points
        if not codec.monotone:
            points = sorted(points, key=lambda point: self.target.off(code(point)))
        index = bisect_left(points, 0.0, key=lambda point: self.target.off(code(point)))
        around = [(point, code(point)) for point in points[max(0, index - 1) : index + 1]]
        if met := [coded for _, coded in around if self.target.met_by(coded)]:
            return self.target.best(met)
        varied = varied_parameter(codec, [point.to_json() for point in points])
        if varied is None:
            if len(around) < 2:  # the target lies outside
                raise self._out_of_reach(code(points[0]), code(points[-1]))
            return self.target.best([coded for _, coded in around])
        known = [(float(point[varied.name]), coded) for point, coded in around]

        def at(value: float) -> Point:
            return point_with(codec, varied, value, points[0].parameters)

        def end(first: bool) -> tuple[float, Coded]:
            """The parameter's limit on the side of the first or the last point; that point where there is none."""
            listed, other = (points[i][varied.name] for i in ((0, -1) if first else (-1, 0)))
            limit = varied.range[0] if listed < other else varied.range[1]
            if not math.isfinite(limit) or limit == listed:
                return float(listed), code(points[0 if first else -1])
            return float(limit), code(at(limit))

        if len(known) < 2:  # the target lies outside what is listed: as far as the parameter goes
            known.append(end(first=index == 0))
        self.continuous = varied.type is float
        return self._between(
            known, at, lambda value: code(at(value)), varied.type is int, lambda: [end(True)[1], end(False)[1]]
        )

    def _between(
        self,
        ends: list[tuple[float, Coded]],
        at: Line,
        code: Callable[[float], Coded],
        whole: bool,
        others: Callable[[], list[Coded]] = list,
    ) -> Coded:
        """The bitstream at a value between two that have the target between them, by ever closer brackets.

        Regula falsi with the Illinois rule (an end that stays twice counts half), which closes the bracket for any
        curve (naive_scaling: 4.8 bitstreams per target on average; bisection 8.0). Steps are ratios where all values
        are above 0. ends: values of the parameter and their bitstreams. whole: it takes whole numbers only. others:
        bitstreams beyond, for the range that an error states.
        """
        scale, value_of = (math.log, math.exp) if min(value for value, _ in ends) > 0 else (float, float)
        ends = sorted(ends, key=lambda end: self.target.off(end[1]))
        if met := [coded for _, coded in ends if self.target.met_by(coded)]:
            return self.target.best(met)
        f_a, f_b = (self.target.off(coded) for _, coded in (ends[0], ends[-1]))
        if f_a >= 0 and isinstance(self.target, QualityTarget):  # even the worst is good enough
            return self.target.best([coded for _, coded in ends])
        if not f_a < 0 < f_b:
            reached = sorted([*(coded for _, coded in ends), *others()], key=lambda coded: coded.bpp)
            raise self._out_of_reach(reached[0], reached[-1])
        (a, below), (b, above) = ((scale(value), coded) for value, coded in ends)
        first, last = sorted((value_of(a), value_of(b)))

        def value_at(u: float) -> float:
            value = value_of(u)
            return float(round(value)) if whole else min(max(value, first), last)

        stayed = None
        while True:
            u = a + (b - a) * f_a / (f_a - f_b)
            if at(value_at(u)) in (below.point, above.point):
                u = (a + b) / 2
                if at(value_at(u)) in (below.point, above.point):
                    return self._nearest_of(below, above)
            coded = code(value_at(u))
            off = self.target.off(coded)
            if self.target.met_by(coded):
                return coded
            if off < 0:
                a, below, f_a = u, coded, off
                f_b, stayed = f_b / (2 if stayed == "above" else 1), "above"
            else:
                b, above, f_b = u, coded, off
                f_a, stayed = f_a / (2 if stayed == "below" else 1), "below"

    def _nearest_of(self, below: Coded, above: Coded) -> Coded:
        """Of two neighbours with nothing between them; an error for a codec that promises any rate."""
        if isinstance(self.codec, VariableRate) and isinstance(self.target, RateTarget):
            raise self._jump(below, above)
        return self.target.best([below, above])

    def _code(self, point: Point) -> Coded:
        self.evaluations += 1
        return self._coded(point, self.codec.encode(self.image, point))

    def _coded(self, point: Point, bitstream: bytes) -> Coded:
        bpp = 8 * len(bitstream) / (self.image.shape[0] * self.image.shape[1])
        return Coded(point, bitstream, bpp, self.target.measure(self.codec, bitstream))

    def _out_of_reach(self, lowest: Coded, highest: Coded) -> UsageError:
        return UsageError(
            f"{self.codec.name} cannot code this image at {self.target}: {self.target.range_of(lowest, highest)}"
        )

    def _jump(self, below: Coded, above: Coded) -> RdbenchError:
        ends = [f"{coded.bpp:.4f} bpp at {coded.point.name}" for coded in (below, above)]
        return RdbenchError(
            f"{self.codec.name} cannot code this image at {self.target} within {100 * self.target.tolerance:g} %: "
            f"its rate jumps from {ends[0]} to {ends[1]}; encode at one of them, or give a wider --tolerance"
        )
