"""The schedule of a gradient descent: early exaggeration, momentum and learning rate by phase, the gains, the search
for starts, the stopping rule; and what a descent gives. CPU and GPU share it.
"""

from collections.abc import Sequence
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
class Search:
    """How the start of a descent is found: groups of starts, of which the best go on, until the best is found twice.

    Which minimum a descent ends in is decided while P is exaggerated, and the KL divergence soon tells which is low.
    One group is the default: more of them cost a third more time each and leave the noise of most layers as it is
    (docs/embedding-engine.md).
    """

    starts: int = 4
    """Starts per group; the very first is the principal plane, all others are random."""
    groups: int = 1
    """At most."""
    screened_after: int = 4
    """Phases after which the best `kept` of a group go on."""
    kept: int = 2
    agreement: float = 0.002
    """No further group where the two lowest KL divergences, one window after the exaggeration, differ by less than
    this (relative): two descents then found the same minimum.
    """

    @property
    def taken(self) -> int:
        """Starts that are taken at most."""
        return self.groups * self.starts

    def agreed(self, kls: Sequence[float]) -> bool:
        """Return whether the two lowest KL divergences (nats) of the kept starts say that the search is over."""
        lowest, second = sorted(kls)[:2]
        return second - lowest < self.agreement * lowest

    def __post_init__(self) -> None:
        if not 2 <= self.kept <= self.starts:
            raise ValueError(f"2 to {self.starts} starts must be kept, not {self.kept}")


@dataclass(frozen=True, slots=True)
class ThoroughSearch:
    """The search for a layer that is measured once for many networks, the input of a run: many starts, screened twice,
    and of those that are left all converge. The lowest is then gathered: drawn together and spread anew.

    How the large clusters lie is decided by the start; gathering moves what is caught between them. So the result
    varies less from search to search than that of `Search`, for five times the iterations (docs/embedding-engine.md).
    """

    starts: int = 24
    """The first is the principal plane, all others are random."""
    screens: tuple[tuple[int, int], ...] = ((3, 8), (8, 4))
    """(phases, kept): after so many phases of the schedule the lowest so many go on, two or more; in order."""
    gathered_to: float = 0.5
    """Scale of the converged points, at which they start again."""
    jitter: float = 0.02
    """Standard deviation of what is added to each coordinate then, in units of the points' distance from their mean
    (root mean square): points that lie upon each other part.
    """
    phases: tuple[Phase, ...] = tuple(Phase(40, exaggeration, 0.5, 0.8) for exaggeration in (1.6, 1.4, 1.2))
    """After the points are gathered, before they converge again."""

    @property
    def taken(self) -> int:
        """Starts that are taken: those that descend, and one whose random points are the jitter."""
        return self.starts + 1

    @property
    def kept(self) -> int:
        """Starts that converge."""
        return self.screens[-1][1]


# Finds Z of the points at hand before they move: one iteration of no step.
MEASURE_Z = Phase(1, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The phases of a descent and when it has converged; docs/embedding-engine.md says how the defaults were chosen."""

    phases: tuple[Phase, ...] = (
        *(Phase(40, exaggeration, 0.5, 0.8) for exaggeration in (3.5, 2.8, 2.3, 1.9, 1.6, 1.4, 1.2, 1.1)),
        Phase(4680, 1.0, 0.5, 0.93),
    )
    """In order; the last one runs until the descent has converged, or to its number of iterations, the cap."""
    search: Search | ThoroughSearch | None = Search()
    """None: one start."""
    min_gain: float = 0.5
    window: int = 50
    """Iterations between two exact KL divergences, in the last phase."""
    tolerance: float = 1e-4
    """Converged: the relative change of the exact KL over one window is below this."""

    def __post_init__(self) -> None:
        if isinstance(self.search, Search) and self.search.screened_after >= len(self.phases):
            raise ValueError("starts must be screened before the last phase")
        if isinstance(self.search, ThoroughSearch) and self.search.screens[-1][0] != len(self.phases) - 1:
            raise ValueError("starts must be screened for the last time before the last phase")

    @property
    def max_iterations(self) -> int:
        return sum(phase.iterations for phase in self.phases)

    @property
    def search_iterations(self) -> int:
        """Iterations of a start that was kept, until the starts are compared: the early phases and one window."""
        return sum(phase.iterations for phase in self.phases[:-1]) + self.window

    @property
    def group_iterations(self) -> int:
        """Iterations of a whole group of starts until then."""
        assert isinstance(self.search, Search)
        screening = sum(phase.iterations for phase in self.phases[: self.search.screened_after])
        return self.search.starts * screening + self.search.kept * (self.search_iterations - screening)


DEFAULT_SCHEDULE = Schedule()
# Of the inputs of runs, by default.
THOROUGH_SCHEDULE = Schedule(search=ThoroughSearch())
# The schedule of studies that were begun before the search for starts: the same phases for ever, so that they resume.
PLAIN_SCHEDULE = Schedule(
    (Phase(75, 2.0, 0.5, 0.8), Phase(50, 1.0, 1.0, 0.8), Phase(4875, 1.0, 0.5, 0.93)), search=None
)


@dataclass(frozen=True, slots=True)
class DescentResult:
    """Where a descent ended."""

    points: Points
    """[n, 2]"""
    kl: float
    """Exact KL divergence in nats, float64, of exactly these points."""
    iterations: int
    """From its start to its end."""
    relative_change: float
    """|change of KL| / KL over the last window."""
    gradient_norm: float
    """Euclidean norm of the KL's gradient over all 2n coordinates."""
    converged: bool
    """relative_change < tolerance; False: the cap stopped the descent."""
    start_kls: tuple[float, ...] = ()
    """The exact KL divergences (nats), one window after the exaggeration, of the starts that were kept; in order."""
    starts: int = 1
    """Starts that were tried."""
    spent: int = 0
    """Iterations of all starts together."""
