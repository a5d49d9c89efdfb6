"""Which GPU computes: the freest that torch can use, and in one line why torch cannot use one that is here."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from embcx_tui.compute import nvml
from embcx_tui.study.text import safe_text

_GB = 1e9
# The first driver that takes a CUDA of this number (NVIDIA's release notes; minor versions are compatible).
_LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
_INSTALL = "pytorch.org, “Get started”, has the command"
# torch's words where a driver answers but shows it no device.
_NO_DEVICE = "No CUDA GPUs are available"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why torch can use no GPU though one is here: one line with the remedy, empty where none is here.

    `wanted`: whoever started the program hid it (CUDA_VISIBLE_DEVICES), so nobody need be warned.
    """

    text: str = ""
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """What `auto` means here: the number of torch's GPU, None for the CPU.

    `words`: why this one of several. `trouble`: why not the GPU that is here.
    """

    number: int | None
    words: str = ""
    trouble: Trouble = Trouble()


def is_available() -> bool:
    """Return whether torch sees a GPU, without its warning, which `trouble` repeats with a remedy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def automatic() -> GpuChoice:
    """Return the freest GPU that torch can use; the CPU, and the reason, where it can use none of those here."""
    if not is_available():
        return GpuChoice(None, trouble=trouble())
    numbers = list(range(torch.cuda.device_count()))
    loads = {number: nvml.load_of(_handle(number)) for number in numbers} if len(numbers) > 1 else {}
    refused = []
    for number in by_room(loads) if loads else numbers:
        if reason := refusal(number):
            refused.append(reason)
            continue
        return GpuChoice(number, words=_told(number, loads[number]) if loads else "")
    return GpuChoice(None, trouble=Trouble(refused[0] if refused else ""))


def by_room(loads: dict[int, nvml.Load]) -> list[int]:
    """Return the numbers of GPUs, the one with most room first: free memory, half of it where the GPU is fully busy.

    Where memory is not known the order stays.
    """

    def room(number: int) -> float:
        load = loads[number]
        return (load.memory_free or 0) * (1 - (load.percent or 0) / 200)

    return sorted(loads, key=room, reverse=True)


def refusal(number: int) -> str:
    """Return why torch cannot compute on its GPU `number`, in one line with the remedy; empty where it can."""
    try:
        name = safe_text(torch.cuda.get_device_properties(number).name, 80)
        capability = torch.cuda.get_device_capability(number)
    except RuntimeError as error:
        return f"cuda:{number} does not answer ({_first_line(error)}); see that nvidia-smi works, or reboot"
    built = torch.cuda.get_arch_list()
    card = f"{name} (cuda:{number}, driver {nvml_driver_version() or 'unknown'})"
    if not has_kernels(capability, built):
        oldest, newest = _range_of(built)
        older = capability < oldest
        remedy = "torch and torchvision for an older CUDA, 12.6 or before" if older else "a newer torch and torchvision"
        return (
            f"{card} has compute capability {capability[0]}.{capability[1]}, and {_torch()} has kernels for "
            f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]} alone: install {remedy} ({_INSTALL})"
        )
    failure = trial(number)
    if "busy" in failure:
        return f"{card} belongs to another process alone (exclusive mode: {failure}); wait for it or take another GPU"
    if "out of memory" in failure:
        return f"{card} has no memory left for a first product ({failure}); wait for it or take another GPU"
    return f"{card} fails at a first product ({failure}); see that nvidia-smi works, or reboot" if failure else ""


def trial(number: int) -> str:
    """Compute one small product on torch's GPU `number`; return what went wrong, empty where nothing did."""
    try:
        ones = torch.ones((8, 8), device=torch.device("cuda", number))
        total = float((ones @ ones).sum())
    except RuntimeError as error:  # torch's errors on a device are all of this class
        return _first_line(error)
    return "" if total == 512.0 else f"a sum of 512 comes out as {total:g}"


