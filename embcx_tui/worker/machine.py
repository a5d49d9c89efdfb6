"""What a study says of the machine it is computed on: the device and why this one, versions, and what has changed."""

from __future__ import annotations

import os
from dataclasses import asdict

import torch

from embcx_tui.compute.device import DeviceChoice, describe, is_accelerator, processor
from embcx_tui.compute.gpu_path import PARTS, gpu_path
from embcx_tui.store.machine_records import Calibration, library_versions, machine_differences, numeric_versions
from embcx_tui.study.events import MachineDescribed, Noted
from embcx_tui.study.text import safe_text
from embcx_tui.worker.journal import Journal


def tell_choice(journal: Journal, choice: DeviceChoice) -> None:
    """Write why this device was chosen: a warning where a GPU is here that cannot be used."""
    if choice.problem:
        journal.append(Noted(level="warning", text=f"computing on the CPU: {choice.problem}"))
    if choice.words:
        journal.append(Noted(level="info", text=choice.words))


def machine_described(device: torch.device, calibration: Calibration | None) -> MachineDescribed:
    """Return the machine as it is now, with its speed where that is known."""
    facts = describe(device)
    versions = numeric_versions()
    if device.type == "cuda":
        versions |= library_versions(("triton",))
        if torch.version.cuda:
            versions["cuda"] = torch.version.cuda
    return MachineDescribed(
        device=f"{facts.device} ({facts.name})",
        cores=os.cpu_count() or 1,
        memory=facts.memory_bytes,
        versions=versions,
        calibration=asdict(calibration) if calibration else {},
        processor=processor(),
        driver=facts.driver,
        capability=facts.capability,
        uuid=facts.uuid,
        precision=torch.get_float32_matmul_precision(),
        path=gpu_path.words() if is_accelerator(device) else {},
    )


def elsewhere(before: MachineDescribed | None, now: MachineDescribed) -> Noted | None:
    """Return the warning of a study that was begun on another machine or with other software; None where it was not."""
    if before is None or not (differences := machine_differences(before, now)):
        return None
    words = safe_text("; ".join(differences), 400)
    return Noted(
        level="warning",
        text=f"going on on another machine, with other software or by another path ({words}); what is computed from "
        "here on may differ in its last digits from what it would have been",
    )


def card_words(device: torch.device) -> str:
    """Return what the speed of a GPU depends on, in words, as the key of its calibration; empty for the CPU.

    Equal cards share a calibration. Another driver, torch or Triton is measured anew, and so is another path: where
    Triton has no compiler a study takes many times as long.
    """
    if device.type != "cuda":
        return ""
    facts = describe(device)
    versions = library_versions(("torch", "triton"))
    parts = [facts.name, f"driver {facts.driver or 'unknown'}", *(f"{name} {of}" for name, of in versions.items())]
    plain = [f"{part.name}: {part.plain}" for module, part in PARTS.items() if not gpu_path.is_fast(module)]
    return ", ".join([*parts, *plain])
