"""Cohort training against plain PyTorch, against float64, in cohorts of other composition, and resumed."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from embcx_tui.compute.datasets import Dataset, load, make_dataset
from embcx_tui.compute.memory import OutOfMemory, memory_estimate, memory_guard, split
from embcx_tui.compute.training import cohort as training_module
from embcx_tui.compute.training import sparse_inputs, trainer_gpu
from embcx_tui.compute.training.cohort import Aborted, CohortTraining
from embcx_tui.compute.training.network import Weights, initial_weights
from embcx_tui.compute.training.step_program import StepProgram
from embcx_tui.compute.training.trainer_base import Trainer
from embcx_tui.compute.training.trainer_cpu import NetworkTrainer
from embcx_tui.compute.training.trainer_gpu import BatchedTrainer
from embcx_tui.study.errors import MeasureError, RequestError
from embcx_tui.study.plan import Network, make_plan, network_id
from embcx_tui.study.settings import StudySettings, validate
from tests.compute.reference_mlp import reference_network, reference_train

CPU = torch.device("cpu")
ACTIVATIONS = ("logsig", "tanh", "softsign", "relu")


@pytest.fixture(
    autouse=True,
    params=[(NetworkTrainer, 0.0), (NetworkTrainer, 2.0), (BatchedTrainer, 0.0)],
    ids=["dense", "sparse", "batched"],
)
def trainer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[NetworkTrainer | BatchedTrainer]:
    """Every test here runs with all implementations: one network per core (CPU), with dense or with sparse inputs, and
    all networks in one step (GPU).
    """
    kind: type[NetworkTrainer | BatchedTrainer]
    kind, sparse_below = request.param
    monkeypatch.setattr(training_module, "is_batched", lambda device: kind is BatchedTrainer)
    monkeypatch.setattr(sparse_inputs, "MOSTLY_ZERO", sparse_below)
    return kind


# For what only a GPU does, and for what does not depend on how networks are trained.
AS_ON_A_GPU = pytest.mark.parametrize("trainer", [(BatchedTrainer, 0.0)], ids=["batched"], indirect=True)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", Path("/nowhere"), Path("/nowhere"))


def settings(**networks: object) -> StudySettings:
    grid = {"depths": [3], "width": 24, "activations": list(ACTIVATIONS), "runs": 2} | networks
    return validate({"data": {"datasets": ["digits"]}, "networks": grid, "training": {"epochs": 3}})


def cohort(asked: StudySettings) -> tuple[Network, ...]:
    return make_plan(asked).cohorts[0].networks


def flat(weights: Weights) -> np.ndarray:
    return torch.cat([part.reshape(-1) for part in weights.matrices + weights.biases]).numpy()


def difference(ours: Weights, other: Weights) -> float:
    """Largest difference between two networks' parameters, relative to the largest parameter."""
    a, b = flat(ours).astype(np.float64), flat(other).astype(np.float64)
    return float(np.abs(a - b).max() / np.abs(b).max())


def module_weights(model: torch.nn.Sequential, activation: str) -> Weights:
    linears = [module for module in model if isinstance(module, torch.nn.Linear)]
    return Weights(
        activation,
        tuple(linear.weight.detach() for linear in linears),
        tuple(linear.bias.detach() for linear in linears),
    )


def test_a_network_does_not_depend_on_the_cohort(
    digits: Dataset, trainer: type[NetworkTrainer | BatchedTrainer]
) -> None:
    asked = settings(depths=[2, 5, 1, 4, 3], runs=1)
    networks = cohort(asked)
    assert len(networks) == 20
    together = CohortTraining(networks, digits, asked, CPU)
    single = {network.id: CohortTraining((network,), digits, asked, CPU) for network in networks}
    for step in range(50):
        together.step(step % together.steps)
        for training in single.values():
            training.step(step % training.steps)
    for network in networks:
        distance = difference(together.weights(network), single[network.id].weights(network))
        assert distance == 0 if trainer is NetworkTrainer else distance < 1e-5, network.id


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_both_trainers_give_the_same_networks(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, dtype: type[np.generic]
) -> None:
    data = replace(digits, x_train=digits.x_train.astype(dtype), x_test=digits.x_test.astype(dtype))
    asked = settings(depths=[2, 7, 1], width=33)
    networks = cohort(asked)
    results = []
    for in_one_step in (False, True):
        monkeypatch.setattr(training_module, "is_batched", lambda device, is_so=in_one_step: is_so)
        training = CohortTraining(networks, data, asked, CPU)
        reports = [training.epoch() for _ in range(2)]
        results.append((training, reports))
    (by_network, ours), (batched, theirs) = results
    assert len(by_network.trainers) == len(networks) and len(batched.trainers) == 1
    for network in networks:
        assert difference(by_network.weights(network), batched.weights(network)) < 1e-4, network.id
    for one, other in zip(ours[1].networks, theirs[1].networks, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
        assert one.train_accuracy == pytest.approx(other.train_accuracy, abs=1.5 / len(digits.x_train))
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=1.5 / len(digits.x_test))


