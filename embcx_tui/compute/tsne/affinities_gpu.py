"""The affinities of many layers at once on a torch device: P as on a CPU, to the rounding of float64."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute.device import triton_kernels
from embcx_tui.compute.gpu_path import AFFINITIES
from embcx_tui.compute.memory import free_bytes
from embcx_tui.compute.tsne import kernels_torch
from embcx_tui.compute.tsne.affinities import AffinityInfo, affinity_info

# Bytes per pair that `kernels_torch` needs beside P meanwhile: distances, weights, products and masks. The kernels
# of `affinities_triton` work in place.
WORK_BYTES = 32


class AffinityKernels(Protocol):
    """The passes over all pairs that compute P in place, implemented by `kernels_torch` and `affinities_triton`."""

    def squared_distances(self, rows: Tensor, out: Tensor) -> None:
        """Write squared distances to out [b, n, n] from rows [b, n, d], both float64."""

    def conditional_probabilities(self, squared: Tensor, perplexity: float) -> tuple[Tensor, Tensor]:
        """Replace squared distances by p_j|i; return nearest squared distance and reached perplexity, [b, n] each."""

    def symmetrise(self, conditional: Tensor) -> Tensor:
        """Replace p_j|i by p_ij; return the entropies [b] in nats."""


def affinity_kernels(device: torch.device) -> AffinityKernels:
    """Return the Triton kernels where they compile and run on `device`, else those in plain torch."""
    kernels: AffinityKernels = triton_kernels(device, AFFINITIES) or kernels_torch
    return kernels


def affinities(
    layers: Sequence[NDArray[np.floating]], perplexity: float, joint: Tensor, kernels: AffinityKernels
) -> Iterator[list[tuple[AffinityInfo, float]]]:
    """Fill joint [b, n, n] float64 with the P of b layers [n, d] (finite; d may differ) on its device, chunk by chunk,
    and yield each chunk's infos and entropies (nats), in order.

    Consecutive layers of one width share a chunk, as many as an eighth of the free memory takes. The host waits for the
    device once per chunk. Where a layer cannot reach the perplexity, rows of its P are zero, and P has no meaning.
    """
    n = joint.shape[1]
    free = free_bytes(joint.device)
    start = 0
    while start < len(layers):
        d = layers[start].shape[1]
        size = max(1, free // 8 // (n * (WORK_BYTES * n + 16 * d)))
        end = start + 1
        while end < min(start + size, len(layers)) and layers[end].shape[1] == d:
            end += 1
        chunk = joint[start:end]
        rows = torch.from_numpy(np.stack(layers[start:end])).to(joint.device).double()
        kernels.squared_distances(rows, chunk)
        nearest, reached = kernels.conditional_probabilities(chunk, perplexity)
        entropies = kernels.symmetrise(chunk)
        nearest_rows, all_reached = nearest.cpu().numpy(), reached.all(dim=1).tolist()
        yield [
            (affinity_info(layer, nearest_rows[index], all_reached[index]), entropy)
            for index, (layer, entropy) in enumerate(zip(layers[start:end], entropies.tolist(), strict=True))
        ]
        start = end
