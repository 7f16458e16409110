"""The rates of a STanH codec: the network and the quantizers of each operating point."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.codec import Image, Point, VariableRate, check_image
from bench.device import requested_device
from bench.errors import BitstreamError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import stored, weights
from codecs_wrappers.learned.codec import ONE_NETWORK, LearnedCodec

if TYPE_CHECKING:
    from codecs_wrappers.learned.stanh.backbones import Backbone
    from codecs_wrappers.learned.stanh.coding import Pair

LADDER = {"0.00513": 0.00513, "0.0089": 0.0089, "0.0154": 0.01538, "0.0277": 0.0277, "0.0513": 0.0513, "0.1538": 0.1538}
ANCHORS = {  # by number of anchors: the rates with a network of their own
    1: (ONE_NETWORK.removeprefix("mean_scale_"),),
    2: ("0.0154", "0.1538"),
    3: ("0.00513", "0.0154", "0.1538"),
    4: ("0.00513", "0.0154", "0.0277", "0.1538"),
    5: ("0.00513", "0.0089", "0.0154", "0.0277", "0.1538"),
    6: tuple(LADDER),
}
MS_SSIM_LADDER = {
    "4.58": 4.58,
    "8.73": 8.73,
    "16.64": 16.64,
    "31.73": 31.73,
    "60.5": 60.5,
}  # CompressAI's, the inner five
MS_SSIM_ANCHORS = ("16.64",)
_FRACTION_UNIT = 10_000
_BETWEEN = struct.Struct(">4s4sH")


def quantizers_of(
    anchors: tuple[str, ...], prefix: str = "stanh", ladder: Mapping[str, float] = LADDER
) -> tuple[str, ...]:
    """The manifest entries of a ladder's rates: anchors, and derivations of the anchor nearest in ln lambda."""

    def name(rate: str) -> str:
        nearest = min(anchors, key=lambda anchor: abs(math.log(ladder[rate] / ladder[anchor])))
        return f"{prefix}_{rate}" if nearest == rate else f"{prefix}_{rate}_of_{nearest}"

    return tuple(map(name, ladder))


