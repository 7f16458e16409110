"""Fused passes of training on a CPU: GDN in bf16 with its gradient, and Adam's moments.

``fused.c`` is compiled by the machine's C compiler (cc, gcc or clang; a second or two), once per source and processor,
into the cache folder. Without a compiler, :class:`FusedGdn` is CompressAI's layer and :func:`moments` uses torch's
operations: the same values except for rounding.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.files import cache_dir, sha256
from codecs_wrappers.learned.hyperprior.library import GDN
from codecs_wrappers.learned.hyperprior.networks import Network

SOURCE = Path(__file__).with_name("fused.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-lm")
POINTER, COUNT, FLOAT, FLAG = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
SIGNATURES = {
    "square": [POINTER] * 2 + [COUNT],
    "gdn": [POINTER] * 3 + [COUNT, FLAG],
    "gdn_norm_gradient": [POINTER] * 4 + [COUNT, FLAG],
    "gdn_gradient": [POINTER] * 5 + [COUNT, FLAG],
    "moments": [POINTER] * 4 + [COUNT] + [FLOAT] * 4,
}


@functools.cache
def has_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware; otherwise bf16 on a CPU is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled passes; None without a compiler, or if RDBENCH_FUSED=0 asks for the plain layers."""
    if os.environ.get("RDBENCH_FUSED") == "0":
        return None
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return None
    key = sha256(f"{SOURCE.read_text()} {compiler} {FLAGS} {_processor()} {torch.__version__}".encode())[:16]
    path = cache_dir() / "fused" / f"{key}.so"
    try:
        if not path.is_file():
            _compile(compiler, path)
        found = ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError):
        return None  # a compiler without OpenMP, or a read-only folder: slower, not wrong
    for name, arguments in SIGNATURES.items():
        function = getattr(found, name)
        function.argtypes, function.restype = arguments, None
    return found


def _processor() -> str:
    """The processor features that -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _compile(compiler: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        command = [compiler, str(SOURCE), *FLAGS, "-o", str(built)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        built.replace(path)


def accelerate(model: Network) -> Network:
    """``model`` with every GDN turned into a :class:`FusedGdn`; its state dict is unchanged."""
    for layer in model.modules():
        if type(layer) is GDN:
            layer.__class__ = FusedGdn
    return model


class FusedGdn(GDN):
    """A GDN, or inverse GDN, that is one fused operation under CPU autocast to bf16, otherwise CompressAI's layer."""

    def forward(self, x: Tensor) -> Tensor:
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
        if not half or x.device.type != "cpu" or library() is None:
            return super().forward(x)
        return _Gdn.apply(x, self.gamma_reparam(self.gamma), self.beta_reparam(self.beta), self.inverse)


def _call(name: str, *tensors: Tensor, rest: tuple[Any, ...] = ()) -> None:
    getattr(library(), name)(*(tensor.data_ptr() for tensor in tensors), tensors[0].numel(), *rest)


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) in channels_last memory as its (B H W, C) matrix, without a copy."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class _Gdn(torch.autograd.Function):
    """y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2) (the inverse multiplies) in bf16: Balle et al. 2016, eq. 2."""

    @staticmethod
    def forward(context: Any, x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool) -> Tensor:
        x = x.bfloat16().contiguous(memory_format=torch.channels_last)
        gamma = gamma.bfloat16()
        squares, y = torch.empty_like(x), torch.empty_like(x)
        _call("square", x, squares)
        norm = torch.addmm(beta.bfloat16(), _rows(squares), gamma.T)
        _call("gdn", x, norm, y, rest=(inverse,))
        context.save_for_backward(x, squares, norm, gamma)
        context.inverse = inverse
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, squares, norm, gamma = context.saved_tensors
        gradient = gradient.bfloat16().contiguous(memory_format=torch.channels_last)
        slope, of_x = torch.empty_like(x), torch.empty_like(x)
        _call("gdn_norm_gradient", gradient, x, norm, slope, rest=(context.inverse,))
        slopes = _rows(slope)
        _call("gdn_gradient", gradient, x, norm, slopes @ gamma, of_x, rest=(context.inverse,))
        half = 0.5 if context.inverse else -0.5
        of_gamma = (slopes.T @ _rows(squares)).float() * half
        ones = torch.ones(1, len(slopes), dtype=slopes.dtype)  # sum(0) over so many bf16 rows is 25 times slower
        return of_x, of_gamma, (ones @ slopes)[0].float() * half, None


def moments(
    gradient: Tensor, first: Tensor, second: Tensor, betas: tuple[float, float], step: int, epsilon: float
) -> Tensor:
    """Adam's change of a parameter, before the learning rate and the first moment's correction.

    ``first`` and ``second`` are updated in place. All four are float32 of one shape; step: from 1 on.
    """
    beta1, beta2 = betas
    correction = 1 - beta2**step
    tensors = (gradient, first, second)
    if gradient.device.type == "cpu" and library() is not None and all(t.is_contiguous() for t in tensors):
        change = torch.empty_like(gradient)
        _call("moments", *tensors, change, rest=(beta1, beta2, correction, epsilon))
        return change
    first.lerp_(gradient, 1 - beta1)
    second.lerp_(gradient.square(), 1 - beta2)
    return first / (second / correction).sqrt_().add_(epsilon)
