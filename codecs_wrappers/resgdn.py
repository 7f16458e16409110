"""ResGDN (Akbari et al. 2020): a quantized code map, the residual to its picture as BPG; and the paper's ablations."""

from __future__ import annotations

from codecs_wrappers.learned.resgdn import study
from codecs_wrappers.learned.resgdn.codec import ResGdn, ResGdnAllocated, ResGdnBase
from codecs_wrappers.learned.resgdn.commands import add_commands  # noqa: F401  (`rdbench resgdn-points`)


def _ablation(entry: str, label: str, description: str) -> ResGdn:
    return ResGdn(entry, f"ResGDN short: {label}", f"{description}, shorter training", entry, role="validation")


_BOTH_LAYERS = ResGdn(
    "resgdn", "ResGDN", "deep code map of 8 channels, losslessly coded, and its residual by BPG 4:4:4"
)
CODECS = [
    _BOTH_LAYERS,
    ResGdnAllocated(
        "resgdn_allocated",
        "ResGDN (allocated)",
        "as resgdn, the rate allocated between its layers for the best PSNR, which the paper leaves as a future topic",
    ),
    ResGdnBase(
        "resgdn_base", "ResGDN (base layer)", "deep code map of 8 channels, losslessly coded, 1 to 8 bits a sample"
    ),
    ResGdn(
        "resgdn_sr",
        "ResGDN (stochastic)",
        "as resgdn, code map rounded at random as in training",
        "resgdn",
        "validation",
        1,
    ),
    _ablation("resgdn_short", "ResGDN, 8 channels", "as resgdn: what the other short trainings compare with"),
    _ablation("resgdn_short_n4", "4 channels", "code map of 4 channels"),
    _ablation("resgdn_short_resrelu", "ResReLU", "ReLU in place of GDN inside the residual blocks"),
    _ablation("resgdn_short_nores", "no residual blocks", "no residual blocks"),
    _ablation(
        "resgdn_short_default", "ResGDN, random start", "as resgdn, from a random start: what relu compares with"
    ),
    _ablation("resgdn_short_relu", "ReLU, random start", "instance norm and ReLU, no GDN, from a random start"),
]
STUDIES = study.studies(_BOTH_LAYERS, [codec.name for codec in CODECS if codec.name.startswith("resgdn_short")])
