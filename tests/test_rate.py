"""Rate control: real bytes within the tolerance, or a sentence that says what can be had."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import scipy.fft

from bench.cli import main
from bench.codec import Codec, Embedded, Point, VariableRate
from bench.discovery import codecs, load
from bench.errors import RdbenchError, UsageError
from bench.metrics import Reference, measure, psnr_rgb_db
from bench.run.rate_control import encode_to_quality, encode_to_rate


class Step(VariableRate):
    """The cosine transform of the image, rounded at a real step and packed with zlib: smooth rates of 0.1 to 14 bpp."""

    name, extension, parameter, limits = "step", ".s", "s", (1.0, 256.0)
    points = (Point("s8", s=8.0), Point("s2", s=2.0))

    def encode(self, image, point):
        coefficients = scipy.fft.dctn(image.astype(float), axes=(0, 1), norm="ortho")
        head = np.array([*image.shape[:2], point["s"]], "<f8").tobytes()
        return head + zlib.compress(np.rint(coefficients / point["s"]).astype(np.int16).tobytes(), 6)

    def decode(self, bitstream):
        height, width, step = np.frombuffer(bitstream[:24], "<f8")
        levels = np.frombuffer(zlib.decompress(bitstream[24:]), np.int16).reshape(int(height), int(width), 3)
        return np.rint(scipy.fft.idctn(levels * step, axes=(0, 1), norm="ortho")).clip(0, 255).astype(np.uint8)


class Quality(Step):
    """The same by a whole number that rises with the rate."""

    name, parameter, limits = "quality", "q", (1, 180)

    def at(self, value):
        return Point(f"q{round(value)}", q=round(value))

    def encode(self, image, point):
        return super().encode(image, Point("", s=256.0 * 0.97 ** point["q"]))


class Named(Codec):
    """The same at eight points that differ in a name."""

    name, extension = "named", ".n"
    points = tuple(Point(name, model=name) for name in "abcdefgh")

    def encode(self, image, point):
        return Step().encode(image, Point("", s=300.0 * 0.5 ** "abcdefgh".index(point["model"])))

    def decode(self, bitstream):
        return Step().decode(bitstream)


class Cliff(Step):
    """A rate that falls from about 8 bpp to 0.1 bpp between two neighbours."""

    name = "cliff"

    def encode(self, image, point):
        return bytes(400 if point["s"] > 7.1234 else 33_000)


class Prefixes(Embedded):
    name, extension, points = "prefixes", ".p", (Point("bpp1", bpp=1.0),)

    def encode_full(self, image):
        return bytes(20) + image.tobytes()[:9000]

    def truncate(self, bitstream, point):
        return bitstream[: max(20, int(point["bpp"] * 176 * 192 / 8))]


@pytest.fixture
def photograph(photographs):
    return photographs["astronaut"]  # 176 x 192


def bpp(codec: Codec, image: np.ndarray, point: Point) -> float:
    return 8 * len(codec.encode(image, point)) / (image.shape[0] * image.shape[1])


@pytest.mark.parametrize("codec", [Step(), Quality()], ids=lambda codec: codec.name)
def test_a_continuous_codec_comes_within_the_tolerance_in_few_bitstreams(codec, photograph):
    ends = sorted(bpp(codec, photograph, codec.at(value)) for value in codec.limits)
    counts = []
    for target in np.geomspace(1.05 * ends[0], 0.95 * ends[1], 12):
        reached = encode_to_rate(codec, photograph, target, 0.03 if codec.name == "quality" else 0.02)
        assert reached.within and reached.continuous
        assert bpp(codec, photograph, reached.coded.point) == reached.coded.bpp
        assert reached.coded.bitstream == codec.encode(photograph, codec.point(reached.coded.point.name))
        counts.append(reached.evaluations)
    assert np.mean(counts) < 9  # halving the range from 1 to 256 down to 2 % takes 10


def test_a_tighter_tolerance_is_met(photograph):
    assert abs(encode_to_rate(Step(), photograph, 3.0, 0.002).coded.bpp / 3.0 - 1) <= 0.002


@pytest.mark.parametrize("target", [0.001, 50.0])
@pytest.mark.parametrize("codec", [Step(), Prefixes(), load("jpeg")], ids=lambda codec: codec.name)
def test_a_target_out_of_reach_is_an_error_that_names_the_range(codec, target, photograph):
    if isinstance(codec, Step):
        low, high = (bpp(codec, photograph, codec.at(value)) for value in (256.0, 1.0))
    elif isinstance(codec, Embedded):
        low, high = 8 * 20 / (176 * 192), 8 * 9020 / (176 * 192)
    else:
        low, high = (bpp(codec, photograph, Point("", quality=quality)) for quality in (1, 100))
    with pytest.raises(UsageError, match=f"at {target:g} bpp: its rates go from {low:.4f} to {high:.4f} bpp"):
        encode_to_rate(codec, photograph, target)


def test_a_rate_that_jumps_over_the_target_is_an_error_that_names_both_sides(photograph):
    with pytest.raises(RdbenchError, match=r"jumps from 0.0947 bpp at s7\.1235 to 7.8125 bpp at s7\.1234"):
        encode_to_rate(Cliff(), photograph, 1.0)


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_a_target_that_is_no_rate_is_refused(target, photograph):
    with pytest.raises(UsageError, match="expected a rate above 0 bpp"):
        encode_to_rate(Step(), photograph, target)


def test_an_embedded_codec_is_encoded_once_and_cut_to_the_byte(photograph):
    reached = encode_to_rate(Prefixes(), photograph, 1.5)
    assert (reached.evaluations, len(reached.coded.bitstream)) == (1, int(1.5 * 176 * 192 / 8))
    assert reached.within


@pytest.mark.parametrize("monotone", [True, False])
def test_a_codec_with_named_points_gives_the_nearest_by_few_bitstreams_where_rates_rise(monotone, photograph):
    codec = Named()
    codec.monotone = monotone
    rates = {point.name: bpp(codec, photograph, point) for point in codec.points}
    for target in np.geomspace(min(rates.values()), max(rates.values()), 15):
        reached = encode_to_rate(codec, photograph, target)
        assert reached.coded.point.name == min(rates, key=lambda name: abs(np.log(rates[name] / target)))
        assert not reached.continuous
        assert reached.evaluations <= (6 if monotone else len(codec.points))


def test_a_codec_with_a_whole_number_gives_the_nearest_of_all_its_values_in_few_bitstreams(photograph):
    codec = load("jpeg")
    rates = {quality: bpp(codec, photograph, Point("", quality=quality)) for quality in range(1, 101)}
    for target in np.geomspace(rates[1], rates[100], 9):
        reached = encode_to_rate(codec, photograph, target, 1e-6)
        nearest = min(rates.values(), key=lambda rate: abs(np.log(rate / target)))
        assert reached.coded.bpp == nearest and not reached.continuous
        assert reached.evaluations <= 12


# Quality


def psnr(codec: Codec, image: np.ndarray, bitstream: bytes) -> float:
    return psnr_rgb_db(image, codec.decode(bitstream))


@pytest.mark.parametrize("target", [25.0, 31.7, 40.0])
def test_a_continuous_codec_reaches_a_psnr_and_hardly_exceeds_it(target, photograph):
    reached = encode_to_quality(Step(), photograph, "psnr_rgb_db", target)
    assert target <= psnr(Step(), photograph, reached.coded.bitstream) <= target + 0.05
    assert reached.within and reached.continuous and reached.evaluations < 9


@pytest.mark.parametrize("metric, targets", {"psnr_rgb_db": (25.5, 33.3), "ms_ssim": (0.95, 0.99)}.items())
def test_a_codec_with_whole_numbers_gives_the_smallest_file_that_is_good_enough(metric, targets, photograph):
    codec, reference = load("jpeg"), Reference(photograph)
    files = [codec.encode(photograph, Point("", quality=quality)) for quality in range(1, 101)]
    qualities = [measure(reference, codec.decode(file))[metric] for file in files]
    for target in targets:
        reached = encode_to_quality(codec, photograph, metric, target)
        first = next(number for number, quality in enumerate(qualities) if quality >= target)
        assert reached.coded.bitstream == files[first]
        assert reached.coded.quality == pytest.approx(qualities[first], abs=1e-12)
        assert not reached.continuous and reached.evaluations <= 12


def test_an_embedded_codec_is_cut_at_the_shortest_prefix_that_is_good_enough(photograph):
    codec = load("spiht")
    reached = encode_to_quality(codec, photograph, "psnr_rgb_db", 32.0, 0.01)
    length = len(reached.coded.bitstream)
    assert 32 <= psnr(codec, photograph, reached.coded.bitstream) <= 32.01
    full = codec.encode_full(photograph)
    assert length < len(full) / 2
    shorter = codec.truncate(full, Point("", bpp=8 * (length - 40) / photograph[..., 0].size))
    assert psnr(codec, photograph, shorter) < 32
    assert codec.encode(photograph, reached.coded.point) == reached.coded.bitstream


def test_ssimulacra2_is_a_target_where_its_package_is(photograph):
    pytest.importorskip("ssimulacra2")
    reached = encode_to_quality(load("webp"), photograph, "ssimulacra2", 60.0)
    assert reached.coded.quality >= 60
    worse = load("webp").encode(photograph, Point("", quality=reached.coded.point["quality"] - 1))
    assert measure(Reference(photograph), load("webp").decode(worse))["ssimulacra2"] < 60


@pytest.mark.parametrize("codec", [Step(), load("spiht"), load("jpeg"), Named()], ids=lambda codec: codec.name)
def test_a_quality_out_of_reach_is_an_error_that_names_the_range(codec, photograph):
    with pytest.raises(UsageError, match=r"at PSNR 99 dB: its PSNR goes from [\d.]+ dB to [\d.]+ dB"):
        encode_to_quality(codec, photograph, "psnr_rgb_db", 99.0)


@pytest.mark.parametrize(
    "metric, value", [("psnr_rgb_db", -1), ("ms_ssim", 1.0), ("ssimulacra2", 101), ("psnr_rgb_db", np.nan)]
)
def test_a_target_that_is_no_quality_is_refused(metric, value, photograph):
    with pytest.raises(UsageError, match=r"expected an? .* above 0"):
        encode_to_quality(Step(), photograph, metric, value)


def test_an_image_too_small_for_the_metric_is_refused_before_anything_is_coded(photograph):
    with pytest.raises(UsageError, match=r"measuring MS-SSIM of this image: short side 32 px, five scales need 161"):
        encode_to_quality(Step(), photograph[:32, :32].copy(), "ms_ssim", 0.9)


def test_a_decoder_that_returns_another_size_is_an_error(photograph):
    class Cropping(Step):
        def decode(self, bitstream):
            return super().decode(bitstream)[1:]

    with pytest.raises(RdbenchError, match="from its own decoder, got"):
        encode_to_quality(Cropping(), photograph, "psnr_rgb_db", 30.0)


def test_a_value_is_an_operating_point_by_name():
    codec = Step()
    assert codec.point("s1.37") == codec.at(1.37) == Point("s1.3700", s=1.37)
    assert codec.point("s8") is codec.points[0]
    for name in ("s0.5", "s257", "snan", "sinf"):
        with pytest.raises(UsageError, match="expected s from 1 to 256"):
            codec.point(name)
    for name in ("s", "sx", "q3"):
        with pytest.raises(UsageError, match="it has s8, s2, and s<value> from 1 to 256"):
            codec.point(name)


VARIABLE = {name: codec for name, codec in codecs().items() if isinstance(codec, VariableRate) and codec.available()[0]}


@pytest.mark.parametrize("name", VARIABLE)
def test_every_variable_rate_wrapper_follows_its_parameter_and_rounds_no_value_after_it_was_named(name, photograph):
    codec = VARIABLE[name]
    low, high = codec.limits
    if len(codec.points) < 2:
        pytest.skip("it has weights for one rate only")
    image = photograph[:128, :128]
    points = [codec.at(low), codec.at((low * high) ** 0.5 if low > 0 else (low + high) / 2), codec.at(high)]
    sizes = [len(codec.encode(image, point)) for point in points]
    assert sizes in (sorted(sizes), sorted(sizes, reverse=True)) and len(set(sizes)) == 3
    middle = points[1]
    assert codec.point(middle.name) == middle and codec.at(middle[codec.parameter]) == middle
    assert codec.decode(codec.encode(image, middle)).shape == image.shape
    for value in (low - 1, high + 1):
        with pytest.raises(UsageError, match=codec.parameter):
            codec.at(value)


WRAPPER = """
import zlib
import numpy as np
from bench.codec import Point, VariableRate, check_image

