"""What keeps a GPU from its fast path: told in words that help, and one step down instead of an end."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from embcx_tui.compute import device as device_module
from embcx_tui.compute.device_errors import TritonFailure, in_words, is_device_error, is_out_of_memory, triton_failure
from embcx_tui.compute.gpu_path import ACTIVATIONS, DESCENTS, GRAPHS, TRITON_PARTS, gpu_path
from embcx_tui.compute.memory import OutOfMemory, memory_guard
from embcx_tui.study.errors import DeviceFailed
from tests.gpu.stand_in import PATIENCE_S, computed, scores, sound_scores, warnings

# Compiles a kernel for an H100, as a GPU would, and says what that means where it fails.
COMPILE = """
import sys
{hindrance}
from embcx_tui.compute.device_errors import triton_failure
try:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from embcx_tui.compute.jit import triton_sum
    signature = {{"parts": "*fp32", "total": "*fp32", "count": "i32", "COLUMNS": "constexpr"}}
    source = ASTSource(fn=triton_sum.row_sum_kernel, signature=signature, constexprs={{"COLUMNS": 1024}})
    triton.compile(source, target=GPUTarget("cuda", 90, 32))
    from triton.runtime.build import _build, _find_compiler
    _find_compiler("c")
    source = open("launcher.c", "w")
    source.write("#include <Python.h>\\n")
    source.close()
    _build("launcher", "launcher.c", ".", [], [], [], [])
except Exception as error:
    failure = triton_failure(error)
    print(f"{{failure.reason}}; {{failure.remedy}}; {{failure.is_general}}")
else:
    print("compiled")
"""
NO_HEADER = """
import sysconfig
whole = sysconfig.get_paths
sysconfig.get_paths = lambda *names, **values: {**whole(*names, **values), "include": "/nowhere"}
"""


def compiled(folder: Path, hindrance: str = "", **environment: str) -> str:
    values = {**os.environ, "TRITON_CACHE_DIR": str(folder / "cache"), **environment}
    command = [sys.executable, "-c", COMPILE.format(hindrance=hindrance)]
    done = subprocess.run(command, env=values, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_triton_lacks_is_said_with_its_remedy(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    no_compiler = compiled(tmp_path, "import os; os.environ.pop('CC', None)", PATH="/nowhere")
    assert no_compiler == "Triton finds no C compiler here; install gcc and python3-dev; True"
    assert compiled(tmp_path, NO_HEADER) == "Triton finds no Python.h here; install gcc and python3-dev; True"
    read_only = compiled(tmp_path, TRITON_CACHE_DIR="/proc/none")
    assert read_only.startswith("Triton cannot use its cache /proc/none (")
    assert read_only.endswith("set TRITON_CACHE_DIR to a folder that can be written; True")
    missing = compiled(tmp_path, "sys.modules['triton'] = None")
    assert missing == "Triton is not installed here; pip install triton; True"


def test_a_kernel_that_fails_alone_leaves_the_others() -> None:
    errors = pytest.importorskip("triton.runtime.errors")
    error = errors.OutOfResources(300_000, 232_448, "shared memory")
    assert triton_failure(error) == TritonFailure(
        f"Triton fails on this GPU (OutOfResources: {in_words(error)})", "", False
    )


ACCELERATOR = getattr(torch, "AcceleratorError", RuntimeError)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        ACCELERATOR("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
    ],
)
def test_every_text_of_a_full_card_is_that_of_a_full_card(error: RuntimeError) -> None:
    assert is_device_error(error) and is_out_of_memory(error)
    with pytest.raises(OutOfMemory, match="not enough memory for a cohort"), memory_guard("a cohort"):
        raise error


def test_other_errors_of_a_device_are_no_defect_of_a_cohort_and_others_are_no_device_s() -> None:
    for words in ("an illegal memory access was encountered", "no kernel image is available", "device is busy"):
        error = ACCELERATOR(f"CUDA error: {words}\nCompile with TORCH_USE_CUDA_DSA")
        assert is_device_error(error) and not is_out_of_memory(error)
        match = rf"^the device failed \(a cohort\): CUDA error: {words}$"
        with pytest.raises(DeviceFailed, match=match), memory_guard("a cohort"):
            raise error
    for other in (RuntimeError("shape mismatch"), ValueError("CUDA"), OSError(28, "full")):
        assert not is_device_error(other)


def fake_kernels(monkeypatch: pytest.MonkeyPatch, module: str, *errors: Exception | None) -> list[int]:
    """Make `module` one of kernels whose probes meet `errors` in turn; return the list that counts them."""
    probes: list[int] = []

    def probe(device: torch.device) -> None:
        probes.append(1)
        error = errors[len(probes) - 1] if len(probes) <= len(errors) else None
        if error:
            raise error

    made = types.ModuleType(module)
    made.probe = probe  # type: ignore[attr-defined]  # as the modules of kernels have
    monkeypatch.setitem(sys.modules, f"embcx_tui.compute.{module}", made)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: types.SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setattr(device_module, "PROBED", {})
    return probes


def test_a_probe_that_meets_a_full_card_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    gpu_path.begin(listener=told.append)
    probes = fake_kernels(monkeypatch, DESCENTS, torch.OutOfMemoryError("CUDA out of memory"))
    found = [device_module.triton_kernels(torch.device("cuda", 0), DESCENTS) for _ in range(3)]
    assert found[0] is None and found[1] is not None and found[2] is found[1]
    assert len(probes) == 2 and len(told) == 1 and "short of memory" in told[0]
    assert gpu_path.is_fast(DESCENTS)


def test_a_missing_compiler_is_told_once_for_all_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    gpu_path.begin(listener=told.append)
    probes = fake_kernels(monkeypatch, ACTIVATIONS, RuntimeError("Failed to find C compiler. Please specify via CC"))
    for part in (ACTIVATIONS, *TRITON_PARTS):
        assert device_module.triton_kernels(torch.device("cuda", 0), part) is None
    assert len(probes) == 1
    (text,) = told
    assert text.startswith("Triton finds no C compiler here: ") and text.endswith("; install gcc and python3-dev")
    assert "embeddings run some 100 times slower" in text
    assert gpu_path.is_fast(GRAPHS)
    assert gpu_path.words()["descents"] == "plain torch"


# A device that takes no graph: everything else works.
NO_GRAPHS = """
import types
from contextlib import nullcontext
from embcx_tui.compute.training import trainer_gpu
begin = trainer_gpu.BatchedTrainer.__init__
def with_graphs(self, *values):
    begin(self, *values)
    self.graphs.enabled = True
