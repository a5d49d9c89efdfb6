"""What layers, networks and figures are called: no two things of a study have one name."""

from __future__ import annotations

from itertools import combinations, product

from embcx_tui.study.naming import (
    comparison_name,
    figure_kind,
    figure_name,
    layer_name,
    layer_tick,
    network_figure_name,
    network_labels,
    network_name,
)
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import validate

NETWORKS = make_plan(
    validate(
        {
            "data": {"datasets": ["digits", "mnist"], "samples_per_class": 50},
            "networks": {"depths": [1, 3], "activations": ["relu", "tanh"], "runs": 2},
        }
    )
).networks


def test_layer_0_is_the_input_and_the_others_have_their_numbers() -> None:
    assert [layer_name(layer) for layer in range(4)] == ["input", "layer 1", "layer 2", "layer 3"]
    assert [layer_tick(layer) for layer in range(4)] == ["input", "1", "2", "3"]


def test_every_network_has_a_name_and_a_figure_of_its_own() -> None:
    assert len(NETWORKS) == 32
    assert network_name(NETWORKS[0]) == "digits · 3 layers · relu · run 0"
    names = {network_figure_name("embedding", network) for network in NETWORKS}
    assert len(names) == len({network_name(network) for network in NETWORKS}) == len(NETWORKS)
    assert {"embedding-digits-3-relu-run0", "embedding-mnist-1-tanh-run1-untrained"} <= names
    assert {figure_kind(name) for name in names} == {"embedding"}
    # A figure of all runs is none of a run.
    for dataset, depth, activation in product(("digits", "mnist"), (1, 3), ("relu", "tanh")):
        assert figure_name("embedding", dataset, depth=depth, activation=activation) not in names


def test_comparisons_of_other_networks_or_in_another_order_are_other_files() -> None:
    assert comparison_name("points", NETWORKS[:2], "l2") == "points-digits-d3-relu-r0_digits-d3-relu-r1-l2"
    for count in (2, 3, 4, 6):
        some = [*combinations(NETWORKS[:8], count)]
        names = {comparison_name("points", networks) for networks in some}
        assert len(names) == len(some), count
        assert all(len(name) < 120 for name in names)
    # Side by side in another order is another picture.
    first, *others = NETWORKS[:6]
    many = comparison_name("points", (first, *others))
    assert many != comparison_name("points", (first, *reversed(others)))
    assert many.startswith("points-digits-d3-relu-r0-and-5-more-")


def test_labels_hold_what_tells_networks_apart_and_nothing_else() -> None:
    by_id = {network.id: network for network in NETWORKS}
    runs = [by_id["digits-d3-relu-r0"], by_id["digits-d3-relu-r1"]]
    assert network_labels(runs) == ("run 0", "run 1")
    mixed = [by_id["digits-d3-relu-r0"], by_id["mnist-d3-tanh-r0"]]
    assert network_labels(mixed) == ("digits relu", "mnist tanh")
    assert network_labels(mixed, always_run=True) == ("digits relu run 0", "mnist tanh run 0")
    assert network_labels(runs[:1]) == ("relu run 0",)
