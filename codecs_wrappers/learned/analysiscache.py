"""What the analysis of the last image gave: every operating point of one network starts from it.

Coding one image at many points (a curve, a search for a rate, a study) would otherwise run the same networks once for
each point. :meth:`bench.codec.Codec.forget` empties the cache; the harness does so before each call it times.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.codec import Image
from bench.files import sha256_pixels

MAX_BYTES = 1 << 30

Arrays = tuple[np.ndarray, ...]


class AnalysisCache:
    """Keeps one analysis.

    Key: the network, by identity, and the SHA-256 of the image's shape and samples. Whether the image is another array,
    or may be written to, makes no difference. Bound: one entry of at most ``max_bytes``; a larger one is computed each
    time. A mean-scale analysis takes 16 bytes a sample of y, 20 bytes a pixel at M = 320: 8 MB for an image of Kodak,
    and 1 GiB for one of 50 megapixels. The arrays are read-only, since all points share them.
    """

    def __init__(self, max_bytes: int = MAX_BYTES):
        self.max_bytes = max_bytes
        self._network: object = None
        self._image = ""
        self._arrays: Arrays | None = None

    def get(self, network: object, image: Image, analyse: Callable[[], Arrays]) -> Arrays:
        """The arrays that ``analyse()`` gives for ``image`` (uint8, H x W x 3) under ``network``."""
        digest = sha256_pixels(image)
        if self._arrays is not None and self._network is network and self._image == digest:
            return self._arrays
        self.clear()  # before the next analysis needs the memory
        arrays = analyse()
        for array in arrays:
            array.flags.writeable = False
        if sum(array.nbytes for array in arrays) <= self.max_bytes:
            self._network, self._image, self._arrays = network, digest, arrays
        return arrays

    def clear(self) -> None:
        """Forget the entry."""
        self._network, self._image, self._arrays = None, "", None


ANALYSES = AnalysisCache()  # of this process; shared by all learned codecs, so that the bound holds for them together
