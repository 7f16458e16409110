"""Changing a mean-scale hyperprior's widths: the least useful channels of the latent are dropped, or new ones added.

A narrower network keeps the given channels, the others become constants; dropped hidden features of the hyper-decoder
are replaced by a linear function of those that stay. A wider one codes as before: new features are not read until
training uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.hyperprior.library import GDN, MeanScaleHyperprior
from codecs_wrappers.learned.hyperprior.networks import Network


@torch.no_grad()
def resize(model: MeanScaleHyperprior, state: Mapping[str, Tensor], order: Sequence[int] | None = None) -> None:
    """Load the weights ``state`` of the same family with other widths N and M into ``model``.

    order: the latent's channels in ``state``, most useful first; those beyond M of ``model`` are dropped (default: by
    number).
    """
    source = {name: tensor for name, tensor in state.items() if not networks.is_derived(name)}
    latent = list(range(len(source["g_a.6.weight"]))) if order is None else list(order)
    kept = {
        "M": torch.as_tensor(latent),
        "H": _by_size(source, "h_s.0", "h_s.2"),
        "K": _by_size(source, "h_s.2", "h_s.4"),
    }
    for name, own in model.state_dict().items():
        if networks.is_derived(name):
            continue
        given = source[name].to(own)
        roles = _roles(name, model)
        reads = _input_axis(name, model)
        take, put = [], []
        for axis, role in enumerate(roles):
            old, new = given.shape[axis], own.shape[axis]
            from_axis, to_axis = _slots(role, old, new, kept)
            take.append(from_axis)
            put.append(to_axis)
            if axis == reads and len(to_axis) < new:
                unread = torch.ones(new, dtype=torch.bool).index_fill_(0, to_axis, False)
                own.index_fill_(axis, unread.nonzero().flatten(), 0.0)
        own[_grid(put, own.dim())] = given[_grid(take, own.dim())]


def _slots(role: str | None, old: int, new: int, kept: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(indices on the old axis, their places on the new one)."""
    if role == "P":  # h_s's output: scales of all channels, then means
        (take, put) = _slots("M", old // 2, new // 2, kept)
        return torch.cat([take, take + old // 2]), torch.cat([put, put + new // 2])
    order = kept.get(role, torch.arange(old)) if role else torch.arange(old)
    take = order[: min(old, new)]
    return take, torch.arange(len(take))


def _grid(indices: Sequence[Tensor], dims: int) -> tuple[Tensor, ...]:
    """The indices as an open mesh over the first axes; the others (a kernel's) are complete."""
    return tuple(
        index.view([-1 if axis == own else 1 for axis in range(len(indices))]) for own, index in enumerate(indices)
    )


def _by_size(state: Mapping[str, Tensor], layer: str, following: str) -> Tensor:
    """The features between two layers of h_s, those with the largest weights on both sides first."""
    outgoing = state[f"{layer}.weight"].float().square().sum((0, 2, 3))  # transposed: (in, out, kh, kw)
    axes = (1, 2, 3) if following == "h_s.2" else (0, 2, 3)
    incoming = state[f"{following}.weight"].float().square().sum(axes)
    return (outgoing * incoming).argsort(descending=True)


def _layer(name: str, model: Network) -> Network:
    return model.get_submodule(name.rpartition(".")[0])


def _input_axis(name: str, model: Network) -> int | None:
    """The input axis of a convolution's weight; None for anything else."""
    if not name.endswith(".weight"):
        return None
    return 0 if isinstance(_layer(name, model), nn.ConvTranspose2d) else 1


def _roles(name: str, model: Network) -> tuple[str | None, ...]:
    """The sizes of a parameter's first axes: N, M, the features H and K of h_s, the 2 M outputs P of h_s."""
    features = {
        "g_a.0": (None, "N"), "g_a.6": ("N", "M"), "g_s.0": ("M", "N"), "g_s.6": ("N", None), "h_a.0": ("M", "N"),
        "h_s.0": ("N", "H"), "h_s.2": ("H", "K"), "h_s.4": ("K", "P"),
    }  # fmt: skip
    layer, _, kind = name.rpartition(".")
    if layer.startswith("entropy_bottleneck") or layer == "":
        return ("N",)
    reads, writes = features.get(layer, ("N", "N"))
    if isinstance(_layer(name, model), GDN):
        return ("N", "N") if kind == "gamma" else ("N",)
    if kind == "bias":
        return (writes,)
    return (reads, writes) if isinstance(_layer(name, model), nn.ConvTranspose2d) else (writes, reads)


@torch.no_grad()
def importance(model: MeanScaleHyperprior, x: Tensor) -> Tensor:
    """dD/dR of each channel, (M,): the squared error that replacing it by its predicted mean would add, per bit.

    x: (B, 3, H, W) in 0..1 with H, W multiples of 64. The model is left in training mode.
    """
    errors, bits = _without_each(model, x, lambda x_hat: (x_hat - x).square().sum(), lambda y_hat, means: means)
    return errors / (bits + 1)  # plus 1, since an unused channel would give 0 / 0


def saving(model: MeanScaleHyperprior, x: Tensor, lost: Callable[[Tensor], Tensor]) -> Tensor:
    """What each channel is worth, (M,): by how much the loss would rise if it were a constant, its mean, and not coded.

    x: as for :func:`importance`. lost: the weighted distortion of a reconstruction of x, in bit/pixel.
    """
    errors, bits = _without_each(model, x, lost, lambda y_hat, means: y_hat.mean((0, 2, 3), keepdim=True))
    return errors - bits / (x.numel() / x.shape[1])


@torch.no_grad()
def _without_each(
    model: MeanScaleHyperprior,
    x: Tensor,
    error: Callable[[Tensor], Tensor],
    replacement: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """(what a channel's ``replacement`` from (y_hat, means) adds to the error, the bits it costs) of each channel."""
    model.eval()
    y = networks.run(model.g_a, x)
    means, scales, _ = networks.hyperprior(model, y)
    y_hat, likelihoods = model.gaussian_conditional(y, scales, means=means)
    bits = -likelihoods.log2().sum((0, 2, 3))
    instead, errors = replacement(y_hat, means), []
    for channel in range(y.shape[1]):
        without = y_hat.clone()
        without[:, channel] = instead[:, channel]
        errors.append(error(networks.run(model.g_s, without)))
    whole = error(networks.run(model.g_s, y_hat))
    model.train()
    return torch.stack(errors) - whole, bits


@torch.no_grad()
def fold(model: MeanScaleHyperprior, channels: Tensor, x: Tensor) -> None:
    """Let the layers behind the latent read the means over x instead of ``channels``, which can then be dropped."""
    means = networks.run(model.g_a, x).mean((0, 2, 3))[channels]
    for layer in (model.g_s[0], model.h_a[0]):
        _read_constants(layer, channels, means)


def _by_input(layer: Network) -> Tensor:
    """A convolution's weight as (inputs, outputs, kh, kw): a view."""
    return layer.weight if isinstance(layer, nn.ConvTranspose2d) else layer.weight.transpose(0, 1)


def _read_constants(layer: Network, inputs: Tensor, values: Tensor) -> None:
    """Let a convolution's bias stand for ``inputs`` of constant ``values``, and their weights be zero.

    Each output of a transposed one is reached by one of stride x stride sets of its weights: it gets their mean.
    """
    weight = _by_input(layer)
    phases = layer.stride[0] * layer.stride[1] if isinstance(layer, nn.ConvTranspose2d) else 1
    layer.bias += values @ weight[inputs].sum((2, 3)) / phases
    weight[inputs] = 0.0


@torch.no_grad()
def narrow_hyper_decoder(model: MeanScaleHyperprior, x: Tensor, latent: int) -> None:
    """Rewrite h_s so that only as many of its hidden features are read as a network of ``latent`` channels has.

    Those that vary least, times what they are multiplied by, are replaced by the best linear function of the others on
    x: (B, 3, H, W) in 0..1, thousands of samples. :func:`resize` then drops them, since their weights are zero.
    """
    layers = model.h_s
    z, _ = model.entropy_bottleneck(networks.run(model.h_a, networks.run(model.g_a, x)), training=False)
    for number, width in ((2, latent), (4, latent * 3 // 2)):
        following = layers[number]
        features = networks.run(layers[:number], z).transpose(0, 1).flatten(1)  # (features, samples)
        weight = _by_input(following)
        means, covariance = features.mean(1), features.cov()
        order = (covariance.diagonal() * weight.square().sum((1, 2, 3))).argsort(descending=True)
        kept, dropped = order[:width], order[width:]
        inner = covariance[kept][:, kept]
        inner += 1e-3 * inner.diagonal().mean() * torch.eye(width, device=inner.device)
        share = torch.linalg.solve(inner, covariance[kept][:, dropped])  # (kept, dropped)
        weight[kept] += torch.einsum("kd,dohw->kohw", share, weight[dropped])
        _read_constants(following, dropped, means[dropped] - means[kept] @ share)
