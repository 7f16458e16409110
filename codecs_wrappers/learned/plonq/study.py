"""Studies of PLONQ: orders, levels, what nesting saves, and where the bits go."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from bench.codec import Image
from bench.studies import Study
from codecs_wrappers.learned.embedded import LearnedEmbedded

AFFECTS_BITSTREAM = False

CURVE = ("target_bpp", "bpp", "psnr_rgb_db")


def studies(codec: LearnedEmbedded) -> list[Study]:
    """The studies of ``codec``: their rows are made with the weights of its first entry."""
    name = codec.name
    return [
        Study("plonq_orders", name, ("order", *CURVE), partial(_variants, "orders", codec), images=8),
        Study("plonq_levels", name, ("levels", *CURVE), partial(_variants, "grids", codec), images=8),
        Study(
            "plonq_nesting",
            name,
            ("levels", "bpp"),
            partial(_nesting, codec),
            "ideal rate of nested levels and of others",
        ),
        Study("plonq_breakdown", name, ("stream", "part", "bpp"), partial(_variants, "breakdown", codec), images=24),
    ]


def _variants(function: str, codec: LearnedEmbedded, image: Image) -> Iterator[dict[str, Any]]:
    from codecs_wrappers.learned.plonq import variants

    return getattr(variants, function)(codec.model(codec.entries[0]), image)


def _nesting(codec: LearnedEmbedded, image: Image) -> Iterator[dict[str, Any]]:
    from codecs_wrappers.learned.plonq import nesting

    return nesting.nesting(codec.model(codec.entries[0]), image)
