"""The search for starts on CPU cores: descents from several, of which the best go on (`Search`, `ThoroughSearch`).

`search` and `search_thoroughly` take a layer whose P is held whole, `search_layer` and `search_layer_thoroughly` any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from embcx_tui.compute.array_types import FloatArray, Points
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne.descent_cpu import Descent, Layer, WholeLayer
from embcx_tui.compute.tsne.initialization import gathered
from embcx_tui.compute.tsne.schedule import (
    DEFAULT_SCHEDULE,
    DescentResult,
    Schedule,
    Search,
    ThoroughSearch,
    never,
)


@timed_part("descent and score")
def search(
    joint: FloatArray,
    starts: Iterator[Points],
    schedule: Schedule = DEFAULT_SCHEDULE,
    joint_entropy: float | None = None,
    should_stop: Callable[[], bool] = never,
) -> DescentResult:
    """Minimise KL(P‖Q) as `descend`, from the best of several starts; parameters and errors as there.

    Of each group of `starts` the best go on through the exaggeration; where the two best so far agree, or the groups
    are used up, the best one descends until it has converged (`Search`, which the schedule must have).
    """
    return search_layer(WholeLayer(joint, schedule, joint_entropy, should_stop), starts)


@timed_part("descent and score")
def search_thoroughly(
    joint: FloatArray,
    starts: Iterator[Points],
    schedule: Schedule,
    joint_entropy: float | None = None,
    should_stop: Callable[[], bool] = never,
) -> DescentResult:
    """Minimise KL(P‖Q) as `descend`, from the best of many starts (`ThoroughSearch`, which the schedule must have);
    parameters and errors as there. The result is never higher than the lowest of the starts that converged.
    """
    return search_layer_thoroughly(WholeLayer(joint, schedule, joint_entropy, should_stop), starts)


def search_layer(layer: Layer, starts: Iterator[Points]) -> DescentResult:
    """Descend from the best of several starts, as `search`."""
    schedule = layer.schedule
    plan = schedule.search
    assert isinstance(plan, Search)
    kept: list[Descent] = []
    tried = 0
    for _ in range(plan.groups):
        group = [layer.begin(start) for start in islice(starts, plan.starts)]
        tried += len(group)
        for descent in group:
            for phase in schedule.phases[: plan.screened_after]:
                descent.advance(phase, phase.iterations)
            descent.score()
        for descent in sorted(group, key=lambda one: one.kl)[: plan.kept]:
            for phase in schedule.phases[plan.screened_after : -1]:
                descent.advance(phase, phase.iterations)
            descent.advance(schedule.phases[-1], schedule.window)
            descent.score()
            kept.append(descent)
        if plan.agreed([descent.kl for descent in kept]):
            break
    kls = tuple(descent.kl for descent in kept)
    return replace(min(kept, key=lambda one: one.kl).settle(), start_kls=kls, starts=tried, spent=layer.spent)


def search_layer_thoroughly(layer: Layer, starts: Iterator[Points]) -> DescentResult:
    """Descend from the best of many starts, as `search_thoroughly`."""
    schedule = layer.schedule
    plan = schedule.search
    assert isinstance(plan, ThoroughSearch)
    descents = [layer.begin(start) for start in islice(starts, plan.starts)]
    done = 0
    for after, kept in plan.screens:
        for descent in descents:
            for phase in schedule.phases[done:after]:
                descent.advance(phase, phase.iterations)
            descent.score()
        descents = sorted(descents, key=lambda one: one.kl)[:kept]
        done = after
    for descent in descents:
        descent.advance(schedule.phases[-1], schedule.window)
        descent.score()
    kls = tuple(descent.kl for descent in descents)
    lowest = min((descent.settle() for descent in descents), key=lambda one: one.kl)
    again = layer.begin(gathered(lowest.points, plan.gathered_to, plan.jitter, next(starts)))
    again.find_z()
    for phase in plan.phases:
        again.advance(phase, phase.iterations)
    better = again.settle()
    if better.kl < lowest.kl:
        lowest = replace(better, iterations=lowest.iterations + better.iterations)
    return replace(lowest, start_kls=kls, starts=plan.starts, spent=layer.spent)
