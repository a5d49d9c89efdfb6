"""What a study costs with what people use today: openTSNE layer by layer, a plain PyTorch loop network by network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from embcx_tui.bench.reference import (
    LibrarySetting,
    LoopSetting,
    PlainLoop,
    library_embed,
    library_name,
    library_settings,
    loop_settings,
)
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import cores
from embcx_tui.compute.timing import medians, timed
from embcx_tui.compute.training.network import initial_weights
from embcx_tui.study.plan import Network, Plan

# Steps of one measurement of the loop, and of a trial of one of its settings; layers that openTSNE embeds.
_STEPS, _TRIAL_STEPS = 60, 15
_LAYERS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one network's epoch or of one embedding by a library, and how it was measured."""

    seconds: float
    words: str


def loop_cost(dataset: Dataset, plan: Plan, device: torch.device, quick: bool) -> Cost:
    """Return a network-epoch by the plain loop: the mean over the activations of `plan`, at its middle depth.

    The loop's setting is the fastest of those tried here; the test after an epoch is not in it.
    """
    networks = _middle(plan, dataset.name)
    plain = PlainLoop(dataset, plan.settings.training, device)
    batch = plan.settings.training.batch_size
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(dataset.x_train)))
    steps = torch.split(order, batch)

    def seconds(network: Network, setting: LoopSetting, count: int) -> float:
        weights = initial_weights(
            network, dataset.features, plan.settings.networks.width, len(dataset.classes), plan.settings.machine.seed
        )
        some = [step.to(device) for step in steps[:count]]
        return plain.train(weights, some, setting).timing.seconds / len(some)

    count = 5 if quick else _TRIAL_STEPS
    settings = loop_settings(device)
    seconds(networks[0], settings[0], count)  # warm
    setting = min(settings, key=lambda one: seconds(networks[0], one, count))
    step = fmean(seconds(network, setting, 5 if quick else _STEPS) for network in networks)
    return Cost(step * len(steps), f"measured: {networks[0].depth} layers, {setting.words}")


def library_cost(layers: Sequence[NDArray[np.float32]], perplexity: float, quick: bool) -> Cost:
    """Return an embedding by openTSNE, at the fastest of its settings here: the median over some of `layers`."""
    settings = library_settings(1 if quick else cores())
    library_embed(layers[0], settings[0], perplexity)  # its imports are not its speed

    def trial(setting: LibrarySetting) -> float:
        return timed(lambda: library_embed(layers[0], setting, perplexity))[1].seconds

    setting = min(settings, key=trial)
    some = layers[: 1 if quick else _LAYERS]
    times = [timed(lambda rows=rows: library_embed(rows, setting, perplexity))[1] for rows in some]  # type: ignore[misc]
    return Cost(medians(times).seconds, f"measured: {len(some)} layers, {library_name()}, {setting.words}")


def with_libraries(plan: Plan, loops: dict[str, Cost], embedding: Cost) -> list[dict[str, Any]]:
    """Return the rows (part, count, seconds each and in all, from) of `plan` done with libraries.

    `loops` has the cost of a network-epoch by dataset. Metrics, accuracies and files are left out: they cost the same.
    """
    epochs = Counter({cohort.dataset: len(cohort.networks) for cohort in plan.cohorts})
    rows = [
        row(f"train {name}", count * plan.settings.training.epochs, loops[name].seconds, loops[name].words)
        for name, count in epochs.items()
    ]
    return [*rows, row("embed", plan.embeddings, embedding.seconds, embedding.words)]


def row(part: str, count: int, seconds_each: float, source: str) -> dict[str, Any]:
    """Return one row of a sum: `count` times `seconds_each`, and where the figure is from."""
    return {"part": part, "count": count, "seconds_each": seconds_each, "seconds": count * seconds_each, "from": source}


def _middle(plan: Plan, dataset: str) -> list[Network]:
    """Return a network of each activation, of the middle one of the depths: a loop's cost grows with depth evenly."""
    depths = sorted(plan.settings.networks.depths)
    depth = depths[len(depths) // 2]
    networks = next(cohort.networks for cohort in plan.cohorts if cohort.dataset == dataset)
    return [
        next(one for one in networks if one.depth == depth and one.activation == activation)
        for activation in plan.settings.networks.activations
    ]
