"""What recording costs the caller: `python -P -m tests.recorder_cost [EPOCHS] [POINTS]` (40 and 1,000); docs/measure.md
has what it printed. Ten layers of 256 units, and a convolutional network whose layers are reduced.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import psutil
import torch
from torch import nn
from torch.utils.data import TensorDataset

import embcx_tui
from embcx_tui.store.library import find_study
from tests.cnn_on_mnist import network as convolutions


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def forward(model: nn.Module, inputs: torch.Tensor) -> None:
    with torch.no_grad():
        for start in range(0, len(inputs), 64):
            model(inputs[start : start + 64])


def main(epochs: int, points: int) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(10):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    models = {"10 × 256": (nn.Sequential(*layers), (256,)), "conv, up to 12,544": (convolutions(), (1, 28, 28))}
    for what, (model, shape) in models.items():
        inputs = torch.rand(points, *shape)
        data = TensorDataset(inputs, torch.arange(points) % 10)
        own = psutil.Process()
        passes = min(cpu_s(partial(forward, model, inputs)) for _ in range(3))
        with embcx_tui.Recorder(model, data, name="cost", points=points, perplexity=10.0) as record:
            record(1)
            after_first = own.memory_info().rss
            count = epochs if what.startswith("10") else 4
            times = sorted(cpu_s(partial(record, epoch)) for epoch in range(2, count + 1))
            grown = own.memory_info().rss - after_first
        print(
            f"{what}: a forward pass {passes:.2f} CPU s, record() {times[len(times) // 2]:.2f} (median);"
            f" memory grew by {grown / 1e6:.0f} MB over {count} epochs",
            flush=True,
        )
        study = record.study.wait()
        inbox = find_study(study.id).inbox
        print(f"{study.state}; entries left in the inbox: {len(list(inbox.glob('0*')))}", flush=True)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [40, 1_000][len(given) :]))
