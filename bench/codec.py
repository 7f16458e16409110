"""The contract between the harness and a codec.

A codec is a class with a name, an extension, and operating points. The harness calls

* ``encode(image, point)`` in one process, writes the bytes to disk, and
* ``decode(bitstream)`` in another process, which is given those bytes and nothing else,

so whatever the decoder needs has to be in the bitstream, and is paid for in its size. One file per codec family lies
in ``codecs_wrappers/``; its module-level ``CODECS`` lists the codecs it gives. Nothing else has to be edited to add
one: ``codecs_wrappers/_template.py`` is the manual.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from math import inf
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.parameters import Parameter as Parameter
from bench.parameters import check_values, parameters_from_points

Image = np.ndarray  # uint8, H x W x 3, sRGB, range 0..255


@dataclass(frozen=True, init=False)
class Point:
    """One operating point of an RD curve: a name that is unique within the codec, and the parameters behind it.

    ``Point("q75", quality=75)``. Parameters are numbers and texts, those that the codec declares (:class:`Parameter`);
    they enter the cache key and the records.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, name: str, **parameters: Any):
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameters", parameters)

    def __getitem__(self, key: str) -> Any:
        try:
            return self.parameters[key]
        except KeyError:
            raise UsageError(
                f"operating point {self.name!r} has no parameter {key!r}; it has {sorted(self.parameters) or 'none'}"
            ) from None

    def __hash__(self) -> int:
        return hash((self.name, self.to_json()))

    def to_json(self) -> str:
        """The parameters as canonical JSON: keys sorted, no spaces."""
        return json.dumps(dict(self.parameters), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Colour:
    """The colour conversion a codec applies to 8-bit RGB, which caps the quality it can reach.

    matrix: "bt601" or "bt709"; range: "full" or "limited"; subsampling: "4:4:4", "4:2:2" or "4:2:0"; bit_depth: of the
    samples that are coded. A codec that codes RGB itself, or converts without loss, has no Colour (``None``).
    """

    matrix: str = "bt601"
    range: str = "full"
    subsampling: str = "4:4:4"
    bit_depth: int = 8

    def __str__(self) -> str:
        return f"YCbCr {self.matrix.upper()} {self.range} range {self.subsampling} {self.bit_depth} bit"


def _with_checked_image(encode: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(encode)
    def checked(self: Codec, image: Any, *arguments: Any) -> Any:
        return encode(self, check_image(image), *arguments)

    return checked


class Codec:
    """An image codec under test. Subclass it, set the attributes, write ``version``, ``encode`` and ``decode``.

    Configuration belongs in ``__init__`` and nowhere else. The same image and point must give the same bytes, and the
    same bytes the same pixels, every time and in every process.
    """

    name: str  # unique, lower case: "webp"
    extension: str  # of its files: ".webp"
    points: tuple[Point, ...]  # of its RD curve, in order of rising rate
    label: str = ""  # how figures name it; the name if empty
    description: str = ""  # one line for tables and `rdbench list`
    role: str = "codec"  # "codec", "control" (has a known answer), "validation" (reproduces a published setting)
    colour: Colour | None = None  # the conversion it applies; None if it codes RGB or is exactly invertible
    lossless: bool = False
    monotone: bool = True  # rate rises from each point to the next
    detects_corruption: bool = False  # decode raises BitstreamError if any byte has changed (a format of its own)

    def __init_subclass__(cls, **options: Any) -> None:
        """Every image that reaches a subclass's encoding methods has gone through :func:`check_image`."""
        super().__init_subclass__(**options)
        for name in ("encode", "encode_full", "encode_with_reconstruction"):
            if name in vars(cls):
                setattr(cls, name, _with_checked_image(vars(cls)[name]))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What its points and `--set` may say; anything else is refused. A class sets a tuple of its own.

        A codec that does not has what its points have, as far as their values go.
        """
        return parameters_from_points(point.parameters for point in self.points)

    def available(self) -> tuple[bool, str]:
        """Whether it can run here, and if not the reason, which the report shows."""
        return True, ""

    def version(self) -> str:
        """Library or binary version and everything else that decides the bits. Never empty when available."""
        raise NotImplementedError(f"{type(self).__name__} must say its version")

    def weights_digest(self) -> str:
        """sha256 of the trained weights it uses; empty for a codec without."""
        return ""

    def training(self) -> tuple[Mapping[str, Any], ...]:
        """How its weights came about, one mapping for each file, for the report; nothing for a codec without.

        Keys, all but ``name`` where known: bytes (int), steps, crops, crop (side in pixels), images, hours, device,
        start (what it started from), base (the file whose network stays frozen), loss, bpp and psnr_rgb_db (of the
        validation), validation_images.
        """
        return ()

    def prepare(self) -> None:
        """Loads what the first call would load: a library, weights onto the device, compiled code. May be left out.

        A worker calls it once, before the first encode or decode, and times it: the times table keeps loading apart.
        Encoding and decoding must work without it, and calling it again must cost nothing.
        """

    def forget(self) -> None:
        """Drops what earlier calls left for later ones with the same input, such as the analysis of the last image.

        The harness calls it before each encode or decode that it times. What ``prepare`` loaded stays.
        """

    def encode(self, image: Image, point: Point) -> bytes:
        """The bitstream of ``image`` (uint8, H x W x 3) at ``point``."""
        raise NotImplementedError(f"{type(self).__name__} must encode")

    def decode(self, bitstream: bytes) -> Image:
        """The reconstruction (uint8, H x W x 3) from the bitstream alone.

        Raises :class:`~bench.errors.BitstreamError`, or the library's own error, on a bitstream it cannot decode.
        """
        raise NotImplementedError(f"{type(self).__name__} must decode")

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image | None]:
        """The bitstream and the encoder's own reconstruction, or None where the encoder has none.

        The harness compares its hash with that of the decoder's: a difference is a failure.
        """
        return self.encode(image, point), None

    def point(self, name: str) -> Point:
        """The operating point called ``name``."""
        for point in self.points:
            if point.name == name:
                return point
        raise UsageError(f"{self.name} has no operating point {name!r}; it has {self._point_names()}")

    def changed(self, point: Point, name: str, **values: Any) -> Point:
        """``point`` with other ``values`` of its parameters, called ``name``.

        Raises UsageError that names what is allowed, for a parameter it has not or a value out of its range.
        """
        check_values(self.name, self.parameters, values)
        return Point(name, **{**point.parameters, **values})

    def _point_names(self) -> str:
        return ", ".join(point.name for point in self.points)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Embedded(Codec):
    """A codec with one bitstream of which every prefix decodes (SPIHT, PLONQ).

    A point with a parameter ``bpp`` asks for the longest prefix of at most that many bits per pixel, or the shortest
    that decodes if that is longer. Any number from 0 up may be asked for, listed or not: `rdbench rate` does. An image
    whose whole stream is shorter is `saturated` there, and curves averaged at a fixed rate leave that point out.
    """

    parameters = (Parameter("bpp", float, (0.0, inf), "bits per pixel, at most"),)

    def encode_full(self, image: Image) -> bytes:
        """The whole bitstream of ``image``."""
        raise NotImplementedError(f"{type(self).__name__} must encode")

    def truncate(self, bitstream: bytes, point: Point) -> bytes:
        """The prefix of a whole bitstream that ``point`` asks for."""
        raise NotImplementedError(f"{type(self).__name__} must truncate")

    def encoder_reconstruction(self, image: Image, bitstream: bytes) -> Image | None:
        """What a prefix decodes to, as the encoder of ``image`` has it; None where it has nothing of its own.

        Not by its decoder: the harness compares the two, which proves something only if they are made apart.
        """
        return None

    def encode(self, image: Image, point: Point) -> bytes:
        return self.truncate(self.encode_full(image), point)

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image | None]:
        bitstream = self.encode(image, point)
        return bitstream, self.encoder_reconstruction(image, bitstream)


class VariableRate(Codec):
    """A codec whose rate is set by one real number (NaiveScaling, QSF, STanH): any value is an operating point.

    ``points`` lists those of its RD curve; :meth:`at` gives all others, `rdbench encode --point s1.37` names one, and
    `rdbench rate` searches them for a wanted rate. A value that its format stores more coarsely is rounded in ``at``,
    so that the point says what was coded.
    """

    parameter: str  # its name in a point's parameters, and what names of points begin with: "s"
    limits: tuple[float, float]  # the least and the greatest value, both allowed and finite
    meaning: str = "sets the rate"  # of the parameter, in a few words

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The one number, within the limits."""
        return (Parameter(self.parameter, float, self.limits, self.meaning),)

    def at(self, value: float) -> Point:
        """The operating point at ``value``, rounded to four decimals: ``at(1.37)`` is ``Point("s1.3700", s=1.37)``.

        Raises UsageError for a value outside the limits.
        """
        low, high = self.limits
        if not low <= value <= high:
            raise UsageError(f"{self.name}: expected {self.parameter} from {low:g} to {high:g}, got {value:g}")
        value = round(float(value), 4)
        return Point(f"{self.parameter}{value:.4f}", **{self.parameter: value})

    def point(self, name: str) -> Point:
        """The operating point called ``name``, listed or made: "s1.37" is at(1.37)."""
        if any(point.name == name for point in self.points) or not name.startswith(self.parameter):
            return super().point(name)
        try:
            value = float(name.removeprefix(self.parameter))
        except ValueError:
            return super().point(name)
        return self.at(value)

    def _point_names(self) -> str:
        low, high = self.limits
        return f"{super()._point_names()}, and {self.parameter}<value> from {low:g} to {high:g}"


def check_image(image: Any) -> Image:
    """``image`` as uint8 H x W x 3, C-contiguous; grey (H x W or H x W x 1) is repeated into three channels.

    Raises UsageError for anything that would lose or invent information: alpha, other dtypes, empty images.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise UsageError(f"an image must be uint8, this one is {image.dtype}; convert it explicitly first")
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.ndim == 3 and image.shape[2] in (2, 4):
        raise UsageError(
            f"an image must be H x W x 3, this one is {' x '.join(map(str, image.shape))}: alpha is not coded, "
            "flatten it onto a background first"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UsageError(f"an image must be H x W x 3 with H, W >= 1, this one is {' x '.join(map(str, image.shape))}")
    return np.ascontiguousarray(image)


def __getattr__(name: str) -> Any:
    """``load`` and ``discover`` belong to the contract too; they lie in :mod:`bench.discovery`, above this module."""
    if name in ("codecs", "discover", "load"):
        return getattr(importlib.import_module("bench.discovery"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