class Stepped(VariableRate):
    name, extension, parameter, limits = "stepped", ".s", "s", (1.0, 64.0)
    points = (Point("s8", s=8.0),)

    def version(self):
        return "1"

    def encode(self, image, point):
        image = check_image(image)
        levels = np.rint(image / point["s"]).astype(np.uint8)
        head = np.array(image.shape[:2], "<u2").tobytes() + np.array([point["s"]], "<f8").tobytes()
        return head + zlib.compress(levels.tobytes())

    def decode(self, bitstream):
        height, width = np.frombuffer(bitstream[:4], "<u2").astype(int)
        (step,) = np.frombuffer(bitstream[4:12], "<f8")
        levels = np.frombuffer(zlib.decompress(bitstream[12:]), np.uint8).reshape(height, width, 3)
        return np.clip(np.rint(levels * step), 0, 255).astype(np.uint8)

CODECS = [Stepped()]
"""


def test_the_command_writes_the_bitstream_it_tells_of(add_wrapper, image_folder, tmp_path, capsys):
    add_wrapper("stepped", WRAPPER)
    image, out = str(image_folder / "coffee.png"), tmp_path / "a.s"
    assert main(["rate", "stepped", image, "--bpp", "4", "--out", str(out), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)["rows"]
    assert facts["within"] and facts["continuous"] and facts["bytes"] == out.stat().st_size
    assert facts["bpp"] == pytest.approx(4, rel=0.02)
    assert main(["encode", "stepped", image, str(tmp_path / "b.s"), "--point", facts["point"]]) == 0
    assert (tmp_path / "b.s").read_bytes() == out.read_bytes()
    capsys.readouterr()
    assert main(["rate", "stepped", image, "--bpp", "4"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{facts['point']}: {facts['bytes']} bytes, ") and f"PSNR {facts['psnr_rgb_db']:.2f}" in line


def test_the_command_says_where_a_codec_is_not_continuous_and_what_is_out_of_reach(image_folder, capsys):
    image = str(image_folder / "coffee.png")
    assert main(["rate", "jpeg", image, "--bpp", "1", "--tolerance", "0.001"]) == 0
    assert "jpeg has only discrete settings: quality" in capsys.readouterr().err
    assert main(["rate", "jpeg", image, "--bpp", "99"]) == 2
    assert "jpeg cannot code this image at 99 bpp: its rates go from" in capsys.readouterr().err


def test_the_command_searches_for_a_quality_and_takes_one_target_only(image_folder, capsys):
    image = str(image_folder / "coffee.png")
    assert main(["rate", "jpeg", image, "--psnr", "33", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)["rows"]
    assert (facts["target"], facts["target_value"]) == ("psnr_rgb_db", 33) and facts["psnr_rgb_db"] >= 33
    assert main(["rate", "jpeg", image, "--ms-ssim", "0.98"]) == 0
    assert ", MS-SSIM 0.98" in capsys.readouterr().out
    for wrong in (["--psnr", "33", "--bpp", "1"], []):
        with pytest.raises(SystemExit) as stopped:
            main(["rate", "jpeg", image, *wrong])
        assert stopped.value.code == 2
