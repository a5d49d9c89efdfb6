"""The embedding complexity of one large layer: P packed for the descent, and in blocks for the exact score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Points
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne import opentsne_engine
from embcx_tui.compute.tsne.affinities_blocks import row_affinities
from embcx_tui.compute.tsne.descent_cpu import descend_layer
from embcx_tui.compute.tsne.descent_packed import PackedLayer, exact_kl_in_blocks, packed_gradient_norm
from embcx_tui.compute.tsne.initialization import initial_points, start_seed
from embcx_tui.compute.tsne.packed_affinities import pack
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import DescentResult, Stopped, ThoroughSearch
from embcx_tui.compute.tsne.start_search_cpu import search_layer, search_layer_thoroughly
from embcx_tui.compute.tsne.team import Team
from embcx_tui.study.sample_sizes import PACKED

# Layers measured at the same time: 2 n² bytes each, of 10 n² that all may take together.
MOST_AT_ONCE = 4
# Relative change of the exact KL over a window at which a large layer has converged, three times that of small ones:
# their KL creeps for longer (docs/embedding-engine.md says what it leaves).
TOLERANCE = 3e-4


def measure_layer(
    activations: NDArray[np.floating],
    seed: int,
    measurement: Measurement,
    threads: int,
    should_stop: Callable[[], bool],
) -> Complexity:
    """Return the `Complexity` of a large layer's finite activations [n, d]; raises Stopped where should_stop() is true.

    threads: that share the layer; the result is the same with any number.
    """
    engine = "opentsne" if measurement.engine == "opentsne" else PACKED
    with Team(threads) as team:
        p = row_affinities(activations, measurement.perplexity, team)
        if not p.info.reached:
            return Complexity.without_affinities(p.info, p.n, engine)
        if should_stop():
            raise Stopped
        schedule = replace(measurement.schedule, tolerance=max(measurement.schedule.tolerance, TOLERANCE))
        layer = PackedLayer(p, pack(p, team), team, schedule, should_stop)

        def score(points: NDArray[np.floating]) -> float:
            return exact_kl_in_blocks(p, points, team)

        results: list[DescentResult] = []
        for indices in measurement.start_indices():
            starts = (initial_points(activations, seed, index) for index in indices)
            if engine == "opentsne":
                result = opentsne_engine.embed(
                    activations, score, lambda points: packed_gradient_norm(layer, points), measurement.perplexity,
                    next(starts), start_seed(seed, indices[0]), threads, schedule,
                )  # fmt: skip
            else:
                layer.spent = 0
                with timed_part("descent and score"):
                    result = _descend(layer, starts)
            results.append(result)
        return Complexity.of_restarts(p.info, results, layer.entropy, engine)


def _descend(layer: PackedLayer, starts: Iterator[Points]) -> DescentResult:
    """Descend as the layer's schedule says."""
    search = layer.schedule.search
    if search is None:
        return descend_layer(layer, next(starts))
    return search_layer_thoroughly(layer, starts) if isinstance(search, ThoroughSearch) else search_layer(layer, starts)