def test_threads_and_turns_change_nothing(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = settings(depths=[3, 1])
    states = []
    for threads, inputs in ((1, 3_200), (3, 100), (16, 250)):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        monkeypatch.setattr(training_module, "INPUTS_PER_TURN", inputs)
        training = CohortTraining(cohort(asked), digits, asked, CPU)
        reports = [training.epoch().networks for _ in range(2)]
        states.append((reports, training.state()))
    (reports, state), *others = states
    for other_reports, other in others:
        assert other_reports == reports
        assert all(torch.equal(value, other[name]) for name, value in state.items())


@pytest.mark.parametrize(("width", "classes", "batch"), [(1, 2, 7), (3, 5, 1), (130, 2, 64)])
def test_odd_shapes_train_as_a_plain_loop(width: int, classes: int, batch: int) -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, classes, 60)
    x = (y[:, None] + random.standard_normal((60, 1))).astype(np.float32)
    data = make_dataset("file:odd", (x[:40], y[:40]), (x[40:], y[40:]), tuple("abcde"[:classes]), (1, 1, 1))
    asked = validate(
        settings(depths=[2], width=width, runs=1).model_dump() | {"training": {"batch_size": batch, "momentum": 0.5}}
    )
    networks = tuple(replace(each, dataset="file:odd") for each in cohort(asked))
    training = CohortTraining(networks, data, asked, CPU)
    batches = [training.minibatch(0, step) for step in range(training.steps)]
    report = training.epoch()
    for network, entry in zip(networks, report.networks, strict=True):
        model = reference_network(initial_weights(network, 1, width, classes, 0))
        losses = reference_train(model, data, batches, 0.03, 0.5)
        assert difference(training.weights(network), module_weights(model, network.activation)) < 2e-5
        wanted = sum(loss * len(part) for loss, part in zip(losses, batches, strict=True)) / 40
        assert entry.loss == pytest.approx(wanted, rel=1e-5)


def test_fifty_steps_equal_a_plain_loop(digits: Dataset) -> None:
    asked = settings(depths=[1, 4, 2], runs=3)
    networks = cohort(asked)
    training = CohortTraining(networks, digits, asked, CPU)
    batches = [training.minibatch(1, step % training.steps) for step in range(50)]
    assert len(batches[14]) == 37  # 1,437 inputs: the last minibatch is smaller, and not dropped
    for step in range(50):
        training.step(step % training.steps)
    compared = [network for network in networks if network.run == 1 and network.depth != 2]
    assert len(compared) == 2 * len(ACTIVATIONS)
    for network in compared:
        model = reference_network(initial_weights(network, 64, 24, 10, 0))
        reference_train(model, digits, batches, 0.03, 0.9)
        assert difference(training.weights(network), module_weights(model, network.activation)) < 2e-5, network.id


def test_the_gradient_equals_autograd_in_float64(digits: Dataset) -> None:
    asked = validate(
        settings(depths=[3, 2], runs=2).model_dump() | {"training": {"momentum": 0.0, "learning_rate": 1.0}}
    )
    networks = cohort(asked)
    training = CohortTraining(networks, digits, asked, CPU)
    before = {network.id: flat(training.weights(network)) for network in networks}
    training.step(0)
    for network in networks:
        start = initial_weights(network, 64, 24, 10, 0)
        model = reference_network(start, torch.float64)
        reference_train(model, digits, [training.minibatch(network.run, 0)], 1.0, 0.0)
        step = flat(module_weights(model, network.activation)) - flat(start).astype(np.float64)
        ours = flat(training.weights(network)).astype(np.float64) - before[network.id]
        # With rate 1 and no momentum the step is the gradient, to float32 rounding of the weights.
        assert np.abs(ours - step).max() < 1e-6, network.id


