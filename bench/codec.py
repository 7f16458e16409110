"""The contract between the harness and a codec.

A codec is a class with a name, an extension, and operating points. The harness calls

* ``encode(image, point)`` in one process, writes the bytes to disk, and
* ``decode(bitstream)`` in another process, which is given those bytes and nothing else,

so everything the decoder needs has to be in the bitstream and counts towards its size. Each codec family has one file
in ``codecs_wrappers/``, whose module-level ``CODECS`` lists its codecs. Nothing else has to be edited to add a codec;
``codecs_wrappers/_template.py`` is the manual. An installed package registers its own (:mod:`bench.installed`).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from math import inf
from typing import Any

from bench.errors import UsageError
from bench.image import Colour as Colour
from bench.image import Image as Image
from bench.image import check_image as check_image
from bench.parameters import Parameter as Parameter
from bench.parameters import check_values, parameters_from_points


@dataclass(frozen=True, init=False)
class Point:
    """One operating point of an RD curve: a name that is unique within the codec, and the parameters behind it.

    ``Point("q75", quality=75)``. Parameters are numbers and strings that the codec declares (:class:`Parameter`); they
    are part of the cache key and of the records.
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


def _with_checked_image(encode: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(encode)
    def checked(self: Codec, image: Any, *arguments: Any) -> Any:
        return encode(self, check_image(image), *arguments)

    return checked


class Codec:
    """An image codec under test. Subclass it, set the attributes, and write ``version``, ``encode`` and ``decode``.

    Configure it in ``__init__`` only. The same image and point must always give the same bytes, and the same bytes the
    same pixels, in every process.
    """

    name: str  # unique, lower case: "webp"
    extension: str  # of its bitstream files: ".webp"
    points: tuple[Point, ...]  # of its RD curve, by increasing rate
    label: str = ""  # its name in figures; ``name`` if empty
    description: str = ""  # one line for tables and `rdbench list`
    # Or "lossless" (every pixel comes back: a table of its own), "control" (has a known answer), "validation"
    # (reproduces a published setting)
    role: str = "codec"
    colour: Colour | None = None  # None if it codes RGB, or converts it without loss
    lossless: bool = False  # decoding always restores the pixels; if not, the row is a failure
    monotone: bool = True  # the rate increases from each point to the next
    detects_corruption: bool = False  # decode raises BitstreamError if any byte has changed
    copyleft: str = ""  # what of it is under a copyleft licence: "x265 (GPL-2.0-or-later)"; see docs/licences.md
    counterpart: str = ""  # of a variable rate: the codec that does the same with a setting or a network for each rate

    def __init_subclass__(cls, **options: Any) -> None:
        """Every image that reaches a subclass's encoding methods has gone through :func:`check_image`."""
        super().__init_subclass__(**options)
        for name in ("encode", "encode_full", "encode_with_reconstruction"):
            if name in vars(cls):
                setattr(cls, name, _with_checked_image(vars(cls)[name]))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters its points and `--set` may have; any other is refused. A class sets its own tuple.

        A codec that does not set one has those of its points, within the range of their values.
        """
        return parameters_from_points(point.parameters for point in self.points)

    def available(self) -> tuple[bool, str]:
        """Whether it can run here, and if not, the reason, which the report shows."""
        return True, ""

    def version(self) -> str:
        """Version of the library or binary and anything else that affects the bits. Not empty for an available
        codec.
        """
        raise NotImplementedError(f"{type(self).__name__} must define version()")

    def weights_digest(self) -> str:
        """sha256 of the trained weights it uses; empty for a codec without weights."""
        return ""

    def weights_size(self) -> Mapping[str, int]:
        """What all its operating points together need of trained weights: ``parameters`` (their number) and ``bytes``
        (of the files). Empty for a codec without weights, or where that is not known.
        """
        return {}

    def training(self) -> tuple[Mapping[str, Any], ...]:
        """How its weights were trained, one mapping per file, for the report; empty for a codec without weights.

        Keys (all optional but ``name``): bytes (int), steps, crops, crop (side in pixels), images, hours, device,
        start (what it started from), base (the file whose network stays frozen), loss, bpp and psnr_rgb_db (on the
        validation set), validation_images.
        """
        return ()

    def prepare(self) -> None:
        """Loads what the first call would load: a library, weights onto the device, compiled code. Optional.

        A worker calls it once, before the first encode or decode, and times it, so that loading is not counted as
        coding. Encoding and decoding must work without it, and calling it again must cost nothing.
        """

    def forget(self) -> None:
        """Drops what earlier calls left for later ones with the same input, such as the analysis of the last image.

        The harness calls it before each encode or decode that it times. What ``prepare`` loaded stays.
        """

    def encode(self, image: Image, point: Point) -> bytes:
        """The bitstream of ``image`` (uint8, H x W x 3) at ``point``."""
        raise NotImplementedError(f"{type(self).__name__} must define encode()")

    def decode(self, bitstream: bytes) -> Image:
        """The reconstruction (uint8, H x W x 3) from the bitstream alone.

        Raises :class:`~bench.errors.BitstreamError`, or the library's own error, on a bitstream it cannot decode.
        """
        raise NotImplementedError(f"{type(self).__name__} must define decode()")

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image | None]:
        """The bitstream and the encoder's own reconstruction, or None where the encoder has none.

        The harness compares its hash with that of the decoder's reconstruction; a difference is a failure.
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

        Raises UsageError, listing what is allowed, for an unknown parameter or a value outside its range.
        """
        check_values(self.name, self.parameters, values)
        return Point(name, **{**point.parameters, **values})

    def _point_names(self) -> str:
        return ", ".join(point.name for point in self.points)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Embedded(Codec):
    """A codec with one bitstream, every prefix of which decodes (SPIHT, PLONQ).

    A point with a parameter ``bpp`` asks for the longest prefix of at most that many bits per pixel, or the shortest
    that decodes, if that one is longer. Any number from 0 up is allowed, listed or not; `rdbench rate` uses this. An
    image whose whole stream is shorter is `saturated` there, and curves averaged at a fixed rate leave that point out.
    """

    parameters = (Parameter("bpp", float, (0.0, inf), "bits per pixel, at most"),)

    def encode_full(self, image: Image) -> bytes:
        """The whole bitstream of ``image``."""
        raise NotImplementedError(f"{type(self).__name__} must define encode_full()")

    def truncate(self, bitstream: bytes, point: Point) -> bytes:
        """The prefix of a whole bitstream that ``point`` asks for."""
        raise NotImplementedError(f"{type(self).__name__} must define truncate()")

    def encoder_reconstruction(self, image: Image, bitstream: bytes) -> Image | None:
        """The encoder's own reconstruction from a prefix; None where it has none.

        It must not come from the decoder: the harness compares the two, which proves nothing unless they are
        independent.
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
    `rdbench rate` searches them for a target rate. If the format stores the value more coarsely, ``at`` has to round
    it, so that the point states what was coded.
    """

    parameter: str  # its name in a point's parameters, which is also the prefix of the points' names: "s"
    limits: tuple[float, float]  # lowest and highest value, inclusive and finite
    meaning: str = "sets the rate"  # what the parameter does, in a few words

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
        """The operating point called ``name``, listed or not: "s1.37" is at(1.37)."""
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


def is_cut_at_rate(codec: Codec) -> bool:
    """Whether a codec's prefixes are cut at a rate, and not at a share of its bytes."""
    return isinstance(codec, Embedded) and any(parameter.name == "bpp" for parameter in codec.parameters)


def is_variable(codec: Codec) -> bool:
    """Whether any rate can be asked of a codec: it has one real parameter, or its prefixes are cut at a rate."""
    return is_cut_at_rate(codec) or isinstance(codec, VariableRate)


def __getattr__(name: str) -> Any:
    """``codecs``, ``load`` and ``discover`` belong to the contract too; they are in :mod:`bench.discovery`, above
    this.
    """
    if name in ("codecs", "discover", "load"):
        return getattr(importlib.import_module("bench.discovery"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
