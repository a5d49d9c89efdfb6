"""The kernels of a network on a core against float64: numpy's functions and autograd's derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embcx_tui.compute.training import kernels_cpu
from embcx_tui.compute.training.network import ACTIVATION_CODES
from embcx_tui.study.settings import ACTIVATIONS
from tests.compute.reference_mlp import MODULES


def both(activation: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and derivatives of `activation` at float64 z, by torch."""
    at = torch.from_numpy(z).requires_grad_()
    values = MODULES[activation]()(at)
    (derivatives,) = torch.autograd.grad(values.sum(), at)
    return values.detach().numpy(), derivatives.numpy()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_derivatives_equal_float64s(activation: str) -> None:
    random = np.random.default_rng(0)
    z = np.concatenate([np.linspace(-100, 100, 40_001), random.standard_normal(40_000), [0.0, 1e-30, -1e-6, 3e38]])
    z, bias = z.astype(np.float32), np.zeros(len(z), np.float32)
    a = z.copy()
    kernels_cpu.activate(ACTIVATION_CODES[activation], a, bias)
    values, derivatives = both(activation, z.astype(np.float64))
    # 1e-37: where the logistic function itself is nearly too small for float32.
    np.testing.assert_allclose(a, values, rtol=5e-7, atol=1e-37)
    gradient, total = np.ones_like(a), np.full(len(z), 2.0, np.float32)
    kernels_cpu.backpropagate(ACTIVATION_CODES[activation], gradient, a, total)
    np.testing.assert_allclose(gradient, derivatives, rtol=1e-6, atol=1e-6)  # 1 - a² at a = 1 - 6e-8
    np.testing.assert_array_equal(total, np.float32(2) + gradient)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_bias_is_added_first(activation: str) -> None:
    z = np.linspace(-3, 3, 50, dtype=np.float32)
    bias = z[::-1] * np.float32(0.3)
    a = z.copy()
    kernels_cpu.activate(ACTIVATION_CODES[activation], a, bias)
    np.testing.assert_allclose(a, both(activation, (z + bias).astype(np.float64))[0], rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays_so(activation: str) -> None:
    a = np.array([np.nan] * 20 + [1.0], np.float32)
    kernels_cpu.activate(ACTIVATION_CODES[activation], a, np.zeros_like(a))
    assert np.isnan(a[:20]).all() and np.isfinite(a[20])