@pytest.fixture(scope="module")
def trained(digits: Dataset) -> dict[str, torch.Tensor]:
    """A network of each activation after 100 epochs, without velocities: a step's velocity is then its gradient."""
    asked = settings(runs=1)
    training = CohortTraining(cohort(asked), digits, asked, CPU)
    for _ in range(100):
        report = training.epoch()
    assert all(entry.loss < 0.1 for entry in report.networks)
    state = training.state()
    return {name: value.zero_() if name.endswith("/velocity") else value for name, value in state.items()}


def test_the_gradient_of_a_trained_network_is_as_good(digits: Dataset, trained: dict[str, torch.Tensor]) -> None:
    """Where p is nearly 1 and 1 - p of few digits, as in all late epochs; measured: 1e-6 to 2e-5 of its length."""
    asked = settings(runs=1)
    networks = cohort(asked)
    training = CohortTraining(networks, digits, asked, CPU)
    for step in range(3):
        training.load_state(trained)
        weights = {network.id: training.weights(network) for network in networks}
        training.step(step)
        state = training.state()
        for network in networks:
            velocities = [state[name] for name in state if name.startswith(f"{network.id}/") and "velocity" in name]
            ours = torch.cat([velocity.flatten() for velocity in velocities]).numpy()
            model = reference_network(weights[network.id], torch.float64)
            batch = training.minibatch(network.run, step)
            inputs = (torch.from_numpy(digits.x_train[batch]).double() - digits.mean) / digits.std
            torch.nn.functional.cross_entropy(model(inputs), torch.from_numpy(digits.y_train)[batch]).backward()  # type: ignore[no-untyped-call]  # torch gives it no types
            gradient = torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None]).numpy()
            assert np.linalg.norm(ours - gradient) < 1e-4 * np.linalg.norm(gradient), network.id


def test_an_epoch_reports_loss_and_accuracies(digits: Dataset) -> None:
    asked = settings(depths=[2], activations=["tanh"], runs=1)
    (network,) = cohort(asked)
    training = CohortTraining((network,), digits, asked, CPU)
    batches = [training.minibatch(0, step) for step in range(training.steps)]
    model = reference_network(initial_weights(network, 64, 24, 10, 0))
    losses = reference_train(model, digits, batches, 0.03, 0.9)
    report = training.epoch()
    (entry,) = report.networks
    expected = sum(loss * len(batch) for loss, batch in zip(losses, batches, strict=True)) / len(digits.x_train)
    assert (report.epoch, entry.network, entry.diverged) == (1, network, False)
    assert entry.loss == pytest.approx(expected, rel=1e-5)
    answers = model(torch.from_numpy(digits.standardised(digits.x_test))).argmax(1).numpy()
    assert entry.test_accuracy == pytest.approx(float((answers == digits.y_test).mean()), abs=1e-9)
    answers = model(torch.from_numpy(digits.standardised(digits.x_train))).argmax(1).numpy()
    assert training.train_accuracies()[network.id] == pytest.approx(float((answers == digits.y_train).mean()), abs=1e-9)


def test_all_activations_learn_digits(digits: Dataset) -> None:
    asked = validate({"data": {"datasets": ["digits"]}, "networks": {"depths": [5, 3], "runs": 1}})
    training = CohortTraining(cohort(asked), digits, asked, CPU)
    for _ in range(20):
        report = training.epoch()
    assert min(entry.test_accuracy for entry in report.networks) > 0.93
    assert all(0.95 < entry.train_accuracy <= 1 for entry in report.networks)


