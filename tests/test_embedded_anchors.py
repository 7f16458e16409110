"""Classical embedded codecs: what a prefix of JPEG 2000's layers and of progressive JPEG's scans decodes to."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image
import pytest
from skimage import data

from bench.codec import Point
from bench.discovery import load
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.native import codestream, openjpeg, progressive_jpeg
from codecs_wrappers.native.markers import segments

RATES = (0.1, 0.25, 0.5, 1.0)


def photograph(height: int = 250, width: int = 330) -> np.ndarray:
    return np.ascontiguousarray(data.coffee()[60 : 60 + height, 120 : 120 + width])


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def by_openjpeg(stream: bytes, layers: int = 0) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(stream)) as picture:
        (tile,) = picture.tile
        picture.tile = [tile._replace(args=(*tile.args[:2], layers, *tile.args[3:]))]  # 0: all
        return np.array(picture.convert("RGB"))


def written(image: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    settings = {"irreversible": True, "mct": 1, "no_jp2": True, "quality_layers": [24 / rate for rate in RATES]}
    PIL.Image.fromarray(image).save(buffer, "JPEG2000", **(settings | options))
    return buffer.getvalue()


# JPEG 2000


@pytest.mark.parametrize("sides", [(250, 330), (64, 64), (511, 70), (33, 1), (5, 9)])
def test_packets_end_where_openjpeg_says_that_they_end(sides):
    """Its PLT segments, which our codestreams do not have, list the length of each packet."""
    image = photograph(*sides)
    resolutions = min(6, min(sides).bit_length())
    stream = written(image, plt=True, num_resolutions=resolutions)
    (sot,) = (end for marker, _, end in segments(stream, 2, codestream.SOT) if marker == codestream.SOT)
    lengths, length, behind = [], 0, sot
    for marker, start, end in segments(stream, sot, 0):
        if marker == 0xFF58:
            for byte in stream[start + 1 : end]:
                length = length << 7 | byte & 127
                if byte < 128:
                    lengths.append(length)
                    length = 0
            behind = end
    assert len(lengths) == 3 * resolutions * len(RATES)
    bare = stream[:sot] + stream[behind:]
    ends = codestream.packet_ends(bare)
    assert np.diff([sot + 2, *ends]).tolist() == lengths
    assert bare[ends[-1] :] == codestream.END


def test_a_prefix_up_to_a_layer_s_end_is_what_openjpeg_decodes_of_so_many_layers():
    image = photograph()
    stream = openjpeg.encode(image, RATES, irreversible=True)
    codec, ends = load("jpeg2000_embedded"), codestream.packet_ends(stream)
    for layers in (1, 2, 3, 4):
        end = ends[18 * layers - 1]
        assert 8 * end / image[..., 0].size <= RATES[layers - 1] + 0.02
        assert np.array_equal(codec.decode(stream[:end]), by_openjpeg(stream, layers))
    assert np.array_equal(codec.decode(stream), by_openjpeg(stream))


def test_quality_rises_with_the_packets_and_a_cut_inside_one_changes_nothing():
    image, codec = photograph(), load("jpeg2000_embedded")
    stream = codec.encode_full(image)
    ends = codestream.packet_ends(stream)
    cuts = ends[2 :: len(ends) // 40]
    quality = [psnr_db(image, codec.decode(stream[:end])) for end in cuts]
    assert min(np.diff(quality)) > -0.01 and quality[-1] - quality[0] > 15
    for end, following in zip(cuts, ends[3 :: len(ends) // 40], strict=False):
        if following - end > 2:
            assert np.array_equal(codec.decode(stream[: following - 1]), codec.decode(stream[:end]))


def test_what_a_prefix_is_made_into_is_a_codestream_that_any_decoder_reads():
    import imagecodecs

    stream = load("jpeg2000_embedded").encode_full(photograph())
    for length in (400, 3000, 9001):
        made = codestream.whole(stream[:length])
        assert made.endswith(codestream.END) and len(made) < length + 60
        assert np.array_equal(imagecodecs.jpeg2k_decode(made), by_openjpeg(made))


def test_a_prefix_without_a_packet_is_grey_and_one_without_the_size_is_refused():
    codec = load("jpeg2000_embedded")
    stream = codec.encode_full(photograph(40, 30))
    first = codestream.packet_ends(stream)[0]
    for length in (codestream.SIZE_ENDS, first - 1):
        assert np.array_equal(codec.decode(stream[:length]), np.full((40, 30, 3), 128, np.uint8))
    for length in (0, 1, codestream.SIZE_ENDS - 1):
        with pytest.raises(BitstreamError, match="decoding JPEG 2000"):
            codec.decode(stream[:length])


def test_other_codestreams_are_read_whole_and_refused_where_they_are_cut():
    image, codec = photograph(), load("jpeg2000_embedded")
    for options in ({"progression": "RLCP"}, {"codeblock_size": (32, 32)}, {"tile_size": (128, 128)}):
        stream = written(image, **options)
        if "tile_size" not in options:
            assert np.array_equal(codec.decode(stream), by_openjpeg(stream))
        with pytest.raises(BitstreamError, match="only rdbench's own layered codestreams can be cut"):
            codec.decode(stream[:2000])


def test_sides_with_more_than_one_precinct_are_refused_by_the_encoder():
    with pytest.raises(UsageError, match=r"sides of at most 32768 .* got 32769 x 1"):
        load("jpeg2000_embedded").encode_full(np.zeros((1, 32769, 3), np.uint8))


def test_layers_cost_little_against_a_codestream_of_its_own_for_each_rate():
    """2 % of the rate in the mean; on Kodak docs/anchors.md has the figure."""
    image = photograph(256, 384)
    single, layered = load("jpeg2000"), load("jpeg2000_embedded")
    full = layered.encode_full(image)
    lost = []
    for bpp in (0.25, 0.5, 1.0, 2.0):
        own = psnr_db(image, single.decode(single.encode(image, single.point(f"{bpp:.2f}bpp"))))
        lost.append(own - psnr_db(image, layered.decode(layered.truncate(full, Point("at", bpp=bpp)))))
    assert np.mean(lost) < 0.25 and max(lost) < 0.5


# Progressive JPEG


def test_the_size_stands_first_and_libjpeg_reads_the_same_pixels():
    image, codec = photograph(41, 57), load("jpeg_progressive")
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=85, subsampling="4:2:0", progressive=True)
    moved = progressive_jpeg.size_first(buffer.getvalue())
    assert sorted(moved) == sorted(buffer.getvalue()) and moved == codec.encode_full(image)
    assert progressive_jpeg.size(moved[:39]) == (41, 57)
    with PIL.Image.open(buffer) as picture:
        assert np.array_equal(codec.decode(moved), np.array(picture.convert("RGB")))
    assert np.array_equal(codec.decode(moved[:39]), np.full((41, 57, 3), 128, np.uint8))


def test_quality_of_a_progressive_jpeg_rises_with_its_bytes_wherever_it_is_cut():
    image, codec = photograph(), load("jpeg_progressive")
    stream = codec.encode_full(image)
    lengths = range(len(stream) // 20, len(stream), len(stream) // 60)
    quality = [psnr_db(image, codec.decode(stream[:length])) for length in lengths]
    assert min(np.diff(quality)) > -0.1 and quality[-1] - quality[0] > 12


def test_a_forged_size_is_refused_before_anything_is_decoded():
    stream = bytearray(load("jpeg_progressive").encode_full(photograph(40, 30)))
    struct.pack_into(">HH", stream, 25, 65535, 65535)
    with pytest.raises(BitstreamError, match="4294836225 pixels"):
        load("jpeg_progressive").decode(bytes(stream))
