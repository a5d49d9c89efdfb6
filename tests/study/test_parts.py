"""How networks are dealt into parts: each once, with its controls and inputs, at about equal cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from embcx_tui.study.errors import SettingsError
from embcx_tui.study.parts import as_cohorts, cost, deal, largest_first, with_parts
from embcx_tui.study.plan import cohort_layers, make_plan
from embcx_tui.study.settings import apply_overrides, to_toml, validate


def settings(runs: int = 5, **machine: Any) -> Any:
    return validate(
        {
            "data": {"datasets": ["mnist"], "sample_from": "both"},
            "networks": {"depths": [1, 2, 3, 4, 5, 6, 7], "runs": runs},
            "measure": {"controls": ["untrained", "shuffled"]},
            "machine": machine,
        }
    )


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 8, 64, 1_000])
def test_all_is_dealt_once_and_at_about_equal_cost(parts: int) -> None:
    (whole,) = make_plan(settings()).cohorts
    dealt = as_cohorts(whole, deal(whole, parts))
    assert len(dealt) == min(parts, 140) and len({part.id for part in dealt}) == len(dealt)
    for field in ("networks", "controls"):
        got = [network for part in dealt for network in getattr(part, field)]
        assert Counter(got) == Counter(getattr(whole, field))
    assert Counter(layer for part in dealt for layer in cohort_layers(part)) == Counter(cohort_layers(whole))
    families = [
        (part.id, one.run, one.depth, one.activation) for part in dealt for one in part.networks + part.controls
    ]
    assert len(set(families)) == 140, "a network and its controls are never parted"
    largest_family = 4 * (7 + 5)
    costs = [cost(part) for part in dealt]
    assert max(costs) - min(costs) <= 2 * largest_family
    assert [cost(part) for part in largest_first(dealt)] == sorted(costs, reverse=True)
    order = {network.id: place for place, network in enumerate(whole.networks)}
    for part in dealt:
        places = [order[network.id] for network in part.networks]
        assert places == sorted(places), "batches count on the order of the plan"


def test_runs_stay_whole_where_parts_divide_them() -> None:
    (whole,) = make_plan(settings(runs=4)).cohorts
    for parts in (2, 4):
        assert all(len(part.runs) == 4 // parts for part in as_cohorts(whole, deal(whole, parts)))


@pytest.mark.parametrize(
    ("devices", "parts", "chosen"),
    [(1, 0, 1), (4, 0, 4), ("all", 0, 8), (("cuda:0", "cuda:3"), 0, 2), (4, 6, 6), ("all", 3, 3)],
)
def test_parts_follow_the_devices_once_and_are_written_down(devices: Any, parts: int, chosen: int) -> None:
    settled = with_parts(settings(devices=devices, parts=parts), gpus=8)
    assert settled.machine.parts == chosen
    assert with_parts(settled, gpus=3) == settled and f"parts = {chosen}" in to_toml(settled)


@pytest.mark.parametrize("typed", ["3", "all", "cuda:0, cuda:3", '["cuda:0", "cuda:3"]'])
def test_devices_can_be_typed(typed: str) -> None:
    found = validate(apply_overrides({}, [f"machine.devices={typed}"])).machine.devices
    assert found in (3, "all", ("cuda:0", "cuda:3"))


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"devices": 0}, "must be a number from 1"),
        ({"devices": True}, "must be a number from 1"),
        ({"devices": "some"}, "must be a number from 1"),
        ({"devices": ["cuda:1", "cuda:1"]}, "lists a GPU twice"),
        ({"devices": []}, "must be a number from 1"),
        ({"devices": 2, "device": "cuda:1"}, "set machine.device to cuda or auto"),
        ({"devices": ["cuda:1"], "device": "cpu"}, "machine.device is cpu"),
        ({"parts": -1}, "at least 0"),
        ({"cluster": "slurm"}, "must be '' or 'ray'"),
        ({"cluster": "ray", "devices": ["cuda:1"]}, "machine.devices: lists GPUs .* give a number or all$"),
        ({"cluster": "ray", "device": "cuda:1"}, "set machine.device to cuda or auto$"),
    ],
)
def test_what_devices_cannot_be_is_said_in_one_line(machine: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as error:
        settings(**machine)
    assert "machine." in str(error.value) and "\n" not in str(error.value)
