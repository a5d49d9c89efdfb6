"""Memory: what a device has left, the error where it runs out, how much a cohort needs, and cohorts split until they
fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch

from embcx_tui.compute.datasets.dataset import Dataset
from embcx_tui.compute.device import cores
from embcx_tui.compute.device_errors import in_words, is_device_error, is_out_of_memory
from embcx_tui.compute.training.network import layer_sizes
from embcx_tui.compute.training.trainer_gpu import EVALUATION_BATCH
from embcx_tui.study.errors import DeviceFailed, EmbcxError
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import StudySettings


class _HostShare:
    """Among how many processes of one study this machine's memory is divided."""

    processes = 1


host_share = _HostShare()


class OutOfMemory(EmbcxError):
    """The device's memory does not hold what was asked for; it may hold a smaller cohort."""


@contextmanager
def memory_guard(what: str) -> Iterator[None]:
    """Turn every error by which torch, numpy and a device report exhausted memory into OutOfMemory naming `what`, and
    every other error of a device into DeviceFailed.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"not enough memory for {what}") from None
        if is_device_error(error):
            raise DeviceFailed(f"the device failed ({what}): {in_words(error)}") from error
        raise


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be allocated on `device`; on a CPU without swapping, and shared among as many
    processes as `host_share` counts.
    """
    if device.type == "cuda":
        # Memory that this process freed is in torch's own cache: the driver counts it as used.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    return int(psutil.virtual_memory().available) // host_share.processes


def cpu_layers_at_once(n: int, bytes_per_pair: int = 24) -> int:
    """Return how many layers of n rows to measure at once on the CPU: one per core, within half of the free memory."""
    bytes_per_layer = bytes_per_pair * n * n  # 24: P in float64 and float32, and room for temporaries
    return max(1, min(cores(), free_bytes(torch.device("cpu")) // 2 // bytes_per_layer))


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
    layers = sum(network.depth for network in networks) + 5 * len(networks)
    step = 4 * batch * (layers * width + runs * features * 2 + len(networks) * classes * 8)
    evaluation = 4 * EVALUATION_BATCH * (len(networks) * (5 * width + 3 * classes) + 2 * features)
    order = 24 * runs * len(dataset.x_train)
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
