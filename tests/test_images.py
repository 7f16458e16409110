"""load_image takes what it can without loss and refuses the rest with a way out."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from bench.data import jpeg_check
from bench.data.images import BrokenImageError, load_image
from bench.errors import UsageError

PHOTO = np.random.default_rng(1).integers(0, 256, (17, 33, 3), dtype=np.uint8)


def saved(tmp_path, image, name="image.png", **options):
    path = tmp_path / name
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.tif", {}),
        ("a.tiff", {"compression": "tiff_lzw"}),
        ("a.bmp", {}),
        ("a.ppm", {}),
        ("lies.jpg", {"format": "PNG"}),
    ],
)
def test_lossless_files_give_exactly_the_pixels_that_were_saved(tmp_path, name, options):
    image = load_image(saved(tmp_path, PHOTO, name, **options))
    assert image.dtype == np.uint8
    assert np.array_equal(image, PHOTO)


def test_a_jpeg_file_gives_what_pillow_decodes(tmp_path):
    path = saved(tmp_path, PHOTO, "a.jpg", quality=90)
    assert np.array_equal(load_image(path), np.asarray(Image.open(path)))


def test_grey_becomes_three_equal_channels(tmp_path):
    image = load_image(saved(tmp_path, PHOTO[..., 0]))
    assert np.array_equal(image, np.repeat(PHOTO[..., :1], 3, axis=2))


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = PHOTO[..., 0] > 127
    assert np.array_equal(load_image(saved(tmp_path, Image.fromarray(bits)))[..., 1], bits * np.uint8(255))


def test_a_palette_becomes_its_colours(tmp_path):
    palette = Image.fromarray(PHOTO).quantize(16)
    assert np.array_equal(load_image(saved(tmp_path, palette)), np.asarray(palette.convert("RGB")))


def test_an_alpha_channel_that_is_opaque_everywhere_is_dropped(tmp_path):
    opaque = np.dstack((PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)))
    assert np.array_equal(load_image(saved(tmp_path, opaque)), PHOTO)


def test_an_srgb_profile_is_accepted(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(load_image(saved(tmp_path, PHOTO, icc_profile=profile)), PHOTO)


def gamma_profile(gamma):
    """A matrix profile with sRGB's colorants and another tone curve, written from the ICC specification, clause 8.3."""

    def xyz(x, y, z):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78 + b"\0"
    tags = {
        b"desc": text,
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + b"\0" * 12 + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("profile", [gamma_profile(1.0), gamma_profile(1.8), b"not a profile"])
def test_a_profile_that_moves_colours_is_refused(tmp_path, profile):
    path = saved(tmp_path, PHOTO, icc_profile=profile)
    with pytest.raises(UsageError, match=r"profile is .*not sRGB.*rdbench convert"):
        load_image(path)
    assert np.array_equal(load_image(path, ignore_profile=True), PHOTO)


def test_plain_gamma_2_2_is_not_taken_for_srgb(tmp_path):
    with pytest.raises(UsageError, match="'test', not sRGB"):
        load_image(saved(tmp_path, PHOTO, icc_profile=gamma_profile(2.2)))


def test_a_jpeg_with_a_preview_behind_it_gives_its_main_picture(tmp_path):
    path = tmp_path / "phone.jpg"
    Image.fromarray(PHOTO).save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95)
    assert Image.open(path).format == "MPO"
    assert load_image(path).shape == PHOTO.shape


