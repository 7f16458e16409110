"""Complete SPIHT streams: encode to a size, decode any prefix. Compiles on first use; import it when needed."""

from __future__ import annotations

import numpy as np

from codecs_wrappers.native.spiht import bits, colour, wavelet
from codecs_wrappers.native.spiht.contexts import CONTEXTS
from codecs_wrappers.native.spiht.header import Header, levels_for, parse
from codecs_wrappers.native.spiht.kernels import coder
from codecs_wrappers.native.spiht.lists import new_lists, reconstruct
from codecs_wrappers.native.spiht.shape import empty_state, greatest_below, shape_of

FIXED_POINT = np.float32(4)  # integer steps per unit of coefficient: the last bit-plane changes no 8-bit sample by 1


def encode(image: np.ndarray, size: int, arithmetic: bool) -> bytes:
    """The embedded stream of ``image`` (uint8, H x W x 3), of ``size`` bytes, or to the last bit-plane if that is less.

    The header is always complete. arithmetic: range-coded decisions except for signs; otherwise plain bits.
    """
    height, width = image.shape[:2]
    shape = shape_of(height, width, levels_for(height, width))
    flat = np.zeros(shape.entries, np.float32)
    colour.from_rgb(np.ascontiguousarray(image), flat, shape)
    wavelet.forward(flat, shape, height, width)
    packed = flat.view(np.int32)  # shares the memory, so that the planes are stored once
    wavelet.quantise(flat, packed, FIXED_POINT)
    descendants = np.zeros(shape.entries, np.uint8)
    planes = greatest_below(packed, shape, descendants)

    header = Header(height, width, shape.levels, planes, arithmetic).pack()
    limit = max(0, size - len(header))
    data = np.zeros(limit + 16, np.uint8)
    lists = new_lists(packed, descendants, empty_state(shape, height, width), shape)
    mode = bits.ENCODING + bits.ARITHMETIC * arithmetic
    _, used = coder()(data, bits.new_models(CONTEXTS), lists, shape, planes, mode, limit)
    return header + data[:used].tobytes()


def decode(bitstream: bytes) -> np.ndarray:
    """The picture (uint8, H x W x 3) that a stream, or any prefix of one that holds its header, determines.

    Raises BitstreamError if the header is truncated, corrupt or of another format. A corrupt payload cannot be detected
    and gives another picture of the right size.
    """
    header, payload = parse(bitstream)
    height, width = header.height, header.width
    shape = shape_of(height, width, header.levels)
    data = np.frombuffer(bitstream, np.uint8, offset=payload).copy()  # read-only arrays are another type to numba
    packed = np.zeros(shape.entries, np.int32)
    lists = new_lists(packed, np.zeros(0, np.uint8), empty_state(shape, height, width), shape)
    mode = bits.ARITHMETIC * header.arithmetic
    plane, _ = coder()(data, bits.new_models(CONTEXTS), lists, shape, header.planes, mode, len(data))

    reconstruct(packed, lists.lsp, lists.count, plane, FIXED_POINT)
    del lists
    flat = packed.view(np.float32)
    wavelet.inverse(flat, shape, height, width)
    image = np.empty((height, width, 3), np.uint8)
    colour.to_rgb(flat, shape, image)
    return image