def test_resumed_through_a_file_equals_uninterrupted_bit_for_bit(digits: Dataset, tmp_path: Path) -> None:
    asked = settings(depths=[3, 1])
    networks = cohort(asked)
    straight = CohortTraining(networks, digits, asked, CPU)
    interrupted = CohortTraining(networks, digits, asked, CPU)
    interrupted.epoch()
    save_file(interrupted.state(), tmp_path / "checkpoint.safetensors")
    resumed = CohortTraining(networks, digits, asked, CPU)
    resumed.load_state(load_file(tmp_path / "checkpoint.safetensors"))
    assert resumed.epochs_done == 1
    straight.epoch()
    for _ in range(2):
        one, other = straight.epoch(), resumed.epoch()
        assert one.networks == other.networks
    first, second = straight.state(), resumed.state()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_serves_a_smaller_cohort(digits: Dataset) -> None:
    asked = settings()
    networks = cohort(asked)
    whole = CohortTraining(networks, digits, asked, CPU)
    whole.epoch()
    part = CohortTraining(networks[:3], digits, asked, CPU)
    part.load_state(whole.state())
    whole.epoch()
    part.epoch()
    for network in networks[:3]:
        assert difference(part.weights(network), whole.weights(network)) < 1e-4


def test_a_checkpoint_of_another_study_is_refused(digits: Dataset) -> None:
    asked, wider = settings(), settings(width=25)
    training = CohortTraining(cohort(asked), digits, asked, CPU)
    other = CohortTraining(cohort(wider), digits, wider, CPU)
    before = training.state()
    with pytest.raises(RequestError, match="does not fit"):
        training.load_state(other.state())
    with pytest.raises(RequestError, match="does not fit"):
        training.load_state({})
    after = training.state()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_diverged_network_leaves_the_others_alone(digits: Dataset, tmp_path: Path) -> None:
    asked = settings(depths=[3, 2])
    networks = cohort(asked)
    healthy = CohortTraining(networks, digits, asked, CPU)
    sick = CohortTraining(networks, digits, asked, CPU)
    victim = networks[5]
    state = sick.state()
    for name, value in state.items():
        if name.startswith(f"{victim.id}/") and value.is_floating_point() and not name.endswith("/velocity"):
            value.fill_(torch.inf)
    sick.load_state(state)
    for _ in range(2):
        expected, report = healthy.epoch(), sick.epoch()
        for good, entry in zip(expected.networks, report.networks, strict=True):
            if entry.network == victim:
                assert entry.diverged and math.isnan(entry.loss) and math.isnan(entry.test_accuracy)
            else:
                assert entry == good
    assert sick.diverged == {victim.id: 1}
    assert not flat(sick.weights(victim)).any()
    with pytest.raises(MeasureError, match="diverged in epoch 1"):
        sick.forward(victim, digits.x_train[:5])
    save_file(sick.state(), tmp_path / "checkpoint.safetensors")
    again = CohortTraining(networks, digits, asked, CPU)
    again.load_state(load_file(tmp_path / "checkpoint.safetensors"))
    assert again.diverged == {victim.id: 1}
    again.epoch()
    assert not flat(again.weights(victim)).any()


def test_a_rate_too_high_is_seen_as_divergence(digits: Dataset) -> None:
    asked = validate(
        settings(activations=["relu"], depths=[12], runs=1).model_dump() | {"training": {"learning_rate": 100.0}}
    )
    training = CohortTraining(cohort(asked), digits, asked, CPU)
    for _ in range(3):
        training.epoch()
    assert training.diverged


def test_measuring_gives_activations_and_predictions(digits: Dataset) -> None:
    asked = settings(depths=[3, 2])
    networks = cohort(asked)
    training = CohortTraining(networks, digits, asked, CPU)
    training.epoch()
    for network in networks:
        passed = training.forward(network, digits.x_train[:50])
        model = reference_network(training.weights(network))
        a = torch.from_numpy(digits.standardised(digits.x_train[:50]))
        layers = []
        with torch.no_grad():
            for position, module in enumerate(model):
                a = module(a)
                if position % 2:
                    layers.append(a.numpy())
        assert len(passed.activations()) == network.depth
        for ours, theirs in zip(passed.activations(), layers, strict=True):
            assert ours.dtype == np.float32 and ours.shape == (50, 24)
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_array_equal(passed.predictions, a.argmax(1).numpy())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_measuring_leaves_the_data_as_it_is(digits: Dataset, dtype: type[np.generic]) -> None:
    parts = ("x_train", "x_test")
    data = replace(digits, **{name: getattr(digits, name).astype(dtype) for name in parts})
    before = [getattr(data, name).copy() for name in parts]
    asked = settings(runs=1)
    training = CohortTraining(cohort(asked), data, asked, CPU)
    control = replace(training.networks[0], control="untrained")
    index = np.arange(len(data.x_train))
    first = training.control_accuracies([control])[control.id]
    passed = training.forward(control, data.x_train)  # all of them, as they lie: no copy by indexing
    training.forward(training.networks[0], data.x_train[index])
    assert training.control_accuracies([control])[control.id] == first
    assert np.mean(passed.predictions == data.y_train) == pytest.approx(first[0])
    for name, kept in zip(parts, before, strict=True):
        assert np.array_equal(getattr(data, name), kept)
    # Where the training began, its own pass says the same of the same weights.
    assert training.train_accuracies()[training.networks[0].id] == pytest.approx(first[0])
    assert training.test_accuracies()[training.networks[0].id] == pytest.approx(first[1])


