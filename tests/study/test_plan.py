"""The plan is the exact list of what will be done."""

from __future__ import annotations

from embcx_tui.study.plan import make_plan, network_id
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import load_preset, validate


def test_fig2_with_two_runs_is_8_networks_and_48_layers() -> None:
    settings = load_preset("fig2").settings
    settings = settings.model_copy(update={"networks": settings.networks.model_copy(update={"runs": 2})})
    plan = make_plan(settings)
    trained = [network for network in plan.networks if network.control is None]
    assert len(trained) == 8
    assert sum(len(network.layer_ids()) for network in trained) == 48
    # 2 inputs shared by their runs, 40 hidden layers, and 40 of the untrained controls.
    assert len(plan.layers) == 82


def test_the_paper_is_280_networks_and_1120_hidden_layers() -> None:
    # Two datasets of the paper's size: SVHN comes with a later issue, and sizes do not depend on it.
    settings = validate({"networks": {"depths": [1, 2, 3, 4, 5, 6, 7]}, "measure": {"controls": []}})
    plan = make_plan(settings)
    assert 2 * len(plan.networks) == 280
    assert 2 * sum(network.depth for network in plan.networks) == 1120


def test_ids_are_unique_and_deepest_networks_come_first() -> None:
    plan = make_plan(validate({"data": {"datasets": ["digits", "mnist"]}, "networks": {"depths": [1, 5, 3]}}))
    assert len({network.id for network in plan.networks}) == len(plan.networks)
    assert len({layer.id for layer in plan.layers}) == len(plan.layers)
    for cohort in plan.cohorts:
        depths = [network.depth for network in cohort.networks]
        assert depths == sorted(depths, reverse=True)


def test_layer_0_is_shared_by_the_networks_of_a_run() -> None:
    plan = make_plan(load_preset("demo").settings)
    inputs = {(network.run, network.layer_ids()[0]) for network in plan.networks}
    assert len(inputs) == 3


def test_a_control_differs_from_its_sibling_in_its_id_alone() -> None:
    plan = make_plan(load_preset("demo").settings)
    for cohort in plan.cohorts:
        for network, control in zip(cohort.networks, cohort.controls, strict=True):
            assert control.id == f"{network.id}-untrained"
            assert (control.depth, control.activation, control.run) == (network.depth, network.activation, network.run)


def test_seeds_are_keyed_by_everything_that_makes_a_stream() -> None:
    one = stream_seed(0, "mnist", 1, "shuffle", 2)
    assert one == stream_seed(0, "mnist", 1, "shuffle", 2)
    others = {
        stream_seed(1, "mnist", 1, "shuffle", 2),
        stream_seed(0, "digits", 1, "shuffle", 2),
        stream_seed(0, "mnist", 2, "shuffle", 2),
        stream_seed(0, "mnist", 1, "sample", 2),
        stream_seed(0, "mnist", 1, "shuffle", 3),
        # Parts are hashed with their lengths: moving a character from one to the next is another key.
        stream_seed(0, "mnist1", 1, "shuffle", 2),
        stream_seed(0, "mnist", 11, "shuffle", 2),
    }
    assert one not in others and len(others) == 7
    assert 0 <= one < 2**63


def test_the_id_of_a_file_dataset_holds_nothing_of_its_path() -> None:
    name = network_id("file:../../x;rm -rf.npz", 1, "relu", 0)
    assert "/" not in name and "rm" not in name and name.startswith("file-")


def test_earlier_epochs_are_those_before_the_last_and_0_where_nothing_else_is_the_same() -> None:
    def epochs(asked: list[int], controls: list[str]) -> tuple[tuple[int, ...], int]:
        plan = make_plan(
            validate(
                {
                    "data": {"datasets": ["digits"]},
                    "networks": {"depths": [2], "activations": ["relu"], "runs": 2},
                    "training": {"epochs": 3},
                    "measure": {"epochs": asked, "controls": controls},
                }
            )
        )
        return plan.epochs, plan.embeddings

    # Two inputs and four hidden layers at the end, and the hidden ones again after each earlier epoch.
    assert epochs([], []) == ((), 6)
    assert epochs([2, 1], []) == ((1, 2), 6 + 8)
    assert epochs([3], []) == ((), 6), "the last epoch is measured anyway"
    assert epochs([0, 3, 1], []) == ((0, 1), 6 + 8)
    # The untrained controls are the networks at epoch 0, and are not measured over training.
    assert epochs([0, 3, 1], ["untrained"]) == ((1,), 10 + 4)
    assert epochs([0, 1], ["shuffled"]) == ((0, 1), 10 + 8)


def test_samples_are_drawn_from_the_inputs_that_are_asked_for() -> None:
    def sources(sample_from: str) -> tuple[set[tuple[str | None, str]], set[tuple[int, str]]]:
        plan = make_plan(
            validate(
                {
                    "data": {"datasets": ["digits"], "samples_per_class": 20, "sample_from": sample_from},
                    "networks": {"depths": [1], "activations": ["relu"], "runs": 1},
                    "measure": {"perplexity": 20},
                }
            )
        )
        return {(network.control, network.source) for network in plan.networks}, set(plan.cohorts[0].samples)

    assert sources("train") == ({(None, "train"), ("untrained", "train")}, {(0, "train")})
    assert sources("test") == ({(None, "test"), ("untrained", "test")}, {(0, "test")})
    both = {(None, "train"), ("untrained", "train"), ("held-out", "test")}
    assert sources("both") == (both, {(0, "train"), (0, "test")})
