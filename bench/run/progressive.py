"""One embedded bitstream, decoded from more and more of its bytes, as a slow connection would show it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from bench.codec import Codec, Embedded, Image
from bench.errors import BitstreamError, UsageError
from bench.files import write_atomically

PERCENT = (5, *range(10, 101, 10))


@dataclass(frozen=True)
class Frame:
    """The picture (uint8, H x W x 3) that the first ``length`` bytes of a bitstream give."""

    length: int
    bpp: float
    image: Image


def lengths(total: int, percent: Sequence[float] = PERCENT) -> list[int]:
    """Bytes at each percentage of ``total``, rounded up."""
    return [-int(-total * part // 100) for part in percent]


def frames(codec: Codec, bitstream: bytes, at: Sequence[int]) -> Iterator[Frame]:
    """A frame for each prefix length in ``at``, in bytes, header included, so that two codecs can be compared.

    A prefix that ends inside the header gives no frame. Raises UsageError for a codec that is not embedded, and
    BitstreamError for a bitstream of another codec.
    """
    if not isinstance(codec, Embedded):
        raise UsageError(f"decoding prefixes: {codec.name} is not an embedded codec, so only whole bitstreams decode")
    whole = codec.decode(bitstream)
    for length in (min(length, len(bitstream)) for length in at):
        try:
            image = whole if length == len(bitstream) else codec.decode(bitstream[:length])
        except BitstreamError:  # the whole bitstream decodes, so this prefix ends inside the header
            continue
        yield Frame(length, 8 * length / (image.shape[0] * image.shape[1]), image)


def write_frames(codec: Codec, bitstream: bytes, folder: Path) -> list[tuple[Path, Frame]]:
    """PNG files in ``folder``, one per percentage in PERCENT: `010.png` is the picture from 10 % of the bytes.

    Files of that kind that an earlier call left and this one does not write are removed.
    """
    at = dict(zip(lengths(len(bitstream)), PERCENT, strict=True))
    written = []
    for frame in frames(codec, bitstream, list(at)):
        png = io.BytesIO()
        PillowImage.fromarray(frame.image).save(png, "PNG")
        written.append((write_atomically(folder / f"{at[frame.length]:03}.png", png.getvalue()), frame))
    for percent in set(PERCENT) - {at[frame.length] for _, frame in written}:
        (folder / f"{percent:03}.png").unlink(missing_ok=True)
    return written
