"""Activations and their derivatives as Triton kernels, in one launch each for networks with different activations.

A cohort of all depths and activations has dozens of slices of equal activations, and softsign takes several calls per
slice: 364 launches per step, where these take 14.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from embcx_tui.compute.device import on_device_of
from embcx_tui.compute.training.network import ACTIVATION_CODES, LOGSIG, SOFTSIGN, TANH

_LOGSIG, _TANH, _SOFTSIGN = (tl.constexpr(code) for code in (LOGSIG, TANH, SOFTSIGN))
BLOCK = 1024  # numbers per program, all of one network


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def activate_kernel(z, activations, count, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Replace SIZE of one network's z [networks, count] by its activation."""
    network = tl.program_id(0).to(tl.int64)
    within = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    activation = tl.load(activations + network)
    at = z + network * count + within
    x = tl.load(at, mask=within < count, other=0.0)
    if activation == _LOGSIG:
        x = 1.0 / (1.0 + tl.exp(-x))
    elif activation == _TANH:
        # Near 0 a polynomial (Moshier's Cephes, tanhf: 1 unit in the last place), where the quotient would cancel.
        s = x * x
        p = (((-5.70498872745e-3 * s + 2.06390887954e-2) * s - 5.37397155531e-2) * s + 1.33314422036e-1) * s
        far = 1.0 - 2.0 / (tl.exp(2.0 * tl.abs(x)) + 1.0)
        x = tl.where(tl.abs(x) < 0.625, x + x * s * (p - 3.33332819422e-1), tl.where(x < 0.0, -far, far))
    elif activation == _SOFTSIGN:
        x = x / (1.0 + tl.abs(x))
    else:
        x = tl.where(x < 0.0, 0.0, x)  # not the maximum: that may drop a NaN, by which divergence is recognised
    tl.store(at, x, mask=within < count)


@triton.jit  # type: ignore[untyped-decorator]
def backpropagate_kernel(gradient, values, activations, count, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Multiply SIZE of one network's gradient [networks, count] by its activation's derivative."""
    network = tl.program_id(0).to(tl.int64)
    within = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    activation = tl.load(activations + network)
    at = network * count + within
    a = tl.load(values + at, mask=within < count, other=0.0)
    g = tl.load(gradient + at, mask=within < count, other=0.0)
    if activation == _LOGSIG:
        g = g * a * (1.0 - a)
    elif activation == _TANH:
        g = g * (1.0 - a * a)
    elif activation == _SOFTSIGN:
        g = g * (1.0 - tl.abs(a)) * (1.0 - tl.abs(a))
    else:
        g = tl.where(a <= 0.0, 0.0, g)
    tl.store(gradient + at, g, mask=within < count)


def activation_codes(activations: Sequence[str], device: torch.device) -> Tensor:
    """Return the codes [networks] by which the kernels know these activations, on `device`."""
    return torch.tensor([ACTIVATION_CODES[activation] for activation in activations], dtype=torch.int32, device=device)


def activate_(z: Tensor, codes: Tensor) -> None:
    """Replace z [networks, units, inputs] by its activations, in place; codes [networks]; both contiguous."""
    count = z[0].numel()
    with on_device_of(z):
        activate_kernel[(len(z), triton.cdiv(count, BLOCK))](z, codes, count, SIZE=BLOCK)


def backpropagate_(gradient: Tensor, a: Tensor, codes: Tensor) -> None:
    """Multiply `gradient` in place by the derivatives at activations `a`, both [networks, units, inputs]; codes
    [networks]; all contiguous.
    """
    count = a[0].numel()
    with on_device_of(a):
        backpropagate_kernel[(len(a), triton.cdiv(count, BLOCK))](gradient, a, codes, count, SIZE=BLOCK)


def probe(device: torch.device) -> None:
    """Compile and run every kernel on `device` once; raises whatever a missing compiler or driver raises."""
    z = torch.zeros(4, 2, 2, device=device)
    codes = activation_codes(tuple(ACTIVATION_CODES), device)
    activate_(z, codes)
    backpropagate_(z, z.clone(), codes)
