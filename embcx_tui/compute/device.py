"""Which device computes, what it has, and what running out of its memory looks like."""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import psutil
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from embcx_tui.study.errors import EmbcxError, RequestError
from embcx_tui.study.text import safe_text

log = logging.getLogger(__name__)


class OutOfMemory(EmbcxError):
    """The device's memory does not hold what was asked; a smaller cohort may."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device: `device` as torch writes it, its name, memory in bytes, threads (CPU), driver-side versions as text."""

    device: str
    name: str
    memory_bytes: int
    threads: int
    versions: str


def choose_device(wanted: str) -> torch.device:
    """Return the device of `[machine] device`: auto (a GPU where there is one), cpu, cuda, cuda:N.

    Raises RequestError where that device is not there.
    """
    if wanted == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", wanted)
    if match is None:
        raise RequestError(f"{safe_text(wanted, 60)!r} is not a device (auto, cpu, cuda, cuda:N)")
    if not torch.cuda.is_available():
        raise RequestError(f'device = "{wanted}": torch finds no usable GPU here; use "cpu" or "auto"')
    number = int(match[1] or 0)
    if number >= torch.cuda.device_count():
        raise RequestError(f'device = "{wanted}": this machine has {torch.cuda.device_count()} GPU(s), from cuda:0')
    return torch.device("cuda", number)


def describe(device: torch.device) -> DeviceFacts:
    """Return what is known of `device`."""
    versions = f"torch {torch.__version__}"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        versions += f", CUDA {torch.version.cuda}"
        return DeviceFacts(str(device), safe_text(properties.name, 80), properties.total_memory, 0, versions)
    threads = torch.get_num_threads()
    return DeviceFacts("cpu", f"CPU, {threads} threads", psutil.virtual_memory().total, threads, versions)


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be had on `device` without swapping."""
    if device.type == "cuda":
        # What this process gave back lies in torch's own cache: the driver counts it as taken.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    return int(psutil.virtual_memory().available)


@cache
def triton_kernels(device: torch.device, module: str) -> Any:
    """Return `embcx_tui.compute.<module>`, a module of Triton kernels, where its `probe` compiles and runs them on
    `device`; None elsewhere: plain torch then does the same, slower.
    """
    if device.type != "cuda":
        return None
    try:
        kernels = importlib.import_module(f"embcx_tui.compute.{module}")
        kernels.probe(device)
        # What fails on the device shows here. Not the whole device: another thread may be capturing a graph on it.
        torch.cuda.current_stream(device).synchronize()
    except Exception as error:  # whatever a missing compiler, driver or package raises: plain torch needs none of them
        log.warning("%s: Triton cannot be used here (%s: %s)", module, type(error).__name__, error)
        return None
    return kernels


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which Triton launches where `tensor` lies: it takes the thread's current device, cuda:0 in a
    new thread.
    """
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


@contextmanager
def memory_guard(what: str) -> Iterator[None]:
    """Turn the ways in which torch and numpy report exhausted memory into OutOfMemory naming `what`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise OutOfMemory(f"not enough memory for {what}") from None
    except RuntimeError as error:
        # The CPU allocator has no class of its own: "DefaultCPUAllocator: can't allocate memory".
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise OutOfMemory(f"not enough memory for {what}") from None
        raise


def one_blas_thread() -> AbstractContextManager[object]:
    """Let BLAS products run on the thread that asks for them: at once, and until the context that it returns is left.

    Where the cores are busy with networks or layers of their own, more threads a product only wait for each other;
    and its sums do not depend on their number then. OpenBLAS has one limit for all threads of a process (with its
    OpenMP variant, one for each thread), which the first thread that limits it owns: so the whole of a study is in such
    a context, in the main thread, and again what it calls in others.
    """
    limits: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limits


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the loaded libraries, numpy's BLAS and scipy's own among them; once: to find them takes some 5 ms."""
    import scipy.linalg  # noqa: F401  # its BLAS is found once it is loaded

    return ThreadpoolController()
