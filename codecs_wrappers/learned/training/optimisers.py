"""What minimises a training's loss: Adam, or SOAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codecs_wrappers.learned.training.config import Config


def optimiser(
    config: Config, parameters: Sequence[Any], device: torch.device, scales: Mapping[nn.Parameter, Tensor] | None = None
) -> torch.optim.Optimizer:
    """The optimiser that ``config.optimiser`` names, for parameters or groups of them. scales: for SOAP."""
    if config.optimiser == "soap":
        return Soap(parameters, lr=config.lr, eps=config.adam_epsilon, scales=scales)
    return torch.optim.Adam(parameters, lr=config.lr, eps=config.adam_epsilon, fused=device.type == "cuda")


class Soap(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, algorithm 3), for convolutions.

    A transform's activations have a mean far above their deviation, so the gradients of all weights of a filter share
    one direction, and Adam, which moves all weights alike, overshoots it; in the eigenbasis it is one coordinate.

    A weight (O, I, kh, kw) has three modes: outputs, inputs, and the places of its kernel together. The first moment is
    kept in the basis and turned with it, so a step costs two products per mode beside the statistics: on 5x5 kernels of
    128 channels a tenth of the time of a package that knows no convolutions (pytorch-optimizer 4.1, measured). Vectors,
    the small matrices of a factorised prior, and groups with ``turned: False`` get plain Adam. The first step only
    fills the statistics.

    betas: decay of the moments; the second is the statistics' too. basis_every: steps between turns of the basis.
    scales: for some parameters what their steps are multiplied by, elementwise, as if the parameter were that times
    what is learned.
    """

    def __init__(
        self,
        params: Sequence[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        basis_every: int = 10,
        scales: Mapping[nn.Parameter, Tensor] | None = None,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "basis_every": basis_every, "turned": True})
        for parameter, scale in (scales or {}).items():
            self.state[parameter]["scale"] = scale  # a checkpoint brings its own

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._advance(p, group, self.state[p])

    def _advance(self, p: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        scale = state.get("scale")
        gradient = _by_place(p.grad if scale is None else p.grad * scale)
        turned = group["turned"] and p.dim() in (2, 4)
        if "step" not in state:
            state["step"] = torch.zeros(())
            state["first"], state["second"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            if turned:
                for mode, product in enumerate(_products(gradient)):
                    state[f"statistics{mode}"] = product
                    state[f"basis{mode}"] = torch.linalg.eigh(product)[1].flip(1).contiguous()
                return
        state["step"] += 1
        step = int(state["step"])
        if turned:
            for mode, product in enumerate(_products(gradient)):
                state[f"statistics{mode}"].lerp_(product, 1 - beta2)
            gradient = _turn(gradient, state)
        state["first"].lerp_(gradient, 1 - beta1)
        state["second"].lerp_(gradient.square(), 1 - beta2)
        change = state["first"] / (state["second"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        if turned:
            change = _turn(change, state, back=True)
            if step % group["basis_every"] == 0:
                self._turn_basis(state)
        change = _as_weight(change, p)
        p.add_(change if scale is None else change * scale, alpha=-group["lr"] / (1 - beta1**step))

    @staticmethod
    def _turn_basis(state: dict[str, Any]) -> None:
        """One power iteration towards the eigenvectors of the statistics; the first moment stays what it was."""
        first = _turn(state["first"], state, back=True)
        for mode in range(3):
            state[f"basis{mode}"] = torch.linalg.qr(state[f"statistics{mode}"] @ state[f"basis{mode}"])[0].contiguous()
        state["first"] = _turn(first, state)


def _by_place(weight: Tensor) -> Tensor:
    """A weight (O, I, kh, kw) as (kh kw, O, I), a matrix as (1, O, I); anything else as it is."""
    if weight.dim() == 4:
        return weight.permute(2, 3, 0, 1).reshape(-1, *weight.shape[:2])
    return weight[None] if weight.dim() == 2 else weight


def _as_weight(change: Tensor, weight: Tensor) -> Tensor:
    """The inverse of :func:`_by_place`."""
    if weight.dim() == 4:
        return change.view(*weight.shape[2:], *weight.shape[:2]).permute(2, 3, 0, 1)
    return change.view_as(weight) if weight.dim() == 2 else change


def _products(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient's products with itself over all modes but one: places, outputs, inputs."""
    places, inputs = g.flatten(1), g.flatten(0, 1)
    return places @ places.T, torch.bmm(g, g.mT).sum(0), inputs.T @ inputs


def _turn(g: Tensor, state: dict[str, Any], back: bool = False) -> Tensor:
    """``g`` (places, outputs, inputs) into the basis, or back."""
    places, outputs, inputs = (state[f"basis{mode}"] for mode in range(3))
    if back:
        places, outputs, inputs = places.T, outputs.T, inputs.T
    g = (places.T @ g.flatten(1)).view_as(g)
    g = (g.flatten(0, 1) @ inputs).view_as(g)
    return torch.matmul(outputs.T, g)
