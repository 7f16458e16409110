"""What the learned wrappers share: availability, version, weights, and the model for a bitstream."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import struct
from typing import TYPE_CHECKING, Any

from bench.codec import Codec, Image, Point, check_image
from bench.device import requested_device
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned import stored, weights
from codecs_wrappers.learned.analysiscache import ANALYSES

if TYPE_CHECKING:
    from codecs_wrappers.learned.hyperprior.coding import Step

# The codecs that reach all rates with one network (NaiveScaling, QSF, PLONQ, nested dropout, STanH with one anchor) use
# this one: the highest rate whose network is trained well enough, chosen on held-out images.
ONE_NETWORK = "mean_scale_0.1538"
PACKAGES = ("torch", "compressai", "safetensors", "numba")


class LearnedCodec(Codec):
    """A codec with trained weights. Subclasses set ``entries`` and code; torch is imported when a model is needed."""

    scheme: str  # of its bitstreams
    entries: tuple[str, ...] = ()  # of the weights manifest: the model's, and others it needs
    detects_corruption = True

    def available(self) -> tuple[bool, str]:
        """Whether the packages and all weights are present; nothing is imported or downloaded to find out."""
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            return False, f"needs {', '.join(missing)}: pip install 'rdbench[learned]'"
        if not self.entries:
            return False, "no trained weights in the manifest: see codecs_wrappers/learned/training/README.md"
        reasons = [reason for ok, reason in map(weights.available, self.entries) if not ok]
        more = f" (and {len(reasons) - 1} more of its weights)" if len(reasons) > 1 else ""
        return not reasons, "".join(reasons[:1]) + more

    def version(self) -> str:
        """The stream's format and the libraries whose arithmetic decides the bits; records name the device."""
        libraries = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("torch", "compressai", "pillow")
        )
        return f"stream format {stream.FORMAT}, {libraries}"

    def weights_digest(self) -> str:
        """sha256 over the hashes of all weights files it uses, in the order of ``entries``."""
        return hashlib.sha256("".join(map(weights.sha256, self.entries)).encode()).hexdigest()

    def weights_size(self) -> dict[str, int]:
        """Parameters and file bytes of its entries and of all they build on, each counted once."""
        return weights.size(self.entries)

    def training(self) -> tuple[dict[str, Any], ...]:
        """What the weights manifest says of every entry."""
        return tuple(map(weights.training, self.entries))

    def prepare(self) -> None:
        """Load every model, so that the first image does not bear the cost."""
        for entry in self.models():
            self.model(entry)

    def forget(self) -> None:
        ANALYSES.clear()

    def models(self) -> tuple[str, ...]:
        """The entries that are complete models; the others (factors, quantizers) build on them."""
        return self.entries[:1]

    def model(self, entry: str) -> Any:
        """The model of a manifest entry on the requested device (cached): by default a mean-scale hyperprior's."""
        from codecs_wrappers.learned.hyperprior.model import Model

        return Model.load(entry, requested_device())

    def model_of(self, header: stream.Header) -> Any:
        """The model a bitstream names. Raises BitstreamError unless it is one of this codec's."""
        for entry in self.models():
            if weights.sha256(entry).startswith(header.model.hex()):
                return self.model(entry)
        known = ", ".join(f"{entry} ({weights.sha256(entry)[:8]})" for entry in self.models())
        raise BitstreamError(
            f"decoding {self.name}: the bitstream was made with model {header.model.hex()}, this installation has "
            f"{known}; get the weights it was made with"
        )


class SteppedCodec(LearnedCodec):
    """A mean-scale hyperprior coded with some quantization step; subclasses choose the model and the step."""

    def entry_of(self, point: Point) -> str:
        """The model of an operating point."""
        return self.entries[0]

    def parameters_of(self, point: Point) -> bytes:
        """What the bitstream's header stores so that the decoder can recover the step."""
        return b""

    def step_of(self, parameters: bytes) -> Step:
        """The quantization step (a number, or float32 per channel) from the header's parameters."""
        return 1.0

    def encode(self, image: Image, point: Point) -> bytes:
        return stored.shorter(self.encode_network(image, point)[0], image, self.scheme)

    def encode_with_reconstruction(self, image: Image, point: Point) -> tuple[bytes, Image]:
        bitstream, latent = self.encode_network(image, point)
        shorter = stored.shorter(bitstream, image, self.scheme)
        if shorter is not bitstream:
            return shorter, image.copy()
        return bitstream, self.model(self.entry_of(point)).synthesise(latent, *image.shape[:2])

    def encode_network(self, image: Image, point: Point) -> tuple[bytes, Any]:
        """The network's bitstream, which `encode` may replace by a stored picture, and the latent it stands for."""
        from codecs_wrappers.learned.hyperprior import coding

        parameters = self.parameters_of(point)
        model, step = self.model(self.entry_of(point)), self.step_of(parameters)
        return coding.encode(model, check_image(image), self.scheme, step, parameters)

    def decode(self, bitstream: bytes) -> Image:
        """The image. Raises BitstreamError that says what is wrong with the bitstream."""
        header = stream.read(bitstream, self.scheme)
        if header.stored:
            return stored.decode(bitstream, header)
        from codecs_wrappers.learned.hyperprior import coding

        try:
            step = self.step_of(header.parameters)
        except (struct.error, UsageError) as error:
            raise BitstreamError(
                f"decoding {self.name}: the header's parameters give no valid step: {error}"
            ) from error
        return coding.decode(self.model_of(header), bitstream, header, step)
