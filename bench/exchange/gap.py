"""How far apart two rate-distortion curves are, ways to average a codec's images into one, and a constant of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bench.rd.bjontegaard import bd_rate
from bench.rd.interpolate import pchip_values

Curve = tuple[np.ndarray, np.ndarray]  # bpp and quality in dB at each point


SAME_RATE = 0.005  # relative: points this close count as the same
AT_THE_END = 1e-4  # in ln(bpp): a point this far beyond the other curve is taken for its end
LEAST_OVERLAP = 0.5  # of the shorter range of rates, as for BD-rates


@dataclass(frozen=True)
class Gap:
    """rms_db: root mean square of their quality minus ours at equal rate; mean_db: its mean; both over the points of
    the curve that has fewer. bd_rate_percent: of their curve against ours, None where less than half overlaps.
    """

    rms_db: float
    mean_db: float
    bd_rate_percent: float | None


def gap(theirs: Curve, ours: Curve) -> Gap | None:
    """The gap between two curves; None where they share less than half of the shorter one's range of rates.

    It is taken at the points of the curve with fewer points, where the other one is interpolated (PCHIP over ln(bpp)):
    at points that both have nothing is.
    """
    difference = differences(theirs, ours)
    if difference is None:
        return None
    return Gap(float(np.sqrt((difference**2).mean())), float(difference.mean()), bd_rate(*ours, *theirs).value)


def differences(theirs: Curve, ours: Curve) -> np.ndarray | None:
    """Their quality minus ours at each common rate, in dB; None as :func:`gap`."""
    (few, few_db), (many, many_db), sign = _few_and_many(theirs, ours)
    if len(few) < 2:
        return None
    common = min(few[-1], many[-1]) - max(few[0], many[0])
    inside = (few >= many[0] - AT_THE_END) & (few <= many[-1] + AT_THE_END)
    if common < LEAST_OVERLAP * min(few[-1] - few[0], many[-1] - many[0]) or inside.sum() < max(2, len(few) / 2):
        return None
    at = np.clip(few[inside], many[0], many[-1])
    return sign * (few_db[inside] - pchip_values(many, many_db, at))


def interpolation_error_db(theirs: Curve, ours: Curve) -> float:
    """What interpolating the curve with more points may be wrong by in :func:`gap`; 0 at points that both have.

    A quarter of the difference that leaving out every second of its points makes: the error falls at least with the
    square of the distance of points where the curve is smooth.
    """
    (few, _), (many, many_db), _ = _few_and_many(theirs, ours)
    if (np.abs(few[:, None] - many[None, :]).min(axis=1) <= SAME_RATE).all() or len(many) < 5:
        return 0.0
    left_out = many[1::2][many[1::2] <= many[::2][-1]]
    there = many_db[1::2][: len(left_out)]
    error = there - pchip_values(many[::2], many_db[::2], left_out)
    return float(np.sqrt((error**2).mean())) / 4


def _few_and_many(theirs: Curve, ours: Curve) -> tuple[Curve, Curve, int]:
    """The curve with fewer points and the other, as ln(bpp) and quality; 1 if the first is theirs, else -1."""
    both = []
    for bpp, quality in (theirs, ours):
        log_rate, first = np.unique(np.log(bpp), return_index=True)
        both.append((log_rate, quality[first]))
    return (both[0], both[1], 1) if len(both[0][0]) <= len(both[1][0]) else (both[1], both[0], -1)


@dataclass(frozen=True)
class Cells:
    """A codec's images x points: bpp, and quality in the metric's own unit; pixels of each image."""

    metric: str  # psnr_rgb_db or ms_ssim (linear)
    bpp: np.ndarray
    quality: np.ndarray
    pixels: np.ndarray

    @property
    def of_one_size(self) -> bool:
        return len(set(self.pixels.tolist())) == 1

    def finite(self) -> Cells:
        """Without the points at which an image is identical, of which no mean can be taken."""
        kept = np.isfinite(_db(self)).all(axis=0)
        return replace(self, bpp=self.bpp[:, kept], quality=self.quality[:, kept])


@dataclass(frozen=True)
class Averaging:
    """A way to make one curve of cells. words: what differs from this project's way; empty for that itself."""

    key: str
    words: str
    curve: Callable[[Cells], Curve]


def averagings(cells: Cells) -> list[Averaging]:
    """Ways to average: this project's first. Those that pool over pixels only where images differ in size."""
    if cells.metric != "psnr_rgb_db":
        found = [Averaging("mean", "", lambda it: (_mean_bpp(it), to_db(it.quality.mean(axis=0))))]
        other = "MS-SSIM in dB averaged over the images, not the dB of their mean MS-SSIM"
        found.append(Averaging("mean_of_db", other, lambda it: (_mean_bpp(it), _db(it).mean(axis=0))))
    else:
        found = [
            Averaging("mean", "", lambda it: (_mean_bpp(it), it.quality.mean(axis=0))),
            Averaging(
                "psnr_of_mean_mse",
                "PSNR of the images' mean squared error, not the mean of their PSNRs",
                lambda it: (_mean_bpp(it), _of_mse(it, np.ones(len(it.pixels)))),
            ),
        ]
    if cells.of_one_size:
        return found
    pooled = "all bits over all pixels, not the mean of the images' bpp"
    found.append(Averaging("pooled_bpp", pooled, lambda it: (_pooled_bpp(it), found[0].curve(it)[1])))
    if cells.metric == "psnr_rgb_db":
        squares = "PSNR of the squared errors pooled over all samples, not the mean of the images' PSNRs"
        both = "rate and squared errors pooled over all pixels, not averaged over images"
        found.append(Averaging("pooled_mse", squares, lambda it: (_mean_bpp(it), _of_mse(it, it.pixels))))
        found.append(Averaging("pooled", both, lambda it: (_pooled_bpp(it), _of_mse(it, it.pixels))))
    return found


def _mean_bpp(cells: Cells) -> np.ndarray:
    return cells.bpp.mean(axis=0)


def _pooled_bpp(cells: Cells) -> np.ndarray:
    return cells.pixels @ cells.bpp / cells.pixels.sum()


def _of_mse(cells: Cells, weights: np.ndarray) -> np.ndarray:
    return -10 * np.log10(weights @ 10 ** (-cells.quality / 10) / weights.sum())


def _db(cells: Cells) -> np.ndarray:
    return cells.quality if cells.metric == "psnr_rgb_db" else to_db(cells.quality)


def to_db(ms_ssim: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return -10 * np.log10(1 - ms_ssim)


def fitted_bytes(theirs: Curve, ours: Curve, bpp_per_byte: float) -> int:
    """The number of bytes that, added to every file of ours (or taken from it), brings the curves closest together.

    bpp_per_byte: what one byte a file adds to our mean rate. From minus 90 % of our smallest mean file to 65,536 bytes.
    """
    from scipy.optimize import minimize_scalar

    least, most = -0.9 * ours[0].min() / bpp_per_byte, 65_536.0

    def residual(count: float) -> float:
        found = differences(theirs, (ours[0] + count * bpp_per_byte, ours[1]))
        return np.inf if found is None else float((found**2).mean())

    steps = np.geomspace(1, most, 33)
    tried = np.concatenate([-np.geomspace(1, -least, 33)[::-1] if least < -1 else [], [0.0], steps])
    best = int(np.argmin([residual(count) for count in tried]))
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    found = minimize_scalar(residual, bounds=(low, high), method="bounded", options={"xatol": 0.1})
    return round(float(found.x))
