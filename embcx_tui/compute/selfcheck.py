"""The self-check of a GPU: small pieces of every kind of work, against the CPU in float64 or against themselves.

What differs goes one step down the ladder of `gpu_path`, and all is checked again; where the plainest path is wrong
too, the device is refused. The very variants that a study runs are compiled and checked: its sizes are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset
from embcx_tui.compute.device_errors import in_words, is_out_of_memory
from embcx_tui.compute.gpu_path import ACTIVATIONS, AFFINITIES, DESCENTS, GRAPHS, PARTS, gpu_path
from embcx_tui.compute.memory import OutOfMemory
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.network import initial_weights
from embcx_tui.compute.training.trainer_gpu import BatchedTrainer
from embcx_tui.compute.tsne import descent_cpu, descent_gpu
from embcx_tui.compute.tsne.affinities import affinities
from embcx_tui.compute.tsne.affinities_gpu import affinities as batch_affinities
from embcx_tui.compute.tsne.affinities_gpu import affinity_kernels
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.initialization import principal_start
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.compute.tsne.schedule import DescentResult, Phase, Schedule
from embcx_tui.study.errors import RequestError
from embcx_tui.study.plan import Network, make_plan
from embcx_tui.study.settings import (
    DataSettings,
    MachineSettings,
    MeasureSettings,
    NetworkSettings,
    StudySettings,
    TrainingSettings,
)

# Largest differences, relative, and what was seen where nothing is wrong: P 3e-12; five iterations 1e-7 between the two
# programs of a CPU; a score 1e-15; a whole descent ends in a minimum nearby; a gradient 9e-7, where TF32 has some 1e-3.
_P_TOLERANCE = 1e-8
_STEPS_TOLERANCE = 1e-3
_SCORE_TOLERANCE = 1e-9
_DESCENT_TOLERANCE = 0.02
_GRADIENT_TOLERANCE = 5e-5
# Rows of whole descents at most: on a CPU core one of 1,000 takes some 0.3 s.
_DESCENT_ROWS = 1_000
_DESCENT_LAYERS = 4
# Above these the reference in float64 would take the CPU more than seconds.
_WIDEST, _LARGEST_BATCH, _MOST_FEATURES = 512, 1_000, 10_000
_CLASSES = tuple("0123456789")


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that are checked: those of a study, or of the paper's."""

    points: tuple[int, ...] = (1_000,)
    """Rows of the samples."""
    perplexity: float = 30.0
    features: tuple[int, ...] = (784, 3_072)
    """Of the datasets."""
    width: int = 100
    batch_size: int = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check: whether it holds, and in words by how much."""

    name: str
    holds: bool
    words: str
    was_made: bool = True
    """False where there was no memory for it."""


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    run: Callable[[], tuple[bool, str]]
    parts: tuple[str, ...]
    """What it depends on, in the order in which the parts are given up."""


def self_check(device: torch.device, sizes: Sizes = Sizes()) -> tuple[Outcome, ...]:
    """Return the outcomes of all checks of `device` on the path that is left when all of them hold.

    Takes some seconds, and 10 to 25 more where kernels are compiled. Raises RequestError where the plainest path gives
    wrong numbers too.
    """
    while True:
        outcomes: list[Outcome] = []
        for check in _checks(device, sizes):
            outcome = _run(check)
            outcomes.append(outcome)
            if not outcome.holds:
                _step_down(device, check, outcome)
                break
        else:
            return tuple(outcomes)


def _step_down(device: torch.device, check: _Check, outcome: Outcome) -> None:
    part = next((part for part in check.parts if gpu_path.is_fast(part)), None)
    if part is None:
        raise RequestError(
            f'{device} computes wrong numbers here ({outcome.name}: {outcome.words}); use device = "cpu"'
        )
    plain = f"{PARTS[part].name} from now on {PARTS[part].plain}"
    gpu_path.step_down((part,), f"{device} fails the self-check ({outcome.name}: {outcome.words}), {plain}")


def _run(check: _Check) -> Outcome:
    try:
        holds, words = check.run()
    except Exception as error:  # whatever a compiler, a driver or a library raises: the path is not to be used
        if is_out_of_memory(error) or isinstance(error, OutOfMemory):
            return Outcome(check.name, True, "not checked: the device is short of memory", was_made=False)
        return Outcome(check.name, False, f"{type(error).__name__}: {in_words(error)}")
    return Outcome(check.name, holds, words)


def _checks(device: torch.device, sizes: Sizes) -> Iterator[_Check]:
    points = sorted(set(sizes.points))
    for n in sorted({33, 960, *points} if device.type == "cuda" else points):
        perplexity = sizes.perplexity if n in points else min(30.0, n / 4)
        yield _Check(f"P of {n:,} rows", partial(_pairs, device, n, perplexity), (AFFINITIES,))
        if n in points:
            yield _Check(f"iterations on {n:,} rows", partial(_iterations, device, n, perplexity), (DESCENTS,))
            yield _Check(f"score of {n:,} rows", partial(_score, device, n, perplexity), (DESCENTS,))
    n = min(points[-1], _DESCENT_ROWS)  # the perplexity fits the study's samples, so perhaps not this many rows
    measurement = Measurement(perplexity=min(sizes.perplexity, n / 4), device=str(device))
    embedding = DESCENTS, AFFINITIES
    yield _Check("whole descents", partial(_descents, n, measurement), embedding)
    yield _Check("a layer alone and in company", partial(_company, n, measurement), embedding)
    for features in sorted({min(each, _MOST_FEATURES) for each in sizes.features}):
        gradients = partial(_gradients, device, features, sizes)
        yield _Check(f"gradients on {features:,} inputs", gradients, (ACTIVATIONS, GRAPHS))
    if device.type == "cuda" and gpu_path.is_fast(GRAPHS):
        yield _Check("graph and call by call", partial(_graphs, device, sizes), (GRAPHS,))


def _layer(n: int, d: int, seed: int) -> NDArray[np.float32]:
    """Return ten overlapping clouds of n points with few directions each, like the classes of a hidden layer [n, d]."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.standard_normal((10, d)), -(-n // 10), axis=0)[:n]
    within = random.standard_normal((n, 12)) @ random.standard_normal((12, d)) * 0.4
    return np.tanh(centres + within).astype(np.float32)


