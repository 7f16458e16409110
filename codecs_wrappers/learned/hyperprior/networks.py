"""CompressAI's networks unchanged, and what training needs around them: building, checked loading, mixed precision.

State dicts are interchangeable with CompressAI's own and with its zoo: no layer of the library is copied or changed.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from codecs_wrappers.learned.hyperprior.library import GDN, MeanScaleHyperprior, load_state_dict

Network = Any  # an nn.Module; torch annotates its layers, accessed by name, as Tensor or Module

FAMILIES = {"mean_scale": MeanScaleHyperprior}
STRIDE = 64  # of the whole network: 16 for the latent y, 4 more for z
LATENT_STRIDE = 16


def build(architecture: Mapping[str, Any]) -> Network:
    """A new network from ``{"family": "mean_scale", "N": 128, "M": 320}``, freshly initialised.

    Raises UsageError for an unknown family or invalid widths.
    """
    family = architecture.get("family")
    if family not in FAMILIES:
        raise UsageError(f"no network family is called {family!r}; there are {', '.join(FAMILIES)}")
    widths = {key: value for key, value in architecture.items() if key != "family"}
    if set(widths) != {"N", "M"} or not all(isinstance(v, int) and v > 0 for v in widths.values()):
        raise UsageError(f"network {family}: expected the widths N and M as positive integers, got {widths}")
    return FAMILIES[family](**widths)


def is_derived(name: str) -> bool:
    """Whether a state dict's entry is a constant or a table made by ``update()``, rather than trained.

    Bounds and pedestals (1e-9, 2^-36) vanish in fp16: a checkpoint that stored them so would break the likelihoods.
    """
    last = name.rsplit(".", 1)[-1]
    tables = ("_offset", "_quantized_cdf", "_cdf_length", "scale_table")
    return last in ("bound", "pedestal", "target", "scale_bound", *tables)


def load_weights(model: Network, state: Mapping[str, Tensor], where: str = "the checkpoint") -> Network:
    """``model`` with the trained tensors of ``state`` (any float dtype); its constants and tables stay as built.

    Raises UsageError for the first tensor that is missing, unexpected, or of another shape.
    """
    own = model.state_dict()
    wanted = {name: tensor for name, tensor in own.items() if not is_derived(name)}
    for name in [*wanted, *(name for name in state if name not in wanted and not is_derived(name))]:
        expected = tuple(wanted[name].shape) if name in wanted else "no such tensor"
        got = tuple(state[name].shape) if name in state else "no such tensor"
        if expected != got:
            raise UsageError(
                f"{where} has another architecture: first mismatch at tensor {name!r}: "
                f"the network has {expected}, {where} has {got}. Name the architecture it was trained with"
            )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(state[name])
    return model


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises UsageError if it is missing or not such a file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"cannot read weights from {path}: {error}; expected a safetensors file") from error


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a CompressAI checkpoint (.pth, .pth.tar) on the CPU, with old names brought up to date.

    Only tensors are unpickled. Raises UsageError if it is missing or not such a file.
    """
    import pickle

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UsageError(f"cannot read weights from {path}: {error}; expected a torch checkpoint") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"cannot read weights from {path}: expected a state dict of tensors")
    return load_state_dict(state)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a safetensors file (this project's is JSON under "about"), empty if it has none.

    Raises UsageError if it is missing or not such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return {**metadata, **json.loads(metadata.get("about", "{}"))}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise UsageError(f"cannot read weights from {path}: {error}; expected a safetensors file") from error


def latent_step(rate_weight: float) -> float:
    """The optimal uniform quantization step at lambda_c, of orthonormal transform coefficients of [0, 1] pixels.

    High-resolution theory: the derivatives of lambda 255^2 D, with D = step^2 / 12, and of the rate, -log2(step) per
    sample and 3 samples per pixel, balance at step^2 = 18 / (ln 2 lambda 255^2).
    """
    return math.sqrt(18 / (math.log(2) * rate_weight * 255**2))


@torch.no_grad()
def rescale_latent(model: MeanScaleHyperprior, factor: float) -> None:
    """Multiply the latent y by ``factor`` and undo it in every consumer: the same function, except for rounding."""
    model.g_a[6].weight.mul_(factor)
    model.g_a[6].bias.mul_(factor)
    model.g_s[0].weight.div_(factor)
    model.h_a[0].weight.div_(factor)
    model.h_s[4].weight.mul_(factor)  # means and scales are in units of y
    model.h_s[4].bias.mul_(factor)


@torch.no_grad()
def permute_latent(model: MeanScaleHyperprior, order: Tensor) -> None:
    """Make the latent's channel ``order[c]`` channel c, in every layer that writes or reads it: the same function."""
    outputs = torch.cat([order, order + len(order)])  # of h_s: scales, then means
    model.g_a[6].weight.copy_(model.g_a[6].weight[order])
    model.g_a[6].bias.copy_(model.g_a[6].bias[order])
    model.g_s[0].weight.copy_(model.g_s[0].weight[order])
    model.h_a[0].weight.copy_(model.h_a[0].weight[:, order])
    model.h_s[4].weight.copy_(model.h_s[4].weight[outputs])
    model.h_s[4].bias.copy_(model.h_s[4].bias[outputs])


def run(layers: nn.Sequential, x: Tensor, precision: torch.dtype | None = None) -> Tensor:
    """``layers(x)`` in float32; with a ``precision``, computed in it where the device does that well.

    On a CPU that is every layer. On a GPU, GDN and the layers next to the image and the latent stay in fp32, since a
    latent's mean can exceed 100 quantization steps.
    """
    if precision is None:
        return layers(x)
    if x.device.type == "cpu":
        with torch.autocast("cpu", dtype=precision):
            return layers(x).float()
    for index, layer in enumerate(layers):
        exact = index in (0, len(layers) - 1) or isinstance(layer, GDN)
        with torch.autocast(x.device.type, dtype=precision) if not exact else contextlib.nullcontext():
            x = layer(x.float() if exact else x)
    return x


def hyperprior(
    model: MeanScaleHyperprior, y: Tensor, precision: torch.dtype | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(means, scales, bits): means and scales shaped like y; bits, the ideal length of z, (B,)."""
    z = run(model.h_a, y, precision)  # (B, N, H/64, W/64)
    z_hat, likelihoods = model.entropy_bottleneck(z)
    scales, means = run(model.h_s, z_hat, precision).chunk(2, 1)
    return means, scales, -likelihoods.log2().sum((1, 2, 3))


def rate(
    model: MeanScaleHyperprior, y: Tensor, precision: torch.dtype | None = None, mixed: bool = False
) -> tuple[Tensor, Tensor]:
    """(y_hat, bits): the quantized latent (noise in training mode, rounding in eval) and its ideal length per sample.

    y: (B, M, H/16, W/16). bits: (B,), -log2 of the likelihoods of y and z. mixed, in training mode: y_hat is rounded
    with the straight-through gradient, and the bits of y are those of the rounded value, so that the scales learn the
    real rate; y and the means get the gradient of the noisy rate (both kinds of quantization are in Minnen & Singh
    2020, section 3.4).
    """
    means, scales, z_bits = hyperprior(model, y, precision)
    if not (mixed and model.training):
        y_hat, likelihoods = model.gaussian_conditional(y, scales, means=means)
        return y_hat, z_bits - likelihoods.log2().sum((1, 2, 3))
    _, noisy = model.gaussian_conditional(y, scales.detach(), means=means)
    _, rounded = model.gaussian_conditional(y.detach(), scales, means=means.detach(), training=False)
    relaxed = noisy.log2().sum((1, 2, 3))
    y_hat = y + ((y - means).round() + means - y).detach()
    return y_hat, z_bits - rounded.log2().sum((1, 2, 3)) - relaxed + relaxed.detach()


def forward(
    model: MeanScaleHyperprior, x: Tensor, precision: torch.dtype | None = None, mixed: bool = False
) -> tuple[Tensor, Tensor]:
    """(x_hat, bits) for x (B, 3, H, W) in 0..1 with H, W multiples of 64; x_hat is not clamped, bits (B,)."""
    y = run(model.g_a, x, precision)
    y_hat, bits = rate(model, y, precision, mixed)
    return run(model.g_s, y_hat, precision), bits


def exact_float32() -> contextlib.AbstractContextManager[None]:
    """No TF32 and no choice of algorithms by speed: a GPU stays within rounding of the CPU, and is deterministic."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
