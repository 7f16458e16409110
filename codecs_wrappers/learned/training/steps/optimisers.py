"""The optimisers of a training's loss: Adam and SOAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codecs_wrappers.learned.training.config import Config
from codecs_wrappers.learned.training.process import fast_precision
from codecs_wrappers.learned.training.steps import fused


def optimiser(
    config: Config, parameters: Sequence[Any], device: torch.device, scales: Mapping[nn.Parameter, Tensor] | None = None
) -> torch.optim.Optimizer:
    """The optimiser named by ``config.optimiser``, for parameters or groups of them. scales: for SOAP."""
    if config.optimiser == "soap":
        half = device.type == "cpu" and fast_precision(config.precision, device) is not None
        precision = torch.bfloat16 if half else None
        # 0.99 instead of the paper's 0.95 gained 0.5 to 2.5 % of the loss in four minutes (ABLATION.md).
        return Soap(
            parameters,
            lr=config.lr,
            betas=(0.95, 0.99),
            eps=config.adam_epsilon,
            statistics_every=2,
            scales=scales,
            precision=precision,
        )
    return torch.optim.Adam(parameters, lr=config.lr, eps=config.adam_epsilon, fused=device.type == "cuda")


class Soap(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, algorithm 3), for convolutions.

    A transform's activations have a mean far above their deviation, so the gradients of all weights of a filter share
    one direction, which Adam overshoots as it changes all weights alike; in the eigenbasis it is a single coordinate.

    A weight (O, I, kh, kw) has three modes: outputs, inputs, and the kernel positions together. The first moment is
    kept in the basis and rotated with it, so a step costs two products per mode in addition to the statistics: on 5x5
    kernels of 128 channels a tenth of the time of a package without support for convolutions (pytorch-optimizer 4.1,
    measured). Vectors, the small matrices of a factorised prior, and groups with ``turned: False`` get plain Adam. The
    first step only fills the statistics.

    betas: decay of the moments; the second also of the statistics. basis_every, statistics_every: steps between updates
    of the basis and of the statistics. scales: elementwise factors for the steps of some parameters, as if each were
    its factor times what is learned. precision: of the products with the basis and in the statistics; moments and
    statistics stay float32.
    """

    def __init__(
        self,
        params: Sequence[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        basis_every: int = 10,
        statistics_every: int = 1,
        scales: Mapping[nn.Parameter, Tensor] | None = None,
        precision: torch.dtype | None = None,
    ):
        self.precision = precision
        every = {"basis_every": basis_every, "statistics_every": statistics_every}
        defaults = {"lr": lr, "betas": betas, "eps": eps, **every, "turned": True}
        super().__init__(params, defaults)
        for parameter, scale in (scales or {}).items():
            self.state[parameter]["scale"] = scale  # a checkpoint has its own

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no scheme's loss is a closure
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._advance(p, group, self.state[p])

    def _advance(self, p: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        scale, precision = state.get("scale"), self.precision
        given = p.grad if scale is None else p.grad * scale
        gradient = _rows(given).contiguous()
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
            if step % group["statistics_every"] == 0:
                for mode, product in enumerate(_products(gradient, precision)):
                    state[f"statistics{mode}"].lerp_(product, 1 - beta2 ** group["statistics_every"])
            gradient = _turn(gradient, state, precision=precision)
        change = fused.moments(gradient, state["first"], state["second"], group["betas"], step, group["eps"])
        if turned:
            change = _turn(change, state, back=True, precision=precision)
            if step % group["basis_every"] == 0:
                self._turn_basis(state)
        change = _as_weight(change, p)
        p.add_(change if scale is None else change * scale, alpha=-group["lr"] / (1 - beta1**step))

    @staticmethod
    def _turn_basis(state: dict[str, Any]) -> None:
        """One power iteration towards the eigenvectors of the statistics; the first moment is kept in the new basis."""
        first = _turn(state["first"], state, back=True)
        for mode in range(3):
            state[f"basis{mode}"] = torch.linalg.qr(state[f"statistics{mode}"] @ state[f"basis{mode}"])[0].contiguous()
        state["first"] = _turn(first, state)


def _rows(weight: Tensor) -> Tensor:
    """A weight (O, I, kh, kw) as (O, kh kw, I), a view in channels_last memory; a matrix as (O, 1, I); else itself."""
    if weight.dim() == 4:
        return weight.permute(0, 2, 3, 1).flatten(1, 2)
    return weight[:, None] if weight.dim() == 2 else weight


def _as_weight(rows: Tensor, weight: Tensor) -> Tensor:
    """The inverse of :func:`_rows`."""
    if weight.dim() == 4:
        outputs, inputs, height, width = weight.shape
        return rows.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
    return rows.view_as(weight) if weight.dim() == 2 else rows


def _products(g: Tensor, precision: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient's products with itself over all modes but one: positions, outputs, inputs; float32."""
    g = g.to(precision or g.dtype)
    places, outputs, inputs = g.transpose(0, 1).flatten(1), g.flatten(1), g.flatten(0, 1)
    return (places @ places.T).float(), (outputs @ outputs.T).float(), (inputs.T @ inputs).float()


def _turn(g: Tensor, state: dict[str, Any], back: bool = False, precision: torch.dtype | None = None) -> Tensor:
    """``g`` (outputs, places, inputs) into the basis, or back; float32."""
    places, outputs, inputs = (state[f"basis{mode}"].to(precision or g.dtype) for mode in range(3))
    if back:
        places, outputs, inputs = places.T, outputs.T, inputs.T
    g = g.to(places.dtype)
    g = (outputs.T @ g.flatten(1)).view_as(g)
    g = (g.flatten(0, 1) @ inputs).view_as(g)
    return torch.matmul(places.T, g).float()
