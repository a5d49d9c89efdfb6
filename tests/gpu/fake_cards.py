"""Cards for tests in this process: what NVML (`pynvml`) and torch answer on a machine that has them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch


class NVMLError(Exception):
    """pynvml's own error."""


@dataclass(frozen=True)
class Card:
    """A card as the driver knows it; `slice_of`: the index of the card of which it is a MIG slice."""

    uuid: str
    name: str = "NVIDIA A100-SXM4-80GB"
    used: int = 0
    total: int = 80_000_000_000
    percent: int = 0
    capability: tuple[int, int] = (8, 0)
    slice_of: int | None = None
    mig: bool = False


def nvml_of(cards: Sequence[Card]) -> ModuleType:
    """Return a module with the functions of `pynvml` that are used, for a machine with `cards`."""
    nvml: Any = ModuleType("pynvml")
    whole = [card for card in cards if card.slice_of is None]

    def by_uuid(wanted: bytes) -> Card:
        for card in cards:
            prefix = "GPU" if card.slice_of is None else "MIG"
            if wanted.decode() == f"{prefix}-{card.uuid}":
                return card
        raise NVMLError("Not Found")

    def utilization(card: Card) -> SimpleNamespace:
        if card.slice_of is not None:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=card.percent)

    nvml.NVMLError = NVMLError
    nvml.nvmlInit = lambda: None
    nvml.nvmlSystemGetDriverVersion = lambda: "570.86.15"
    nvml.nvmlSystemGetCudaDriverVersion_v2 = lambda: 12080
    nvml.nvmlDeviceGetCount = lambda: len(whole)
    nvml.nvmlDeviceGetHandleByIndex = lambda index: whole[index]
    nvml.nvmlDeviceGetHandleByUUID = by_uuid
    nvml.nvmlDeviceGetName = lambda card: card.name
    nvml.nvmlDeviceGetIndex = lambda card: whole.index(card)
    nvml.nvmlDeviceIsMigDeviceHandle = lambda card: SimpleNamespace(value=int(card.slice_of is not None))
    nvml.nvmlDeviceGetMigMode = lambda card: [int(card.mig), int(card.mig)]
    nvml.nvmlDeviceGetUtilizationRates = utilization
    nvml.nvmlDeviceGetMemoryInfo = lambda card: SimpleNamespace(used=card.used, total=card.total)
    nvml.nvmlDeviceGetTemperature = lambda card, sensor: 60
    nvml.nvmlDeviceGetPowerUsage = lambda card: 250_000
    module: ModuleType = nvml
    return module


def install_nvml(patch: pytest.MonkeyPatch, cards: Sequence[Card]) -> Any:
    """Let this process find `cards` by NVML; return the module, whose functions may be replaced."""
    nvml = nvml_of(cards)
    patch.setitem(sys.modules, "pynvml", nvml)
    return nvml


def install_torch(patch: pytest.MonkeyPatch, visible: Sequence[Card], works: bool = True) -> None:
    """Let torch see the cards `visible` in this order, as CUDA_VISIBLE_DEVICES has it."""

    def properties(number: Any) -> SimpleNamespace:
        card = visible[number if isinstance(number, int) else number.index or 0]
        major, minor = card.capability
        return SimpleNamespace(name=card.name, total_memory=card.total, major=major, minor=minor, uuid=card.uuid)

    patch.setattr(torch.cuda, "is_available", lambda: bool(visible))
    patch.setattr(torch.cuda, "device_count", lambda: len(visible))
    patch.setattr(torch.cuda, "get_device_properties", properties)
    patch.setattr(torch.cuda, "get_device_capability", lambda number: visible[number].capability)
    patch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"])
    if works:
        patch.setattr("embcx_tui.compute.gpus.trial", lambda number: "")


def install(patch: pytest.MonkeyPatch, cards: Sequence[Card], visible: Sequence[int] | None = None) -> Any:
    """Let NVML see all `cards` and torch those numbered in `visible`; return the stand-in for NVML."""
    numbers = range(len(cards)) if visible is None else visible
    install_torch(patch, [cards[number] for number in numbers])
    return install_nvml(patch, cards)
