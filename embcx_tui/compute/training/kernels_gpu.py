"""Activations and their derivatives of networks that differ in them, in one launch each, as Triton kernels.

A cohort of all depths and activations has slices of equal activations by the dozen, and softsign takes several calls a
slice: 364 launches a step, where these take 14.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from embcx_tui.compute.device import on_device_of

# What the kernels call the activations.
_LOGSIG, _TANH, _SOFTSIGN, _RELU = (tl.constexpr(kind) for kind in range(4))
_KINDS = {"logsig": 0, "tanh": 1, "softsign": 2, "relu": 3}
BLOCK = 1024  # numbers a program, all of one network


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def _activate(z, kinds, count, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Replace SIZE of one network's z [networks, count] by its activation."""
    network = tl.program_id(0).to(tl.int64)
    within = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    kind = tl.load(kinds + network)
    at = z + network * count + within
    x = tl.load(at, mask=within < count, other=0.0)
    if kind == _LOGSIG:
        x = 1.0 / (1.0 + tl.exp(-x))
    elif kind == _TANH:
        # Near 0 a polynomial (Moshier's Cephes, tanhf: 1 unit in the last place), where the quotient would cancel.
        s = x * x
        p = (((-5.70498872745e-3 * s + 2.06390887954e-2) * s - 5.37397155531e-2) * s + 1.33314422036e-1) * s
        far = 1.0 - 2.0 / (tl.exp(2.0 * tl.abs(x)) + 1.0)
        x = tl.where(tl.abs(x) < 0.625, x + x * s * (p - 3.33332819422e-1), tl.where(x < 0.0, -far, far))
    elif kind == _SOFTSIGN:
        x = x / (1.0 + tl.abs(x))
    else:
        x = tl.where(x < 0.0, 0.0, x)  # not the maximum: that may drop a NaN, by which divergence is seen
    tl.store(at, x, mask=within < count)


@triton.jit  # type: ignore[untyped-decorator]
def _backpropagate(gradient, activations, kinds, count, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Multiply SIZE of one network's gradient [networks, count] by its activation's derivative."""
    network = tl.program_id(0).to(tl.int64)
    within = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    kind = tl.load(kinds + network)
    at = network * count + within
    a = tl.load(activations + at, mask=within < count, other=0.0)
    g = tl.load(gradient + at, mask=within < count, other=0.0)
    if kind == _LOGSIG:
        g = g * a * (1.0 - a)
    elif kind == _TANH:
        g = g * (1.0 - a * a)
    elif kind == _SOFTSIGN:
        g = g * (1.0 - tl.abs(a)) * (1.0 - tl.abs(a))
    else:
        g = tl.where(a <= 0.0, 0.0, g)
    tl.store(gradient + at, g, mask=within < count)


def kinds(activations: Sequence[str], device: torch.device) -> Tensor:
    """Return what the kernels must know of networks with these activations, [networks]."""
    return torch.tensor([_KINDS[activation] for activation in activations], dtype=torch.int32, device=device)


def activate_(z: Tensor, of: Tensor) -> None:
    """Replace z [networks, units, inputs] by its activations, in place; of [networks] from `kinds`; both contiguous."""
    count = z[0].numel()
    with on_device_of(z):
        _activate[(len(z), triton.cdiv(count, BLOCK))](z, of, count, SIZE=BLOCK)


def backpropagate_(gradient: Tensor, a: Tensor, of: Tensor) -> None:
    """Multiply `gradient` in place by the derivatives at activations `a`, both [networks, units, inputs], contiguous;
    of [networks].
    """
    count = a[0].numel()
    with on_device_of(a):
        _backpropagate[(len(a), triton.cdiv(count, BLOCK))](gradient, a, of, count, SIZE=BLOCK)


def probe(device: torch.device) -> None:
    """Compile and run every kernel on `device` once; raises whatever a missing compiler or driver raises."""
    z = torch.zeros(4, 2, 2, device=device)
    of = kinds(tuple(_KINDS), device)
    activate_(z, of)
    backpropagate_(z, z.clone(), of)
