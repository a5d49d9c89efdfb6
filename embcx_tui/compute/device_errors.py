"""What a device, its driver and its compiler raise, told apart from what a layer, a study or a defect of ours does."""

from __future__ import annotations

import logging
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from embcx_tui.study.errors import DeviceFailed, EmbcxError
from embcx_tui.study.text import safe_text

log = logging.getLogger(__name__)

# torch has a class of its own for errors of a device since 2.8; before that they are plain RuntimeErrors.
_DEVICE_CLASSES = (getattr(torch, "AcceleratorError", torch.OutOfMemoryError), torch.OutOfMemoryError)
# What the texts of CUDA, cuBLAS, cuDNN, NVRTC and Triton's driver have in common.
_DEVICE_WORDS = ("CUDA", "CUBLAS", "cuBLAS", "CUDNN", "cuDNN", "nvrtc", "Triton Error", "out of memory")
# torch.OutOfMemoryError comes from torch's own allocator alone: contexts, modules, graphs and library handles have
# other texts, and the CPU's allocator has no class of its own.
_MEMORY_WORDS = ("out of memory", "STATUS_ALLOC_FAILED", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that the memory of a device, or of the machine, is exhausted."""
    if isinstance(error, DeviceFailed):
        return error.passing
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY_WORDS)


def is_device_error(error: BaseException) -> bool:
    """Return whether `error` comes from a device, its driver, its libraries or Triton's compiler."""
    if isinstance(error, _DEVICE_CLASSES):
        return True
    if any(cls.__module__.partition(".")[0] == "triton" for cls in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _DEVICE_WORDS)


def in_words(error: BaseException) -> str:
    """Return the first line of what `error` says, or its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return safe_text(lines[0], 200) if lines else type(error).__name__


def device_failure(device: object, doing: str, error: BaseException) -> DeviceFailed:
    """Return `error` as that of `device` while it was `doing` something."""
    return DeviceFailed(f"{device} failed while {doing}: {in_words(error)}", passing=is_out_of_memory(error))


def without_frames(failure: DeviceFailed) -> DeviceFailed:
    """Return `failure` without its causes and frames, which hold what the failed work has allocated; they go to the log
    of the process.
    """
    log.warning("%s", failure, exc_info=failure)
    failure.__cause__ = failure.__context__ = None
    return failure.with_traceback(None)


@contextmanager
def device_guard(device: object, doing: str) -> Iterator[None]:
    """Turn every error of a device into DeviceFailed.

    The block reads and writes no files: on a GPU an OSError there is that of Triton's compiler or of its cache.
    """
    try:
        yield
    except EmbcxError:
        raise
    except (OSError, subprocess.SubprocessError) as error:
        if str(device) == "cpu":
            raise
        raise device_failure(device, doing, error) from error
    except Exception as error:
        if not is_device_error(error):
            raise
        raise device_failure(device, doing, error) from error


@dataclass(frozen=True, slots=True)
class TritonFailure:
    """Why Triton's kernels do not run: the reason and a remedy in words, and whether no kernel at all can run."""

    reason: str
    remedy: str
    is_general: bool


def triton_failure(error: BaseException) -> TritonFailure:
    """Return what `error`, raised while kernels were compiled or first launched, means to the user."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    builds = isinstance(error, subprocess.SubprocessError)
    if isinstance(error, ImportError):
        return TritonFailure("Triton is not installed here", "pip install triton", True)
    if "C compiler" in str(error):
        return TritonFailure("Triton finds no C compiler here", "install gcc and python3-dev", True)
    if "Python.h" in str(error) or (builds and not header.exists()):
        return TritonFailure("Triton finds no Python.h here", "install gcc and python3-dev", True)
    if builds:
        return TritonFailure(f"Triton's C compiler fails ({in_words(error)})", "install gcc and python3-dev", True)
    if isinstance(error, OSError):
        cache = os.environ.get("TRITON_CACHE_DIR", "~/.triton/cache")
        return TritonFailure(
            f"Triton cannot use its cache {safe_text(cache, 100)} ({error.strerror or in_words(error)})",
            "set TRITON_CACHE_DIR to a folder that can be written",
            True,
        )
    return TritonFailure(f"Triton fails on this GPU ({type(error).__name__}: {in_words(error)})", "", False)
