"""The independent reference: the same networks in nn.Linear, autograd and torch.optim.SGD."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from embcx_tui.compute.datasets.dataset import Dataset
from embcx_tui.compute.training.network import Weights

MODULES: dict[str, type[nn.Module]] = {
    "logsig": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softsign": nn.Softsign,
    "relu": nn.ReLU,
}


def reference_network(weights: Weights, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Return `weights` as a stack of nn.Linear and activation modules."""
    modules: list[nn.Module] = []
    for matrix, bias in zip(weights.matrices, weights.biases, strict=True):
        linear = nn.Linear(matrix.shape[1], matrix.shape[0]).to(dtype)
        with torch.no_grad():
            linear.weight.copy_(matrix)
            linear.bias.copy_(bias)
        modules += [linear, MODULES[weights.activation]()]
    return nn.Sequential(*modules[:-1])


def reference_train(
    model: nn.Sequential, dataset: Dataset, batches: list[Tensor], learning_rate: float, momentum: float
) -> list[float]:
    """Train `model` on minibatches of training indices; return their mean cross-entropies."""
    dtype = next(model.parameters()).dtype
    x = ((torch.from_numpy(dataset.x_train).double() - dataset.mean) / dataset.std).to(dtype)
    y = torch.from_numpy(dataset.y_train)
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)
    losses = []
    for batch in batches:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses
