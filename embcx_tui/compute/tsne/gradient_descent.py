"""Gradient descent on the exact KL divergence: what its implementations on a CPU and on a GPU share. The schedule of
phases, the rule of the gains, and the result.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from embcx_tui.compute.array_types import Points

# The gain of each coordinate (Jacobs 1988, as in van der Maaten's t-SNE): this much is added while the step keeps its
# direction, and it is multiplied by the decay when the step turns.
GAIN_INCREASE = 0.2
GAIN_DECAY = 0.8


class Stopped(Exception):
    """The caller's `should_stop` returned True between two stretches of the descent."""


def never() -> bool:
    """Return False: the default `should_stop`."""
    return False


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the descent with constant settings."""

    iterations: int
    exaggeration: float
    """Factor on P (early exaggeration): above 1, clusters gather before they spread."""
    learning_rate: float
    """Step for a quarter of the gradient, in units of n (openTSNE's "auto" is 1, with the same quarter)."""
    momentum: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """The phases of a descent and when it has converged; docs/embedding-engine.md says how the defaults were chosen."""

    phases: tuple[Phase, ...] = (Phase(75, 2.0, 0.5, 0.8), Phase(50, 1.0, 1.0, 0.8), Phase(4875, 1.0, 0.5, 0.93))
    """In order; the last one runs until the descent has converged, or to its number of iterations, the cap."""
    min_gain: float = 0.5
    window: int = 50
    """Iterations between two exact KL divergences, in the last phase."""
    tolerance: float = 1e-4
    """Converged: the relative change of the exact KL over one window is below this."""

    @property
    def max_iterations(self) -> int:
        return sum(phase.iterations for phase in self.phases)

    def stretches(self) -> Iterator[tuple[Phase, int, bool]]:
        """Yield (phase, iterations, whether convergence is tested after them): the early phases whole, the last one
        window by window.
        """
        *early, last = self.phases
        for phase in early:
            yield phase, phase.iterations, False
        for first in range(0, last.iterations, self.window):
            yield last, min(self.window, last.iterations - first), True


DEFAULT_SCHEDULE = Schedule()


@dataclass(frozen=True, slots=True)
class DescentResult:
    """Where a descent ended."""

    points: Points
    """[n, 2]"""
    kl: float
    """Exact KL divergence in nats, float64, of exactly these points."""
    iterations: int
    relative_change: float
    """|change of KL| / KL over the last window."""
    gradient_norm: float
    """Euclidean norm of the KL's gradient over all 2n coordinates."""
    converged: bool
    """relative_change < tolerance; False: the cap stopped the descent."""
