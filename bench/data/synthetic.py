"""Images made by code: what no photograph has, such as flat areas, noise, text, screens, and unusual sizes.

Each function of MAKERS returns one image, always the same samples: its arithmetic is of integers, its noise that of
NumPy's RandomState (whose stream is frozen), its text in Pillow's built-in bitmap font. datasets.yaml has the hash of
every image's samples, so a library that draws otherwise is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from bench.image import Image

SIDE = 256  # px, unless the size is the point
WORDS = (
    "Rate is what the file weighs, and quality is what the eye keeps. A codec that was trained on photographs has seen "
    "few letters: thin strokes, equal distances, two colours and no noise at all. "
)


def flat() -> Image:
    """One colour."""
    return _filled(SIDE, SIDE, (200, 120, 40))


def black() -> Image:
    return _filled(SIDE, SIDE, (0, 0, 0))


def white() -> Image:
    return _filled(SIDE, SIDE, (255, 255, 255))


def checkerboard_1px() -> Image:
    """The highest frequency there is, in both directions."""
    return _grey(255 * (_x() + _y() & 1))


def checkerboard_8px() -> Image:
    """Squares on the grid of 8 x 8 blocks."""
    return _grey(255 * ((_x() >> 3) + (_y() >> 3) & 1))


def checkerboard_7px() -> Image:
    """Squares that no block of a power of two fits."""
    return _grey(255 * (_x() // 7 + _y() // 7 & 1))


def stripes_red_blue() -> Image:
    """Columns of saturated red and blue: what 4:2:0 cannot hold."""
    odd = _x() & 1
    return np.stack([255 * (1 - odd), np.zeros_like(odd), 255 * odd], -1).astype(np.uint8)


def noise() -> Image:
    """Uniform noise, independent in every sample."""
    return _random(1).randint(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)


def noise_faint() -> Image:
    """Middle grey with one level of noise up or down."""
    return (127 + _random(2).randint(0, 3, (SIDE, SIDE, 3))).astype(np.uint8)


def gradient() -> Image:
    """Three linear ramps in different directions: banding shows."""
    return np.stack([_x(), _y(), _x() + _y() >> 1], -1).astype(np.uint8)


def gradient_slow() -> Image:
    """A ramp over eight levels only, darker than most screens show."""
    return _grey(16 + (_x() >> 5))


def zone_plate() -> Image:
    """Rings whose frequency rises with their radius up to half the sampling rate."""
    squared = (_x() - SIDE // 2) ** 2 + (_y() - SIDE // 2) ** 2
    phase = squared % (2 * SIDE)  # of a period of 2 SIDE: a triangle wave of whole numbers
    return _grey(np.minimum(phase, 2 * SIDE - phase) * 255 // SIDE)


def impulse() -> Image:
    """One white pixel on black."""
    picture = black().copy()
    picture[97, 131] = 255
    return picture


def palette() -> Image:
    """Rectangles of 64 colours, with hard edges between them."""
    levels = np.array([0, 85, 170, 255])
    index = (_y() >> 5) * 8 + (_x() >> 5)
    return np.stack([levels[index >> 4], levels[index >> 2 & 3], levels[index & 3]], -1).astype(np.uint8)


def text() -> Image:
    """A page of small black letters on white."""
    picture, draw = _canvas((255, 255, 255))
    _write(draw, WORDS * 3, (8, 8), 40, (0, 0, 0))
    return np.asarray(picture)


def text_coloured() -> Image:
    """Saturated letters on a saturated ground."""
    picture, draw = _canvas((0, 0, 160))
    _write(draw, WORDS * 3, (8, 8), 40, (255, 220, 0))
    return np.asarray(picture)


def screenshot() -> Image:
    """A window with a title bar, a menu, a list, a plot and a photograph's noise in one corner."""
    picture, draw = _canvas((236, 236, 240))
    draw.rectangle((0, 0, 255, 17), fill=(40, 60, 110))
    _write(draw, "results.csv - viewer", (6, 3), 40, (255, 255, 255))
    for number, colour in enumerate([(230, 80, 70), (240, 190, 60), (90, 190, 90)]):
        draw.rectangle((212 + 14 * number, 5, 220 + 14 * number, 13), fill=colour)
    for row in range(9):
        draw.rectangle((0, 22 + 14 * row, 110, 35 + 14 * row), fill=(255, 255, 255) if row & 1 else (244, 246, 250))
        _write(draw, f"image {row:02d}   {(row * 37) % 50 + 20}.{row} dB", (4, 23 + 14 * row), 24, (20, 20, 20))
    draw.rectangle((122, 26, 246, 144), outline=(120, 120, 120), fill=(255, 255, 255))
    curve = [(126 + 6 * step, 140 - (step * 4 + (step * step) % 7)) for step in range(20)]
    draw.line(curve, fill=(200, 40, 40), width=2)
    draw.line([(x, y - 10) for x, y in curve], fill=(40, 90, 200), width=1)
    pixels = np.asarray(picture).copy()
    corner = _random(3).randint(-12, 13, (96, 240, 3)) + gradient()[:96, :240].astype(int)
    pixels[152:248, 8:248] = corner.clip(0, 255)
    return pixels


def one_pixel() -> Image:
    return _filled(1, 1, (13, 200, 77))


def one_row() -> Image:
    """257 pixels in a row."""
    return noise()[:1].repeat(2, axis=1)[:, :257].copy()


def one_column() -> Image:
    """257 pixels in a column."""
    return one_row().transpose(1, 0, 2).copy()


def odd_size() -> Image:
    """131 x 67 pixels of the zone plate, off its centre."""
    return zone_plate()[60:191, 90:157].copy()


def thin() -> Image:
    """3 x 1024 pixels of a ramp."""
    return np.repeat((np.arange(1024) >> 2).astype(np.uint8)[None, :, None], 3, axis=0).repeat(3, axis=2)


MAKERS: Mapping[str, Callable[[], Image]] = {
    maker.__name__: maker
    for maker in (
        flat,
        black,
        white,
        checkerboard_1px,
        checkerboard_8px,
        checkerboard_7px,
        stripes_red_blue,
        noise,
        noise_faint,
        gradient,
        gradient_slow,
        zone_plate,
        impulse,
        palette,
        text,
        text_coloured,
        screenshot,
        one_pixel,
        one_row,
        one_column,
        odd_size,
        thin,
    )
}


def _x() -> np.ndarray:
    return np.broadcast_to(np.arange(SIDE), (SIDE, SIDE))


def _y() -> np.ndarray:
    return _x().T


def _grey(plane: np.ndarray) -> Image:
    return np.repeat(plane.astype(np.uint8)[..., None], 3, axis=2)


def _filled(height: int, width: int, colour: tuple[int, int, int]) -> Image:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def _random(seed: int) -> np.random.RandomState:
    return np.random.RandomState(seed)


def _canvas(colour: tuple[int, int, int]) -> tuple[Picture.Image, ImageDraw.ImageDraw]:
    picture = Picture.new("RGB", (SIDE, SIDE), colour)
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1"  # no grey edges, which depend on the version
    return picture, draw


def _write(
    draw: ImageDraw.ImageDraw, words: str, corner: tuple[int, int], columns: int, colour: tuple[int, int, int]
) -> None:
    """``words`` in lines of ``columns`` characters from a corner (x, y) down to the picture's edge."""
    font = ImageFont.load_default_imagefont()
    x, y = corner
    for start in range(0, len(words), columns):
        if y > SIDE - 12:
            return
        draw.text((x, y), words[start : start + columns], fill=colour, font=font)
        y += 12
