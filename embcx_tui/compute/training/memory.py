"""The memory that a cohort needs, and its division into parts that fit."""

from __future__ import annotations

from collections.abc import Sequence

from embcx_tui.compute.datasets.dataset import Dataset
from embcx_tui.compute.training.network import layer_sizes
from embcx_tui.compute.training.trainer_gpu import EVALUATION_BATCH
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import StudySettings


def memory_estimate(networks: Sequence[Network], dataset: Dataset, settings: StudySettings) -> int:
    """Return about how many bytes of the device's memory the training of `networks` needs at its peak."""
    width, features, classes = settings.networks.width, dataset.features, len(dataset.classes)
    runs = len({network.run for network in networks})
    batch = settings.training.batch_size
    # Parameters, velocities, and a copy of both: that which undoes an epoch, or the checkpoint's.
    parameters = 16 * sum(
        units * (inputs + 1)
        for network in networks
        for units, inputs in layer_sizes(features, width, network.depth, classes)
    )
    layers = sum(network.depth for network in networks) + 4 * len(networks)
    step = 4 * batch * (layers * width + runs * features * 2 + len(networks) * classes * 8)
    evaluation = 4 * EVALUATION_BATCH * (len(networks) * (4 * width + 3 * classes) + 2 * features)
    order = 16 * runs * len(dataset.x_train)
    return parameters + step + evaluation + order + dataset.nbytes


def split(
    networks: Sequence[Network], dataset: Dataset, settings: StudySettings, budget: int
) -> tuple[tuple[Network, ...], ...]:
    """Return `networks` in as few parts, by halving, as fit `budget` bytes each; runs stay whole where possible.

    A single network is always a part: whether it fits shows when it is trained.
    """
    if len(networks) <= 1 or memory_estimate(networks, dataset, settings) <= budget:
        return (tuple(networks),)
    runs = sorted({network.run for network in networks})
    if len(runs) > 1:
        early = set(runs[: len(runs) // 2])
        halves = [[n for n in networks if n.run in early], [n for n in networks if n.run not in early]]
    else:
        halves = [list(networks[: len(networks) // 2]), list(networks[len(networks) // 2 :])]
    return tuple(part for half in halves for part in split(half, dataset, settings, budget))
