"""The device that computes: how it is chosen, its cores, its Triton kernels, and the threads of its BLAS."""

from __future__ import annotations

import importlib
import logging
import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import psutil
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device: `device` as torch writes it, its name, memory in bytes."""

    device: str
    name: str
    memory_bytes: int


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
    """Return name and memory of `device`."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return DeviceFacts(str(device), safe_text(properties.name, 80), properties.total_memory)
    return DeviceFacts("cpu", f"CPU, {torch.get_num_threads()} threads", psutil.virtual_memory().total)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def triton_kernels(device: torch.device, module: str) -> Any:
    """Return `embcx_tui.compute.<module>`, a module of Triton kernels, where its `probe` compiles and runs them on
    `device`; None elsewhere: the caller then uses plain torch, which is slower.
    """
    if device.type != "cuda":
        return None
    try:
        kernels = importlib.import_module(f"embcx_tui.compute.{module}")
        kernels.probe(device)
        # Errors on the device are raised here. Not the whole device: another thread may be capturing a graph on it.
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
