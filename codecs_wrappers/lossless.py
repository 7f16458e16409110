"""Lossless coding: PNG, WebP, JPEG-LS, JPEG XL, JPEG 2000, and the coder of ResGDN's code maps. A regime of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import imagecodecs
import PIL
from PIL import features

from codecs_wrappers.native import codemap, openjpeg
from codecs_wrappers.native.checked import by_pillow, rgb
from codecs_wrappers.native.lossless import Lossless, decode_jpegls, decode_maps, encode_maps, pillow

JXL_EFFORT = 7


def _of_imagecodecs(library: str, settings: str) -> Callable[[], str]:
    return lambda: f"{getattr(imagecodecs, f'{library}_version')()}, imagecodecs {imagecodecs.__version__}, {settings}"


CODECS = [
    Lossless(
        "png",
        ".png",
        "PNG",
        "zlib's slowest search, filters chosen by libpng's heuristic",
        lambda: f"Pillow {PIL.__version__}, zlib {features.version('zlib')}, compress_level 9",
        pillow("PNG", compress_level=9),
    ),
    Lossless(
        "webp_lossless",
        ".webp",
        "WebP (lossless)",
        "libwebp, lossless, method 4",
        lambda: f"libwebp {features.version('webp')}, Pillow {PIL.__version__}, lossless, method 4",
        pillow("WEBP", lossless=True, method=4, exact=True),
    ),
    Lossless(
        "jpegls",
        ".jls",
        "JPEG-LS",
        "CharLS, lossless, RGB without a colour transform",
        _of_imagecodecs("jpegls", "lossless"),
        (lambda image: bytes(imagecodecs.jpegls_encode(image)), decode_jpegls),
    ),
    Lossless(
        "jpegxl_lossless",
        ".jxl",
        "JPEG XL (lossless)",
        f"libjxl, modular, effort {JXL_EFFORT}",
        _of_imagecodecs("jpegxl", f"lossless, effort {JXL_EFFORT}"),
        (
            lambda image: bytes(imagecodecs.jpegxl_encode(image, lossless=True, effort=JXL_EFFORT, numthreads=1)),
            lambda bitstream: rgb(imagecodecs.jpegxl_decode(bitstream, numthreads=1), "JPEG XL"),
        ),
    ),
    Lossless(
        "jpeg2000_lossless",
        ".j2k",
        "JPEG 2000 (lossless)",
        "OpenJPEG, 5/3 wavelet, reversible colour transform, nothing truncated",
        lambda: f"{openjpeg.version()}, 5/3 and RCT, lossless",
        (partial(openjpeg.encode, bpp=math.inf, irreversible=False), partial(by_pillow, format="JPEG2000")),
    ),
    Lossless(
        "codemap_lossless",
        ".codemap",
        "Code-map coder (lossless)",
        "the context coder of ResGDN's code maps on G, R - G, B - G, with a CRC-32",
        lambda: codemap.version("context"),
        (encode_maps, decode_maps),
        checked=True,
    ),
]