def test_controls_are_evaluated_together_as_one_by_one(digits: Dataset) -> None:
    asked = settings(depths=[1, 3])
    plan = make_plan(asked).cohorts[0]
    training = CohortTraining(plan.networks, digits, asked, CPU)
    training.epoch()
    accuracies = training.control_accuracies(plan.controls)
    assert set(accuracies) == {control.id for control in plan.controls} and len(accuracies) == 16
    for control in plan.controls:
        for accuracy, x, y in zip(
            accuracies[control.id], (digits.x_train, digits.x_test), (digits.y_train, digits.y_test), strict=True
        ):
            right = float(np.mean(training.forward(control, x).predictions == y))
            assert accuracy == pytest.approx(right, abs=1.5 / len(y)), (
                "a tie may fall otherwise in a batch of other composition"
            )


def test_the_untrained_control_is_where_its_sibling_began(digits: Dataset) -> None:
    asked = settings()
    plan = make_plan(asked).cohorts[0]
    training = CohortTraining(plan.networks, digits, asked, CPU)
    start = {(n.depth, n.activation, n.run): training.weights(n) for n in plan.networks}
    training.epoch()
    for control in plan.controls:
        assert control.control == "untrained"
        sibling = start[control.depth, control.activation, control.run]
        assert np.array_equal(flat(training.weights(control)), flat(sibling))
        assert training.forward(control, digits.x_train[:5]).activations()[0].shape == (5, 24)


def test_a_network_on_shuffled_labels_joins_the_cohort(digits: Dataset) -> None:
    asked = settings(depths=[2], activations=["tanh"], runs=1)
    (network,) = cohort(asked)
    shuffled = Network(network_id("digits", 2, "tanh", 0, "shuffled"), "digits", 2, "tanh", 0, "shuffled")
    training = CohortTraining((network, shuffled), digits, asked, CPU)
    trained_alone = CohortTraining((network,), digits, asked, CPU)
    for _ in range(10):
        report, expected = training.epoch(), trained_alone.epoch()
    assert report.networks[0].loss == pytest.approx(expected.networks[0].loss, rel=1e-3)
    assert report.networks[0].test_accuracy > 0.85
    assert report.networks[1].test_accuracy < 0.35
    assert report.networks[1].loss > 1.5


