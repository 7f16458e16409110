"""STanH (Presta et al., arXiv 2410.00557): learned quantizers, a few hundred scalars a rate, on few networks."""

from __future__ import annotations

from functools import partial

from bench.studies import Study
from codecs_wrappers.learned.codec import CODE_LENGTH_COLUMNS
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
STUDIES = [
    *(Study(f"code_length_{c.name}", c.name, CODE_LENGTH_COLUMNS, c.code_lengths) for c in CODECS[:2]),
    Study("stanh_function", "stanh", study.FUNCTION, study.function, images=1),
    Study("stanh_quantizers", "stanh", study.QUANTIZERS, partial(study.quantizers, CODECS[0]), images=1),
    Study("stanh_costs", "stanh", study.COSTS, study.costs, images=1),
    Study(
        "stanh_storage",
        "stanh",
        study.STORAGE,
        partial(study.storage, [_BY_ANCHORS[n] for n in sorted(ANCHORS, reverse=True)]),
        images=1,
    ),
]
