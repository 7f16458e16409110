"""Whole SPIHT streams: encode to a rate, decode any prefix. Compiles on first use; import it when needed."""

from __future__ import annotations

import numpy as np

from codecs_wrappers.native.spiht import bits, planes
from codecs_wrappers.native.spiht.header import Header, levels_for, parse
from codecs_wrappers.native.spiht.lists import CONTEXTS, Lists, Shape, code_planes


def encode(image: np.ndarray, size: int, arithmetic: bool) -> bytes:
    """The embedded stream of ``image`` (uint8, H x W x 3), of ``size`` bytes or to the last bit-plane if that is less.

    A header is always whole. arithmetic: range-coded significance and refinement, otherwise plain bits.
    """
    height, width = image.shape[:2]
    shape = planes.shape_of(height, width, levels_for(height, width))
    packed = planes.analyse(image, shape)
    descendants = np.zeros(len(packed), np.uint8)
    top = planes.greatest_below(packed, shape, descendants)
    header = Header(height, width, shape.levels, int(top), arithmetic).pack()
    limit = max(0, size - len(header))
    data = np.zeros(limit + 16, np.uint8)
    coder = np.zeros(bits.REGISTERS, np.int64)
    bits.start(coder, data, True, arithmetic, limit)
    lists = _lists(packed, descendants, planes.empty_state(shape, height, width), shape)
    code_planes(coder, data, bits.new_models(CONTEXTS), lists, shape, int(top))
    return header + data[: bits.finish(coder, data)].tobytes()


def decode(bitstream: bytes) -> np.ndarray:
    """The picture (uint8, H x W x 3) that a stream or any prefix of one holding its header determines.

    Raises BitstreamError where the header is cut, corrupted or foreign; a corrupted payload cannot be told from a
    sound one and gives another picture of the right size.
    """
    header, payload = parse(bitstream)
    shape = planes.shape_of(header.height, header.width, header.levels)
    data = np.frombuffer(bitstream, np.uint8, offset=payload).copy()  # compiled for writable arrays
    coder = np.zeros(bits.REGISTERS, np.int64)
    bits.start(coder, data, False, header.arithmetic, len(data))
    packed = np.zeros(planes.entries(shape), np.int32)
    lists = _lists(packed, np.zeros(0, np.uint8), planes.empty_state(shape, header.height, header.width), shape)
    plane = code_planes(coder, data, bits.new_models(CONTEXTS), lists, shape, header.planes)
    planes.reconstruct(packed, lists.lsp, lists.count, plane)
    del lists
    return planes.synthesise(packed, shape, header.height, header.width)


def _lists(packed: np.ndarray, descendants: np.ndarray, state: np.ndarray, shape: Shape) -> Lists:
    """Empty lists with room for everything that can come: each pixel once, each set once as A and once as B."""
    pixels, sets = 3 * shape.size, 3 * shape.size // 2
    return Lists(
        np.empty(pixels, np.uint32),
        np.empty(sets, np.int64),
        np.empty(pixels, np.uint32),
        np.zeros(5, np.int64),
        packed,
        descendants,
        state,
    )
