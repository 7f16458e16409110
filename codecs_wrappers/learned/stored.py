"""A fallback for images that a network would expand: the pixels themselves, lossless, marked by a flag in the header.

For a picture unlike any it was trained on, a network may spend more bits than the pixels themselves take: red and blue
columns cost the hyperprior up to 58 bit/pixel instead of 24. A bitstream of over TRIGGER_BPP bits per pixel is
therefore compared with the lossless one, and the shorter is kept. Below that the network's bitstream always stands: no
photograph comes near (3.3 in the sample set), and a graphic that PNG codes better is not replaced.

| part | content |
|---|---|
| header | as in every learned bitstream; STORED in the scheme's byte, model and tables zero, parameters: the kind |
| payload | kind 0: the samples, uint8, row by row, red, green, blue; kind 1: a PNG file of the picture |
| checksum | CRC-32 over the samples and the payload's bytes |

Embedded codecs have no fallback, since every prefix has to decode: there the operating point bounds the rate. ResGDN
needs none: its code map takes about 1 bit/pixel at most, and its residual is an HEVC picture of 8-bit samples.
"""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from bench.codec import Image
from bench.errors import BitstreamError
from codecs_wrappers.learned import bitstream as stream

TRIGGER_BPP = 8.0
SAMPLES, PNG = 0, 1


def shorter(bitstream: bytes, image: Image, scheme: str) -> bytes:
    """``bitstream`` of ``image`` (uint8, H x W x 3), or, above TRIGGER_BPP, a stored one if that is shorter."""
    height, width = image.shape[:2]
    if 8 * len(bitstream) <= TRIGGER_BPP * height * width:
        return bitstream
    return min(bitstream, encode(image, scheme), key=len)


def encode(image: Image, scheme: str) -> bytes:
    """The stored bitstream of ``image`` (uint8, H x W x 3): as PNG, or as raw samples if those are shorter."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG", compress_level=9)
    kind, payload = min((PNG, buffer.getvalue()), (SAMPLES, image.tobytes()), key=lambda made: len(made[1]))
    payload += _checksum(image, payload)
    height, width = image.shape[:2]
    header = stream.Header(scheme, height, width, bytes(4), bytes(4), bytes([kind]), len(payload), stored=True)
    return header.write() + payload


def decode(bitstream: bytes, header: stream.Header) -> Image:
    """The picture of a stored bitstream whose header has been read. Raises BitstreamError if it is corrupt."""
    payload = stream.payload(bitstream, header)
    shape = (header.height, header.width, 3)
    if header.parameters == bytes([PNG]):
        image = _from_png(payload, header)
    elif header.parameters == bytes([SAMPLES]) and len(payload) == header.height * header.width * 3:
        image = np.frombuffer(payload, np.uint8).reshape(shape).copy()
    else:
        raise BitstreamError(
            f"decoding {header.scheme}: {len(payload)} bytes of kind {header.parameters!r} are not a stored picture"
        )
    if bitstream[-stream.CHECKSUM_BYTES :] != _checksum(image, payload):
        raise BitstreamError(f"decoding {header.scheme}: the stored picture is corrupt: its checksum does not match")
    return image


def _from_png(payload: bytes, header: stream.Header) -> Image:
    try:
        with PIL.Image.open(io.BytesIO(payload), formats=["PNG"]) as picture:
            if picture.size != (header.width, header.height) or picture.mode != "RGB":
                raise ValueError(f"got a {picture.mode} picture of {picture.width} x {picture.height}")
            return np.array(picture)
    except Exception as error:  # Pillow raises many types of errors for damaged files
        raise BitstreamError(f"decoding {header.scheme}: the stored PNG is corrupt: {error}") from error


def _checksum(image: Image, payload: bytes) -> bytes:
    return stream.checksum(image, np.frombuffer(payload, np.uint8))
