"""The rate-distortion loss as the benchmark would measure it: rounded latents, 8-bit reconstructions, whole images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network

Code = Callable[[Tensor], Iterable[tuple[Tensor, Tensor]]]
DISTORTIONS = ("mse", "ms_ssim")
LEAST_SSIM_CROP = 192  # MS-SSIM needs more than 160


def distortion(kind: str, mse: Tensor, x_hat: Tensor, x: Tensor) -> Tensor:
    """The distortion that a rate weight multiplies, averaged over the batch (B, 3, H, W) in 0..1.

    255^2 MSE, or 1 - MS-SSIM. mse: the 255^2 MSE, which every caller has.
    """
    if kind == "mse":
        return mse
    from pytorch_msssim import ms_ssim

    return 1 - ms_ssim(with_finite_gradient(x_hat), x, data_range=1.0)


def with_finite_gradient(x_hat: Tensor) -> Tensor:
    """``x_hat`` with a gradient of 0 where a contrast term of MS-SSIM is 0, whose power would give NaN."""
    guarded = x_hat.view_as(x_hat)
    if guarded.requires_grad:
        guarded.register_hook(lambda gradient: gradient.nan_to_num(0.0, 0.0, 0.0))
    return guarded


@dataclass(frozen=True)
class Score:
    """Means over images. loss: what the training minimises; bpp: ideal code length without headers; psnr_rgb_db: 8 bit.

    For a model with several operating points, ``points`` has the loss, bpp and psnr_rgb_db of each, and the other
    fields combine them as the scheme defines. A value that does not apply is NaN.
    """

    loss: float
    bpp: float
    psnr_rgb_db: float
    points: list[dict[str, float]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}  {self.bpp:.4f} bpp  {self.psnr_rgb_db:.3f} dB"


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within it, CUDA's convolutions and products may (or may not) use TF32. No effect on a CPU."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def score(
    model: Network,
    images: Sequence[Tensor],
    rate_weight: float,
    kind: str = "mse",
    forward: Callable[[Network, Tensor], tuple[Tensor, Tensor]] = networks.forward,
) -> Score:
    """The :class:`Score` of a single-rate network on uint8 images (3, H, W) of any size, in fp32, in eval mode.

    forward: returns (x_hat, bits) as :func:`networks.forward` does for a mean-scale hyperprior.
    """
    return score_points(model, lambda x: [forward(model, x)], images, [rate_weight], kind)[0]


@torch.no_grad()
def score_points(
    model: Network, code: Code, images: Sequence[Tensor], rate_weights: Sequence[float], kind: str = "mse"
) -> list[Score]:
    """One :class:`Score` per operating point that ``code`` yields, in order; ``model`` is left in eval mode.

    code: maps x (1, 3, H, W) in 0..1, H and W multiples of 64, to (x_hat, bits) of each point; x_hat like x, bits (1,).
    loss: bpp + lambda_c times the distortion of that ``kind``, with each point's lambda_c from ``rate_weights``. Every
    rounded latent has a likelihood of at least 1e-9, so bpp can differ slightly from real bytes.
    """
    model.eval()
    device = next(model.parameters()).device
    totals = torch.zeros(len(rate_weights), 3, dtype=torch.float64, device=device)
    with tf32(False):
        for image in images:
            height, width = image.shape[1:]
            right, below = -width % networks.STRIDE, -height % networks.STRIDE
            x = image.to(device).float().unsqueeze(0)
            padded = F.pad(x, (0, right, 0, below), mode="replicate").contiguous(memory_format=torch.channels_last)
            for total, rate_weight, (x_hat, bits) in zip(totals, rate_weights, code(padded / 255), strict=True):
                x_hat = (x_hat[..., :height, :width].clamp(0, 1) * 255).round()
                mse = (x_hat - x).square().mean(dtype=torch.float64).clamp(min=1e-10)  # of 0..255
                bpp = bits[0].double() / (height * width)
                loss = rate_weight * distortion(kind, mse, x_hat / 255, x / 255) + bpp
                total += torch.stack([loss, bpp, 10 * torch.log10(255**2 / mse)])
    return [Score(*means) for means in (totals / len(images)).tolist()]


def mean_of(points: Sequence[Score]) -> Score:
    """The score of a model with these operating points: their arithmetic mean."""
    values = [{"loss": point.loss, "bpp": point.bpp, "psnr_rgb_db": point.psnr_rgb_db} for point in points]
    return Score(**{key: sum(value[key] for value in values) / len(values) for key in values[0]}, points=values)