def rgb16_png(path):
    """A 16-bit RGB PNG, which Pillow cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(4 * 6) for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def test_sixteen_bit_files_are_refused_with_a_command(tmp_path):
    grey = saved(tmp_path, Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), "grey.png")
    tiff = saved(tmp_path, Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), "grey.tif")
    ppm = tmp_path / "deep.ppm"
    ppm.write_bytes(b"P6 2 2 65535\n" + bytes(24))
    for path in (grey, tiff, ppm, rgb16_png(tmp_path / "rgb.png")):
        with pytest.raises(UsageError, match=r"bits per sample.*rdbench convert"):
            load_image(path)


def test_floating_point_is_refused(tmp_path):
    with pytest.raises(UsageError, match="bits per sample"):
        load_image(saved(tmp_path, Image.fromarray(PHOTO[..., 0].astype(np.float32)), "float.tif"))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_real_alpha_is_refused(tmp_path, mode):
    image = Image.fromarray(PHOTO).convert(mode)
    image.putalpha(128)
    with pytest.raises(
        UsageError, match=r"partly transparent \(alpha down to 128\).*rdbench convert --background white"
    ):
        load_image(saved(tmp_path, image))


def test_a_transparent_palette_colour_is_refused_only_if_it_is_used(tmp_path):
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    with pytest.raises(UsageError, match="partly transparent"):
        load_image(saved(tmp_path, palette, "used.png", transparency=1))
    assert load_image(saved(tmp_path, palette, "unused.png", transparency=2))[0, 1].tolist() == [40, 50, 60]


def test_cmyk_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"colours are CMYK, not RGB.*rdbench convert"):
        load_image(saved(tmp_path, Image.fromarray(PHOTO).convert("CMYK"), "a.jpg"))


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_rotation_flag_is_refused(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    with pytest.raises(UsageError, match=f"orientation {orientation}.*rdbench convert"):
        load_image(saved(tmp_path, PHOTO, name, exif=exif))


def test_an_upright_orientation_flag_is_accepted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 1
    assert np.array_equal(load_image(saved(tmp_path, PHOTO, exif=exif)), PHOTO)


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png"])
def test_several_frames_are_refused(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(PHOTO).save(path, save_all=True, append_images=[Image.fromarray(255 - PHOTO)])
    with pytest.raises(UsageError, match="it contains 2 frames"):
        load_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.ppm"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_a_file_cut_short_is_called_broken(tmp_path, name, keep):
    path = saved(tmp_path, np.tile(PHOTO, (8, 8, 1)), name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(BrokenImageError, match=r"reading .*a\."):
        load_image(path)


def test_a_file_that_is_no_image_is_called_so(tmp_path):
    path = tmp_path / "page.png"
    path.write_text("<!doctype html><title>Sorry</title>")
    with pytest.raises(BrokenImageError, match="expected a PNG, JPEG"):
        load_image(path)
    with pytest.raises(BrokenImageError, match="no such file"):
        load_image(tmp_path / "absent.png")


def test_a_header_that_announces_a_gigantic_picture_is_refused_before_it_is_decoded(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"3600000000 pixels.*crop or scale"):
        load_image(path)


def test_a_nine_megapixel_image_is_far_below_the_limit(tmp_path):
    large = np.zeros((2456, 3680, 3), np.uint8)
    assert load_image(saved(tmp_path, large, compress_level=1)).shape == large.shape


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM"])
def test_a_byte_changed_anywhere_in_a_file_gives_a_picture_or_a_refusal(tmp_path, kind):
    """A TIFF without its sizes was a TypeError that took the whole folder with it."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, kind)
    whole, path = buffer.getvalue(), tmp_path / "changed"
    refused = 0
    for position in range(len(whole)):
        for byte in (0, 255, whole[position] ^ 1):
            path.write_bytes(whole[:position] + bytes([byte]) + whole[position + 1 :])
            try:
                assert load_image(path).dtype == np.uint8
            except UsageError:
                refused += 1
    assert refused > 10


def jpeg(**options):
    """A photograph as JPEG."""
    from skimage import data

    buffer = io.BytesIO()
    image = Image.fromarray(data.astronaut()[:200, :300])
    (image.convert("L") if options.pop("grey", False) else image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS = [
    {},
    {"progressive": True},
    {"grey": True},
    {"subsampling": 0, "quality": 95},
    {"restart_marker_rows": 1},
    {"optimize": True},
]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(options) or "plain")
def test_a_jpeg_with_a_hole_is_called_broken_and_a_whole_one_is_not(tmp_path, options):
    """libjpeg decodes it with a warning that Pillow does not pass on: half the pixels are wrong."""
    whole, path = jpeg(**options), tmp_path / "a.jpg"
    middle, hole = len(whole) // 2, len(whole) // 10
    for damaged in (
        whole[:middle] + whole[middle + hole :],
        whole[:middle] + bytes(hole) + whole[middle + hole :],
        whole[:middle] + b"\xff\xd9",
    ):
        path.write_bytes(damaged)
        with pytest.raises(BrokenImageError, match="a gap, ends early"):
            load_image(path)
    for fine in (whole, whole + b"written behind it by a camera", whole[:2] + b"\xff\xfe\0\4\xff\xd9" + whole[2:]):
        path.write_bytes(fine)
        assert load_image(path).shape == (200, 300, 3)


def test_most_short_holes_in_a_jpeg_are_found_and_some_cannot_be(tmp_path):
    """What docs/tutorial/your-images.md says: damage that happens to be a valid sequence of codes leaves no trace."""
    whole, random = jpeg(), np.random.default_rng(0)
    found = 0
    for position in random.integers(700, len(whole) - 300, 40):
        found += bool(jpeg_check.fault(whole[:position] + whole[position + 100 :]))
    assert 24 <= found < 40
    assert jpeg_check.fault(whole) == ""


def test_what_pillow_only_warns_of_is_damage(tmp_path):
    path = saved(tmp_path, PHOTO, "a.tif")
    data = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from("<I", data, 4)
    for at in range(tags + 2, tags + 2 + 12 * data[tags], 12):
        if struct.unpack_from("<H", data, at)[0] == 279:  # StripByteCounts: more of them than the file has bytes
            struct.pack_into("<I", data, at + 4, 1 << 20)
    path.write_bytes(bytes(data))
    with pytest.raises(BrokenImageError):
        load_image(path)