trainer_gpu.BatchedTrainer.__init__ = with_graphs
stream = types.SimpleNamespace(wait_stream=lambda other: None)
torch.cuda.Stream = lambda device, priority=0: stream
torch.cuda.current_stream = lambda device: stream
torch.cuda.stream = nullcontext
torch.cuda.CUDAGraph = lambda: None
def graph(graph, stream, capture_error_mode):
    raise {error}
torch.cuda.graph = graph
"""


@pytest.mark.parametrize(
    "words", ["operation not permitted when stream is capturing", "out of memory"], ids=["refused", "full"]
)
def test_a_capture_that_cannot_be_made_costs_time_alone(words: str) -> None:
    error = f'getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: {words}")'
    paths, snapshot = computed(NO_GRAPHS.format(error=error))
    assert snapshot.state == "complete" and scores(paths) == sound_scores()
    (text,) = warnings(snapshot)
    assert "CUDA graphs" in text
    assert ("twice as long" in text) is (words != "out of memory")
    assert snapshot.machine is not None
    assert snapshot.machine.path["training steps"] == ("CUDA graphs" if words == "out of memory" else "call by call")


def test_short_memory_on_the_way_is_a_warning_in_the_journal() -> None:
    fault = """
whole = descent_gpu.measure_batch
def short(inputs, *others):
    if len(inputs) > 2:
        raise torch.OutOfMemoryError("CUDA out of memory")
    yield from whole(inputs, *others)
descent_gpu.measure_batch = short
"""
    paths, snapshot = computed(fault)
    assert snapshot.state == "complete" and scores(paths) == sound_scores()
    assert any("at a time, which takes longer" in text for text in warnings(snapshot))


def test_captures_of_one_trainer_share_a_stream_that_no_living_trainer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from embcx_tui.compute.training import graphs

    def runner() -> graphs.GraphRunner:
        return graphs.GraphRunner(torch.device("cuda", 0), ())

    made: list[int] = []

    def stream(device: torch.device, priority: int) -> object:
        made.append(priority)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(graphs, "FREE_STREAMS", {})
    one, other = runner(), runner()
    first = one.stream()
    assert one.stream() is first and other.stream() is not first
    del one
    assert runner().stream() is first, "taken over"
    assert made == [-1, -1]
