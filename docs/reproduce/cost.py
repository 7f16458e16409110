"""What training each paper's networks at full size takes: `python docs/reproduce/cost.py` prints the page's tables.

torch counts the operations of one step's forward and backward pass for one crop, on the real networks. Hours
follow from a sustained rate.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.resgdn import networks as resgdn
from codecs_wrappers.learned.stanh.wacnn import WACNN

SIDE = 64  # of the crop that is counted: operations grow with the pixels, so one of 256 takes 16 times as many
BITS = 3  # ResGDN: bit depths decoded at each step
SCHEDULES = (  # what, network, trainings, steps each, crops a step
    ("PLONQ: four MeanScale models, nested dropout", "mean_scale 192/320", 5, 2_000_000, 8),
    ("STanH: three anchors", "wacnn 192/320", 3, 150_000, 16),
    ("STanH: three derivations", "wacnn 192/320, quantizers alone", 3, 150_000, 16),
    ("ResGDN: the network", "resgdn 64..512", 1, 115_900, 16),
    ("ResGDN: five ablations", "resgdn 64..512", 5, 115_900, 16),
)


def operations(forward: Callable[[], Tensor]) -> int:
    """Those of ``forward`` and of the backward pass from the sum of what it gives, for a crop of 256 pixels."""
    counter = FlopCounterMode(display=False)
    with counter:
        forward().sum().backward()
    return counter.get_total_flops() * (256 // SIDE) ** 2


def per_crop() -> dict[str, int]:
    """Operations of a training step for one crop, by network."""
    mean_scale, small = (networks.build({"family": "mean_scale", "N": n, "M": 320}) for n in (192, 128))
    wacnn = WACNN(192, 320)
    code = resgdn.build({"family": "resgdn", "widths": [64, 128, 256, 512], "channels": 8})
    crop = torch.rand(1, 3, SIDE, SIDE)

    def hyperprior(network: nn.Module) -> Tensor:
        out = network(crop)
        return sum(part.sum() for part in (out["x_hat"], *out["likelihoods"].values()))

    def from_latents(y: Tensor, z: Tensor) -> Tensor:
        """What follows the quantizers: ten slices, then the picture."""
        parts = []
        for part in wacnn.slices(z):
            part.y_hat = y[:, part.channels] + part.means * part.scales
            parts.append(part)
        return wacnn.g_s(torch.cat([part.y_hat for part in parts], 1))

    def anchor() -> Tensor:
        y = wacnn.g_a(crop)
        return from_latents(y, wacnn.h_a(y))

    def derivation() -> Tensor:
        """The encoder's latents are cached; gradients go through the frozen network to the quantizers."""
        wacnn.requires_grad_(False)
        y, z = (
            torch.rand(1, c, SIDE // stride, SIDE // stride, requires_grad=True) for c, stride in ((320, 16), (192, 64))
        )
        return from_latents(y, z)

    def bit_depths() -> Tensor:
        maps = code.analyse(crop)
        return sum(code.synthesise(maps).sum() for _ in range(BITS))

    return {
        "mean_scale 192/320": operations(lambda: hyperprior(mean_scale)),
        "mean_scale 128/320": operations(lambda: hyperprior(small)),
        "wacnn 192/320": operations(anchor),
        "wacnn 192/320, quantizers alone": operations(derivation),
        "resgdn 64..512": operations(bit_depths),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--tflops", type=float, default=30, help="that training sustains (%(default)s)")
    arguments.add_argument("--price", type=float, default=3, help="of an hour of the GPU (%(default)s)")
    options = arguments.parse_args()
    counted = per_crop()
    print("| network | GFLOP per crop and step |\n|---|---|")
    for network, flops in counted.items():
        print(f"| {network} | {flops / 1e9:.1f} |")
    print("\n| training | steps x crops | EFLOP | hours | cost |\n|---|---|---|---|---|")
    for what, network, trainings, steps, crops in SCHEDULES:
        total = trainings * steps * crops * counted[network]
        hours = total / (options.tflops * 1e12) / 3600
        size = f"{trainings} x {steps:,} x {crops}"
        print(f"| {what} | {size} | {total / 1e18:.1f} | {hours:,.0f} | {hours * options.price:,.0f} |")


if __name__ == "__main__":
    main()
