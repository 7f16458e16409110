"""The way out of an image that a learned code would make larger: its pixels, without loss, behind a flag of the header.

A network that meets a picture unlike all it was trained on may spend more than the pixels themselves take: red and blue
columns cost the hyperprior up to 58 bit/pixel, of 24. A bitstream of over TRIGGER_BPP bits per pixel is therefore held
against the lossless one, and the shorter is kept. Below, the learned code stands as it is: no photograph comes near
(3.3 in the sample set), and a graphic that PNG happens to code better is still what the network makes of it.

| part | content |
|---|---|
| header | as of every learned bitstream; STORED in the scheme's byte, model and tables zero, parameters: the kind |
| payload | kind 0: the samples, uint8, row by row, red, green, blue; kind 1: a PNG file of the picture |
| checksum | CRC-32 over the samples and the payload's bytes |

Embedded codecs have no such way, since every prefix has to decode: there the operating point bounds the rate. ResGDN
needs none: its code map has about 1 bit/pixel at most, and its residual is an HEVC picture of 8-bit samples.
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


def instead_of(bitstream: bytes, image: Image, scheme: str) -> bytes:
    """``bitstream`` of ``image`` (uint8, H x W x 3), or above TRIGGER_BPP a stored one where that is shorter."""
    height, width = image.shape[:2]
    if 8 * len(bitstream) <= TRIGGER_BPP * height * width:
        return bitstream
    return min(bitstream, encode(image, scheme), key=len)


def encode(image: Image, scheme: str) -> bytes:
    """The stored bitstream of ``image`` (uint8, H x W x 3): as PNG, or the samples where they are shorter."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG", compress_level=9)
    kind, payload = min((PNG, buffer.getvalue()), (SAMPLES, image.tobytes()), key=lambda made: len(made[1]))
    payload += _checksum(image, payload)
    height, width = image.shape[:2]
    header = stream.Header(scheme, height, width, bytes(4), bytes(4), bytes([kind]), len(payload), stored=True)
    return header.write() + payload


def decode(bitstream: bytes, header: stream.Header) -> Image:
    """The picture of a stored bitstream whose header was read. Raises BitstreamError for damage."""
    payload = stream.payload(bitstream, header)
    shape = (header.height, header.width, 3)
    if header.parameters == bytes([PNG]):
        image = _from_png(payload, header)
    elif header.parameters == bytes([SAMPLES]) and len(payload) == header.height * header.width * 3:
        image = np.frombuffer(payload, np.uint8).reshape(shape).copy()
    else:
        raise BitstreamError(
            f"decoding {header.scheme}: {len(payload)} bytes of kind {header.parameters!r} store no picture"
        )
    if bitstream[-stream.CHECKSUM_BYTES :] != _checksum(image, payload):
        raise BitstreamError(f"decoding {header.scheme}: the stored picture is corrupt: its checksum does not match")
    return image


def _from_png(payload: bytes, header: stream.Header) -> Image:
    try:
        with PIL.Image.open(io.BytesIO(payload), formats=["PNG"]) as picture:
            if picture.size != (header.width, header.height) or picture.mode != "RGB":
                raise ValueError(f"it is a {picture.mode} picture of {picture.width} x {picture.height}")
            return np.array(picture)
    except Exception as error:  # Pillow raises whatever a damaged file drives it to
        raise BitstreamError(f"decoding {header.scheme}: the stored PNG is corrupt: {error}") from error


def _checksum(image: Image, payload: bytes) -> bytes:
    return stream.checksum(image, np.frombuffer(payload, np.uint8))
