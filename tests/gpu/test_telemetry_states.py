"""Telemetry survives any answer of the driver: a reading that fails costs that reading, host load goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from embcx_tui.store.machine_records import Telemetry, read_telemetry
from embcx_tui.worker import telemetry as module
from embcx_tui.worker.telemetry import telemetry
from tests.gpu.fake_cards import Card, NVMLError, install

CARD = Card("0000-1111", "NVIDIA A100", used=1 << 30, total=80 << 30, percent=50)
# Far beyond any wait on a crowded machine.
PATIENCE_S = 60.0


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def after_three(value: Any, error: Exception) -> Callable[..., Any]:
    calls: list[None] = []

    def get(*_: Any) -> Any:
        calls.append(None)
        if len(calls) > 3:
            raise error
        return value

    return get


def answers(value: Any) -> Callable[..., Any]:
    return lambda *_: value


POWER, RATES, MEMORY, NAME = (
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetName",
)
# The function that is in trouble, what it does (None: it is not there), the field that is lost with it.
STATES: dict[str, tuple[str, Callable[..., Any] | None, str | None]] = {
    "sound": (NAME, answers("NVIDIA A100"), None),
    "a name in bytes": (NAME, answers(b"NVIDIA A100"), None),
    "a name in latin-1": (NAME, answers(b"NVIDIA \xae A100"), None),
    "no name": (NAME, answers(None), None),
    "a name that pynvml cannot decode": (NAME, raising(UnicodeDecodeError("utf-8", b"\xae", 0, 1, "start byte")), None),
    "no power sensor": (POWER, raising(NVMLError("Not Supported")), "gpu_power"),
    "power beyond sense": (POWER, answers(4_294_967_295), "gpu_power"),
    "power that is none": (POWER, answers(float("nan")), "gpu_power"),
    "a function that the driver lacks": (POWER, None, "gpu_power"),
    "no load": (RATES, answers(None), "gpu_percent"),
    "a load of 300 %": (RATES, answers(SimpleNamespace(gpu=300)), "gpu_percent"),
    "a load in words": (RATES, answers(SimpleNamespace(gpu="N/A")), "gpu_percent"),
    "a GPU that is lost": (RATES, after_three(SimpleNamespace(gpu=50), NVMLError("GPU is lost")), "gpu_percent"),
    "an input error": (RATES, after_three(SimpleNamespace(gpu=50), OSError(5, "Input/output error")), "gpu_percent"),
    "memory that is not known": (MEMORY, raising(NVMLError("Not Supported")), "gpu_memory_used"),
    "memory beyond its size": (MEMORY, answers(SimpleNamespace(used=81 << 30, total=80 << 30)), "gpu_memory_used"),
    "no temperature": ("nvmlDeviceGetTemperature", raising(ValueError("?")), "gpu_temperature"),
}
FIELDS = {
    "gpu_percent": 50,
    "gpu_memory_used": 1 << 30,
    "gpu_memory_total": 80 << 30,
    "gpu_temperature": 60,
    "gpu_power": 250,
}


def sampled(path: Path, enough: Callable[[tuple[Telemetry, ...]], bool]) -> tuple[Telemetry, ...]:
    """Return the samples of a study, once they are `enough`."""
    with telemetry(path, 0):
        deadline = time.monotonic() + PATIENCE_S
        while not enough(found := read_telemetry(path)):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
    return found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sample fast, and note every thread that dies."""
    died: list[str] = []
    monkeypatch.setattr(module, "INTERVAL_S", 0.02)
    monkeypatch.setattr(threading, "excepthook", lambda arguments: died.append(str(arguments.exc_value)))
    return died


@pytest.mark.parametrize("state", STATES)
def test_a_reading_that_fails_costs_that_reading(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _quick: list[str]
) -> None:
    function, trouble, lost = STATES[state]
    nvml = install(monkeypatch, [CARD])
    if trouble is None:
        delattr(nvml, function)
    else:
        setattr(nvml, function, trouble)

    def settled(found: tuple[Telemetry, ...]) -> bool:
        known = sum(getattr(found[-1], field) is not None for field in FIELDS) if found else 0
        return len(found) >= 5 and known >= 3 and (lost is None or getattr(found[-1], lost) is None)

    newest = sampled(tmp_path / "telemetry.jsonl", settled)[-1]
    assert newest.gpu_name is not None and "A100" in newest.gpu_name and newest.memory_total > 0
    for field, value in FIELDS.items():
        if field != lost and not (state == "memory that is not known" and field == "gpu_memory_total"):
            assert getattr(newest, field) == value, field
    assert _quick == []


@pytest.mark.parametrize("words", ["Driver Not Loaded", "NVML Shared Library Not Found", "version mismatch"])
def test_without_nvml_the_host_is_sampled_under_torchs_name(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _quick: list[str]
) -> None:
    install(monkeypatch, [CARD]).nvmlInit = raising(NVMLError(words))
    newest = sampled(tmp_path / "telemetry.jsonl", lambda found: len(found) >= 3 and bool(found[-1].gpu_name))[-1]
    assert newest.gpu_name == "NVIDIA A100" and newest.gpu_percent is None
    assert _quick == []


def test_a_driver_that_hangs_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    calls: list[None] = []

    def hang(*_: Any) -> Any:
        calls.append(None)
        if len(calls) > 2:
            held.wait(PATIENCE_S)
        return SimpleNamespace(gpu=50)

    install(monkeypatch, [CARD]).nvmlDeviceGetUtilizationRates = hang

    def stale(found: tuple[Telemetry, ...]) -> bool:
        seen = any(one.gpu_percent is not None for one in found)
        return seen and found[-1].gpu_percent is None

    try:
        newest = sampled(tmp_path / "telemetry.jsonl", stale)[-1]
    finally:
        held.set()
    # Still named, but no old number is shown as the load of now.
    assert newest.gpu_name == "NVIDIA A100" and newest.gpu_power is None


def test_torch_that_fails_at_its_properties_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _quick: list[str]
) -> None:
    install(monkeypatch, [CARD])
    monkeypatch.setattr("torch.cuda.get_device_properties", raising(RuntimeError("CUDA error: unknown error")))
    newest = sampled(tmp_path / "telemetry.jsonl", lambda found: len(found) >= 3 and bool(found[-1].gpu_name))[-1]
    assert newest.cpu_percent >= 0 and _quick == []