def _pairs(device: torch.device, n: int, perplexity: float) -> tuple[bool, str]:
    """Compare P, its entropy and what is found about two layers with the CPU's, and P with its mirror image."""
    layers = [_layer(n, d, seed) for seed, d in enumerate((100, 100))]
    joint = torch.full((len(layers), n, n), torch.nan, dtype=torch.float64, device=device)
    chunks = batch_affinities(layers, perplexity, joint, affinity_kernels(device))
    found = [one for chunk in chunks for one in chunk]
    offs = []
    for place, rows in enumerate(layers):
        wanted = affinities(rows, perplexity)
        info, joint_entropy = found[place]
        if wanted.joint is None or not info.reached or info.duplicates != wanted.duplicates:
            return False, "other facts about its rows"
        got = joint[place].cpu().numpy()
        if not np.array_equal(got, got.T):
            return False, "it is not symmetric"
        off = np.abs(got - wanted.joint) / np.maximum(wanted.joint, 1e-300)
        offs += [float(off[wanted.joint > 0].max()), abs(joint_entropy / entropy(wanted.joint) - 1)]
    worst = float(np.max(offs))  # NaN where one is
    return worst < _P_TOLERANCE, f"largest relative difference {worst:.1e}"


def _brief(device: torch.device, n: int, perplexity: float) -> tuple[NDArray[np.float64], DescentResult, DescentResult]:
    """Return P, and five iterations from the principal plane by the CPU and by `device`."""
    rows = _layer(n, 100, 3)
    joint = affinities(rows, perplexity).joint
    assert joint is not None
    start = principal_start(rows)
    schedule = Schedule(phases=(Phase(5, 2.0, 0.5, 0.8),), search=None, tolerance=0.0, window=5)
    joint_entropy = entropy(joint)
    ((_, ours),) = descent_gpu.descend(
        torch.from_numpy(joint)[None].to(device),
        torch.from_numpy(start)[None, None].to(device),
        torch.zeros(1, dtype=torch.int64, device=device),
        torch.tensor([joint_entropy], dtype=torch.float64, device=device),
        schedule,
        descent_gpu.descent_kernels(device),
    )
    return joint, descent_cpu.descend(joint, start, schedule, joint_entropy), ours


def _iterations(device: torch.device, n: int, perplexity: float) -> tuple[bool, str]:
    _, wanted, ours = _brief(device, n, perplexity)
    off = float(np.abs(ours.points - wanted.points).max() / np.abs(wanted.points).max())
    return off < _STEPS_TOLERANCE, f"largest difference {off:.1e} of the largest coordinate"


def _score(device: torch.device, n: int, perplexity: float) -> tuple[bool, str]:
    joint, _, ours = _brief(device, n, perplexity)
    again = exact_kl(joint, ours.points)
    off = abs(ours.kl / again - 1)
    norm = abs(ours.gradient_norm / descent_cpu.gradient_norm(joint, ours.points.T) - 1)
    holds = off < _SCORE_TOLERANCE and norm < _STEPS_TOLERANCE
    return holds, f"relative difference {off:.1e}, of the gradient's norm {norm:.1e}"


def _descents(n: int, measurement: Measurement) -> tuple[bool, str]:
    """Compare the KL divergences of whole descents with the CPU's: lower is no fault."""
    layers, seeds = [_layer(n, 100, seed) for seed in range(_DESCENT_LAYERS)], range(_DESCENT_LAYERS)
    ours = dict(descent_gpu.measure_batches(layers, seeds, measurement))
    on_cpu = Measurement(perplexity=measurement.perplexity)
    wanted = dict(measure(layers, seeds, on_cpu))
    worst = float(np.max([(ours[index].kl or np.nan) / (one.kl or np.nan) - 1 for index, one in wanted.items()]))
    return worst < _DESCENT_TOLERANCE, f"KL at most {100 * worst:.2f} % above the CPU's"


