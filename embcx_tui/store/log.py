"""The study's log: one line for each event that says something to a user."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from statistics import fmean
from typing import Literal

from embcx_tui.study import events
from embcx_tui.study.naming import method_name, network_name
from embcx_tui.study.plan import Plan
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text

Level = Literal["info", "warning", "error"]
# Events without a line in the log.
BOOKKEEPING = (events.CheckpointSaved, events.SampleDrawn, events.StudyAccepted)


@dataclass(frozen=True)
class LogLine:
    """One line of the log. It is worded when it is first shown: most lines of a long log never are.

    `networks` are the ids, in order, that the vectors of an epoch belong to.
    """

    event: events.AnyEvent
    plan: Plan = field(compare=False, repr=False)
    networks: tuple[str, ...] = ()

    @property
    def at(self) -> float:
        """When it happened, in seconds since 1970."""
        return self.event.at

    @property
    def level(self) -> Level:
        return self._worded[0]

    @cached_property
    def text(self) -> str:
        """What it says, safe to show."""
        return safe_text(self._worded[1])

    @cached_property
    def _worded(self) -> tuple[Level, str]:
        return _worded(self.event, self.plan, self.networks)

    def __str__(self) -> str:
        mark = {"info": " ", "warning": "!", "error": "✗"}[self.level]
        return f"{datetime.fromtimestamp(self.at):%H:%M:%S} {mark} {self.text}"


def _worded(event: events.AnyEvent, plan: Plan, networks: tuple[str, ...]) -> tuple[Level, str]:
    match event:
        case events.StudyCreated():
            trained = sum(len(cohort.networks) for cohort in plan.cohorts)
            return "info", f"study {event.id} created: {trained} networks, {plan.embeddings} embeddings"
        case events.WorkerStarted():
            return "info", f"worker {event.pid} started on {event.host}"
        case events.MachineDescribed():
            path = f" ({', '.join(f'{part}: {way}' for part, way in event.path.items())})" if event.path else ""
            return "info", f"computing on {event.device}, torch {event.versions.get('torch', '?')}{path}"
        case events.PartsChosen():
            sizes = ", ".join(f"{len(part):,}" for part in event.parts)
            return "info", f"{event.cohort}: dealt into {len(event.parts)} parts of {sizes} networks"
        case events.HandJoined():
            return "info", f"hand {event.hand} (process {event.pid} on {event.host}) computes on {event.device}"
        case events.HandLost():
            again = f"; {event.part} goes on from its last checkpoint" if event.part else ""
            return "warning", f"hand {event.hand} was lost: {event.reason}{again}"
        case events.DatasetLoaded():
            if plan.is_measured:
                return "info", f"{event.dataset}: {event.n_train:,} rows, {len(event.classes)} classes"
            return "info", f"{event.dataset}: {event.n_train:,} training and {event.n_test:,} test inputs"
        case events.CohortStarted():
            after = f", going on after epoch {event.epoch}" if event.epoch else ""
            return "info", f"{event.cohort}: training {len(event.networks)} networks together{after}"
        case events.CohortSplit():
            return "warning", f"{event.cohort}: out of memory; going on in {len(event.into)} smaller cohorts"
        case events.EpochTrained():
            return "info", _epoch(event, plan, networks)
        case events.NetworkDiverged():
            return "warning", f"{event.network} diverged in epoch {event.epoch}; its layers will not be measured"
        case events.NetworkTrained():
            accuracy = "" if event.test_accuracy is None else f": test accuracy {event.test_accuracy:.4f}"
            return "info", f"{event.network} ready to measure{accuracy}"
        case events.ModelDescribed():
            network = plan.network_by_id[event.network]
            return "info", f"{network_name(network)}: {event.rows:,} rows of {len(event.layers)} layers at hand"
        case events.ActivationsReceived():
            return "info", f"{network_name(plan.network_by_id[event.network])}: received after epoch {event.epoch}"
        case events.LayerMeasured():
            name = layer_words(plan, event.layer_id)
            name = name if event.epoch is None else f"{name} after epoch {event.epoch}"
            if event.method != SCORE_METHOD:
                return "info", f"{name}: embedded by {event.method}"
            score = "no KL (degenerate)" if event.kl is None else f"KL {event.kl:.4f}"
            if event.degenerate:
                score += f", degenerate ({event.duplicates} duplicate rows)"
            if not event.converged and event.kl is not None:
                score += ", not converged"
            return ("warning" if event.degenerate else "info"), f"{name}: {score}"
        case events.LayerFailed():
            if event.method != SCORE_METHOD:
                layer = layer_words(plan, event.layer_id)
                return "warning", f"{layer}: no picture by {method_name(event.method)}: {event.reason}"
            return "error", f"{layer_words(plan, event.layer_id)} could not be measured: {event.reason}"
        case events.Noted():
            return event.level, event.text
        case events.WorkerEnded(outcome="complete"):
            return "info", "complete"
        case events.WorkerEnded(outcome="stopped"):
            return "info", f"stopped{': ' + event.reason if event.reason else ''}"
        case events.WorkerEnded():
            return "error", f"failed: {event.reason}"
        case events.CheckpointSaved() | events.SampleDrawn() | events.StudyAccepted():
            raise ValueError(f"{event.kind} has no line in the log")


def layer_words(plan: Plan, layer_id: str) -> str:
    """Return what the log calls a layer: its id, or in a measured study, whose ids say nothing, model and layer."""
    layer = plan.layer_by_id.get(layer_id)
    network = plan.network_by_id.get(layer.network or "") if layer and plan.is_measured else None
    if layer is None or network is None:
        return layer_id
    control = f" {network.control}" if network.control else ""
    return f"{network.activation}{control}, run {network.run}, layer {layer.layer} {network.layer_name(layer.layer)}"


def _epoch(event: events.EpochTrained, plan: Plan, networks: tuple[str, ...]) -> str:
    # The mean is over the networks that learn true labels: mixed with shuffled ones it would describe neither.
    true = [(network := plan.network_by_id.get(name)) is None or network.control is None for name in networks]
    counted = true if any(true) and len(true) == len(event.loss) else [True] * len(event.loss)

    def mean(values: tuple[float | None, ...]) -> str:
        known = [value for value, counts in zip(values, counted, strict=False) if counts and value is not None]
        return f"{fmean(known):.4f}" if known else "?"

    done = f"epoch {event.epoch}/{plan.settings.training.epochs}"
    scores = f"loss {mean(event.loss)}, test {mean(event.test_accuracy)}"
    return f"{event.cohort}: {done}, {scores}, {event.seconds:.1f} s"
