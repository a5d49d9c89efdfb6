"""What no score can be, and scores that a CPU core does not find."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from openTSNE.kl_divergence import kl_divergence_exact

from embcx_tui.compute.tsne.audit import audit, impossible, is_audited
from embcx_tui.compute.tsne.complexity import measure_layer
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import Phase, Schedule
from embcx_tui.study.errors import DeviceFailed
from tests.compute.affinity_reference import joint_probabilities

BRIEF = Measurement(perplexity=8.0, schedule=Schedule(phases=(Phase(60, 1.0, 0.5, 0.8),), search=None))
ON_A_GPU = replace(BRIEF, device="cuda:0")
ROWS = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def sound() -> Complexity:
    return measure_layer(ROWS, 0, BRIEF)


def test_a_sound_score_passes(sound: Complexity) -> None:
    assert impossible(sound, of_descent=True) == "" == impossible(sound, of_descent=False)
    audit(ROWS, sound, ON_A_GPU)
    dead = np.zeros((60, 5), dtype=np.float32)
    without = measure_layer(dead, 0, BRIEF)
    assert without.kl is None and impossible(without, of_descent=True) == ""
    audit(dead, without, ON_A_GPU)


@pytest.mark.parametrize("kl", [float("nan"), float("inf"), -0.3, -1e-6])
@pytest.mark.parametrize("of_descent", [True, False])
def test_what_is_no_divergence_is_none_of_any_engine(sound: Complexity, kl: float, of_descent: bool) -> None:
    assert "impossible" in impossible(replace(sound, kl=kl), of_descent=of_descent)


@pytest.mark.parametrize(
    "changes",
    [
        # More than ln n(n - 1) - H: the share explained is then below 0.
        {"kl": 9.0, "explained": -0.5},
        {"explained": float("nan")},
        {"restart_kls": (0.5, float("nan"))},
        {"gradient_norm": float("inf")},
        {"points": np.full((60, 2), np.nan, dtype=np.float32)},
    ],
)
def test_what_a_descent_cannot_give(sound: Complexity, changes: dict[str, Any]) -> None:
    assert impossible(replace(sound, **changes), of_descent=True)
    assert impossible(replace(sound, **changes), of_descent=False) == "", "openTSNE may end anywhere"


@pytest.mark.parametrize(
    "changes", [{"kl": 1.0}, {"duplicates": 2}, {"kl": None}, {"points": ROWS[:, :2]}], ids=lambda one: next(iter(one))
)
def test_a_score_that_a_core_does_not_find_is_the_devices_failure(sound: Complexity, changes: dict[str, Any]) -> None:
    with pytest.raises(DeviceFailed, match=r"^cuda:0 computes wrong numbers: "):
        audit(ROWS, replace(sound, **changes), ON_A_GPU)


@pytest.mark.parametrize("turned", [False, True])
def test_what_float32_rounds_is_no_failure_and_ten_times_as_much_is(sound: Complexity, turned: bool) -> None:
    """Above 1 nat the bound is a share of the score: points in another order have a KL of some nats."""
    points = sound.points[::-1].copy() if turned else sound.points
    joint = joint_probabilities(ROWS, 8.0)
    kl = kl_divergence_exact(joint, points.astype(np.float64))
    assert (kl > 1.5) == turned
    for off, is_refused in ((2e-6, False), (-2e-6, False), (1e-4, True), (-1e-4, True)):
        claimed = replace(sound, points=points, kl=kl + off * max(kl, 1.0))
        with pytest.raises(DeviceFailed, match="where a CPU core finds") if is_refused else nullcontext():
            audit(ROWS, claimed, ON_A_GPU)


def test_two_layers_and_one_in_sixteen_are_audited() -> None:
    assert [position for position in range(50) if is_audited(position)] == [0, 1, 16, 32, 48]
