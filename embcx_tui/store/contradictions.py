"""Lines of a journal that contradict the plan of its study: foreign, or written before `study.toml` was edited.

They are left out and counted as damaged, so that whatever reads a snapshot finds only what the plan knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embcx_tui.study import events
from embcx_tui.study.plan import Plan
from embcx_tui.study.settings import SCORE_METHOD


def contradiction(event: events.AnyEvent, plan: Plan, networks: Sequence[str]) -> str:
    """Return what `event` names that the plan does not know, in words; empty where it fits.

    `networks` are those of the cohort of an epoch, in the order of its numbers; none where it has not begun.
    """
    return next(_contradictions(event, plan, networks), "")


def _contradictions(event: events.AnyEvent, plan: Plan, networks: Sequence[str]) -> Iterator[str]:
    settings = plan.settings
    epochs = settings.training.epochs
    match event:
        case events.DatasetLoaded() | events.SampleDrawn():
            if event.dataset not in settings.data.datasets:
                yield "a dataset that the study does not have"
            if isinstance(event, events.DatasetLoaded) and not event.n_test and not plan.is_measured:
                yield "a dataset without test inputs"
            if isinstance(event, events.SampleDrawn) and event.run >= settings.networks.runs:
                yield f"run {event.run} of {settings.networks.runs}"
        case events.PartsChosen():
            known = {network.id for one in plan.cohorts if one.id == event.cohort for network in one.networks}
            dealt = [network for part in event.parts for network in part]
            if len(set(dealt)) < len(dealt) or set(dealt) != known:
                yield "parts of other networks than the study's"
        case events.CohortStarted():
            yield from _cohort(event, plan)
        case events.EpochTrained():
            lengths = {len(event.loss), len(event.train_accuracy), len(event.test_accuracy)}
            if lengths != {len(networks)}:
                yield f"an epoch of {event.cohort} without its networks"
            if event.epoch > epochs:
                yield f"epoch {event.epoch} of {epochs}"
        case events.CohortSplit() | events.CheckpointSaved():
            if all(cohort.id != _whole(event.cohort) for cohort in plan.cohorts):
                yield "a cohort that the study does not have"
        case events.NetworkTrained(epochs=after) | events.NetworkDiverged(epoch=after):
            if event.network not in plan.network_by_id:
                yield "a network that the study does not have"
            if after > epochs:
                yield f"a network after epoch {after} of {epochs}"
        case events.ModelDescribed() | events.ActivationsReceived():
            network = plan.network_by_id.get(event.network) if plan.is_measured else None
            if network is None:
                yield "a network that the study does not measure"
            elif isinstance(event, events.ModelDescribed) and len(event.layers) != network.depth:
                yield "a network of other layers than the study's"
        case events.LayerMeasured() | events.LayerFailed():
            yield from _layer(event, plan)


def _whole(cohort: str) -> str:
    """Return the cohort of the plan that a part such as `mnist.part0` or `mnist.0.1` was split from."""
    return cohort.partition(".")[0]


def _cohort(event: events.CohortStarted, plan: Plan) -> Iterator[str]:
    known = {network.id for cohort in plan.cohorts if cohort.id == _whole(event.cohort) for network in cohort.networks}
    if not known:
        yield "a cohort that the study does not have"
    if not set(event.networks) <= known or len(set(event.networks)) < len(event.networks):
        yield "a cohort of other networks than the study's"
    if event.epoch > plan.settings.training.epochs:
        yield f"a cohort after epoch {event.epoch} of {plan.settings.training.epochs}"


def _layer(event: events.LayerMeasured | events.LayerFailed, plan: Plan) -> Iterator[str]:
    layer = plan.layer_by_id.get(event.layer_id)
    if layer is None or (layer.network, layer.layer) != (event.network, event.layer):
        yield "a layer that the study does not have"
    elif isinstance(event, events.LayerMeasured) and (layer.dataset, layer.run) != (event.dataset, event.run):
        yield "a layer of another run"
    if event.method not in plan.settings.measure.methods:
        yield f"the method {event.method}, which the study does not use"
    # Which epochs a recorder hands over is known only once it has.
    known = plan.is_measured or event.epoch in plan.epochs
    if event.epoch is not None and (not known or event.method != SCORE_METHOD):
        yield f"a layer after epoch {event.epoch}, which was not asked for"
