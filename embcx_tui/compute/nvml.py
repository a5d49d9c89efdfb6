"""What NVIDIA's driver says of the GPUs (NVML), asked apart from torch, which may be unable to use them.

A driver in trouble answers anything: an error, nothing, a name that is no text, a number that cannot be; another lacks
a function. Each costs that one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embcx_tui.study.text import safe_text

# Readings beyond these are a driver's way to say that it does not know: 4,294,967,295 mW is one that was seen.
_MOST_BYTES, _MOST_WATT, _MOST_CELSIUS = 1 << 50, 10_000.0, 200.0
# No more are read each second, nor written: 20 bytes each.
_MOST_GPUS = 16
_TEMPERATURE_OF_CHIP = 0  # NVML_TEMPERATURE_GPU


@dataclass(frozen=True, slots=True)
class Load:
    """The load of a GPU: busy in percent, memory in bytes, temperature in °C, power in W; None where unknown."""

    percent: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: float | None = None
    power: float | None = None

    @property
    def memory_free(self) -> int | None:
        """Bytes that no program holds."""
        if self.memory_used is None or self.memory_total is None:
            return None
        return self.memory_total - self.memory_used


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver: its version (`550.54.14`), the newest CUDA that it takes (`(12, 4)`), the names of all its GPUs.

    `error`: its words where it does not answer at all; no library of that name is one of them.
    """

    version: str = ""
    cuda: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    error: str = ""


def driver() -> Driver:
    """Return what the driver says of itself and of the GPUs of this machine, hidden from torch or not."""
    if error := connect():
        return Driver(error=error)
    cuda = number(ask("nvmlSystemGetCudaDriverVersion_v2") or ask("nvmlSystemGetCudaDriverVersion"), 1_000, 1_000_000)
    handles = [ask("nvmlDeviceGetHandleByIndex", index) for index in range(count())]
    return Driver(
        version=driver_version(),
        cuda=cuda_version(int(cuda)) if cuda else None,
        names=tuple(name_of(handle) or "an NVIDIA GPU" for handle in handles),
    )


def cuda_version(version: int) -> tuple[int, int]:
    """Return (12, 4) for 12040, as CUDA writes its versions."""
    return version // 1_000, version % 1_000 // 10


def connect() -> str:
    """Connect to the driver; return nothing where it answers, else its words."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # whatever a missing or broken driver does: the module says why
        return safe_text(error, 100) or type(error).__name__
    return ""


def ask(function: str, *arguments: Any) -> Any:
    """Return what NVML's `function` answers, None where it does not."""
    try:
        import pynvml

        return getattr(pynvml, function)(*arguments)
    except Exception:  # costs this answer: the module says why
        return None


def count() -> int:
    """Return the number of GPUs of this machine, slices of one not counted apart; 0 where the driver does not say."""
    return int(number(ask("nvmlDeviceGetCount"), 0, 10_000) or 0)


def driver_version() -> str:
    """Return the driver's version, such as `550.54.14`; empty where it does not say."""
    return _words(ask("nvmlSystemGetDriverVersion"), 40)


def handle_of(uuid: object) -> Any:
    """Return NVML's handle of the GPU or MIG slice with CUDA's `uuid`; None where it cannot be told for sure.

    By UUID, since CUDA numbers only what CUDA_VISIBLE_DEVICES shows, in an order of its own. By its number only where
    there is one GPU, and that is whole: a slice must not show the load of its neighbours.
    """
    if uuid is not None:
        for kind in ("GPU", "MIG"):
            if handle := ask("nvmlDeviceGetHandleByUUID", f"{kind}-{uuid}".encode()):
                return handle
    if count() != 1:
        return None
    handle = ask("nvmlDeviceGetHandleByIndex", 0)
    sliced = ask("nvmlDeviceGetMigMode", handle)
    return None if sliced and sliced[0] else handle


def visible_name(uuid: str) -> str:
    """Return what CUDA_VISIBLE_DEVICES calls the GPU or MIG slice with CUDA's `uuid`; empty where that is not known."""
    if not uuid:
        return ""
    is_slice = ask("nvmlDeviceGetHandleByUUID", f"MIG-{uuid}".encode())
    return f"{'MIG' if is_slice else 'GPU'}-{uuid}"


def name_of(handle: Any) -> str:
    """Return a GPU's name; empty where it has none that can be read."""
    return _words(ask("nvmlDeviceGetName", handle), 80)


def index_of(handle: Any) -> int | None:
    """Return the number by which nvidia-smi knows a GPU, from 0; None for a slice, which has another count."""
    if handle is None:
        return None
    sliced = ask("nvmlDeviceIsMigDeviceHandle", handle)
    if getattr(sliced, "value", sliced):
        return None
    index = number(ask("nvmlDeviceGetIndex", handle), 0, 10_000)
    return None if index is None else int(index)


def load_of(handle: Any) -> Load:
    """Return a GPU's load, each reading by itself: a card without a power sensor still has a temperature."""
    if handle is None:
        return Load()
    memory = ask("nvmlDeviceGetMemoryInfo", handle)
    total = number(getattr(memory, "total", None), 1, _MOST_BYTES)
    used = number(getattr(memory, "used", None), 0, total or _MOST_BYTES)
    milliwatt = number(ask("nvmlDeviceGetPowerUsage", handle), 0, _MOST_WATT * 1_000)
    return Load(
        percent=number(getattr(ask("nvmlDeviceGetUtilizationRates", handle), "gpu", None), 0, 100),
        memory_used=None if used is None else int(used),
        memory_total=None if total is None else int(total),
        temperature=number(ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_OF_CHIP), -100, _MOST_CELSIUS),
        power=None if milliwatt is None else milliwatt / 1_000,
    )


def all_loads() -> tuple[tuple[int, int | None, int | None, int | None], ...]:
    """Return (number, percent, MiB used, MiB in all) of each GPU of this machine; nothing where there is only one."""
    several = count()
    if several < 2:
        return ()
    found = []
    for index in range(min(several, _MOST_GPUS)):
        load = load_of(ask("nvmlDeviceGetHandleByIndex", index))
        used, total = (None if size is None else size >> 20 for size in (load.memory_used, load.memory_total))
        found.append((index, None if load.percent is None else round(load.percent), used, total))
    return tuple(found)


def number(value: object, low: float, high: float) -> float | None:
    """Return `value` as a number where it is one between `low` and `high`, else None."""
    try:
        found = float(value)  # type: ignore[arg-type]  # whatever the driver answered
    except (TypeError, ValueError, OverflowError):
        return None
    return found if low <= found <= high else None


def _words(value: object, limit: int) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return safe_text(value, limit) if isinstance(value, str) else ""
