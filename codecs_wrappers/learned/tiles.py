"""Tiles with a halo: a convolutional network applied to a whole map, one part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Spans = tuple[slice, slice]  # rows and columns


def tiles(height: int, width: int, side: int, halo: int) -> Iterator[tuple[Spans, Spans, Spans]]:
    """(target, outer, inner) of each tile: the network's result for ``outer``, cut to ``inner``, belongs at ``target``.

    side: at most, of a tile; halo: how far a tile's edge affects the result. Both in samples of the map.
    """
    for rows, columns in product(_spans(height, side, halo), _spans(width, side, halo)):
        target, outer, inner = zip(rows, columns, strict=True)
        yield target, outer, inner


def _spans(length: int, side: int, halo: int) -> list[tuple[slice, slice, slice]]:
    """The same along one axis, in tiles of nearly equal size."""
    count = -(-length // side)
    edges = [length * i // count for i in range(count + 1)]
    spans = []
    for start, stop in pairwise(edges):
        outer = slice(max(start - halo, 0), min(stop + halo, length))
        spans.append((slice(start, stop), outer, slice(start - outer.start, stop - outer.start)))
    return spans


def to_pixels(spans: Spans, stride: int) -> Spans:
    """Spans of a map as spans of the image, ``stride`` pixels per sample."""
    rows, columns = (slice(stride * span.start, stride * span.stop) for span in spans)
    return rows, columns


def cut(values: Tensor, spans: Spans) -> Tensor:
    """A copy of a tile of a map (1, C, h, w), in channels_last memory.

    A view would keep the map's strides, and PyTorch chooses a convolution's kernel by them: encoder and decoder, whose
    maps are laid out differently in memory, would round differently.
    """
    import torch

    tile = values[(..., *spans)]
    return torch.empty_like(tile, memory_format=torch.channels_last).copy_(tile)
