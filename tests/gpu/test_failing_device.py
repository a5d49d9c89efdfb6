"""A device that fails or computes wrong numbers: never a property of a layer, and no number of it is shown."""

from __future__ import annotations

import pytest

from embcx_tui.analysis.report import report
from embcx_tui.store.library import create_study
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import CohortStarted
from embcx_tui.study.settings import validate
from embcx_tui.worker import launch
from tests.gpu.stand_in import checkpoints, computed, run_worker, scores, settings, sound_scores, warnings
from tests.worker.test_worker import run_to_the_end

# Two layers a batch; the third batch meets an error, `times` times.
THIRD_BATCH = """
measure._BATCH, measure._GPU_BATCHES = 2, 1
batches = left = 0
whole = descent_gpu.measure_batch
def failing(*values):
    global batches, left
    batches += 1
    if batches >= 3 and left < {times}:
        left += 1
        raise {error}
    yield from whole(*values)
descent_gpu.measure_batch = failing
"""
CUDA = 'getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: an illegal memory access was encountered\\nx")'
CUBLAS = 'RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`")'
PTXAS = '__import__("triton.runtime.errors").runtime.errors.PTXASError("ptxas died")'
FULL = 'getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory")'

# Wrong scores, on the fast path or on every path.
WRONG = """
class Broken:
    def __getattr__(self, name):
        return getattr(kernels_torch, name)
    def cross_entropy(self, points, joint, p_index):
        true = kernels_torch.cross_entropy(points, joint, p_index)
        return {wrong}
descent_gpu.descent_kernels = lambda device: Broken() if {always} or gpu_path.is_fast(DESCENTS) else kernels_torch
"""
NOT_A_NUMBER, NEGATIVE, A_LITTLE = "true * torch.nan", "true * 0 - 0.3", "true + 0.01"


@pytest.mark.parametrize("error", [CUDA, CUBLAS, PTXAS, FULL])
def test_a_device_that_fails_for_a_moment_costs_no_layer(error: str) -> None:
    paths, snapshot = computed(THIRD_BATCH.format(times=1, error=error))
    assert (snapshot.state, len(snapshot.measured), dict(snapshot.failed)) == ("complete", 7, {})
    assert scores(paths) == sound_scores()
    assert any("once more on the plain path" in text or "short of memory" in text for text in warnings(snapshot))
    assert checkpoints(paths) == []


@pytest.mark.parametrize("error", [CUDA, FULL])
def test_a_device_that_goes_on_failing_ends_the_study_which_resumes(error: str) -> None:
    paths, snapshot = computed(THIRD_BATCH.format(times=99, error=error))
    assert (snapshot.state, len(snapshot.measured), dict(snapshot.failed)) == ("failed", 3, {})
    assert snapshot.ended is not None
    reason = snapshot.ended.reason
    assert ("illegal memory access" in reason or "not enough memory for one layer" in reason) and "resume" in reason
    assert "\n" not in reason and "defect" not in reason
    assert checkpoints(paths), "resume needs the weights"
    before = len([line for line in snapshot.log if isinstance(line.event, CohortStarted)])
    assert run_worker(paths) == 0
    snapshot = read_study(paths)
    assert (snapshot.state, len(snapshot.measured)) == ("complete", 7)
    assert scores(paths) == sound_scores()
    assert len([line for line in snapshot.log if isinstance(line.event, CohortStarted)]) == before, "not trained again"


@pytest.mark.parametrize("wrong", [NOT_A_NUMBER, NEGATIVE, A_LITTLE])
def test_wrong_numbers_of_the_fast_path_are_computed_again_on_the_plain_one(wrong: str) -> None:
    paths, snapshot = computed(WRONG.format(wrong=wrong, always=False))
    assert (snapshot.state, dict(snapshot.failed)) == ("complete", {})
    assert scores(paths) == sound_scores()
    (text,) = warnings(snapshot)
    assert "computes wrong numbers" in text and "100 times slower" in text
    assert snapshot.machine is not None and snapshot.machine.path["descents"] == "plain torch"
    page = report(snapshot, {})
    assert "GPU path | P: plain torch; descents: plain torch; activations: Triton" in page
    assert "Warnings of the worker" in page and "computes wrong numbers" in page


