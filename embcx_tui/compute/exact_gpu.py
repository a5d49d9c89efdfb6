"""Exact t-SNE of many sets at once on a torch device."""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from embcx_tui.compute.complexity import Complexity, Measurement


def measure(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: "Measurement",
    should_stop: Callable[[], bool],
) -> Generator[tuple[int, "Complexity"], None, None]:
    """Measure layers in batches sized from the device's free memory. Not there yet: on the CPU meanwhile."""
    from embcx_tui.compute.complexity import measure_on_cpu

    return measure_on_cpu(layers, seeds, measurement, should_stop)