def has_kernels(capability: tuple[int, int], built: Sequence[str]) -> bool:
    """Return whether code built for the architectures `built` (`sm_75`, `compute_90`, `sm_90a`) runs on `capability`.

    Machine code runs on its own major version from its minor version up, PTX (`compute`) on everything newer. A list
    without any (ROCm) says nothing.
    """
    known = [found for one in built if (found := re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", one))]
    for found in known:
        target = int(found[2]), int(found[3])
        if found[4] == "a":
            runs = target == capability
        elif found[1] == "compute":
            runs = target <= capability
        else:
            runs = target[0] == capability[0] and target[1] <= capability[1]
        if runs:
            return True
    return not known


def trouble() -> Trouble:
    """Return why torch, which sees no GPU, cannot use the one that NVIDIA's driver sees."""
    driver = nvml.driver()
    said = _torch_error()
    too_old = "too old" in said
    mismatch = "mismatch" in driver.error
    # Where NVML answers it decides whether a GPU is here; without it, torch's complaint of an old driver does.
    if not driver.names and not mismatch and not (driver.error and too_old):
        return Trouble()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (visible.strip() in ("", "-1") or _NO_DEVICE in said):
        hidden = f'CUDA_VISIBLE_DEVICES="{safe_text(visible, 60)}" hides it from torch'
        return Trouble(f"{_listed(driver.names)} is here, but {hidden}", wanted=True)
    if mismatch:
        return Trouble("NVIDIA's driver and its library differ in version (an update before a reboot?): reboot")
    found = re.search(r"found version (\d+)", said)
    takes = driver.cuda or (nvml.cuda_version(int(found[1])) if found else None)
    number = f" (CUDA {takes[0]}.{takes[1]})" if takes else ""
    here = f"{_listed(driver.names)} is here, driver {driver.version or 'unknown'}{number}"
    build = f"torch and torchvision for {f'CUDA {takes[0]}' if takes else 'an older CUDA'}"
    if torch.version.cuda is None and torch.version.hip is None:
        return Trouble(f"{here}, but {_torch()} is built for the CPU alone: install {build} ({_INSTALL})")
    if too_old:
        least = _LEAST_DRIVER.get(int(str(torch.version.cuda).partition(".")[0]))
        needs = f"CUDA {torch.version.cuda}" + (f" (driver {least} or later)" if least else "")
        return Trouble(f"{here}, but {_torch()} needs {needs}: update the driver, or install {build} ({_INSTALL})")
    return Trouble(
        f"{here}, but torch cannot use it ({said or 'no reason given'}): see that nvidia-smi works, or reboot"
    )


def nvml_driver_version() -> str:
    """Return the version of NVIDIA's driver; empty where it does not answer."""
    return "" if nvml.connect() else nvml.driver_version()


def _handle(number: int) -> object:
    """Return NVML's handle of torch's GPU `number`; None where it cannot be told."""
    if nvml.connect():
        return None
    return nvml.handle_of(uuid_of(number))


def uuid_of(number: int) -> str | None:
    """Return the UUID of torch's GPU `number`, as CUDA has it, without a prefix; None before torch 2.6."""
    try:
        uuid = getattr(torch.cuda.get_device_properties(number), "uuid", None)
    except RuntimeError:
        return None
    return None if uuid is None else safe_text(uuid, 60)


def visible_number(number: int) -> str:
    """Return what CUDA_VISIBLE_DEVICES calls torch's GPU `number`, as this process has it."""
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return visible[number] if number < len(visible) else str(number)


def _told(number: int, load: nvml.Load) -> str:
    """Return which of several GPUs `auto` took and why."""
    handle = _handle(number)
    index = nvml.index_of(handle)
    place = "" if index is None else f", GPU {index + 1} of {nvml.count()} (nvidia-smi's {index})"
    free = "memory unknown"
    if load.memory_free is not None and load.memory_total is not None:
        free = f"{load.memory_free / _GB:.0f} of {load.memory_total / _GB:.0f} GB free"
    busy = "" if load.percent is None else f", {load.percent:.0f} % busy"
    name = safe_text(torch.cuda.get_device_properties(number).name, 80)
    return f"device auto: of {torch.cuda.device_count()} GPUs cuda:{number} ({name}{place}), with {free}{busy}"


def _torch() -> str:
    return f"this torch {safe_text(torch.__version__.partition('+')[0], 40)}"


def _torch_error() -> str:
    """Return torch's own words on why it has no GPU, without its advice; empty where it has one.

    Its warning comes once in a process, this error every time.
    """
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch's own has no types
    except (RuntimeError, AssertionError) as error:
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return safe_text(text.splitlines()[0] if text else type(error).__name__, 160)


def _range_of(built: Sequence[str]) -> tuple[tuple[int, int], tuple[int, int]]:
    found = sorted((int(one[1]), int(one[2])) for name in built if (one := re.search(r"_(\d+)(\d)[af]?$", name)))
    return found[0], found[-1]


def _listed(names: Sequence[str]) -> str:
    """Return one name for all GPUs here: `NVIDIA H100`, `8 × NVIDIA H100`, `NVIDIA H100 and 1 more`."""
    if not names:
        return "an NVIDIA GPU"
    if len(set(names)) == 1:
        return names[0] if len(names) == 1 else f"{len(names)} × {names[0]}"
    return f"{names[0]} and {len(names) - 1} more"
