"""P of many layers at once on a torch device: the same numbers as on a CPU, to the rounding of float64."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute.device import free_bytes, triton_kernels
from embcx_tui.compute.tsne import affinities_torch
from embcx_tui.compute.tsne.affinities import AffinityInfo, facts

# Bytes a pair that `neighbourhoods_torch` needs beside P while it makes it: distances, weights, products and masks.
# The kernels of `neighbourhoods_triton` work in place.
WORK_BYTES = 32


class AffinityKernels(Protocol):
    """The passes that make P in place, of which there are two makes: `neighbourhoods_torch` and
    `neighbourhoods_triton`.
    """

    def squared_distances(self, rows: Tensor, out: Tensor) -> None:
        """Write squared distances to out [b, n, n] from rows [b, n, d], both float64."""

    def calibrate(self, squared: Tensor, perplexity: float) -> tuple[Tensor, Tensor]:
        """Replace squared distances by p_j|i; return nearest [b, n] and reached [b, n]."""

    def symmetrise(self, conditional: Tensor) -> Tensor:
        """Replace p_j|i by p_ij; return the entropies [b] in nats."""


def affinity_kernels(device: torch.device) -> AffinityKernels:
    """Return the Triton passes where they compile and run on `device`, else the plain torch ones."""
    chosen: AffinityKernels = triton_kernels(device, "tsne.affinities_triton") or affinities_torch
    return chosen


def affinities(
    layers: Sequence[NDArray[np.floating]], perplexity: float, joint: Tensor, chosen: AffinityKernels
) -> Iterator[list[tuple[AffinityInfo, float]]]:
    """Fill joint [b, n, n] float64 with the P of b layers [n, d] (finite; d may differ) on its device, chunk by chunk,
    and yield each chunk's facts and entropies (nats), in order.

    Neighbouring layers of one width share a chunk, as many as an eighth of the free memory takes. The host waits for
    the device once a chunk. A layer whose perplexity cannot be reached has rows of zeros, and no meaning.
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
        part = joint[start:end]
        rows = torch.from_numpy(np.stack(layers[start:end])).to(joint.device).double()
        chosen.squared_distances(rows, part)
        nearest, reached = chosen.calibrate(part, perplexity)
        entropies = chosen.symmetrise(part)
        near, all_reached = nearest.cpu().numpy(), reached.all(dim=1).tolist()
        yield [
            (facts(layer, near[place], all_reached[place]), entropy)
            for place, (layer, entropy) in enumerate(zip(layers[start:end], entropies.tolist(), strict=True))
        ]
        start = end
