"""A study says what computed it: driver, card, versions, precision, and where it went on elsewhere."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from embcx_tui.analysis.json_csv import measurements
from embcx_tui.analysis.report import report
from embcx_tui.compute.gpu_path import TRITON_PARTS, gpu_path
from embcx_tui.store.machine_records import (
    ROUGH,
    Calibration,
    machine_differences,
    store_calibration,
    stored_calibration,
)
from embcx_tui.study.events import MachineDescribed
from embcx_tui.worker import calibrate, run
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.machine import card_words, machine_described
from tests.gpu.fake_cards import Card, install
from tests.small_study import SmallStudy, write

A100 = Card("1111")
CUDA = torch.device("cuda", 0)


def described(**changes: Any) -> MachineDescribed:
    machine = MachineDescribed(
        device="cuda:0 (NVIDIA H100)",
        cores=8,
        memory=80 << 30,
        versions={"torch": "2.14.1", "python": "3.12.1", "triton": "3.8.0"},
        processor={"cpu": "AMD EPYC"},
        driver="580.65",
        capability="9.0",
        uuid="1111",
        precision="highest",
    )
    return machine.model_copy(update=changes)


def test_a_gpu_is_described_with_all_that_may_change_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [A100])
    machine = machine_described(CUDA, None)
    assert machine.device == "cuda:0 (NVIDIA A100-SXM4-80GB)"
    assert (machine.driver, machine.capability, machine.uuid) == ("570.86.15", "8.0", "1111")
    assert machine.precision == torch.get_float32_matmul_precision()
    assert {"torch", "triton", "numba"} <= set(machine.versions)
    on_cpu = machine_described(torch.device("cpu"), None)
    assert (on_cpu.driver, on_cpu.capability, on_cpu.uuid) == ("", "", "") and "triton" not in on_cpu.versions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cpu (CPU, 2 threads)"}, "device CPU instead of NVIDIA H100"),
        ({"device": "cuda:3 (NVIDIA A100)"}, "device NVIDIA A100 instead of NVIDIA H100"),
        ({"driver": "590.1"}, "driver 590.1 instead of 580.65"),
        ({"precision": "high"}, "precision high instead of highest"),
        ({"versions": {"torch": "2.15.0"}}, "torch 2.15.0 instead of 2.14.1"),
        ({"processor": {"cpu": "Intel Xeon"}}, "cpu Intel Xeon instead of AMD EPYC"),
    ],
)
def test_what_differs_in_what_matters_is_said(changes: dict[str, Any], words: str) -> None:
    assert machine_differences(described(), described(**changes)) == (words,)


@pytest.mark.parametrize(
    "changes",
    [
        {"at": 5.0, "memory": 1, "cores": 2, "calibration": {"work": 1.0}},
        {"device": "cuda:5 (NVIDIA H100)", "uuid": "2222"},
        {"versions": {"torch": "2.14.1", "python": "3.13.0"}},
        # What earlier versions did not record.
        {"driver": "", "capability": "", "precision": "", "processor": {}},
    ],
)
def test_what_changes_no_number_is_not_said(changes: dict[str, Any]) -> None:
    assert machine_differences(described(), described(**changes)) == ()
    assert machine_differences(described(**changes), described()) == ()


def test_a_study_that_goes_on_elsewhere_warns_and_one_that_does_not_is_quiet(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write()
    journal = Journal(study.paths)
    run._describe(journal, torch.device("cpu"))
    run._describe(journal, torch.device("cpu"))
    assert "machine" not in noted(study)
    install(monkeypatch, [A100])
    monkeypatch.setattr(run, "prepare_device", lambda journal, device: None)  # what it computes is another test's
    run._describe(journal, CUDA)
    assert "device NVIDIA A100-SXM4-80GB instead of CPU" in noted(study)
    line = next(one for one in study.snapshot.log if "instead of CPU" in one.text)
    assert line.level == "warning"
    assert [one.device for one in study.snapshot.machines] == [
        study.snapshot.machines[0].device,
        "cuda:0 (NVIDIA A100-SXM4-80GB)",
    ]


def noted(study: SmallStudy) -> str:
    return "\n".join(line.text for line in study.snapshot.log if line.event.kind == "note")


def page(study: SmallStudy) -> str:
    """Return the report without Markdown's backslashes."""
    return report(study.snapshot, {}).replace("\\", "")


