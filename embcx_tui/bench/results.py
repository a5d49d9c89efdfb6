"""The results of the benchmarks, as `bench … --json` prints them: types alone, which the command shares.

Times are in seconds, memory in bytes; docs/bench.md explains the keys.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Clock(TypedDict):
    """Wall seconds, and processor seconds of all threads, of one embedding or of one network's epoch."""

    seconds: float
    cpu_seconds: float


class Machine(TypedDict):
    """The machine as it was when the benchmark began; `load` is that of 1, 5 and 15 minutes."""

    cpu: str
    cores: int  # that this process may use
    threads: int  # of torch
    memory: int
    load: list[float]
    device: str
    gpu: str | None
    driver: str | None
    system: str
    versions: dict[str, str | None]
    load_after: NotRequired[list[float]]  # set at the end


class Side(Clock):
    """One side of a comparison, with its mean exact KL."""

    name: str
    exact_kl: float
    settings: str


class TrainSide(Side):
    test_accuracy: float  # 0 … 1, the mean over networks


class Trial(Clock):
    settings: str


class FirstCall(TypedDict):
    """Seconds of a process's first call: with an empty cache of compiled code, and with a full one."""

    compiling: float
    cached: float


class Comparison(TypedDict):
    """What `embed` and `train` have in common: ratios are of the reference's times to ours."""

    ratio: float
    cpu_ratio: float
    idle_ratio: float | None
    machine: Machine
    material: str
    settings_tried: list[Trial]
    first_call: FirstCall | None
    calibration: NotRequired[dict[str, float]]  # set at the end


class LayerRow(Clock):
    layer: str
    engine: str
    exact_kl: float
    iterations: int
    n: int
    d: int


class GrowthRow(Clock):
    n: int
    ratio: float
    exact_kl: float | None
    reference_seconds: float
    reference_cpu_seconds: float
    reference_exact_kl: float | None
    engine: str
    reference_settings: str


class CountRow(Clock):
    embeddings: int


class EmbedResult(Comparison):
    ours: Side
    reference: Side
    rows: list[LayerRow]
    alone: dict[str, float | str]
    growth: list[GrowthRow]
    counts: list[CountRow]
    memory: dict[str, int]  # peaks: before, ours, reference, ours_gpu


class Difference(TypedDict):
    """Means of a number on both sides, and the mean of ours less theirs with its standard error."""

    ours: float
    reference: float
    difference: float
    standard_error: float


class Agreement(TypedDict):
    """Whether both sides learn the same."""

    what: str
    test_accuracy: Difference
    exact_kl: Difference


class CohortRow(Clock):
    networks: int
    peak_memory: int
    estimated_memory: int
    free_memory: int


class TrainResult(Comparison):
    ours: TrainSide
    reference: TrainSide
    agreement: Agreement
    rows: list[CohortRow]
    memory: dict[str, int]  # peak: reference


# `from` says where a figure is from; as a keyword it cannot be a field of a class.
CostRow = TypedDict("CostRow", {"part": str, "count": int, "seconds_each": float, "seconds": float, "from": str})


def cost_row(part: str, count: int, seconds_each: float, source: str) -> CostRow:
    """Return one row of a sum: `count` times `seconds_each`, and where the figure is from."""
    return {"part": part, "count": count, "seconds_each": seconds_each, "seconds": count * seconds_each, "from": source}


class PartRow(Clock):
    part: str
    share: float  # of the sum of all parts


class Breakdown(TypedDict):
    """Where the time of a study goes. Parts run on several threads: their seconds add up to more than the wall time."""

    study: str
    wall: float
    cpu_seconds: float
    parts: list[PartRow]
    what: str
    peak_memory: int
    estimated_seconds: float


class LibraryCost(TypedDict):
    """What a study costs with openTSNE and a plain PyTorch loop."""

    study: str
    what: str
    seconds: float
    rows: list[CostRow]


class PaperResult(TypedDict):
    seconds: float
    rows: list[CostRow]
    machine: Machine
    material: str
    memory: dict[str, dict[str, int]]
    preset_seconds: float
    preset_what: str
    breakdowns: list[Breakdown]
    libraries: list[LibraryCost]
    calibration: NotRequired[dict[str, float]]  # set at the end
