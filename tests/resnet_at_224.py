"""What ResNet-18 with random weights takes at 224 × 224: 1,000 random images, ten layers, from the call to the last KL:
`python -P -m tests.resnet_at_224 [POINTS]`, on a quiet machine.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time

import psutil
import torch
import torchvision
from torch import Tensor
from torch.utils.data import Dataset

import embcx_tui

LAYERS = ["maxpool", "layer?.?", "fc"]


class Images(Dataset[tuple[Tensor, int]]):
    """Random images in ten classes, each made when it is asked for, as a folder of images is read."""

    def __init__(self, count: int) -> None:
        self.targets = (torch.arange(count) % 10).tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(place)), self.targets[place]


def main(points: int) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    peak, cpu = 0, 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak, cpu
        while not done.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                try:
                    peak = max(peak, child.memory_info().rss)
                    cpu = max(cpu, sum(child.cpu_times()[:2]))
                except psutil.Error:
                    continue

    threading.Thread(target=watch, daemon=True).start()
    before, own = time.perf_counter(), time.process_time()
    study = embcx_tui.measure(model, Images(points), layers=LAYERS, points=points, name="resnet18 at 224")
    done.set()
    print(
        f"{len(study.layers)} layers with the input: {time.perf_counter() - before:.0f} s; CPU s here"
        f" {time.process_time() - own:.0f}, of the worker {cpu:.0f}; peak here"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, of the worker {peak / 1e9:.2f} GB;"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
