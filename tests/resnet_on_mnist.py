"""Three ResNet-18s on real MNIST and the same untrained, measured from files of their activations; docs/measure.md has
what it gave and README.md its picture: `python -P -m tests.resnet_on_mnist FOLDER [IMAGES] [EPOCHS] [RUNS]` (12,000, 3
and 3), with MNIST/raw in `$EMBCX_DATA_DIR`, writes the files, and prints the command that measures them.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision.models.feature_extraction import create_feature_extractor

from tests.cnn_on_mnist import accuracy, images, train

POINTS = 1_000
LAYERS = {
    "relu": "stem", "maxpool": "pool",
    **{f"layer{stage}.{block}": f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)},
    "avgpool": "avgpool", "fc": "fc",
}  # fmt: skip


def enlarged(data: TensorDataset) -> TensorDataset:
    """MNIST's images in three equal channels, [n, 3, 32, 32]."""
    x, y = data.tensors
    return TensorDataset(nn.functional.pad(x, (2, 2, 2, 2)).expand(-1, 3, -1, -1), y)


def activations(model: nn.Module, inputs: Tensor) -> dict[str, NDArray[np.float32]]:
    """The flattened outputs of LAYERS for inputs [n, 3, 32, 32], and the inputs themselves."""
    tapped = create_feature_extractor(model, LAYERS).eval()
    with torch.no_grad():
        parts = [tapped(inputs[start : start + 100]) for start in range(0, len(inputs), 100)]
    rows = {name: torch.cat([part[name].flatten(1) for part in parts]).numpy() for name in LAYERS.values()}
    return {"input": inputs.flatten(1).numpy(), **rows}


def write(folder: Path, run: int, count: int, epochs: int) -> tuple[Path, Path]:
    """Train a network; write its activations and those of the untrained one, and return the two files."""
    training, test = (enlarged(data) for data in images())
    torch.manual_seed(run)
    model = torchvision.models.resnet18(weights=None, num_classes=10)
    rows = np.concatenate([np.flatnonzero(test.tensors[1].numpy() == digit)[: POINTS // 10] for digit in range(10)])
    inputs, labels = test.tensors[0][rows], test.tensors[1][rows].numpy()
    files = folder / f"trained{run}.npz", folder / f"untrained{run}.npz"
    np.savez(files[1], y=labels, **activations(model, inputs))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batches = DataLoader(Subset(training, range(count)), batch_size=50, shuffle=True)
    for _ in range(epochs):
        train(model, batches, optimizer)
    np.savez(files[0], y=labels, **activations(model, inputs))  # type: ignore[arg-type]
    reached = accuracy(model, test)
    print(f"run {run}: accuracy on the test images {reached:.3f}", flush=True)
    return files


def main(folder: Path, count: int, epochs: int, runs: int) -> None:
    files = [write(folder, run, count, epochs) for run in range(runs)]
    command = ["embcx-tui", "measure", *(str(trained) for trained, _ in files)]
    for _, untrained in files:
        command += ["--untrained", str(untrained)]
    print(shlex.join([*command, "--dataset", "mnist", "--name", "resnet18"]))


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[2:]]
    main(Path(sys.argv[1]), *(given + [12_000, 3, 3][len(given) :]))
