"""The orders of the networks in Live: the worst first, those without the value last; by hand over a made study."""

from __future__ import annotations

from dataclasses import replace

import pytest

from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.tui.live.network_table import Order, attention, ordered
from tests import small_study


@pytest.fixture
def snapshot() -> Snapshot:
    """Six trained networks with accuracies and scores of their own, and their controls, which have no loss."""
    diverged, skip = frozenset({"mnist-d5-relu-r2"}), frozenset({"mnist-d5-relu-r1-l5"})
    study = small_study.write(spread=0.3, diverged=diverged, skip=skip)
    found = study.snapshot
    trained = {
        name: one.model_copy(update={"test_accuracy": 0.5 + place / 100})
        for place, (name, one) in enumerate(reversed([*found.trained.items()]))
    }
    return replace(found, trained=trained)


def values(snapshot: Snapshot, order: Order) -> list[float | None]:
    def value(state: NetworkState) -> float | None:
        last = snapshot.layer(state.network, 5)
        return {"loss": state.loss, "test": state.test_accuracy, "last KL": last.kl if last else None}[order]

    return [value(state) for state in ordered(snapshot, order)]


@pytest.mark.parametrize(("order", "worst_is_highest"), [("loss", True), ("test", False), ("last KL", True)])
def test_the_worst_stand_first_and_those_without_the_value_last(
    snapshot: Snapshot, order: Order, worst_is_highest: bool
) -> None:
    found = values(snapshot, order)
    known = [value for value in found if value is not None]
    assert found == known + [None] * (len(found) - len(known)) and len(found) == 12
    assert known == sorted(known, reverse=worst_is_highest)
    assert len(known) == {"loss": 5, "test": 12, "last KL": 10}[order]


def test_what_needs_a_look_stands_first_and_the_plans_order_is_the_plans(snapshot: Snapshot) -> None:
    assert [state.network for state in ordered(snapshot, "plan")] == list(snapshot.plan.networks)
    states = ordered(snapshot, "attention")
    assert [attention(state) for state in states] == sorted(map(attention, states))
    assert states[0].network.id == "mnist-d5-relu-r2" and states[0].status == "diverged"
    # Networks of one rank keep the plan's order.
    assert [state.network for state in states[1:]] == [n for n in snapshot.plan.networks if n != states[0].network]
