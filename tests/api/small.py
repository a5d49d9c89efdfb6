"""A small network on points in clusters, which training untangles in a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES, POINTS, PERPLEXITY = 4, 80, 10.0


def blobs(total: int = 400, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(total) % CLASSES
    centres = 2.0 * torch.randn(CLASSES, 12, generator=generator)
    return TensorDataset(centres[labels] + torch.randn(total, 12, generator=generator), labels)


def loader(
    dataset: TensorDataset | None = None, batch_size: int = 32, shuffle: bool = False
) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(dataset or blobs(), batch_size=batch_size, shuffle=shuffle)


def network(seed: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def train_epoch(model: nn.Module, data: TensorDataset) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for inputs, labels in DataLoader(data, batch_size=20):
        optimizer.zero_grad()
        loss: Tensor = nn.functional.cross_entropy(model(inputs), labels)
        torch.autograd.backward(loss)
        optimizer.step()
