"""The device that computes: how it is chosen, its cores, its Triton kernels, and the threads of its BLAS."""

from __future__ import annotations

import importlib
import math
import os
import platform
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding
import psutil
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from embcx_tui.compute import gpus
from embcx_tui.compute.device_errors import is_out_of_memory, triton_failure
from embcx_tui.compute.gpu_path import TRITON_PARTS, gpu_path
from embcx_tui.compute.jit.llvm_builder import has_avx512
from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device: `device` as torch writes it, its name, memory in bytes; of a GPU also the driver's version, the compute
    capability (`9.0`) and CUDA's UUID, each empty where it is not known.
    """

    device: str
    name: str
    memory_bytes: int
    driver: str = ""
    capability: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """The device of a study. `words`: why this GPU of several. `problem`: why not the GPU that is here."""

    device: torch.device
    words: str = ""
    problem: str = ""


def choose_device(wanted: str) -> torch.device:
    """Return the device of `[machine] device`: see `device_choice`."""
    return device_choice(wanted).device


def device_choice(wanted: str) -> DeviceChoice:
    """Return the device of `[machine] device`, with reasons: cpu, cuda, cuda:N, or auto, which is the freest GPU that
    torch can use and the CPU where it can use none.

    Raises RequestError where that device is not there or cannot be used, with the remedy.
    """
    if wanted == "auto":
        chosen = gpus.automatic()
        device = torch.device("cpu") if chosen.number is None else torch.device("cuda", chosen.number)
        return DeviceChoice(device, chosen.words, "" if chosen.trouble.wanted else chosen.trouble.text)
    if wanted == "cpu":
        return DeviceChoice(torch.device("cpu"))
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", wanted)
    if match is None:
        raise RequestError(f"{safe_text(wanted, 60)!r} is not a device (auto, cpu, cuda, cuda:N)")
    if not gpus.is_available():
        reason = gpus.trouble().text or 'torch finds no usable GPU here; use "cpu" or "auto"'
        raise RequestError(f'device = "{wanted}": {reason}')
    number = int(match[1] or 0)
    if number >= torch.cuda.device_count():
        raise RequestError(f'device = "{wanted}": this machine has {torch.cuda.device_count()} GPU(s), from cuda:0')
    if reason := gpus.refusal(number):
        raise RequestError(f'device = "{wanted}": {reason}')
    return DeviceChoice(torch.device("cuda", number))


def describe(device: torch.device) -> DeviceFacts:
    """Return what is known of `device`."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return DeviceFacts(
            device=str(device),
            name=safe_text(properties.name, 80),
            memory_bytes=properties.total_memory,
            driver=gpus.nvml_driver_version(),
            capability=f"{properties.major}.{properties.minor}",
            uuid=gpus.uuid_of(device.index or 0) or "",
        )
    return DeviceFacts("cpu", f"CPU, {torch.get_num_threads()} threads", psutil.virtual_memory().total)


def processor() -> dict[str, str]:
    """Return what of the processor decides the last bits of a number computed on it, in words.

    `cpu`: its model; `vectors`: for which processor LLVM compiles, and how many float32 the t-SNE's own loops take at a
    time; `blas`: the BLAS of
    numpy and of scipy, each with the kernels that it chose (`OPENBLAS_CORETYPE` changes them).
    """
    name = os.environ.get("NUMBA_CPU_NAME") or llvmlite.binding.get_host_cpu_name()
    found = {
        f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown')})"
        for library in _libraries().info()
        if library["user_api"] == "blas"
    }
    return {
        "cpu": cpu_model(),
        "vectors": safe_text(f"{name}, t-SNE in vectors of {16 if has_avx512() else 8}", 80),
        "blas": safe_text(", ".join(sorted(found)) or "unknown", 200),
    }


def cpu_model() -> str:
    """Return the model of this machine's processor, such as `AMD EPYC 9654`."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return safe_text(line.partition(":")[2].strip(), 80)
    except OSError:
        pass
    return safe_text(platform.processor() or platform.machine(), 80)


def cores() -> int:
    """Return the number of processor cores that this process may use: more threads than a quota of the control group
    (a container's limit) has cores for would only be stopped in turns.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, cpu_quota())))


@cache
def cpu_quota(root: Path = Path("/")) -> float:
    """Return how many cores the control groups of this process (Linux, v2 or v1) leave it; infinite without a quota."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return math.inf
    least = math.inf
    for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Every group around it has its say. A container may see its own as the whole tree, whatever the host calls it.
        mount, parts = root / "sys/fs/cgroup" / ("cpu" if controllers else ""), Path(group.strip("/")).parts
        least = min(least, *(_quota_of(mount.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)))
    return least


def _quota_of(group: Path) -> float:
    """Return the cores of one control group."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text(encoding="utf-8") for name in names).split()
            if float(quota) > 0:  # -1: none, as "max"
                return float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf


def is_accelerator(device: torch.device) -> bool:
    """Return whether `device` computes as a GPU does: all networks and many layers at once.

    True for `cpu:0` too, which no setting can name: the GPU's program on the CPU's tensors, for tests.
    """
    return str(device) != "cpu"


def triton_kernels(device: torch.device, module: str) -> Any:
    """Return `embcx_tui.compute.<module>`, a module of Triton kernels, where its `probe` compiles and runs them on
    `device`; None elsewhere, and where the plain path is asked for: the caller then uses plain torch, which is slower.

    A failure is told, with what helps, and remembered; one for lack of memory is tried again by the next call.
    """
    if device.type != "cuda" or not gpu_path.is_fast(module):
        return None
    if (device, module) not in PROBED:
        try:
            kernels = importlib.import_module(f"embcx_tui.compute.{module}")
            kernels.probe(device)
            # Errors on the device are raised here. Not the whole device: another thread may be capturing a graph on it.
            torch.cuda.current_stream(device).synchronize()
        except Exception as error:  # whatever a missing compiler, driver or package raises: plain torch needs none
            failure = triton_failure(error)
            if is_out_of_memory(error):
                gpu_path.tell(f"{device} is short of memory for Triton; plain torch, which is slower, for now")
            else:
                gpu_path.step_down(TRITON_PARTS if failure.is_general else (module,), failure.reason, failure.remedy)
            return None
        PROBED[device, module] = kernels
    return PROBED[device, module]


# Modules of kernels that compiled and ran on a device.
PROBED: dict[tuple[torch.device, str], Any] = {}


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which Triton launches where `tensor` lies: it takes the thread's current device, cuda:0 in a
    new thread.
    """
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


_TORCH_THREADS = threading.Lock()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute with one thread on the CPU until the context is left.

    The number is the process's, so one caller at a time has it.
    """
    with _TORCH_THREADS:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS products to the calling thread: from this call until the returned context is left.

    The cores are busy with other networks or layers: more threads per product would only wait for each other, and sums
    would depend on their number. OpenBLAS has one limit for all threads of a process (its OpenMP variant one per
    thread), owned by the first thread that sets it: so a whole study runs in such a context in the main thread, and its
    other threads enter one of their own.
    """
    limits: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limits


@cache
def _libraries() -> ThreadpoolController:
    """Return the loaded libraries, among them numpy's BLAS and scipy's; cached, as finding them takes some 5 ms."""
    import scipy.linalg  # noqa: F401  # its BLAS is found once it is loaded

    return ThreadpoolController()
