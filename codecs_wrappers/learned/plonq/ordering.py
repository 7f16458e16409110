"""The order in which a level's elements are refined (PLONQ, section 4): coding units, sorted by a criterion.

A unit is one element, all elements of one channel, or those of one pixel of the latent. The most promising unit comes
first:

* ``sigma``: the sum of its elements' scales, also known to the decoder;
* ``gain``: the expected reduction of the squared error per expected bit, given its current bin, also known to the
  decoder (``priority.py``; not in the paper);
* ``rate``: the bits that its refinement costs in this image (the paper's dR);
* ``slope``: the reduction of the picture's squared error per bit (dD/dR), each unit refined in index order on top of
  the previous ones (the paper's greedy procedure).

Only the encoder knows the last two, so their order is sent, as one number below n! for n units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned.entropy.gaussian import SCALES

UNITS = ("element", "channel", "pixel")  # their indices are codes in the stream
CRITERIA = ("sigma", "rate", "slope")
GAIN = "gain"
GAIN_CODE = len(UNITS) * len(CRITERIA)
INFEASIBLE = {
    ("element", "rate"): "sending the order of n elements takes log2(n!) bits, about 17 bits for each of Kodak's "
    "491,520 (M = 320): many times the bits of the refinements",
    ("element", "slope"): "it synthesises the picture once for each element and level, 2 million times for an "
    "image of Kodak, and its order costs as much to send as that by rate",
    ("pixel", "slope"): "it synthesises the picture once for each pixel of the latent and level, 6,144 times for "
    "an image of Kodak, over two hours on one core",
}
_SIGMA = np.rint(SCALES * 2**16).astype(np.int64)


@dataclass(frozen=True)
class Order:
    """A coding unit and the criterion it is sorted by. Raises UsageError for an unknown or infeasible combination.

    blend: for the order by gain: how far coarse bins are reconstructed towards their middle, in 16ths
    (``priority.py``).
    """

    unit: str = "element"
    criterion: str = "sigma"
    blend: int = 0

    def __post_init__(self) -> None:
        if self.criterion == GAIN and self.unit == "element" and 0 <= self.blend <= 16:
            return
        if self.criterion == GAIN or self.blend:
            raise UsageError(
                f"ordering {self.unit} by {self.criterion}, blend {self.blend}: only elements can be ordered by gain, "
                "with a blend of 0 to 16; other orders have no blend"
            )
        if self.unit not in UNITS or self.criterion not in CRITERIA:
            raise UsageError(
                f"ordering {self.unit} by {self.criterion}: expected a unit of {', '.join(UNITS)} and a criterion of "
                f"{', '.join(CRITERIA)}"
            )
        if (self.unit, self.criterion) in INFEASIBLE:
            reason = INFEASIBLE[self.unit, self.criterion]
            raise UsageError(f"ordering {self.unit}s by {self.criterion} is not feasible: {reason}")

    @property
    def is_sent(self) -> bool:
        """Whether the order has to be sent to the decoder."""
        return self.criterion not in ("sigma", GAIN)

    @property
    def code(self) -> int:
        """A byte for the stream, without the blend."""
        if self.criterion == GAIN:
            return GAIN_CODE
        return UNITS.index(self.unit) * len(CRITERIA) + CRITERIA.index(self.criterion)

    @classmethod
    def of_code(cls, code: int, blend: int = 0) -> Order:
        """The order with that code. Raises BitstreamError for an unknown code."""
        unit, criterion = divmod(code, len(CRITERIA))
        try:
            if code == GAIN_CODE:
                return cls("element", GAIN, blend)
            return cls(UNITS[unit], CRITERIA[criterion])
        except (IndexError, UsageError) as error:
            raise BitstreamError(f"decoding plonq: no encoder writes the header's order {code}: {error}") from error


def per_unit(values: np.ndarray, unit: str) -> np.ndarray:
    """The sum of ``values`` (M, h, w) over each unit, in index order; for elements, ``values`` itself, flat."""
    axes: tuple[int, ...] = {"element": (), "channel": (1, 2), "pixel": (0,)}[unit]
    return values.sum(axis=axes).ravel() if axes else values.ravel()


def by_sigma(index: np.ndarray, unit: str) -> np.ndarray:
    """Units in order of decreasing scale, ties in index order. index: scale indices, uint8 (M, h, w)."""
    if unit == "element":
        return np.argsort(np.uint8(255) - index.ravel(), kind="stable")  # a radix sort
    return descending(per_unit(_SIGMA[index], unit))


def descending(values: np.ndarray) -> np.ndarray:
    """Indices in order of decreasing value, ties in index order."""
    return np.argsort(-values, kind="stable")


def elements_of(units: np.ndarray, unit: str, shape: tuple[int, ...]) -> np.ndarray:
    """The flat indices of all elements of a latent of ``shape``, unit by unit."""
    if unit == "element":
        return units
    place = np.arange(math.prod(shape)).reshape(shape[0], -1)  # (M, h w)
    return place[units].ravel() if unit == "channel" else place.T[units].ravel()


def by_slope(bits: np.ndarray, error_after: Callable[[int], float], error_before: float) -> np.ndarray:
    """Units in order of decreasing dD/dR. bits: by unit; error_after(n): the picture's with units 0..n refined.

    A unit without bits comes last: it has nothing to send.
    """
    errors = np.array([error_before, *(error_after(n) for n in range(len(bits)))])
    gain = -np.diff(errors)
    return descending(np.divide(gain, bits, out=np.full(len(bits), -np.inf), where=bits > 0))


def pack(permutation: np.ndarray) -> np.ndarray:
    """A permutation of 0..n-1 as bytes (uint8): its number among all n!, digits in the factorial base (Lehmer code)."""
    left, number = list(range(len(permutation))), 0
    for place in permutation.tolist():
        digit = left.index(place)
        number = number * len(left) + digit
        del left[digit]
    return np.frombuffer(number.to_bytes(packed_bytes(len(permutation)), "big"), np.uint8)


def unpack(packed: np.ndarray, count: int) -> np.ndarray:
    """The permutation (int64) of ``count`` units in bytes of :func:`pack`. Raises BitstreamError for other bytes."""
    number, digits = int.from_bytes(packed.astype(np.uint8).tobytes(), "big"), []
    for radix in range(1, count + 1):
        number, digit = divmod(number, radix)
        digits.append(digit)
    if number:
        raise BitstreamError(f"decoding plonq: an order of {count} units is corrupt: its number is too large")
    left = list(range(count))
    return np.array([left.pop(digit) for digit in reversed(digits)], np.int64)


def packed_bytes(count: int) -> int:
    """The bytes that a permutation of ``count`` units takes."""
    return ((math.factorial(count) - 1).bit_length() + 7) // 8
