"""Nested dropout (Rippel et al. 2014), PLONQ's learned baseline: channels of the latent sent in order of importance."""

from __future__ import annotations

from bench.codec import Image, check_image
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.embedded import LearnedEmbedded


class NestedDropout(LearnedEmbedded):
    """A mean-scale hyperprior that was trained with its latent cut after a random number of channels."""

    name = scheme = "nested_dropout"
    extension = ".rdl"
    label = "Nested dropout"
    description = "mean-scale hyperprior trained with nested dropout, channel by channel, prefixes of one stream"
    counterpart = "mean_scale"
    entries = ("nested_dropout",)

    def encode_full(self, image: Image) -> bytes:
        from codecs_wrappers.learned.hyperprior import coding

        return coding.encode(self.model(self.entries[0]), image, self.scheme)[0]

    def encoder_reconstruction(self, image: Image, bitstream: bytes) -> Image:
        from codecs_wrappers.learned.hyperprior import coding

        image, model = check_image(image), self.model(self.entries[0])
        y_hat = coding.encoder_latent(model, image, bitstream, stream.read(bitstream, self.scheme))
        return model.synthesise(y_hat, *image.shape[:2])

    def decode(self, bitstream: bytes) -> Image:
        header = stream.read(bitstream, self.scheme)
        from codecs_wrappers.learned.hyperprior import coding

        return coding.decode_prefix(self.model_of(header), bitstream, header)


CODECS = [NestedDropout()]
