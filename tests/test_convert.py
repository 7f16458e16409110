"""`rdbench convert` makes of every refused image one that is taken, with the right pixels, and says what it did."""

from __future__ import annotations

import re
import shlex
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from bench.cli import main
from bench.data.convert import convert
from bench.data.images import load_image
from bench.errors import UsageError

PHOTO = np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(kind: bytes, content: bytes, name: str = "a.png") -> Path:
    Image.fromarray(PHOTO).save(name)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[:33] + chunk(kind, content) + data[33:])
    return Path(name)


def deep_png(samples: np.ndarray) -> Path:
    """A 16-bit RGB PNG (uint16, H x W x 3)."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    Path("deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return Path("deep.png")


def test_sixteen_bits_are_rounded_and_not_cut_off():
    samples = np.array([[[0, 128, 129], [32767, 65535, 65407], [65406, 385, 386]]], np.uint16)
    pixels, done = convert(deep_png(samples))
    assert np.array_equal(pixels, np.rint(samples / 65535 * 255).astype(np.uint8))
    assert pixels[0, 1].tolist() == [127, 255, 255] and done == ["16 bits per sample rounded to 8"]
    grey = Image.fromarray(samples[..., 0])
    grey.save("grey.png")
    grey.save("grey.tif")
    for name in ("grey.png", "grey.tif"):
        assert np.array_equal(convert(Path(name))[0][..., 1], np.rint(samples[..., 0] / 257).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PHOTO).save("a.png", exif=exif)
    pixels, done = convert(Path("a.png"))
    turns = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 6: lambda a: np.rot90(a, -1)}
    turns |= {5: lambda a: a.swapaxes(0, 1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}
    assert np.array_equal(pixels, turns[orientation](PHOTO))
    assert done == [f"rotated upright (EXIF orientation {orientation})"]


def test_what_is_transparent_lies_on_the_colour_that_is_named():
    alpha = np.full((16, 24, 1), 51, np.uint8)
    Image.fromarray(np.concatenate([PHOTO, alpha], axis=2)).save("a.png")
    with pytest.raises(UsageError, match=r"partly transparent.*--background white"):
        convert(Path("a.png"))
    with pytest.raises(UsageError, match="expected a colour such as white"):
        convert(Path("a.png"), background="nosuch")
    pixels, done = convert(Path("a.png"), background="#ff0000")
    assert np.array_equal(pixels, np.rint(0.2 * PHOTO + 0.8 * np.array([255, 0, 0])).astype(np.uint8))
    assert done == ["flattened onto #ff0000"]


def test_a_gamma_of_1_becomes_srgb():
    pixels, done = convert(png_with(b"gAMA", struct.pack(">I", 100_000)))
    light = PHOTO / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.array_equal(pixels, np.rint(255 * expected).astype(np.uint8))
    assert "its gAMA chunk says 1" in done[0]


def test_display_p3_becomes_srgb_as_by_its_profile_and_white_stays_white():
    numbers = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    by_primaries, _ = convert(png_with(b"cHRM", struct.pack(">8I", *numbers)))
    by_code, _ = convert(png_with(b"cICP", bytes([12, 13, 0, 1])))
    assert np.array_equal(by_primaries, by_code)
    # CSS Color 4, section 10.8: linear P3 to linear sRGB
    matrix = np.array([[1.2249401, -0.2249404, 0], [-0.0420569, 1.0420571, 0], [-0.0196376, -0.0786361, 1.0982735]])
    samples = PHOTO / 255
    light = np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)
    light = np.clip(light @ matrix.T, 0, 1)
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(by_code - expected).max() < 0.51 + 0.1
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    Image.fromarray(grey).save("a.png")
    data = Path("a.png").read_bytes()
    Path("a.png").write_bytes(data[:33] + chunk(b"cICP", bytes([12, 13, 0, 1])) + data[33:])
    assert np.array_equal(convert(Path("a.png"))[0], grey)


def test_colours_that_no_number_tells_need_a_word():
    path = png_with(b"cICP", bytes([9, 16, 0, 1]))
    with pytest.raises(UsageError, match="--as-srgb"):
        convert(path)
    pixels, done = convert(path, as_srgb=True)
    assert np.array_equal(pixels, PHOTO) and done == ["colours taken as sRGB"]


def test_a_profile_is_applied():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PHOTO).save("srgb.png", icc_profile=lab)
    assert np.array_equal(convert(Path("srgb.png"))[0], PHOTO) and convert(Path("srgb.png"))[1] == []
    Image.fromarray(PHOTO).save("broken.png", icc_profile=b"not a profile")
    with pytest.raises(UsageError, match=r"profile is unusable.*--as-srgb"):
        convert(Path("broken.png"))


def test_of_several_frames_one_is_chosen():
    frames = [Image.new("P", (8, 8), colour) for colour in (1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60] + [0] * 759)
    frames[0].save("a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(UsageError, match="it contains 2 frames; choose one with --frame 0 to 1"):
        convert(Path("a.gif"))
    with pytest.raises(UsageError, match="choose one"):
        convert(Path("a.gif"), frame=2)
    pixels, done = convert(Path("a.gif"), frame=1)
    assert (pixels == [40, 50, 60]).all() and done[0] == "frame 1 of 2"


@pytest.mark.parametrize(("name", "options"), [("a.avif", {}), ("a.heic", {}), ("a.gif", {}), ("cmyk.jpg", {})])
def test_other_formats_become_pictures_that_are_taken(name, options, capsys):
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = Image.fromarray(np.full((64, 64, 3), (200, 30, 30), np.uint8))
    (image.convert("CMYK") if name == "cmyk.jpg" else image).save(name)
    with pytest.raises(UsageError, match="rdbench convert"):
        load_image(name)
    assert main(["convert", name, "out.png"]) == 0
    assert np.abs(load_image("out.png").astype(int) - (200, 30, 30)).max() < 12
    assert capsys.readouterr().out.startswith("out.png: 64 x 64, ")


def refused_files() -> list[Path]:
    rgba = np.concatenate([PHOTO, np.full((16, 24, 1), 51, np.uint8)], axis=2)
    Image.fromarray(rgba).save("it's transparent.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save("turned.jpg", exif=exif)
    Image.fromarray(PHOTO).convert("CMYK").save("cmyk.jpg")
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    frames[0].save("pages.tif", save_all=True, append_images=frames[1:])
    return [
        *(Path(name) for name in ("it's transparent.png", "turned.jpg", "cmyk.jpg", "pages.tif")),
        deep_png(PHOTO.astype(np.uint16) * 257),
        png_with(b"gAMA", struct.pack(">I", 100_000), "gamma.png"),
        png_with(b"cICP", bytes([9, 16, 0, 1]), "hdr.png"),
    ]


def test_the_command_in_every_refusal_works_as_it_stands():
    for path in refused_files():
        with pytest.raises(UsageError) as refused:
            load_image(path)
        command = shlex.split(re.search(r"`(rdbench convert [^`]*)`", str(refused.value))[1])
        assert main(command[1:]) == 0, command
        assert load_image(command[-1]).dtype == np.uint8


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"x" * 40])
def test_what_is_no_image_is_a_sentence(content, capsys):
    Path("a.png").write_bytes(content)
    for name in ("a.png", "nosuch.png"):
        assert main(["convert", name, "out.png"]) == 2
        assert f"converting {name}" in capsys.readouterr().err
    assert not Path("out.png").exists()


def tiff(pages: list[np.ndarray], photometric: int, sample_format: int = 1, planes: bool = False) -> Path:
    """A TIFF file of uncompressed pages, each H x W x channels; planes: each channel by itself."""
    content, link = bytearray(b"II*\0\0\0\0\0"), 4
    for samples in pages:
        height, width, channels = samples.shape
        parts = [samples[..., c] for c in range(channels)] if planes else [samples]
        strips = [len(content) + sum(part.nbytes for part in parts[:i]) for i in range(len(parts))]
        content += b"".join(part.tobytes() for part in parts)
        places = {}
        for tag, code, values in (
            (258, "H", [samples.itemsize * 8] * channels),
            (273, "I", strips),
            (279, "I", [part.nbytes for part in parts]),
            (339, "H", [sample_format] * channels),
        ):
            packed = struct.pack(f"<{len(values)}{code}", *values)
            places[tag] = (3 if code == "H" else 4, len(values), packed)
        for tag, value in ((256, width), (257, height), (259, 1), (262, photometric), (277, channels), (278, height)):
            places[tag] = (4, 1, struct.pack("<I", value))
        places[284] = (3, 1, struct.pack("<HH", 2 if planes else 1, 0))
        for tag, (kind, count, packed) in places.items():
            if len(packed) > 4:
                places[tag] = (kind, count, struct.pack("<I", len(content)))
                content += packed
        content[link : link + 4] = struct.pack("<I", len(content))
        entries = [
            struct.pack("<HHI", tag, *places[tag][:2]) + places[tag][2].ljust(4, b"\0") for tag in sorted(places)
        ]
        content += struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
        link = len(content) - 4
    Path("a.tif").write_bytes(content)
    return Path("a.tif")


DEEP = PHOTO.astype(np.uint16) * 257
GREY = np.repeat(PHOTO[..., :1], 3, axis=2)


def test_a_deep_tiff_gives_the_page_the_planes_and_the_black_that_it_says():
    pixels, done = convert(tiff([DEEP, 65535 - DEEP, DEEP], photometric=2), frame=1)
    assert np.array_equal(pixels, 255 - PHOTO) and done == ["frame 1 of 3", "16 bits per sample rounded to 8"]
    assert np.array_equal(convert(tiff([DEEP], photometric=2, planes=True))[0], PHOTO)
    assert np.array_equal(convert(tiff([DEEP[..., :1]], photometric=0))[0], 255 - GREY)  # white is zero
    assert np.array_equal(convert(tiff([DEEP[..., :1]], photometric=1))[0], GREY)
    assert np.array_equal(convert(tiff([DEEP[..., :1] * np.uint32(65537)], photometric=1))[0], GREY)
    unit = (PHOTO[..., :1] / 255).astype(np.float32)
    assert np.array_equal(convert(tiff([unit], photometric=1, sample_format=3))[0], GREY)


@pytest.mark.parametrize(
    ("samples", "photometric", "sample_format", "message"),
    [
        (PHOTO[..., :1].astype(np.float32), 1, 3, r"floating-point samples from 0 to 1, got \d+ to 25\d"),
        (np.full((4, 4, 1), np.nan, np.float32), 1, 3, "got nan to nan"),
        (DEEP[..., :1].view(np.int16), 1, 2, "SampleFormat 2"),
        (DEEP[..., :1].astype(np.int32), 1, 2, "SampleFormat 2"),
        (np.concatenate([DEEP, DEEP[..., :1]], axis=2), 5, 1, "PhotometricInterpretation 5"),  # CMYK
    ],
)
def test_deep_samples_of_unknown_range_or_colours_are_refused(samples, photometric, sample_format, message):
    with pytest.raises(UsageError, match=message):
        convert(tiff([samples], photometric, sample_format))


def test_a_deep_jpeg_2000_keeps_its_whites_white():
    """Pillow rounds 65535 up to 256, which is 0 in 8 bits."""
    import imagecodecs

    Path("a.jp2").write_bytes(imagecodecs.jpeg2k_encode(DEEP, level=0))
    pixels, done = convert(Path("a.jp2"))
    assert np.array_equal(pixels, PHOTO) and done == ["16 bits per sample rounded to 8"]
    Path("b.jp2").write_bytes(imagecodecs.jpeg2k_encode(PHOTO, level=0))
    assert np.array_equal(convert(Path("b.jp2"))[0], PHOTO)


def test_only_the_first_frame_of_a_deep_animation_is_read():
    import imagecodecs

    Path("a.png").write_bytes(imagecodecs.apng_encode(np.stack([DEEP, 65535 - DEEP])))
    assert np.array_equal(convert(Path("a.png"), frame=0)[0], PHOTO)
    with pytest.raises(UsageError, match="only --frame 0"):
        convert(Path("a.png"), frame=1)


def test_a_lab_picture_is_said_to_be_converted():
    Image.fromarray(np.full((8, 8, 3), (128, 0, 0), np.uint8), "LAB").save("a.tif")
    assert convert(Path("a.tif"))[1] == ["LAB converted to RGB"]
