"""The networks of ResGDN (Akbari et al. 2020, arXiv 1912.05688, sections 2.1 and 2.3) and their ablation variants.

Encoder and decoder have five stages each. An encoder stage is a convolution, then GDN, and in stages 2 to 4, which
halve the resolution, a residual block; a decoder stage mirrors it: inverse GDN, then a transposed convolution, and in
stages 2 to 4 a residual block. With the blocks' two convolutions each, that makes eleven convolutions per side. The
code map has one sample per channel for 8 x 8 pixels. Widths, kernels and the input range are not in the paper; those
here follow the code of its author's DSSLIC (github.com/makbari7/DSSLIC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior.library import GDN

FAMILY = "resgdn"
STRIDE = 8  # pixels a side of one sample of the code map
LEAST_SIDE = 16  # of a padded image: instance normalisation needs more than one sample per channel
MOST_CHANNELS = 50  # of the code map: the most that fit the bitstream's header
ACTIVATIONS = ("gdn", "relu")
BLOCKS = ("resgdn", "resrelu", "none")


@dataclass(frozen=True)
class Architecture:
    """The settings of a network.

    widths: channels after stages 1 to 4; the paper-like ones are 64, 128, 256, 512. channels: of the code map.
    activation: ``gdn``, or ``relu`` for instance normalisation and ReLU with tanh at both ends (the paper's ReLU
    variant). block: ``resgdn``, ``resrelu`` (its GDN replaced by ReLU) or ``none``.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    channels: int = 8
    activation: str = "gdn"
    block: str = "resgdn"
    family: str = field(default=FAMILY, repr=False)

    def __post_init__(self) -> None:
        sizes = (*self.widths, self.channels)
        if (
            len(self.widths) != 4
            or not all(isinstance(n, int) and n > 0 for n in sizes)
            or self.channels > MOST_CHANNELS
        ):
            raise UsageError(
                f"network {FAMILY}: expected 4 widths and 1..{MOST_CHANNELS} channels of the code map, got "
                f"{list(self.widths)} and {self.channels}"
            )
        if self.family != FAMILY or self.activation not in ACTIVATIONS or self.block not in BLOCKS:
            raise UsageError(
                f"network {FAMILY}: expected activation {' or '.join(ACTIVATIONS)} and block {', '.join(BLOCKS)}, got "
                f"{self.family}, {self.activation}, {self.block}"
            )
        if (self.activation, self.block) == ("relu", "resgdn"):
            raise UsageError(f"network {FAMILY}: with activation relu, block is resrelu or none, not resgdn")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Architecture:
        """From a mapping read from yaml. Raises UsageError for an unknown key or value."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UsageError(f"network {FAMILY}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
        given: dict[str, Any] = {key: tuple(value) if key == "widths" else value for key, value in values.items()}
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """As stored in the manifest."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"family": self.family, **values, "widths": list(self.widths)}

    @property
    def tiles(self) -> bool:
        """Whether the network can be applied in tiles: not with instance normalisation, which sees the whole image."""
        return self.activation == "gdn"


class ResGdn(nn.Module):
    """Encoder and decoder. Images are (B, 3, H, W) in 0..1, H and W multiples of 8; code maps (B, n, H/8, W/8)."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        one, two, three, four = architecture.widths
        n = architecture.channels
        self.encoder = nn.Sequential(
            self._stage(nn.Conv2d(3, one, 7, padding=3), one),
            self._stage(_halving(one, two), two, block=True),
            self._stage(_halving(two, three), three, block=True),
            self._stage(_halving(three, four), four, block=True),
            self._stage(_plain(four, n), n, tanh=True),
        )
        self.decoder = nn.Sequential(
            self._inverse_stage(_plain(n, four), n, four),
            self._inverse_stage(_doubling(four, three), four, three, block=True),
            self._inverse_stage(_doubling(three, two), three, two, block=True),
            self._inverse_stage(_doubling(two, one), two, one, block=True),
            self._inverse_stage(nn.Conv2d(one, 3, 7, padding=3), one, 3, tanh=True),
        )

    def analyse(self, x: Tensor) -> Tensor:
        """The code map of images."""
        return self.encoder(2 * x - 1)

    def synthesise(self, code: Tensor) -> Tensor:
        """Images, not clamped, of code maps."""
        return (self.decoder(code) + 1) / 2

    def _stage(self, convolution: nn.Module, width: int, block: bool = False, tanh: bool = False) -> nn.Module:
        if self.architecture.activation == "gdn":
            activation: nn.Module = GDN(width)
        else:
            activation = nn.Tanh() if tanh else _normalised_relu(width)
        return Stage(convolution, activation, self._block(width, inverse=False) if block else None)

    def _inverse_stage(
        self, convolution: nn.Module, before: int, after: int, block: bool = False, tanh: bool = False
    ) -> nn.Module:
        residual = self._block(after, inverse=True) if block else None
        if self.architecture.activation == "gdn":
            return Stage(convolution, GDN(before, inverse=True), residual, inverse=True)
        return Stage(convolution, nn.Tanh() if tanh else _normalised_relu(after), residual)

    def _block(self, width: int, inverse: bool) -> nn.Module | None:
        kind = self.architecture.block
        if kind == "none":
            return None
        if self.architecture.activation == "relu":
            return Residual(*(layer for _ in range(2) for layer in (_plain(width, width), _normalised_relu(width))))
        activations = [GDN(width, inverse) if kind == "resgdn" else nn.ReLU() for _ in range(2)]
        pairs = [(activation, _plain(width, width)) for activation in activations]
        return Residual(*(layer for pair in pairs for layer in (pair if inverse else pair[::-1])))


class Stage(nn.Module):
    """A convolution, followed (if inverse, preceded) by its activation, then a residual block or nothing."""

    def __init__(self, convolution: nn.Module, activation: nn.Module, block: nn.Module | None, inverse: bool = False):
        super().__init__()
        self.convolution, self.activation, self.inverse = convolution, activation, inverse
        self.block = block or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(self.activation(x)) if self.inverse else self.activation(self.convolution(x))
        return self.block(x)


class Residual(nn.Sequential):
    """x + its layers(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def build(architecture: Mapping[str, Any]) -> ResGdn:
    """A new network from ``{"family": "resgdn", "widths": [16, 32, 64, 128], "channels": 8}``, freshly initialised.

    Raises UsageError for any other architecture.
    """
    return ResGdn(Architecture.of(architecture))


def _plain(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1)


def _halving(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, stride=2, padding=1)


def _doubling(before: int, after: int) -> nn.Module:
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)


def _normalised_relu(width: int) -> nn.Module:
    return nn.Sequential(nn.InstanceNorm2d(width), nn.ReLU())
