"""PLONQ: one embedded bitstream of a mean-scale hyperprior by nested quantization and latent ordering (2102.02913)."""

from __future__ import annotations

from bench.codec import Image, Parameter, check_image
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import weights
from codecs_wrappers.learned.codec import ONE_NETWORK
from codecs_wrappers.learned.embedded import AT_PERCENT, LearnedEmbedded
from codecs_wrappers.learned.plonq import study
from codecs_wrappers.learned.plonq.commands import add_commands  # noqa: F401


class Plonq(LearnedEmbedded):
    """Four nested levels, elements in order of falling scale: the paper's codec, at fixed rates like SPIHT."""

    name = scheme = "plonq"
    extension = ".plonq"
    label = "PLONQ"
    description = "mean-scale hyperprior, four nested levels, latent ordered by scale, prefixes of one stream"
    counterpart = "mean_scale"
    entries: tuple[str, ...] = (ONE_NETWORK,)
    order: tuple[str, str, int] = ("element", "sigma", 0)
    midpoint = False  # reconstruct coarse bins at their middle instead of their conditional mean

    def encode_full(self, image: Image) -> bytes:
        """The whole bitstream: plain rounding's latent, refined level by level."""
        from codecs_wrappers.learned.plonq import coding
        from codecs_wrappers.learned.plonq.ordering import Order

        return coding.encode(self.model(self.entries[0]), image, order=Order(*self.order))

    def encoder_reconstruction(self, image: Image, bitstream: bytes) -> Image | None:
        from codecs_wrappers.learned.plonq import coding

        if self.midpoint:
            return None
        image, model = check_image(image), self.model(self.entries[0])
        return model.synthesise(coding.encoder_latent(model, image, bitstream), *image.shape[:2])

    def decode(self, bitstream: bytes) -> Image:
        """The image of a bitstream or any prefix behind its header. Raises BitstreamError that says what is wrong."""
        header = stream.read(bitstream, self.scheme)
        from codecs_wrappers.learned.plonq import coding

        return coding.decode(self.model_of(header), bitstream, header, self.midpoint)


class PlonqAtPercent(Plonq):
    """The same bitstreams, cut at fixed parts of their length: for averages at a fixed part, up to the whole stream."""

    name = "plonq_percent"
    label = "PLONQ (at fixed parts of the stream)"
    description = "plonq's bitstreams cut at 5, 10, 20 .. 100 % of their bytes"
    role = "validation"
    points = AT_PERCENT
    parameters = (Parameter("percent", float, (0.0, 100.0), "of the whole bitstream's bytes, at most"),)
    monotone = True


class PlonqBest(Plonq):
    """The same levels, each refined in order of expected gain per bit, coarse bins placed for a long-tailed residual.

    The decoder knows both from what it has decoded. How far coarse bins move from the Gaussian's mean to their middle
    (14 of 16 parts) was chosen on gb82, where it gains 0.22 dB together with the order, at prefixes of 15 to 90 %.
    """

    name = "plonq_best"
    label = "PLONQ, ordered by gain per bit"
    description = (
        "plonq's levels in order of expected gain per bit instead of scale, coarse bins nearer to their middle"
    )
    order = ("element", "gain", 14)


class PlonqZoo(Plonq):
    """The same on CompressAI's published weights of the highest rate."""

    name = "plonq_zoo"
    label = "PLONQ (CompressAI's weights)"
    description = "plonq on CompressAI's published mean-scale weights"
    counterpart = "mean_scale_zoo"

    def __init__(self) -> None:
        zoo = [name for name in weights.names() if weights.entry(name)["source"] == "zoo"]
        self.entries = tuple(sorted(zoo, key=lambda name: weights.entry(name)["rate_weight"])[-1:])


CODECS = [Plonq(), PlonqAtPercent(), PlonqBest(), PlonqZoo()]
STUDIES = study.studies(CODECS[0])