# What a file says of its colours beside a profile


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_saying(tmp_path, *chunks, **options):
    """A PNG with more chunks behind its first one."""
    path = saved(tmp_path, PHOTO, **options)
    data = path.read_bytes()
    path.write_bytes(data[:33] + b"".join(chunk(*it) for it in chunks) + data[33:])
    return path


def primaries(*numbers):
    return struct.pack(">8I", *(round(number * 100_000) for number in numbers))


SRGB_CHRM = primaries(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_CHRM = primaries(0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([(b"gAMA", struct.pack(">I", 100_000))], "its gAMA chunk says 1, not sRGB's 0.45455"),
        ([(b"gAMA", struct.pack(">I", 55_556))], "its gAMA chunk says 0.55556"),
        ([(b"gAMA", struct.pack(">I", 0))], "its gAMA chunk says 0"),
        ([(b"cHRM", P3_CHRM)], "its cHRM chunk says 0.3127 0.329 0.68 0.32 0.265 0.69 0.15 0.06"),
        ([(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", P3_CHRM)], "its cHRM chunk says"),
        ([(b"cICP", bytes([9, 16, 0, 1]))], "its cICP chunk says [9, 16, 0, 1], not sRGB's [1, 13, 0, 1]"),
        ([(b"cICP", bytes([12, 13, 0, 1]))], "its cICP chunk says [12, 13, 0, 1]"),
        ([(b"cICP", bytes([1, 13, 0]))], "its cICP chunk says [1, 13, 0]"),
        ([(b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")], "its cICP chunk"),  # cICP comes before sRGB
    ],
)
def test_a_png_that_says_other_colours_than_srgb_is_refused(tmp_path, chunks, words):
    path = png_saying(tmp_path, *chunks)
    with pytest.raises(UsageError) as refused:
        load_image(path)
    assert words in str(refused.value)
    assert np.array_equal(load_image(path, ignore_profile=True), PHOTO)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", struct.pack(">I", 45_455))],
        [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", SRGB_CHRM)],
        [(b"cHRM", primaries(0.31269, 0.32899, 0.63999, 0.33001, 0.3, 0.6, 0.15, 0.05999))],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100_000))],  # the first that is there decides
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", P3_CHRM)],
    ],
)
def test_a_png_that_says_srgb_in_any_way_is_taken(tmp_path, chunks):
    assert np.array_equal(load_image(png_saying(tmp_path, *chunks)), PHOTO)


def test_a_profile_decides_before_gamma_and_primaries(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = png_saying(tmp_path, (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", P3_CHRM), icc_profile=srgb)
    assert np.array_equal(load_image(path), PHOTO)
    with pytest.raises(UsageError, match="cICP"):
        load_image(png_saying(tmp_path, (b"cICP", bytes([9, 16, 0, 1])), icc_profile=srgb))


@pytest.mark.parametrize(("red_x", "taken"), [(0.64, True), (0.68, False)])
def test_a_tiff_with_other_primaries_is_refused(tmp_path, red_x, taken):
    path = saved(tmp_path, PHOTO, "a.tif", tiffinfo={318: (0.3127, 0.329), 319: (red_x, 0.33, 0.3, 0.6, 0.15, 0.06)})
    if taken:
        assert np.array_equal(load_image(path), PHOTO)
    else:
        with pytest.raises(UsageError, match="PrimaryChromaticities are 0"):
            load_image(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize(("space", "taken"), [(1, True), (65535, False), (2, False)])
def test_an_exif_colour_space_that_is_not_srgb_is_refused_unless_a_profile_says_more(tmp_path, name, space, taken):
    exif = Image.Exif()
    exif[0x010F] = "maker"  # Pillow writes none into a PNG if the first directory is empty
    exif.get_ifd(0x8769)[0xA001] = space
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path, PHOTO, name, exif=exif, **options)
    if taken:
        assert load_image(path).shape == PHOTO.shape
    else:
        with pytest.raises(UsageError, match=f"Exif ColorSpace is {space}"):
            load_image(path)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert load_image(saved(tmp_path, PHOTO, name, exif=exif, icc_profile=srgb, **options)).shape == PHOTO.shape


def test_a_bmp_that_embeds_a_profile_is_refused(tmp_path):
    path = saved(tmp_path, PHOTO, "a.bmp")
    old = path.read_bytes()
    head = struct.pack("<I", 124) + old[18:54] + bytes(16) + b"DEBM" + bytes(64)  # a header of version 5
    offset = 14 + len(head)
    path.write_bytes(old[:2] + struct.pack("<IHHI", offset + len(old) - 54, 0, 0, offset) + head + old[54:])
    with pytest.raises(UsageError, match="it refers to a colour profile"):
        load_image(path)
    path.write_bytes(path.read_bytes().replace(b"DEBM", b"BGRs"))
    assert np.array_equal(load_image(path), PHOTO)
