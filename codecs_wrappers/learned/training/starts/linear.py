"""A linear codec in the network's weights before the first step: 35 dB or more at the highest rate.

CompressAI's default initialisation gives a latent with a standard deviation of 0.06, which the unit quantization noise
drowns out for thousands of steps. Here each analysis stage is the PCA of the 2 x 2 blocks of its input features, in
taps 2..3 of its 5 x 5 stride-2 kernel, each synthesis stage is the transpose, GDN is nearly the identity, and the
latent is scaled to the quantization step that suits the rate weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from codecs_wrappers.learned.entropy.gaussian import SIGMA_MIN
from codecs_wrappers.learned.hyperprior.networks import MeanScaleHyperprior, Network, latent_step

TAPS = slice(2, 4)  # with padding 2 these read x[2i] and x[2i + 1]; in the transposed convolution they write them
GAMMA = 1e-3
LEFTOVER = 0.01  # fraction of the default initialisation kept elsewhere, so that unused channels can start learning
Z_DEVIATION = 2.0  # of the hyperlatent: above the quantization noise, yet cheap to code


def principal_blocks(features: Tensor, keep: int, side: int = 2) -> Tensor:
    """(keep, side^2 C): the strongest orthonormal directions of the features' square blocks, strongest first."""
    blocks = F.pixel_unshuffle(features, side).movedim(1, 0).flatten(1)  # (side^2 C, samples), C outermost
    second_moment = (blocks @ blocks.T / blocks.shape[1]).double()
    vectors = torch.linalg.eigh(second_moment).eigenvectors.flip(1)[:, :keep].T
    signs = torch.sign(vectors.sum(1, keepdim=True))  # eigh does not determine the sign
    return (vectors * torch.where(signs == 0, 1, signs)).to(features.dtype)


def set_gdn(layer: Network) -> None:
    """Make a GDN or IGDN layer nearly the identity."""
    channels = len(layer.beta)
    device = layer.beta.device
    layer.beta.copy_(layer.beta_reparam.init(torch.ones(channels, device=device)))
    layer.gamma.copy_(layer.gamma_reparam.init(GAMMA * torch.eye(channels, device=device)))


@torch.no_grad()
def linear_start(model: MeanScaleHyperprior, crops: Sequence[Tensor], rate_weight: float) -> MeanScaleHyperprior:
    """``model`` with the linear codec of ``crops`` in its weights.

    crops: batches (B, 3, H, W) in 0..1 with H, W multiples of 64, at least a few hundred thousand pixels in total.
    rate_weight: lambda_c, which determines the latent's step. The result depends on the model's random initialisation
    only through the small remaining values.
    """
    device = next(model.parameters()).device
    features = torch.cat(list(crops)).to(device).contiguous()
    mean = features.mean((0, 2, 3))
    features = features - mean[:, None, None]
    used = 3
    for stage in range(4):
        analysis, synthesis = model.g_a[2 * stage], model.g_s[6 - 2 * stage]
        components = principal_blocks(features[:, :used], min(analysis.out_channels, 4 * used))
        kept = len(components)
        kernel = components.view(kept, used, 2, 2)
        for layer in (analysis, synthesis):
            layer.weight.mul_(LEFTOVER)
            layer.bias.zero_()
        analysis.weight[:kept, :used] = 0
        analysis.weight[:kept, :used, TAPS, TAPS] = kernel
        synthesis.weight[:kept, :used] = 0  # transposed: (in, out, 5, 5)
        synthesis.weight[:kept, :used, TAPS, TAPS] = kernel
        features = analysis(features)
        if stage == 0:  # the centring, folded into the first bias, as `features` are centred already
            analysis.bias.copy_(-analysis.weight.sum((2, 3)) @ mean)
            synthesis.bias.copy_(mean)
        if stage < 3:
            set_gdn(model.g_a[2 * stage + 1])
            set_gdn(model.g_s[5 - 2 * stage])
            features = model.g_a[2 * stage + 1](features)
        used = kept
    _set_step(model, features, latent_step(rate_weight))
    return model


def _set_step(model: MeanScaleHyperprior, y: Tensor, step: float) -> None:
    """Scale the latent to a quantization step of 1, and start the hyperprior from its statistics."""
    model.g_a[6].weight.div_(step)
    model.g_s[0].weight.mul_(step)
    y = y / step
    deviations, means = y.std((0, 2, 3)).clamp(min=SIGMA_MIN), y.mean((0, 2, 3))
    model.h_s[4].weight.mul_(LEFTOVER)
    model.h_s[4].bias.copy_(torch.cat([deviations, means]))
    model.h_a[0].weight.div_(deviations[None, :, None, None].clamp(min=1))  # the mean of y alone can exceed 100
    z = model.h_a(y)
    gain = Z_DEVIATION / z.std((0, 2, 3)).clamp(min=1e-6)
    model.h_a[4].weight.mul_(gain[:, None, None, None])
    model.h_a[4].bias.mul_(gain).sub_(z.mean((0, 2, 3)) * gain)
