"""ResGDN (arXiv 1912.05688, section 2.5): one network for all bit depths of its code map, without a rate term."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.resgdn import networks as resgdn
from codecs_wrappers.learned.resgdn.affine import BITS, affine_of, dequantize, fake_quantize, quantize
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data.crops import to_float
from codecs_wrappers.learned.training.judging.validation import LEAST_SSIM_CROP, Score, tf32, with_finite_gradient
from codecs_wrappers.learned.training.learner import Learner
from codecs_wrappers.learned.training.starts.resgdn import linear_start
from codecs_wrappers.learned.training.starts.weights import first_source
from codecs_wrappers.native import codemap

BATCHES = 8  # of crops for the principal components
MEASURED = 3  # of them for the gradients' norms


@dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
    """loss = mean over b of (mse_weight MSE + 1 - MS-SSIM), samples in 0..1; start_from also takes "linear"."""

    architecture: Mapping[str, Any]
    mse_weight: float  # near the ratio of the two gradient norms at the start, which is in the manifest, too
    bits: tuple[int, ...] = (2, 4, 8)
    start_from: tuple[str, ...] = ("linear",)
    crop: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("mse_weight")
        if self.crop < LEAST_SSIM_CROP:
            raise UsageError(
                f"training {self.name}: expected a crop of at least {LEAST_SSIM_CROP} for MS-SSIM, got {self.crop}"
            )
        if not self.bits or not set(self.bits) <= set(BITS):
            raise UsageError(f"training {self.name}: expected bits in {BITS[0]}..{BITS[-1]}, got {self.bits!r}")
        resgdn.Architecture.of(self.architecture)


class ResGdnLearner(Learner):
    """Trained with stochastic rounding at a random bit depth per step; validated with nearest levels; shipped in fp16.

    One depth per step is an unbiased estimate of the mean loss over all of them, and 3.7 times faster than all three.
    """

    Config = Config

    def build(self) -> Network:
        self._noise = torch.Generator()
        return resgdn.build(self.config.architecture)

    def first_weights(self) -> dict[str, Any]:
        source = first_source(self.config, self.beside, built=("linear", "default"))
        if source.path is not None:
            networks.load_weights(self.model, source.weights(), str(source.path))
        batches = [to_float(self.crops.batch(self.config.batch)) for _ in range(BATCHES)]
        if source.kind == "linear":
            linear_start(self.model, batches)
        return {**source.facts(), "gradient_norms": self._gradient_norms(batches[:MEASURED])}

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        x = to_float(self.crops.batch(self.batch))
        chosen = int(torch.randint(len(self.config.bits), (), generator=self.crops.generator))
        mse, dissimilarity = self._distortions(x, self.config.bits[chosen : chosen + 1])
        loss = self.config.mse_weight * mse + dissimilarity
        return loss, torch.full_like(loss, math.nan), mse

    @torch.no_grad()
    def score(self, model: Network, images: Sequence[Tensor]) -> Score:
        """Means over the bit depths; ``points`` has each one. Sides are cropped to multiples of 8.

        All with the nearest level, as in coding; bpp: of the coded code map.
        """
        model.eval()
        totals = torch.zeros(len(self.config.bits), 4, dtype=torch.float64)
        with tf32(False):
            for image in images:
                height, width = (side - side % resgdn.STRIDE for side in image.shape[1:])
                x = to_float(image[None, :, :height, :width].to(self.device))
                code = model.analyse(x)
                for total, bits in zip(totals, self.config.bits, strict=True):
                    affine = affine_of(code, bits)
                    levels = quantize(code, affine)
                    maps = levels[0].permute(1, 2, 0).to(torch.uint8).cpu().numpy()
                    bpp = 8 * len(codemap.encode(maps, bits, "context")) / (height * width)
                    mse, similarity = _measure(model.synthesise(dequantize(levels, affine)), x)
                    loss = self.config.mse_weight * mse + 1 - similarity
                    total += torch.tensor([loss, bpp, -10 * math.log10(mse), similarity], dtype=torch.float64)
        means = totals / len(images)
        points = [
            {"bits": bits, "loss": loss, "bpp": bpp, "psnr_rgb_db": psnr, "ms_ssim": similarity}
            for bits, (loss, bpp, psnr, similarity) in zip(self.config.bits, means.tolist(), strict=True)
        ]
        loss, bpp, psnr_db, _ = means.mean(0).tolist()
        return Score(loss, bpp, psnr_db, points)

    def identity(self) -> dict[str, Any]:
        architecture = resgdn.Architecture.of(self.config.architecture).to_dict()
        return {"architecture": architecture, "mse_weight": self.config.mse_weight, "bits": list(self.config.bits)}

    def as_shipped(self, model: Network) -> Network:
        """Trained tensors rounded to fp16; the constants stay as built."""
        shipped = resgdn.build(self.config.architecture).to(self.device)
        return networks.load_weights(shipped, self.tensors(model)).eval()

    def tensors(self, shipped: Network) -> Mapping[str, Tensor]:
        return {name: value.half() for name, value in shipped.state_dict().items() if not networks.is_derived(name)}

    def _distortions(self, x: Tensor, depths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(MSE, 1 - MS-SSIM), means over the batch and these bit depths, of images (B, 3, H, W) in 0..1."""
        self._noise.manual_seed(int(torch.randint(1 << 62, ())))  # one random generator to save
        with self._autocast():
            code = self.model.analyse(x).float()
        mse, dissimilarity = x.new_zeros(()), x.new_zeros(())
        for bits in depths:
            quantized = fake_quantize(code, bits, self._noise)
            with self._autocast():
                x_hat = self.model.synthesise(quantized).float()
            mse = mse + (x_hat - x).square().mean()
            dissimilarity = dissimilarity + 1 - ms_ssim(with_finite_gradient(x_hat), x, data_range=1.0)
        return mse / len(depths), dissimilarity / len(depths)

    def _autocast(self) -> torch.autocast:
        """The whole network in bf16 on a CPU that supports it; fp32 on a GPU, where TF32 is fast enough."""
        half = self.precision is not None and self.device.type == "cpu"
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=half)

    def _gradient_norms(self, batches: Sequence[Tensor]) -> dict[str, float]:
        """Root mean square norm of each distortion's gradient over the batches."""
        squares = torch.zeros(2, dtype=torch.float64)
        weights = list(self.model.parameters())
        for batch in batches:
            for index, distortion in enumerate(self._distortions(batch, self.config.bits)):
                gradient = torch.autograd.grad(distortion, weights, retain_graph=index == 0, allow_unused=True)
                squares[index] += sum(part.double().square().sum().cpu() for part in gradient if part is not None)
        mse, dissimilarity = (squares / len(batches)).sqrt().tolist()
        return {"mse": round(mse, 5), "ms_ssim": round(dissimilarity, 5)}


def _measure(x_hat: Tensor, x: Tensor) -> tuple[float, float]:
    """(MSE, MS-SSIM) of samples in 0..1 after rounding ``x_hat`` to 8 bits."""
    x_hat = (x_hat.clamp(0, 1) * 255).round() / 255
    mse = (x_hat - x).square().mean(dtype=torch.float64).clamp(min=1e-12)
    return mse.item(), ms_ssim(x_hat.double(), x.double(), data_range=1.0).item()


LEARNER = ResGdnLearner
