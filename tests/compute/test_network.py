"""Weights at the start, activations and their derivatives, against closed forms and torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from embcx_tui.compute.training.network import GAINS, activate_, backpropagate_, forward, initial_weights, layer_sizes
from embcx_tui.study.plan import Network, network_id
from tests.compute.reference_mlp import MODULES, reference_network


def network(activation: str, depth: int = 3, run: int = 0, control: str | None = None) -> Network:
    return Network(network_id("mnist", depth, activation, run, control), "mnist", depth, activation, run, control)


@pytest.mark.parametrize("activation", list(GAINS))
def test_activation_and_derivative_equal_torchs(activation: str) -> None:
    z = torch.linspace(-30, 30, 6001, dtype=torch.float64, requires_grad=True)
    expected = MODULES[activation]()(z)
    upstream = torch.linspace(-1, 2, 6001, dtype=torch.float64)
    expected.backward(upstream)
    ours = z.detach().clone()
    scratch = torch.empty_like(ours)
    activate_(ours, activation, scratch)
    torch.testing.assert_close(ours, expected.detach(), rtol=1e-12, atol=1e-15)
    gradient = upstream.clone()
    backpropagate_(gradient, ours, activation, scratch)
    assert z.grad is not None
    # tanh: 1 - a² loses digits where a is near 1, in torch as here.
    torch.testing.assert_close(gradient, z.grad, rtol=1e-9, atol=1e-15)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="no activation"):
        activate_(torch.zeros(1), "gelu", torch.zeros(1))
    with pytest.raises(ValueError, match="no activation"):
        backpropagate_(torch.zeros(1), torch.zeros(1), "gelu", torch.zeros(1))


@pytest.mark.parametrize(("activation", "gain"), [("logsig", 4), ("tanh", 1), ("softsign", 1), ("relu", math.sqrt(2))])
def test_weights_start_as_glorot_with_the_activations_gain(activation: str, gain: float) -> None:
    weights = initial_weights(network(activation), 784, 100, 10, study_seed=0)
    assert [tuple(matrix.shape) for matrix in weights.matrices] == [(100, 784), (100, 100), (100, 100), (10, 100)]
    for layer, matrix in enumerate(weights.matrices, 1):
        units, inputs = matrix.shape
        limit = (gain if layer <= 3 else 1.0) * math.sqrt(6 / (units + inputs))
        values = matrix.numpy().astype(np.float64)
        assert np.abs(values).max() <= limit * (1 + 1e-6)
        # A uniform variable's mean is 0 and its variance limit²/3; five standard errors.
        n = values.size
        assert abs(values.mean()) < 5 * limit / math.sqrt(3 * n)
        assert values.var() == pytest.approx(limit**2 / 3, rel=5 * math.sqrt(0.8 / n))
    assert all(not bias.any() for bias in weights.biases)


def test_weights_are_keyed_by_identity() -> None:
    one = initial_weights(network("tanh"), 64, 20, 10, study_seed=0)
    same = initial_weights(network("tanh", control="untrained"), 64, 20, 10, study_seed=0)
    assert all(torch.equal(a, b) for a, b in zip(one.matrices, same.matrices, strict=True))
    others = [
        initial_weights(network("softsign"), 64, 20, 10, study_seed=0),
        initial_weights(network("tanh", run=1), 64, 20, 10, study_seed=0),
        initial_weights(network("tanh"), 64, 20, 10, study_seed=1),
        initial_weights(network("tanh", depth=4), 64, 20, 10, study_seed=0),
    ]
    for other in others:
        assert not torch.equal(one.matrices[0], other.matrices[0])
    assert not torch.equal(one.matrices[1], one.matrices[2])


def test_forward_equals_a_stack_of_modules() -> None:
    weights = initial_weights(network("softsign"), 64, 20, 10, study_seed=3)
    x = torch.randn(50, 64, generator=torch.Generator().manual_seed(1))
    passed = forward(weights, x)
    with torch.no_grad():
        torch.testing.assert_close(passed.logits, reference_network(weights)(x))
    assert weights.depth == 3 and [tuple(layer.shape) for layer in passed.hidden] == [(50, 20)] * 3
    assert passed.predictions.shape == (50,)


def test_layer_sizes() -> None:
    assert layer_sizes(784, 100, 1, 10) == ((100, 784), (10, 100))
    assert layer_sizes(784, 100, 3, 10) == ((100, 784), (100, 100), (100, 100), (10, 100))
