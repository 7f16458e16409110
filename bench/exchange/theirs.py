"""Somebody's curve, ready to be compared with ours: one metric in dB, over the images that both have."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UsageError
from bench.exchange.curves import Curves
from bench.exchange.gap import Curve, to_db
from bench.exchange.per_image import averaged

PSNR, MS_SSIM = "psnr_rgb_db", "ms_ssim"


def their_curve(curves: Curves, ours: set[str], name: str = "", metric: str = "") -> tuple[Curve, str, set[str] | None]:
    """bpp and quality in dB; the column of the records to compare with; the images, where rows name ours, else None.

    ours: the names of our images, which theirs may have with an extension. name: which of several curves. metric: which
    of several. Raises UsageError where that is not decided, or where there are no two points.
    """
    points, images = curves.points, None
    if curves.cells is not None:
        named = curves.cells.assign(image=[it if it in ours else Path(it).stem for it in curves.cells.image])
        if images := set(named.image) & ours:
            points = averaged(curves.format, named[named.image.isin(images)], {}, ()).points
    names = sorted(set(points.codec))
    if len(names) > 1 and name not in names:
        raise UsageError(f"explaining: the file has several curves: choose one with --curve ({', '.join(names)})")
    own = points[points.codec == (name if len(names) > 1 else names[0])] if names else points
    for known in (PSNR, MS_SSIM, "ms_ssim_db", "ms_ssim_db_of_mean"):
        part = own[own.metric == known]
        if len(part) > 1 and metric in ("", known):
            value = part.value.to_numpy(float)
            curve = part.bpp.to_numpy(float), to_db(value) if known == MS_SSIM else value
            return curve, PSNR if known == PSNR else MS_SSIM, images or None
    raise UsageError("explaining: expected a file with two points or more of PSNR over RGB or of MS-SSIM")
