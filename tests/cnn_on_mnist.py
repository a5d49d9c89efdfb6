"""A small convolutional network on real MNIST, recorded while it trains, beside itself untrained; docs/measure.md has
what it gave: `python -P -m tests.cnn_on_mnist [IMAGES] [EPOCHS] [POINTS]` (30,000, 3 and 1,000), with MNIST/raw in
`$EMBCX_DATA_DIR`.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import embcx_tui
from embcx_tui.api.results import Study
from embcx_tui.compute import datasets
from embcx_tui.store.paths import data_folder, unpacked_folder


def network(seed: int = 0) -> nn.Sequential:
    """Convolutions of 16, 32, 64 and 64 channels and a layer of 100; the first gives 12,544 units."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(3136, 100), nn.ReLU(inplace=True), nn.Linear(100, 10),
    )  # fmt: skip


def images() -> tuple[TensorDataset, TensorDataset]:
    """MNIST's training and test images, [n, 1, 28, 28] from 0 to 1."""
    data = datasets.load("mnist", data_folder(), unpacked_folder())
    first, second = (
        TensorDataset(torch.from_numpy(x).reshape(-1, 1, 28, 28).float() / 255.0, torch.from_numpy(y))
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
    )
    return first, second


def record(count: int, epochs: int, points: int) -> tuple[Study, nn.Module]:
    """Train on `count` images and record every epoch on `points` test images; return the complete study and the
    trained network.
    """
    training, test = images()
    model, tests = network(), DataLoader(test, batch_size=250)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    batches = DataLoader(Subset(training, range(count)), batch_size=25, shuffle=True)
    with embcx_tui.Recorder(model, tests, dataset="mnist", name="cnn", points=points) as record:
        for epoch in range(epochs + 1):
            if epoch:
                train(model, batches, optimizer)
            before = time.process_time()
            record(epoch)
            print(f"epoch {epoch} handed over in {time.process_time() - before:.1f} CPU s", flush=True)
    return record.study.wait(), model


def train(model: nn.Module, batches: DataLoader[tuple[Tensor, ...]], optimizer: torch.optim.Optimizer) -> None:
    model.train()
    for inputs, labels in batches:
        optimizer.zero_grad()
        loss: Tensor = nn.functional.cross_entropy(model(inputs), labels)
        torch.autograd.backward(loss)
        optimizer.step()


def accuracy(model: nn.Module, test: TensorDataset) -> float:
    """The share of the test images that `model` classifies correctly."""
    model.eval()
    with torch.no_grad():
        batches = DataLoader(test, batch_size=250)
        right = [(model(inputs).argmax(1) == labels).float().mean() for inputs, labels in batches]
    return float(torch.stack(right).mean())


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    study, model = record(*(given + [30_000, 3, 1_000][len(given) :]))
    print(f"accuracy on the test images: {accuracy(model, images()[1]):.3f}")
    print(study)