def _company(n: int, measurement: Measurement) -> tuple[bool, str]:
    """Compare what a layer gets alone with what it gets beside others, after some hundred iterations."""
    brief = replace(
        measurement, schedule=Schedule(phases=(Phase(50, 2.0, 0.5, 0.8), Phase(150, 1.0, 0.5, 0.8)), search=None)
    )
    layers = [_layer(n, 100, seed) for seed in range(3)]
    together = dict(descent_gpu.measure_batches(layers, range(3), brief))[2]
    ((_, alone),) = descent_gpu.measure_batches(layers[2:], [2], brief)
    same = np.array_equal(alone.points, together.points) and alone.kl == together.kl
    return same, "bit for bit" if same else f"KL {alone.kl} and {together.kl}"


def _cohort(device: torch.device, features: int, sizes: Sizes) -> tuple[CohortTraining, Dataset, StudySettings]:
    """Return networks of every activation, three depths and two runs; the last minibatch is smaller."""
    batch = min(sizes.batch_size, _LARGEST_BATCH)
    random = np.random.default_rng(0)

    def part(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pixels = random.integers(0, 256, (n, features), dtype=np.uint8)
        return pixels, random.integers(0, len(_CLASSES), n)

    dataset = make_dataset("mnist", part(3 * batch + batch // 3 + 1), part(300), _CLASSES, (1, features, 1))
    settings = StudySettings(
        name="self-check",
        data=DataSettings(datasets=("mnist",), samples_per_class=20),
        networks=NetworkSettings(depths=(3, 1, 2), width=min(sizes.width, _WIDEST), runs=2),
        training=TrainingSettings(epochs=1, batch_size=batch),
        measure=MeasureSettings(),
        machine=MachineSettings(),
    )
    return CohortTraining(make_plan(settings).cohorts[0].networks, dataset, settings, device), dataset, settings


def _gradients(device: torch.device, features: int, sizes: Sizes) -> tuple[bool, str]:
    """Compare the first step's gradients of every network with autograd's in float64 on the CPU."""
    cohort, dataset, settings = _cohort(device, features, sizes)
    index = {run: cohort.minibatch(run, 0).cpu().numpy() for run in {network.run for network in cohort.networks}}
    cohort.step(0)
    offs = []
    for trainer in cohort.trainers:
        for place, network in enumerate(trainer.networks):
            wanted = _reference(network, dataset, settings, index[network.run])
            for (_, _, velocity), gradient in zip(trainer.named_parameters(place), wanted, strict=True):
                largest = gradient.abs().max().clamp_min(1e-30)  # 0 where no unit of a layer is alive
                offs.append(float((velocity.double().cpu() - gradient).abs().max() / largest))
    worst = float(np.max(offs))
    return worst < _GRADIENT_TOLERANCE, f"off by {worst:.1e} of the largest, {len(cohort.networks)} networks"


_ACTIVATE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "logsig": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": torch.nn.functional.softsign,
    "relu": torch.relu,
}


def _reference(
    network: Network, dataset: Dataset, settings: StudySettings, index: NDArray[np.int64]
) -> list[torch.Tensor]:
    """Return the gradients of the first step of `network` on training inputs `index`: matrix, bias, … of each layer."""
    start = initial_weights(
        network,
        dataset.features,
        settings.networks.width,
        len(dataset.classes),
        settings.machine.seed,
        dataset.stream_key,
    )
    pairs = [
        (matrix.double().requires_grad_(), bias.double().requires_grad_())
        for matrix, bias in zip(start.matrices, start.biases, strict=True)
    ]
    a = (torch.from_numpy(dataset.x_train[index]).double() - dataset.mean) / dataset.std
    with torch.enable_grad():
        for matrix, bias in pairs[:-1]:
            a = _ACTIVATE[network.activation](a @ matrix.t() + bias)
        logits = a @ pairs[-1][0].t() + pairs[-1][1]
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(dataset.y_train[index])).backward()  # type: ignore[no-untyped-call]  # torch gives it no types
    gradients = [parameter.grad for pair in pairs for parameter in pair]
    return [gradient for gradient in gradients if gradient is not None]


def _graphs(device: torch.device, sizes: Sizes) -> tuple[bool, str]:
    """Compare an epoch and its test as captured graphs, twice, with the same calls one by one."""
    features = min(*sizes.features, _MOST_FEATURES)
    cohorts = [_cohort(device, features, sizes)[0] for _ in range(3)]
    for trainer in cohorts[0].trainers:
        assert isinstance(trainer, BatchedTrainer)
        trainer.graphs.enabled = False
    reports = [cohort.epoch().networks for cohort in cohorts]
    plain, *states = [cohort.state() for cohort in cohorts]
    same = all(torch.equal(value, state[name]) for state in states for name, value in plain.items())
    same = same and all(report == reports[0] for report in reports)
    return same, "bit for bit" if same else "other weights or accuracies"
