"""STanH (Presta et al., arXiv 2410.00557): learned quantizers, a few hundred scalars per rate, on a few networks."""

from __future__ import annotations

from codecs_wrappers.learned.stanh import study
from codecs_wrappers.learned.stanh.codec import ANCHORS, MS_SSIM_ANCHORS, MS_SSIM_LADDER, Stanh

_NUMBERED = {n: Stanh(f"stanh_{n}anchors", n, f"STanH ({n} anchors)", "validation") for n in (2, 4, 5, 6)}
CODECS = [
    Stanh("stanh", 3, "STanH (3 anchors, 3 derivations)"),
    Stanh("stanh_1anchor", 1, "STanH (1 anchor)"),
    *_NUMBERED.values(),
    Stanh("stanh_zou22", 3, "STanH on Zou22 (3 anchors, 3 derivations)", prefix="stanh_zou22"),
    Stanh("stanh_ms_ssim", MS_SSIM_ANCHORS, "STanH (1 anchor) for MS-SSIM", "codec", "stanh_ms_ssim", MS_SSIM_LADDER),
]
_BY_ANCHORS = _NUMBERED | {1: CODECS[1], 3: CODECS[0]}
STUDIES = study.studies(CODECS[:2], [_BY_ANCHORS[n] for n in sorted(ANCHORS, reverse=True)])
