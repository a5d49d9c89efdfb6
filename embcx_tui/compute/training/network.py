"""Fully connected networks with one activation throughout and a softmax output: activations, initial weights, forward
pass.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute.device import one_torch_thread
from embcx_tui.study.plan import Network
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import ACTIVATIONS

# The activations as compiled kernels know them.
LOGSIG, TANH, SOFTSIGN, RELU = range(4)
ACTIVATION_CODES: dict[str, int] = dict(zip(ACTIVATIONS, (LOGSIG, TANH, SOFTSIGN, RELU), strict=True))

# Factors on Glorot's limit. logsig needs 4 (Glorot and Bengio 2010 give it for the logistic function): with 1, seven
# layers stay at chance for every learning rate tried. relu: √2 (He et al. 2015).
GAINS = {"logsig": 4.0, "tanh": 1.0, "softsign": 1.0, "relu": math.sqrt(2.0)}
OUTPUT_GAIN = 1.0


def activate_(z: Tensor, activation: str, scratch: Tensor) -> None:
    """Replace `z` by its activation, in place; `scratch` is a tensor of the same shape, overwritten."""
    if activation == "logsig":
        z.sigmoid_()
    elif activation == "tanh":
        z.tanh_()
    elif activation == "softsign":
        torch.abs(z, out=scratch).add_(1.0)
        z.div_(scratch)
    elif activation == "relu":
        z.relu_()
    else:
        raise ValueError(f"no activation {activation!r}")


def backpropagate_(gradient: Tensor, a: Tensor, activation: str, scratch: Tensor) -> None:
    """Multiply `gradient` in place by the activation's derivative, written in terms of its value `a`."""
    aten = torch.ops.aten
    if activation == "logsig":
        aten.sigmoid_backward.grad_input(gradient, a, grad_input=gradient)  # a (1 - a)
    elif activation == "tanh":
        aten.tanh_backward.grad_input(gradient, a, grad_input=gradient)  # 1 - a²
    elif activation == "softsign":
        torch.abs(a, out=scratch).sub_(1.0).square_()  # (1 - |a|)²
        gradient.mul_(scratch)
    elif activation == "relu":
        aten.threshold_backward.grad_input(gradient, a, 0.0, grad_input=gradient)
    else:
        raise ValueError(f"no activation {activation!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """One network's parameters: `matrices[l]` [units out, units in] and `biases[l]` [units out], output layer last."""

    activation: str
    matrices: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def depth(self) -> int:
        return len(self.matrices) - 1

    def to(self, device: torch.device) -> Weights:
        return Weights(
            self.activation,
            tuple(matrix.to(device) for matrix in self.matrices),
            tuple(bias.to(device) for bias in self.biases),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """A forward pass of n inputs: `hidden[l-1]` [n, units] after layer l's nonlinearity, `logits` [n, classes]."""

    hidden: tuple[Tensor, ...]
    logits: Tensor

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted class numbers [n]."""
        predictions: NDArray[np.int64] = self.logits.argmax(1).cpu().numpy()
        return predictions

    def activations(self) -> tuple[NDArray[np.float32], ...]:
        """Activations [n, units] of hidden layers 1 … depth, in main memory."""
        return tuple(layer.cpu().numpy() for layer in self.hidden)


def layer_sizes(features: int, width: int, depth: int, classes: int) -> tuple[tuple[int, int], ...]:
    """Return (units out, units in) of layers 1 … depth and of the output layer."""
    return ((width, features), *((width, width),) * (depth - 1), (classes, width))


def initial_weights(
    network: Network, features: int, width: int, classes: int, study_seed: int, stream_key: str | None = None
) -> Weights:
    """Return the initial weights of `network`: Glorot uniform × gain, zero biases, float32 in main memory.

    The random stream of each matrix has a keyed seed (study seed, dataset, run, depth, activation, layer): neither the
    cohort nor the order matters, and a control starts exactly as its trained sibling. `stream_key` is the dataset's
    (`Dataset.stream_key`), its name unless told. Glorot and Bengio 2010, eq. 16.
    """
    matrices = []
    sizes = layer_sizes(features, width, network.depth, classes)
    for layer, (units, inputs) in enumerate(sizes, 1):
        gain = GAINS[network.activation] if layer <= network.depth else OUTPUT_GAIN
        limit = np.float32(gain * math.sqrt(6.0 / (inputs + units)))
        purpose = f"weights/{network.depth}/{network.activation}/{layer}"
        key = stream_seed(study_seed, stream_key or network.dataset, network.run, purpose)
        uniform = np.random.Generator(np.random.PCG64(key)).random((units, inputs), dtype=np.float32)
        matrices.append(torch.from_numpy((2.0 * uniform - 1.0) * limit))
    return Weights(network.activation, tuple(matrices), tuple(torch.zeros(units) for units, _ in sizes))


@torch.no_grad()
def forward(weights: Weights, inputs: Tensor) -> Pass:
    """Return the forward pass of standardised `inputs` [n, features] (float32, on the weights' device).

    On a CPU by one thread of torch: how torch cuts a tensor among threads decides the last bit of some entries (1 to 3
    of a logistic layer with two threads, thousands of a product with four), and a descent turns one last bit into up
    to 0.25 % of a score.
    """
    hidden = []
    a = inputs
    with one_torch_thread() if inputs.device.type == "cpu" else nullcontext():
        for matrix, bias in zip(weights.matrices[:-1], weights.biases[:-1], strict=True):
            a = torch.addmm(bias, a, matrix.t())
            activate_(a, weights.activation, torch.empty_like(a))
            hidden.append(a)
        return Pass(tuple(hidden), torch.addmm(weights.biases[-1], a, weights.matrices[-1].t()))
