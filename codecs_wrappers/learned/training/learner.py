"""One training step and everything it changes: the model, the average of its weights, two optimisers, chance."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codecs_wrappers.learned import networks
from codecs_wrappers.learned.training import checkpoint
from codecs_wrappers.learned.training.config import Config
from codecs_wrappers.learned.training.data import Crops, to_float


class Learner:
    """A model in training. Everything that decides the next step is in :meth:`state`."""

    def __init__(self, config: Config, images: Sequence[Tensor], device: torch.device):
        self.config, self.device, self.images = config, device, images
        self.crops = Crops(images, config.crop, config.seed, device)
        self.model = networks.build(config.architecture).to(device, memory_format=torch.channels_last)
        self.precision = torch.bfloat16 if config.precision == "bf16" and device.type == "cuda" else None
        self.step = 0
        self._latents: Crops | None = None

    def begin(self) -> None:
        """Make the optimisers and the average, once the model's first weights are in place.

        The quantiles have an optimiser of their own: they only bound the tables of z and get no gradient from the loss.
        """
        is_aux = {name: name.endswith(".quantiles") for name, _ in self.model.named_parameters()}
        self.parameters = [p for name, p in self.model.named_parameters() if not is_aux[name]]
        quantiles = [p for name, p in self.model.named_parameters() if is_aux[name]]
        fused = self.device.type == "cuda"
        self.optimiser = torch.optim.Adam(self.parameters, lr=self.config.lr, fused=fused)
        self.aux_optimiser = torch.optim.Adam(quantiles, lr=self.config.aux_lr, fused=fused)
        self.average: nn.Module = copy.deepcopy(self.model).requires_grad_(False).eval()

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "aux_optimiser": self.aux_optimiser.state_dict(),
            "random": checkpoint.random_state(self.crops.generator),
        }

    def restore(self, state: dict[str, Any], where: str) -> None:
        """Go on from what :meth:`state` gave. Raises UsageError if it is another architecture's."""
        networks.load_weights(self.model, state["model"], where)
        self.begin()
        networks.load_weights(self.average, state["average"], where)
        self.optimiser.load_state_dict(state["optimiser"])
        self.aux_optimiser.load_state_dict(state["aux_optimiser"])
        self.step = state["step"]
        checkpoint.set_random_state(state["random"], self.crops.generator)

    def learning_rate(self, progress: float) -> float:
        """Warm-up in steps, constant, then a cosine to ``lr_last`` at progress 1; the first stage has its own rate."""
        config, first = self.config, self._in_first_stage
        highest = config.hyperprior_lr if first else config.lr
        warm = min(1.0, (self.step - (0 if first else config.hyperprior_steps) + 1) / config.warm_up_steps)
        late = max(0.0, min(1.0, (progress - config.decay_from) / (1 - config.decay_from)))
        return warm * (config.lr_last + (highest - config.lr_last) * 0.5 * (1 + math.cos(math.pi * late)))

    def advance(self, progress: float) -> Tensor:
        """One step at ``progress`` (0..1) of the budget.

        Returns (loss, bpp, mse of 0..1, aux loss, gradient norm) of its batch as a tensor on the device, so that the
        CPU need not wait; in the first stage mse is NaN.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(progress)
        self.optimiser.zero_grad(set_to_none=True)
        loss, bpp, mse = self._rate_loss() if self._in_first_stage else self._rate_distortion_loss()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_norm)
        self.optimiser.step()

        self.aux_optimiser.zero_grad(set_to_none=True)
        aux = self.model.aux_loss()
        aux.backward()
        self.aux_optimiser.step()

        self.step += 1
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))  # a short memory while all is new
        with torch.no_grad():
            for averaged, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                averaged.lerp_(value, 1 - decay)
        return torch.stack([loss.detach(), bpp.detach(), mse.detach(), aux.detach(), norm])

    @property
    def _in_first_stage(self) -> bool:
        return self.step < self.config.hyperprior_steps

    def _rate_distortion_loss(self) -> tuple[Tensor, Tensor, Tensor]:
        self._latents = None
        x = to_float(self.crops.batch(self.config.batch))
        x_hat, bits = networks.forward(self.model, x, self.precision)
        mse = (x_hat - x).square().mean()
        bpp = bits.mean() / self.config.crop**2
        return self.config.rate_weight * 255**2 * mse + bpp, bpp, mse

    def _rate_loss(self) -> tuple[Tensor, Tensor, Tensor]:
        """The staged start: the hyperprior alone learns, on cached latents of the analysis transform as it stands."""
        if self._latents is None:
            self._latents = self._cache_latents()
        y = self._latents.batch(self.config.batch, flips=False).float().contiguous(memory_format=torch.channels_last)
        bpp = networks.rate(self.model, y, self.precision)[1].mean() / self.config.crop**2
        return bpp, bpp, torch.full_like(bpp, math.nan)

    @torch.no_grad()
    def _cache_latents(self) -> Crops:
        stride = networks.LATENT_STRIDE
        maps = []
        for image in self.images:
            height, width = (side - side % stride for side in image.shape[1:])
            y = self.model.g_a(to_float(image[None, :, :height, :width].to(self.device)))
            maps.append(y[0].half())  # 5e-4 relative: below the quantization noise
        latents = Crops(maps, self.config.crop // stride, self.config.seed, self.device)
        latents.generator = self.crops.generator  # one source of chance to save
        return latents
