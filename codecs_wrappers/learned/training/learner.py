"""What every training scheme shares: the step, averages of the weights, two optimisers, random generators, their state.

A scheme is a file in ``schemes/`` with a subclass that defines the network, its start, the loss, the validation, and
what is shipped. The trainer knows no scheme by name.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.networks import Network
from codecs_wrappers.learned.training import checkpoint, process
from codecs_wrappers.learned.training import config as configs
from codecs_wrappers.learned.training.data.crops import Crops
from codecs_wrappers.learned.training.judging.validation import Score
from codecs_wrappers.learned.training.steps import fused
from codecs_wrappers.learned.training.steps.optimisers import optimiser

NORMS = 200  # number of gradient norms in the running median
LEAST_NORMS = 20
AVERAGE_EVERY = 4  # steps; the decay is adjusted as if it were every step
AUX_EVERY = 10  # steps between updates of the tables' bounds, which only have to be right at the end


class Learner:
    """A model in training. :meth:`state` has everything that determines the next step.

    config: an instance of the class's ``Config``. images: uint8 (3, H, W), for crops. beside: the folder of trained
    models, in which sources of first weights are looked for.
    """

    Config: ClassVar[type[configs.Config]] = configs.Config

    def __init__(
        self,
        config: Any,
        images: Sequence[Tensor],
        device: torch.device,
        beside: Path = Path("results/training"),
    ):
        self.config, self.device, self.images, self.beside = config, device, images, beside
        self.crops = Crops(images, config.crop, config.seed, device, config.reduced)
        self.precision = self._fast = process.fast_precision(config.precision, device)
        self.model: Network = fused.accelerate(self.build()).to(device, memory_format=torch.channels_last)
        self.step = self.pixels = self.restarted_at = 0
        self.is_new = True  # started from untrained weights: the averages have a short memory at first

    # What a scheme defines.

    def build(self) -> Network:
        """The network before :meth:`first_weights`; parameters with ``requires_grad`` are trained, averaged and saved.

        Parameters named ``quantiles`` bound the tables of a factorised prior; the network then has an ``aux_loss()``.
        """
        raise NotImplementedError(f"{type(self).__name__} must build its network")

    def first_weights(self) -> dict[str, Any]:
        """Set the first weights of ``self.model``; returns facts about them, at least ``from``."""
        raise NotImplementedError(f"{type(self).__name__} must set its first weights")

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, bpp, mse of samples in 0..1) of the next batch; NaN for a bpp or mse that does not apply."""
        raise NotImplementedError(f"{type(self).__name__} must define its loss")

    def score(self, model: Network, images: Sequence[Tensor]) -> Score:
        """The score of ``model`` on whole uint8 images (3, H, W); a lower loss is better."""
        raise NotImplementedError(f"{type(self).__name__} must define its score")

    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to belong to the same training, apart from the data."""
        raise NotImplementedError(f"{type(self).__name__} must define its identity")

    def manifest_facts(self) -> dict[str, Any]:
        """Facts about the model for the weights manifest, at least its architecture."""
        return self.identity()

    def as_shipped(self, model: Network) -> Network:
        """``model`` as it will be read back: rounded, with final table bounds."""
        return model

    def tensors(self, shipped: Network) -> Mapping[str, Tensor]:
        """The tensors of a shipped model that are written."""
        return shipped.state_dict()

    def stage(self) -> tuple[float, int]:
        """The highest learning rate of this step's stage, and the step at which the stage began."""
        return self.config.lr, 0

    def optimiser_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of the loss; its groups' ``lr`` is set before each step."""
        return optimiser(self.config, parameters, self.device)

    # What all share.

    def begin(self) -> None:
        """Create the optimisers and the averages, once the model has its first weights.

        The quantiles have a separate optimiser: they only bound the tables of z and get no gradient from the loss.
        """
        trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        quantiles = [p for name, p in trained.items() if name.endswith("quantiles")]
        self.parameters = [p for name, p in trained.items() if not name.endswith("quantiles")]
        self.optimiser = self.optimiser_of(self.parameters)
        self.aux_optimiser = torch.optim.Adam(quantiles, lr=self.config.aux_lr) if quantiles else None
        self.averages = [copy.deepcopy(self.model).requires_grad_(False).eval() for _ in self.config.averages]
        self._averaged = []
        for average in self.averages:
            averaged = dict(average.named_parameters())
            self._averaged.append([averaged[name].data for name in trained])
        self._trained = [p.data for p in trained.values()]
        self._norms = torch.full((NORMS,), math.nan, device=self.device)
        self.clipped = torch.zeros((), device=self.device)

    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs to continue, bit for bit on a CPU."""
        return {
            "step": self.step,
            "pixels": self.pixels,
            "restarted_at": self.restarted_at,
            "is_new": self.is_new,
            "model": self.model.state_dict(),
            "averages": [average.state_dict() for average in self.averages],
            "optimiser": self.optimiser.state_dict(),
            "aux_optimiser": self.aux_optimiser.state_dict() if self.aux_optimiser else {},
            "norms": self._norms,
            "clipped": self.clipped,
            "random": checkpoint.random_state(self.crops.generator),
        }

    def restore(self, state: Mapping[str, Any], where: str) -> None:
        """Continue from what :meth:`state` returned. Raises UsageError if it belongs to another architecture.

        Without the optimiser's state (an older checkpoint's may not fit), the learning rate warms up again.
        """
        networks.load_weights(self.model, state["model"], where)
        self.begin()
        saved = [
            *state["averages"],
            *[state["averages"][-1]] * len(self.averages),
        ]  # a newer configuration may keep more
        for average, tensors in zip(self.averages, saved, strict=False):
            networks.load_weights(average, tensors, where)
        self.step, self.pixels, self.restarted_at = state["step"], state["pixels"], state["restarted_at"]
        self.is_new = state["is_new"]
        if state["optimiser"]:
            self.optimiser.load_state_dict(state["optimiser"])
            self._norms.copy_(state["norms"])
            self.clipped.copy_(state["clipped"])
        else:
            self.restarted_at = self.step
        if self.aux_optimiser and state["aux_optimiser"]:
            self.aux_optimiser.load_state_dict(state["aux_optimiser"])
        checkpoint.set_random_state(state["random"], self.crops.generator)

    def branch(self, state: Mapping[str, Any], trunk: configs.Config, where: str) -> dict[str, Any]:
        """Continue from the state of the ``trunk``, another training; returns facts as :meth:`first_weights` does.

        Here the two differ only in their budget; a scheme that can start from another rate or width overrides this.
        """
        self.restore(state, where)
        return {"from": f"trunk {trunk.name}", "steps": state["step"]}

    def take_statistics(self, state: Mapping[str, Any]) -> None:
        """Let the optimiser go on from that of another training of the scheme, for the parameters of equal shape.

        Its statistics would otherwise begin anew, which a training feels for about 2,000 steps.
        """
        names = {id(p): name for name, p in self.model.named_parameters()}
        own, saved = self.optimiser.state_dict(), state["optimiser"].get("state", {})
        for number, p in enumerate(p for group in self.optimiser.param_groups for p in group["params"]):
            other = state["model"].get(names[id(p)])
            if number in saved and other is not None and other.shape == p.shape:
                own["state"][number] = saved[number]
        self.optimiser.load_state_dict(own)

    def learning_rate(self, progress: float) -> float:
        """A warm-up within the stage, a constant part, then a cosine to ``lr_last`` at progress 1."""
        config = self.config
        highest, began = self.stage()
        warm = min(1.0, (self.step - max(began, self.restarted_at) + 1) / config.warm_up_steps)
        late = max(0.0, min(1.0, (progress - config.decay_from) / (1 - config.decay_from)))
        return warm * (config.lr_last + (highest - config.lr_last) * 0.5 * (1 + math.cos(math.pi * late)))

    @property
    def batch(self) -> int:
        """Crops in the batch of the next step."""
        return self.config.batch_at(self.step)

    def advance(self, progress: float) -> Tensor:
        """One step at ``progress`` (0..1) of the budget.

        Returns (loss, bpp, mse of 0..1, aux loss, gradient norm) of its batch as a tensor on the device, so that the
        CPU need not wait; NaN where a value does not apply.
        """
        self.precision = None if progress >= self.config.fp32_from else self._fast
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(progress)
        self.optimiser.zero_grad(set_to_none=True)
        loss, bpp, mse = self.loss()
        loss.backward()
        norm = self._clip()
        self.optimiser.step()
        aux = self._advance_quantiles()
        self.pixels += self.batch * self.config.crop**2
        self.step += 1
        if self.step % AVERAGE_EVERY == 0 or self.step < 10 * AVERAGE_EVERY:
            self._average()
        return torch.stack([value.detach() for value in (loss, bpp, mse, aux, norm)])

    def _clip(self) -> Tensor:
        """Clip the gradient to ``clip`` times the running median of recent norms; returns its norm before clipping.

        About one batch in a thousand has a gradient many times the usual size, and its step would undo ten minutes of
        training; a fixed limit would be wrong for most of a training.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if math.isinf(self.config.clip):
            return norm
        median = self._norms.nanmedian()
        enough = self._norms.isnan().sum() < NORMS - LEAST_NORMS
        limit = torch.where(enough, self.config.clip * median, torch.inf)
        self._norms[self.step % NORMS] = torch.where(norm.isfinite(), norm, median)
        over = norm > limit
        self.clipped += over
        if self.device.type != "cpu" or over:  # not tested on a GPU: that would wait for it
            torch._foreach_mul_(gradients, torch.where(over, limit / norm, 1.0))
        return norm

    @torch.no_grad()
    def _average(self) -> None:
        steps = 1 if self.step < 10 * AVERAGE_EVERY else AVERAGE_EVERY
        for decay, averaged in zip(self.config.averages, self._averaged, strict=True):
            decay = min(decay, (1 + self.step) / (10 + self.step)) if self.is_new else decay
            torch._foreach_lerp_(averaged, self._trained, 1 - decay**steps)

    def _advance_quantiles(self) -> Tensor:
        if self.aux_optimiser is None or self.step % AUX_EVERY:
            return torch.full((), math.nan, device=self.device)
        self.aux_optimiser.zero_grad(set_to_none=True)
        aux = self.model.aux_loss()
        aux.backward()
        self.aux_optimiser.step()
        return aux
