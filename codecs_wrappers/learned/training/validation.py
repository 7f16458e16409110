"""The rate-distortion loss as the benchmark would count it: rounded latents, 8-bit reconstructions, whole images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codecs_wrappers.learned import networks


@dataclass(frozen=True)
class Score:
    """Means over images. loss: lambda_c 255^2 MSE + bpp; bpp: ideal code length, headers apart; psnr_rgb_db: 8 bit."""

    loss: float
    bpp: float
    psnr_rgb_db: float

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}  {self.bpp:.4f} bpp  {self.psnr_rgb_db:.3f} dB"


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within it, CUDA's convolutions and products may (or may not) round their inputs to TF32. No effect on a CPU."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@torch.no_grad()
def score(model: nn.Module, images: Sequence[Tensor], rate_weight: float) -> Score:
    """The :class:`Score` of ``model`` on uint8 images (3, H, W) of any size, in fp32; the model is left in eval mode.

    Every rounded latent has a likelihood of at least 1e-9, so this can differ from real bytes by a little.
    """
    model.eval()
    device = next(model.parameters()).device
    losses, rates, psnrs = [], [], []
    with tf32(False):
        for image in images:
            height, width = image.shape[1:]
            right, below = -width % networks.STRIDE, -height % networks.STRIDE
            x = image.to(device).float().unsqueeze(0)
            padded = F.pad(x, (0, right, 0, below), mode="replicate").contiguous(memory_format=torch.channels_last)
            x_hat, bits = networks.forward(model, padded / 255)
            x_hat = (x_hat[..., :height, :width].clamp(0, 1) * 255).round()
            mse = (
                (x_hat - x).square().mean(dtype=torch.float64).clamp(min=1e-10)
            )  # of 0..255: lambda_c's 255^2 is in it
            bpp = bits[0].double() / (height * width)
            losses.append(rate_weight * mse + bpp)
            rates.append(bpp)
            psnrs.append(10 * torch.log10(255**2 / mse))
    return Score(*(torch.stack(values).mean().item() for values in (losses, rates, psnrs)))