def test_report_and_json_name_every_machine() -> None:
    study = write()
    journal = Journal(study.paths)
    journal.append(described())
    once = page(study)
    assert "| device | cuda:0 (NVIDIA H100), 8 cores" in once and "it went on on another machine" not in once
    assert "capability 9.0, driver 580.65, UUID 1111, float32 products highest" in once
    journal.append(described(device="cpu (CPU, 2 threads)", driver="", capability="", uuid=""))
    journal.append(described())
    twice = page(study)
    assert "| 1. device | cuda:0 (NVIDIA H100)" in twice and "| 2. device | cpu (CPU, 2 threads)" in twice
    assert "3. device" not in twice and "it went on on another machine" in twice
    document = json.loads(json.dumps(measurements(study.snapshot)))
    assert document["machine"]["driver"] == "580.65" and document["machine"]["uuid"] == "1111"
    assert [one["device"] for one in document["machines"]] == ["cuda:0 (NVIDIA H100)", "cpu (CPU, 2 threads)"]


def test_a_calibration_is_the_cards_and_not_its_places(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    install(monkeypatch, [A100, A100])
    words = card_words(CUDA)
    assert "NVIDIA A100-SXM4-80GB, driver 570.86.15" in words
    fast = replace(ROUGH, work=1e-13)
    store_calibration("cuda:0", fast, words, words)
    assert all(stored_calibration(name) == fast for name in ("cuda", "cuda:0", "auto", words))
    # Its equal beside it has the same speed; another card in its place has none yet.
    assert stored_calibration(card_words(torch.device("cuda", 1))) == fast
    install(monkeypatch, [replace(A100, name="NVIDIA T4", capability=(7, 5))])
    assert stored_calibration(card_words(CUDA)) is None
    store_calibration("cuda:0", ROUGH, card_words(CUDA), card_words(CUDA))
    assert stored_calibration("auto") == ROUGH and stored_calibration(words) == fast


def test_another_driver_is_measured_again(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    nvml = install(monkeypatch, [A100])
    store_calibration("cuda:0", ROUGH, card_words(CUDA), card_words(CUDA))
    nvml.nvmlSystemGetDriverVersion = lambda: "580.1"
    measured: list[torch.device] = []

    def measure(device: torch.device) -> Calibration:
        measured.append(device)
        return ROUGH

    monkeypatch.setattr(calibrate, "calibrate", measure)
    monkeypatch.setattr(run, "CALIBRATE_FROM_S", 0.0)
    journal = Journal(write().paths)
    assert run._calibration(journal, CUDA) == ROUGH and measured == [CUDA]


def test_a_path_that_is_slower_has_a_speed_of_its_own(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    install(monkeypatch, [A100])
    store_calibration("cuda:0", ROUGH, card_words(CUDA), card_words(CUDA))
    try:
        gpu_path.begin(listener=lambda text: None)
        gpu_path.step_down(TRITON_PARTS, "no C compiler")
        assert stored_calibration(card_words(CUDA)) is None
    finally:
        gpu_path.begin()
    assert stored_calibration(card_words(CUDA)) == ROUGH


def test_a_file_of_before_is_read_where_it_can_be_and_measured_again_where_not(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    install(monkeypatch, [A100])
    home.mkdir(parents=True)
    old = {"cpu": asdict(ROUGH), "cuda:0": asdict(replace(ROUGH, work=1e-13)), "auto": "cuda:0"}
    text = json.dumps({"version": 3, "hosts": {socket.gethostname(): old}})
    (home / "calibration.json").write_text(text)
    assert stored_calibration("cpu") == ROUGH
    # A forecast of the form; the study itself measures this card.
    assert stored_calibration("auto") == stored_calibration("cuda") == replace(ROUGH, work=1e-13)
    assert stored_calibration(card_words(CUDA)) is None
    store_calibration("cuda:0", ROUGH, card_words(CUDA), card_words(CUDA))
    assert stored_calibration("cuda") == ROUGH


def test_names_that_name_each_other_end(home: Path) -> None:
    home.mkdir(parents=True)
    here = {"auto": "cuda:0", "cuda:0": "auto"}
    (home / "calibration.json").write_text(json.dumps({"version": 3, "hosts": {socket.gethostname(): here}}))
    assert stored_calibration("auto") is None
