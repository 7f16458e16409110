"""Rate control: finds the operating point at which a codec codes an image at a target rate in bits per pixel.

Every rate is that of a real bitstream. A codec with a real-valued parameter is searched, an embedded one is truncated,
and for any other the nearest listed point is used.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

from bench.codec import Codec, Embedded, Image, Point, VariableRate, check_image
from bench.errors import RdbenchError, UsageError

TOLERANCE = 0.02  # of the target


@dataclass(frozen=True)
class Coded:
    """An image coded at one operating point. bpp: 8 * bytes / (height * width)."""

    point: Point
    bitstream: bytes
    bpp: float


@dataclass(frozen=True)
class RateResult:
    """The result of a search. evaluations: bitstreams made; continuous: whether the codec can meet any rate in its
    range.
    """

    coded: Coded
    target_bpp: float
    tolerance: float
    evaluations: int
    continuous: bool

    @property
    def within(self) -> bool:
        """Whether the rate is within the tolerance of the target."""
        return abs(self.coded.bpp / self.target_bpp - 1) <= self.tolerance


def encode_to_rate(codec: Codec, image: Image, target_bpp: float, tolerance: float = TOLERANCE) -> RateResult:
    """``image`` (uint8, H x W x 3) coded by ``codec`` to ``target_bpp`` bits per pixel.

    A VariableRate codec comes within ``tolerance`` (0.02 is 2 %); an Embedded one to within a byte below it; any other
    gives its nearest listed point, however far away (see ``within``). Raises UsageError for a target that is not
    positive or is out of range, stating the range, and RdbenchError if the rate jumps over the target.
    """
    if not (math.isfinite(target_bpp) and target_bpp > 0 and tolerance > 0):
        raise UsageError(f"expected a rate above 0 bpp and a tolerance above 0, got {target_bpp:g} and {tolerance:g}")
    search = _Search(codec, check_image(image), target_bpp, tolerance)
    if isinstance(codec, Embedded):
        coded = search.cut(codec)
    elif isinstance(codec, VariableRate):
        coded = search.between(codec)
    else:
        coded = search.nearest(codec)
    continuous = isinstance(codec, Embedded | VariableRate)
    return RateResult(coded, target_bpp, tolerance, search.evaluations, continuous)


class _Search:
    """The bitstreams of one image that a codec makes on the way to one rate."""

    def __init__(self, codec: Codec, image: Image, target_bpp: float, tolerance: float):
        self.codec, self.target_bpp, self.tolerance = codec, target_bpp, tolerance
        self.image = image.view()  # read-only, as all bitstreams share it
        self.image.setflags(write=False)
        self.evaluations = 0

    def cut(self, codec: Embedded) -> Coded:
        """The prefix of the whole bitstream."""
        self.evaluations += 1
        full = codec.encode_full(self.image)

        def prefix(point: Point) -> Coded:
            return self._coded(point, codec.truncate(full, point))

        coded = prefix(Point(f"bpp{self.target_bpp:g}", bpp=self.target_bpp))
        longest = self._coded(coded.point, full)
        too_long = coded.bpp > self.target_bpp * (1 + self.tolerance)  # its header
        if too_long or longest.bpp < self.target_bpp * (1 - self.tolerance):
            raise self._out_of_reach(prefix(Point("shortest", bpp=0.0)), longest)
        return coded

    def between(self, codec: VariableRate) -> Coded:
        """The bitstream at some value of the parameter, found by bracketing the target between two of them.

        Regula falsi on the logarithm of the rate with the Illinois rule (an end that stays twice counts half), which
        closes the bracket for any curve (naive_scaling: 4.8 bitstreams per target on average; bisection 8.0).
        """
        low, high = codec.limits
        scale, value_of = (math.log, math.exp) if low > 0 else (float, float)  # steps and factors are ratios

        def point_at(u: float) -> Point:
            return codec.at(min(max(value_of(u), low), high))

        ends = sorted(((scale(value), self._code(codec.at(value))) for value in codec.limits), key=lambda e: e[1].bpp)
        (a, below), (b, above) = ends
        best = min(below, above, key=self._distance)
        if self._meets(best):
            return best
        if not below.bpp < self.target_bpp < above.bpp:
            raise self._out_of_reach(below, above)
        f_a, f_b = -self._distance(below), self._distance(above)
        stayed = None
        while True:
            u = a + (b - a) * f_a / (f_a - f_b)
            if point_at(u) in (below.point, above.point):
                u = (a + b) / 2
                if point_at(u) in (below.point, above.point):
                    raise self._jump(below, above)
            coded = self._code(point_at(u))
            if self._meets(coded):
                return coded
            if coded.bpp < self.target_bpp:
                a, below, f_a = u, coded, -self._distance(coded)
                f_b, stayed = f_b / (2 if stayed == "above" else 1), "above"
            else:
                b, above, f_b = u, coded, self._distance(coded)
                f_a, stayed = f_a / (2 if stayed == "below" else 1), "below"

    def nearest(self, codec: Codec) -> Coded:
        """The listed point with the nearest rate, by bisection if the rates increase over the points."""
        code, points = cache(self._code), codec.points
        if codec.monotone:
            index = bisect_left(points, self.target_bpp, key=lambda point: code(point).bpp)
            points = points[max(0, index - 1) : index + 1]
        best = min(map(code, points), key=self._distance)
        if not self._meets(best):
            ends = codec.points[:: max(1, len(codec.points) - 1)] if codec.monotone else codec.points
            rates = sorted(map(code, ends), key=lambda coded: coded.bpp)
            if not rates[0].bpp <= self.target_bpp <= rates[-1].bpp:
                raise self._out_of_reach(rates[0], rates[-1])
        return best

    def _code(self, point: Point) -> Coded:
        self.evaluations += 1
        return self._coded(point, self.codec.encode(self.image, point))

    def _coded(self, point: Point, bitstream: bytes) -> Coded:
        return Coded(point, bitstream, 8 * len(bitstream) / (self.image.shape[0] * self.image.shape[1]))

    def _distance(self, coded: Coded) -> float:
        return abs(math.log(coded.bpp / self.target_bpp))

    def _meets(self, coded: Coded) -> bool:
        return abs(coded.bpp / self.target_bpp - 1) <= self.tolerance

    def _out_of_reach(self, lowest: Coded, highest: Coded) -> UsageError:
        return UsageError(
            f"{self.codec.name} cannot code this image at {self.target_bpp:g} bpp: its rates go "
            f"from {lowest.bpp:.4f} to {highest.bpp:.4f} bpp"
        )

    def _jump(self, below: Coded, above: Coded) -> RdbenchError:
        ends = [f"{coded.bpp:.4f} bpp at {coded.point.name}" for coded in (below, above)]
        return RdbenchError(
            f"{self.codec.name} cannot code this image at {self.target_bpp:g} bpp within {100 * self.tolerance:g} %: "
            f"its rate jumps from {ends[0]} to {ends[1]}; encode at one of them, or give a wider --tolerance"
        )
