"""Studies that several learned wrappers share: code lengths, and rates between trained operating points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.codec import Image, Point, check_image
from bench.studies import Study
from codecs_wrappers.learned.codec import LearnedCodec, SteppedCodec

if TYPE_CHECKING:
    from codecs_wrappers.learned.codelength import CodeLength

AFFECTS_BITSTREAM = False

CODE_LENGTHS = ("point", "part", "bytes", "bpp")


def code_length_study(codec: SteppedCodec) -> Study:
    """The study ``code_length_<codec>`` of a codec on a mean-scale hyperprior."""
    return code_length_study_with(codec, _stepped)


def code_length_study_with(codec: LearnedCodec, measure: Callable[[Any, Image, Point], CodeLength]) -> Study:
    """The study ``code_length_<codec>``. measure: the code length of an image at a point of that codec."""
    return Study(f"code_length_{codec.name}", codec.name, CODE_LENGTHS, partial(_code_lengths, codec, measure))


def _stepped(codec: SteppedCodec, image: Image, point: Point) -> CodeLength:
    from codecs_wrappers.learned.codelength import code_length

    return code_length(codec, image, point)


def _code_lengths(
    codec: LearnedCodec, measure: Callable[[Any, Image, Point], CodeLength], image: Image
) -> Iterator[dict[str, Any]]:
    """Rows of the bytes of each part of the bitstream at every point, with their ideal lengths."""
    image = check_image(image)
    for point in codec.points:
        length = measure(codec, image, point)
        parts = {
            "header and checksum": length.header + length.checksum,
            "z, ideal": length.ideal_z,
            "y, ideal": length.ideal_y,
            "coder's excess": length.excess,
        }
        for part, size in parts.items():
            yield {"point": point.name, "part": part, "bytes": size, "bpp": 8 * size / image[..., 0].size}


def between_study(codec: Any) -> Study:
    """The study ``<codec>_between``. codec: SteppedCodec and VariableRate, whose parameter counts trained points."""
    columns = (codec.parameter, "bpp", "rise_bpp")
    return Study(f"{codec.name}_between", codec.name, columns, partial(_between, codec), images=8)


def _between(codec: Any, image: Image) -> Iterator[dict[str, Any]]:
    """Rows of the rate at every quarter of the way between trained points, and its rise since the previous row."""
    image, before = check_image(image), None
    for quarter in range(4 * int(codec.limits[1]) + 1):
        bpp = 8 * len(codec.encode_network(image, codec.at(quarter / 4))[0]) / image[..., 0].size
        yield {codec.parameter: quarter / 4, "bpp": bpp, "rise_bpp": None if before is None else bpp - before}
        before = bpp