class Stanh(LearnedCodec, VariableRate):
    """STanH quantizers on frozen networks. Rates whose weights are not in the manifest are left out.

    A point's position counts the available rates, the lowest being 0. Between two rates of one anchor the quantizers
    are interpolated; between rates of different anchors the nearer one is used.
    """

    scheme = "stanh"
    extension = ".rdl"
    parameter, meaning = "position", "place among the trained quantizers"

    def __init__(
        self,
        name: str,
        anchors: int | tuple[str, ...],
        label: str,
        role: str = "codec",
        prefix: str = "stanh",
        ladder: Mapping[str, float] = LADDER,
    ):
        """anchors: the rates of ``ladder`` with a network of their own, or how many of LADDER's six.

        With a number the ladder ends at the highest anchor: the paper derives lower rates from higher ones.
        """
        kept = ANCHORS[anchors] if isinstance(anchors, int) else anchors
        if isinstance(anchors, int):
            ladder = {rate: weight for rate, weight in ladder.items() if weight <= max(map(ladder.__getitem__, kept))}
        self.name, self.role, self.anchors = name, role, len(kept)
        self.counterpart = "mean_scale" if prefix == "stanh" else ""
        self.description = f"learned quantizers, {len(kept)} of {len(ladder)} rates with a network of their own"
        wanted, manifest = quantizers_of(kept, prefix, ladder), set(weights.names())
        self.quantizers = tuple(entry for entry in wanted if entry in manifest)
        self.missing = tuple(entry for entry in wanted if entry not in manifest)
        complete = not (self.quantizers and self.missing)
        self.label = label if complete else f"{label}, {len(self.quantizers)} of {len(wanted)} rates"
        self.bases = tuple(weights.entry(entry).get("base", {"name": entry})["name"] for entry in self.quantizers)
        self.entries = (*dict.fromkeys(self.bases), *self.quantizers)
        rates = [weights.entry(entry)["rate_weight"] for entry in self.quantizers] or list(ladder.values())
        self.points = tuple(Point(f"lambda{rate}", position=float(number)) for number, rate in enumerate(rates))
        self.limits = (0.0, max(1.0, len(rates) - 1.0))

    def at(self, value: float) -> Point:
        point = super().at(value)
        position = min(point["position"], max(0, len(self.bases) - 1))
        low, high = math.floor(position), math.ceil(position)
        if self.bases[low : low + 1] != self.bases[high : high + 1]:
            position = round(position)
        return super().at(position)

    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.bases))

    def prepare(self) -> None:
        """Load every network and quantizer and build all tables, so that no image bears the cost."""
        from codecs_wrappers.learned.stanh.coding import PairTables

        for number in range(len(self.quantizers)):
            PairTables.build(self.pair(number), self.backbone(self.bases[number]))

    def backbone(self, entry: str) -> Backbone:
        """The network of a manifest entry, ready for coding (cached)."""
        from codecs_wrappers.learned.stanh.backbones import load_backbone

        return load_backbone(entry, requested_device())

    def pair(self, number: int, fraction: float = 0.0) -> Pair:
        """The quantizers of a rate, or ``fraction`` of the way from it to the next (cached)."""
        from codecs_wrappers.learned.stanh import coding

        names = self.quantizers[number : number + 1 + (fraction > 0)]
        return coding.load_pair(*((name, weights.sha256(name)) for name in names), fraction=fraction)

    def encode(self, image: Image, point: Point) -> bytes:
        return stored.shorter(self.encode_network(image, point)[0], image, self.scheme)

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image]:
        bitstream, backbone, latent = self.encode_network(image, point)
        shorter = stored.shorter(bitstream, image, self.scheme)
        if shorter is not bitstream:
            return shorter, image.copy()
        return bitstream, backbone.synthesise(latent, *image.shape[:2])

    def encode_network(self, image: Image, point: Point) -> tuple[bytes, Backbone, Any]:
        """The network's bitstream, which `encode` may replace by a stored picture; its network; its latent."""
        from codecs_wrappers.learned.stanh import coding

        backbone, number, fraction = self.setting_of(point)
        ids = [bytes.fromhex(weights.sha256(name))[:4] for name in self.quantizers[number : number + 2]]
        parameters = _BETWEEN.pack(*ids, round(fraction * _FRACTION_UNIT)) if fraction else ids[0]
        pair = self.pair(number, fraction)
        bitstream, latent = coding.encode(backbone, pair, check_image(image), self.scheme, parameters)
        return bitstream, backbone, latent

    def setting_of(self, point: Point) -> tuple[Backbone, int, float]:
        """The network of a point, the number of the rate at or below it, and the fraction of the way to the next."""
        position = self.at(point["position"])["position"]
        number = math.floor(position)
        return self.backbone(self.bases[number]), number, position - number

    def decode(self, bitstream: bytes) -> Image:
        """The image. Raises BitstreamError that says what is wrong with the bitstream."""
        header = stream.read(bitstream, self.scheme)
        if header.stored:
            return stored.decode(bitstream, header)
        from codecs_wrappers.learned.stanh import coding

        number, fraction = self._number_of(header.parameters)
        base = self.bases[number]
        if not weights.sha256(base).startswith(header.model.hex()):
            raise BitstreamError(
                f"decoding {self.name}: the bitstream was made with network {header.model.hex()}, its quantizers "
                f"{self.quantizers[number]} belong to {base} ({weights.sha256(base)[:8]})"
            )
        return coding.decode(self.backbone(base), self.pair(number, fraction), bitstream, header)

    def _number_of(self, parameters: bytes) -> tuple[int, float]:
        """The number of the rate whose quantizers a header names, and the fraction of the way to the next."""
        if len(parameters) not in (4, _BETWEEN.size):
            raise BitstreamError(
                f"decoding {self.name}: expected 4 or {_BETWEEN.size} bytes of parameters, got {len(parameters)}"
            )
        known = [weights.sha256(name)[:8] for name in self.quantizers]
        ids = [parameters[i : i + 4].hex() for i in range(0, len(parameters) - 3, 4)]
        for wanted in ids:
            if wanted not in known:
                elsewhere = [name for name in weights.names() if weights.sha256(name).startswith(wanted)]
                raise BitstreamError(
                    f"decoding {self.name}: the bitstream was made with quantizers {wanted} "
                    f"({elsewhere[0] if elsewhere else 'not in the manifest'}), this codec has "
                    f"{', '.join(f'{name} ({id})' for name, id in zip(self.quantizers, known, strict=True))}"
                )
        number = known.index(ids[0])
        if len(ids) == 1:
            return number, 0.0
        fraction = _BETWEEN.unpack(parameters)[2] / _FRACTION_UNIT
        if not 0 < fraction < 1 or known.index(ids[1]) != number + 1 or self.bases[number] != self.bases[number + 1]:
            raise BitstreamError(
                f"decoding {self.name}: the header asks for {fraction:g} of the way between quantizers {ids[0]} and "
                f"{ids[1]}, which are not neighbouring rates of one anchor here"
            )
        return number, fraction