def test_an_aborted_epoch_is_undone(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked early, and minibatches of two, so that the epoch is broken off in its midst.
    monkeypatch.setattr(training_module, "PROGRESS_INTERVAL_S", 0.001)
    asked = validate(settings().model_dump() | {"training": {"batch_size": 2}})
    training = CohortTraining(cohort(asked), digits, asked, CPU)
    before = training.state()
    calls: list[tuple[int, int]] = []

    def on_progress(done: int, total: int) -> bool:
        calls.append((done, total))
        return True

    with pytest.raises(Aborted):
        training.epoch(on_progress)
    ((done, total),) = calls
    assert 0 <= done < total and total % training.steps == 0
    after = training.state()
    assert training.epochs_done == 0
    assert all(torch.equal(before[name], after[name]) for name in before)
    calls.clear()
    training.epoch(lambda done, total: bool(calls.append((done, total))))  # type: ignore[func-returns-value]  # None: go on
    assert calls[-1] == (total, total) and training.epochs_done == 1


def test_an_error_in_the_midst_of_an_epoch_undoes_it(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, trainer: type[NetworkTrainer | BatchedTrainer]
) -> None:
    asked = settings()
    training = CohortTraining(cohort(asked), digits, asked, CPU)
    before = training.state()
    genuine = trainer.train

    def failing(self: Trainer, orders: dict[int, torch.Tensor], first: int, last: int) -> None:
        genuine(self, orders, first, 2)  # type: ignore[arg-type]  # of the class it is called on
        torch.empty(1 << 60, dtype=torch.uint8)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train", failing)
        with pytest.raises(OutOfMemory, match="training a cohort of 8 networks"):
            training.epoch()
    after = training.state()
    assert training.epochs_done == 0
    assert all(torch.equal(before[name], after[name]) for name in before)


class Recorded:
    """A stand-in for a CUDA graph: makes the calls again that programs made while it was captured."""

    def __init__(self) -> None:
        self.program: list[Callable[[], object]] = []

    def replay(self) -> None:
        for call in self.program:
            call()


@AS_ON_A_GPU
def test_captured_steps_and_tests_equal_those_called_one_by_one(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU: warming up and capturing leave no trace, and nothing but the program is left to a replay."""
    asked = settings(depths=[2, 1])
    networks = cohort(asked)
    straight = CohortTraining(networks, digits, asked, CPU)
    captured = CohortTraining(networks, digits, asked, CPU)
    graphs: list[Recorded] = []
    capturing: list[Recorded] = []
    genuine = StepProgram.run

    def run(program: StepProgram) -> None:
        genuine(program)
        for graph in capturing:
            graph.program += program.calls

    def graph() -> Recorded:
        graphs.append(Recorded())
        return graphs[-1]

    @contextmanager
    def capture(graph: Recorded, stream: object, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        capturing.append(graph)
        yield
        capturing.clear()

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda device, priority=0: stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(StepProgram, "run", run)
    monkeypatch.setattr(trainer_gpu, "STEPS_PER_GRAPH", 4)
    (ours,), (theirs,) = captured.trainers, straight.trainers
    assert isinstance(ours, BatchedTrainer) and isinstance(theirs, BatchedTrainer)
    ours.graphs.enabled = True
    for step in (0, 1, 14, 2):  # minibatch 14 is the last and smaller
        for training in (straight, captured):
            training.step(step)
    state = captured.state()
    assert all(torch.equal(value, state[name]) for name, value in straight.state().items())
    test, y = captured.test_inputs, torch.from_numpy(digits.y_test)
    assert ours.evaluate(test, y) == theirs.evaluate(test, y)
    assert len(graphs) == 3
    assert captured.epoch().networks == straight.epoch().networks  # 14 steps in fours and ones, and the last
    state = captured.state()
    assert all(torch.equal(value, state[name]) for name, value in straight.state().items())
    assert len(graphs) == 4 and len(graphs[3].program) == 4 * len(graphs[0].program)


@AS_ON_A_GPU
def test_threads_issue_their_work_on_the_stream_of_their_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: on another, controls would be evaluated while their weights are still being copied."""
    own = threading.local()
    streams = {device: object() for device in (torch.device("cuda", 0), torch.device("cuda", 1))}
    monkeypatch.setattr(torch.cuda, "current_stream", streams.get)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: setattr(own, "stream", stream))
    for device, stream in streams.items():
        with training_module.training_threads(2, device) as (count, pool):
            assert [pool.submit(lambda: own.stream).result() for _ in range(count)] == [stream] * count
    assert not hasattr(own, "stream"), "the caller's own is left as it was"


def test_large_cohorts_are_split_by_run(digits: Dataset) -> None:
    asked = settings(depths=[3, 2], runs=4)
    networks = cohort(asked)
    whole = memory_estimate(networks, digits, asked)
    assert split(networks, digits, asked, whole) == (networks,)
    parts = split(networks, digits, asked, whole - 1)
    assert sorted(n.id for part in parts for n in part) == sorted(n.id for n in networks)
    assert [sorted({n.run for n in part}) for part in parts] == [[0, 1], [2, 3]]
    singles = split(networks, digits, asked, 1)
    assert all(len(part) == 1 for part in singles) and len(singles) == len(networks)


@AS_ON_A_GPU
def test_out_of_memory_is_the_programs_own_error() -> None:
    with pytest.raises(OutOfMemory, match="a cohort of 9 networks"), memory_guard("a cohort of 9 networks"):
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), memory_guard("anything"):
        torch.zeros(2) @ torch.zeros(3, 3)
