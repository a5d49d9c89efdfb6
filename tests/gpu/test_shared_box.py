"""A machine that others use too: the freest GPU, and never another one's load."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch

from embcx_tui.compute import nvml
from embcx_tui.compute.device import describe, device_choice
from embcx_tui.store.library import create_study
from embcx_tui.study.settings import load_preset
from embcx_tui.worker import telemetry
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.machine import tell_choice
from tests.gpu.fake_cards import Card, install

EIGHT = [Card(f"{number:04}", used=79_000_000_000) for number in range(8)]


def test_auto_takes_the_gpu_with_most_room_and_the_journal_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [*EIGHT[:4], replace(EIGHT[4], used=1_000_000_000), *EIGHT[5:]]
    install(monkeypatch, cards)
    choice = device_choice("auto")
    assert choice.device == torch.device("cuda", 4)
    journal = Journal(create_study(load_preset("demo").settings))
    tell_choice(journal, choice)
    line = journal.snapshot.log[-1]
    assert line.level == "info"
    assert "of 8 GPUs cuda:4 (NVIDIA A100-SXM4-80GB, GPU 5 of 8 (nvidia-smi's 4))" in line.text
    assert "with 79 of 80 GB free, 0 % busy" in line.text


def test_of_two_with_room_the_idle_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = replace(EIGHT[0], used=0, percent=100)
    install(monkeypatch, [busy, replace(EIGHT[1], used=20_000_000_000)])
    assert device_choice("auto").device == torch.device("cuda", 1)
    # A full one does not become better by being idle.
    install(monkeypatch, [busy, replace(EIGHT[1], used=79_000_000_000)])
    assert device_choice("auto").device == torch.device("cuda", 0)


def test_cards_are_told_apart_by_uuid_where_some_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    # CUDA_VISIBLE_DEVICES=6,5: torch's number 1 is the free one, nvidia-smi's 5.
    cards = [*EIGHT[:5], replace(EIGHT[5], used=0), *EIGHT[6:]]
    install(monkeypatch, cards, visible=[6, 5])
    choice = device_choice("auto")
    assert choice.device == torch.device("cuda", 1)
    assert "of 2 GPUs" in choice.words and "GPU 6 of 8" in choice.words
    assert readings(1)["gpu_index"] == 5 and readings(1)["gpu_memory_used"] == 0


def test_without_readings_the_order_of_torch_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("Driver Not Loaded")

    install(monkeypatch, EIGHT).nvmlInit = fail
    choice = device_choice("auto")
    assert choice.device == torch.device("cuda", 0) and "memory unknown" in choice.words


def test_one_gpu_is_no_choice_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EIGHT, visible=[4])
    choice = device_choice("auto")
    assert (choice.device, choice.words, choice.problem) == (torch.device("cuda", 0), "", "")
    facts = describe(choice.device)
    assert (facts.driver, facts.capability, facts.uuid) == ("570.86.15", "8.0", "0004")


def readings(gpu: int) -> dict[str, Any]:
    """Return what telemetry writes of torch's GPU number `gpu`."""
    stop = threading.Event()
    found = telemetry.GpuReadings(gpu, stop)
    found.thread.join(0.01)
    stop.set()
    found.thread.join(30)
    return found.newest()


def test_a_slice_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Card("aaaa", mig=True, used=70_000_000_000, percent=99)
    other = replace(parent, uuid="bbbb")
    part = Card("cccc", "NVIDIA A100 MIG 1g.10gb", used=1_000_000_000, total=10_000_000_000, slice_of=1)
    install(monkeypatch, [other, parent, part], visible=[2])
    found = readings(0)
    assert found["gpu_name"] == "NVIDIA A100 MIG 1g.10gb"
    assert (found["gpu_memory_used"], found["gpu_memory_total"]) == (1_000_000_000, 10_000_000_000)
    assert found["gpu_percent"] is None and found["gpu_index"] is None


@pytest.mark.parametrize(("others", "mig"), [(0, True), (1, True), (1, False)])
def test_a_slice_that_nvml_does_not_find_shows_no_neighbours_load(
    others: int, mig: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = Card("aaaa", mig=mig, used=70_000_000_000, percent=99)
    part = Card("not of NVML", "NVIDIA A100 MIG 1g.10gb", slice_of=0)
    cards = [parent, *[replace(parent, uuid=f"{number}") for number in range(others)]]
    nvml_module = install(monkeypatch, [*cards, part], visible=[len(cards)])
    nvml_module.nvmlDeviceGetHandleByUUID = lambda uuid: (_ for _ in ()).throw(RuntimeError("Not Found"))
    assert nvml.handle_of("not of NVML") is None
    found = readings(0)
    assert found["gpu_name"] == "NVIDIA A100 MIG 1g.10gb"
    assert found.get("gpu_percent") is None and found.get("gpu_memory_used") is None


def test_an_undivided_card_alone_is_found_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card("dddd", percent=42)
    nvml_module = install(monkeypatch, [card])
    nvml_module.nvmlDeviceGetHandleByUUID = lambda uuid: (_ for _ in ()).throw(RuntimeError("Not Found"))
    assert readings(0)["gpu_percent"] == 42
