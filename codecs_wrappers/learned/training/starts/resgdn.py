"""A linear codec in ResGDN's weights before the first step: the code map holds the main components of 8 x 8 blocks.

Each of the three stages of stride 2 is the PCA of the 2 x 2 blocks of its input features, in taps 1..2 of its 3 x 3
kernel, the decoder's is the transpose; the encoder's last stage keeps the strongest ``channels`` components. GDN
and the residual blocks start near the identity. Everything else keeps its random initialisation but is not read at
first: those features are available from the first step on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.resgdn.networks import GDN, ResGdn, Residual
from codecs_wrappers.learned.training.starts.linear import principal_blocks, set_gdn

TAPS = slice(1, 3)  # with padding 1 and stride 2 these read x[2i] and x[2i + 1]; transposed, they write them
LEFTOVER = 0.01  # fraction kept of a residual block's last convolution: at 0, ReLU would not learn


@torch.no_grad()
def linear_start(network: ResGdn, crops: Sequence[Tensor]) -> ResGdn:
    """``network`` with the linear codec of ``crops`` in its weights.

    crops: batches (B, 3, H, W) in 0..1, H and W multiples of 8, in all some hundred thousand pixels or more. Raises
    UsageError for the ReLU variant: instance normalisation cannot preserve a linear codec.
    """
    if network.architecture.activation != "gdn":
        raise UsageError(
            "starting ResGDN linearly: expected activation gdn; instance normalisation removes means and contrasts"
        )
    for layer in network.modules():
        if isinstance(layer, GDN):
            set_gdn(layer)
        elif isinstance(layer, Residual):
            last: Network = [inner for inner in layer if isinstance(inner, nn.Conv2d)][-1]
            last.weight.mul_(LEFTOVER)
            last.bias.zero_()

    pixels = torch.cat(list(crops)).to(next(network.parameters()).device)
    mean = (2 * pixels - 1).mean((0, 2, 3))
    analysis: list[Network] = [stage.convolution for stage in network.encoder]
    synthesis: list[Network] = [stage.convolution for stage in network.decoder][::-1]
    identity = torch.eye(3, device=pixels.device)
    _place_centre(analysis[0], identity)
    _place_centre(synthesis[0], identity)
    analysis[0].bias[:3] = -mean
    synthesis[0].bias.copy_(mean)

    features, used = network.encoder[0](2 * pixels - 1), 3
    for stage in range(1, 4):
        components = principal_blocks(features[:, :used], min(analysis[stage].out_channels, 4 * used))
        kept = len(components)
        kernel = components.view(kept, used, 2, 2)
        analysis[stage].weight[:kept] = 0  # (out, in, 3, 3)
        analysis[stage].bias[:kept] = 0
        synthesis[stage].weight[:, :used] = 0  # (in, out, 3, 3): transposed
        synthesis[stage].bias[:used] = 0
        for convolution in (analysis[stage], synthesis[stage]):
            convolution.weight[:kept, :used, TAPS, TAPS] = kernel
        features, used = network.encoder[stage](features), kept
    components = principal_blocks(features[:, :used], analysis[4].out_channels, side=1)
    _place_centre(analysis[4], components)
    _place_centre(synthesis[4], components.T)
    return network


def _place_centre(layer: Network, matrix: Tensor) -> None:
    """Set the first outputs of ``layer`` to ``matrix`` times its first inputs, at the kernel's centre."""
    outputs, inputs = matrix.shape
    centre = layer.kernel_size[0] // 2
    layer.weight[:outputs] = 0
    layer.weight[:outputs, :inputs, centre, centre] = matrix
    layer.bias[:outputs] = 0