@pytest.mark.parametrize("wrong", [NOT_A_NUMBER, NEGATIVE, A_LITTLE])
def test_wrong_numbers_of_every_path_are_never_shown(wrong: str) -> None:
    paths, snapshot = computed(WRONG.format(wrong=wrong, always=True))
    assert (snapshot.state, dict(snapshot.measured), dict(snapshot.failed)) == ("failed", {}, {})
    assert scores(paths) == {}, "show --json has no wrong number"
    assert snapshot.ended is not None and "computes wrong numbers" in snapshot.ended.reason
    assert checkpoints(paths)
    assert run_worker(paths) == 0 and read_study(paths).state == "complete"


def test_training_that_fails_goes_on_from_its_checkpoint() -> None:
    fault = """
from embcx_tui.compute.training import step_program
steps, run = 0, step_program.StepProgram.run
def failing(self):
    global steps
    steps += 1
    if steps == 20:
        raise RuntimeError("CUDA error: unspecified launch failure")
    run(self)
step_program.StepProgram.run = failing
"""
    paths, snapshot = computed(fault)
    assert snapshot.state == "complete" and scores(paths) == sound_scores()
    (text,) = warnings(snapshot)
    assert "unspecified launch failure" in text and "training takes up to twice as long" in text
    always = fault.replace("steps == 20", "steps >= 20")
    paths, snapshot = computed(always)
    assert snapshot.state == "failed" and snapshot.ended is not None
    assert "unspecified launch failure" in snapshot.ended.reason and "defect" not in snapshot.ended.reason
    assert run_worker(paths) == 0 and scores(paths) == sound_scores()


def test_a_study_goes_on_from_a_failed_device_on_the_processor() -> None:
    """Resumed on another path: nothing is lost, and the journal says on what each part was computed."""
    paths, snapshot = computed(THIRD_BATCH.format(times=99, error=CUDA), machine={"device": "cpu"})
    assert snapshot.machine is not None and snapshot.machine.path
    kept = scores(paths)
    after = run_to_the_end(paths)
    assert (after.state, len(after.measured)) == ("complete", 7)
    assert after.machine is not None and after.machine.path == {}
    resumed = scores(paths)
    assert all(resumed[layer] == kl for layer, kl in kept.items() if kl is not None) and None not in resumed.values()


def test_the_plain_path_can_be_asked_for() -> None:
    _, snapshot = computed(machine={"gpu_path": "plain"})
    assert snapshot.state == "complete" and snapshot.machine is not None
    assert set(snapshot.machine.path.values()) == {"plain torch", "call by call"}
    assert warnings(snapshot) == []


def test_layers_that_failed_are_tried_again_though_the_study_is_complete() -> None:
    """On a CPU, where a library cannot measure a layer for a while: its checkpoint stays, and resume finds it."""
    asked = settings(measure={"epochs": [1]})
    paths = create_study(asked)
    fault = """
run.device_choice = lambda wanted: DeviceChoice(torch.device("cpu"))
whole = embed.measure
def picky(layers, *others):
    if any(layer.shape[1] == 12 for layer in layers):
        raise ValueError("not of this width today")
    yield from whole(layers, *others)
embed.measure = picky
"""
    assert run_worker(paths, fault) == 0
    snapshot = read_study(paths)
    assert (snapshot.state, len(snapshot.measured), len(snapshot.failed)) == ("complete", 1, 6)
    assert len(snapshot.earlier_failed) == 6
    assert checkpoints(paths)
    after = run_to_the_end(paths)
    assert (after.state, len(after.measured), len(after.earlier)) == ("complete", 7, 6)
    assert not after.failed and not after.earlier_failed
    assert checkpoints(paths) == []
    undisturbed = create_study(validate(asked.model_dump()))
    run_to_the_end(undisturbed)
    assert scores(paths) == scores(undisturbed)
    with pytest.raises(RequestError, match="nothing left to do"):
        launch.start(paths)
