"""ResGDN with only its base layer, and with both layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

from bench.codec import Image, Parameter, Point
from bench.device import requested_device
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.codec import LearnedCodec
from codecs_wrappers.learned.resgdn import points as resgdn_points
from codecs_wrappers.native import codemap
from codecs_wrappers.native.bpg import hevc

if TYPE_CHECKING:
    from codecs_wrappers.learned.resgdn.coding import Base, Model


class ResGdnBase(LearnedCodec):
    """The code map alone, at 1 to 8 bits per sample."""

    scheme = "resgdn"
    extension = ".rdl"
    points = tuple(Point(f"b{bits}", bits=bits) for bits in range(1, 9))
    parameters: tuple[Parameter, ...] = (Parameter("bits", int, (1, 8), "per sample of the code map"),)

    def __init__(
        self,
        name: str,
        label: str,
        description: str,
        entry: str = "resgdn",
        role: str = "codec",
        seed: int | None = None,
    ):
        """entry: of the weights manifest. seed: of stochastic rounding, instead of the nearest level."""
        self.name, self.label, self.description, self.role, self.seed = name, label, description, role, seed
        self.entries = (entry,)

    def version(self) -> str:
        rounding = "nearest level" if self.seed is None else f"stochastic rounding, seed {self.seed}"
        return f"{super().version()}, code map by {codemap.version()}, {rounding}"

    def model(self, entry: str) -> Model:
        from codecs_wrappers.learned.resgdn.coding import Model

        return Model.load(entry, requested_device())

    def encode(self, image: Image, point: Point) -> bytes:
        return self.base(image, point).bitstream

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image]:
        base = self.base(image, point)
        return base.bitstream, base.picture

    def base(self, image: Image, point: Point) -> Base:
        """The base layer of an image at the point's bit depth."""
        from codecs_wrappers.learned.resgdn import coding

        return coding.encode_base(self.model(self.entries[0]), image, point["bits"], self.seed)

    def decode(self, bitstream: bytes) -> Image:
        """The base layer's picture, from a bitstream with or without the second layer."""
        header = stream.read(bitstream, self.scheme)
        from codecs_wrappers.learned.resgdn import coding

        return coding.decode_base(self.model_of(header), bitstream, header)


def _points(key: str) -> tuple[Point, ...]:
    chosen = resgdn_points.read(key=key)
    return tuple(Point(f"b{point['bits']}q{point['qp']}", bits=point["bits"], qp=point["qp"]) for point in chosen)


class ResGdn(ResGdnBase):
    """Both layers. An operating point is a bit depth of the code map and a QP for the residual's BPG picture."""

    points = _points("points")
    parameters = (*ResGdnBase.parameters, Parameter("qp", int, (0, 51), "of the residual's BPG picture"))

    copyleft = "x265 (GPL-2.0-or-later), in the wheel of PyAV: its residual layer is BPG"

    def available(self) -> tuple[bool, str]:
        missing = {"libx265", "hevc"} - av.codecs_available
        if missing:
            return False, f"the residual layer needs BPG, but PyAV was built without {', '.join(sorted(missing))}"
        return super().available()

    def version(self) -> str:
        return f"{super().version()}, residual by x265 {hevc.x265_version()}, PyAV {av.__version__}"

    def encode(self, image: Image, point: Point) -> bytes:
        return self.encode_with_reconstruction(image, point)[0]

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image]:
        from codecs_wrappers.learned.resgdn import coding

        return coding.enhance(self.base(image, point), image, point["qp"])

    def decode(self, bitstream: bytes) -> Image:
        header = stream.read(bitstream, self.scheme)
        from codecs_wrappers.learned.resgdn import coding

        return coding.decode(self.model_of(header), bitstream, header)


class ResGdnAllocated(ResGdn):
    """Both layers, with the rate allocated between them for the best PSNR."""

    points = _points("allocated")
