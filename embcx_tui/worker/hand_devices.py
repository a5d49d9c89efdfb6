"""Which devices the hands of a study compute on: GPUs by their UUIDs, or shares of the processor cores."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

from embcx_tui.compute.device import cores
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import Noted
from embcx_tui.study.text import safe_text
from embcx_tui.worker.hand_process import HandDevice
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.launch import ask


def hand_devices(journal: Journal) -> tuple[HandDevice, ...]:
    """Return the devices of the study's hands, noting where there are fewer than it asks for.

    Raises RequestError where a GPU that it names cannot be used, or none can.
    """
    machine = journal.snapshot.plan.settings.machine
    problem = ""
    if machine.device != "cpu":
        # In a process of its own: torch holds some 500 MB of each GPU that it has looked at.
        answer = ask("gpus")
        problem = str(answer.get("problem", ""))
        if found := chosen_gpus(answer.get("gpus", []), machine.devices):
            if isinstance(machine.devices, int) and len(found) < machine.devices:
                text = f"machine.devices is {machine.devices}, and {len(found)} GPUs can be used: computing on those"
                journal.append(Noted(level="warning", text=text))
            return found
        if machine.device == "cuda" or isinstance(machine.devices, tuple):
            raise RequestError(f"no GPU can be used here ({problem or 'torch finds none'})")
    if problem:
        journal.append(Noted(level="warning", text=f"computing on the CPU: {problem}"))
    wanted = machine.devices if isinstance(machine.devices, int) else 1
    shares = core_shares(wanted)
    if len(shares) < wanted:
        text = f"machine.devices is {wanted}, and there are {len(shares)} processor cores: a hand on each"
        journal.append(Noted(level="warning", text=text))
    return tuple(HandDevice("cpu", {"CUDA_VISIBLE_DEVICES": ""}, share) for share in shares)


def chosen_gpus(known: list[dict[str, Any]], devices: int | str | tuple[str, ...]) -> tuple[HandDevice, ...]:
    """Return the hands of GPUs: of `known`, those with most room first, what `devices` asks for.

    Raises RequestError where one that it names is not there or cannot be used.
    """
    if isinstance(devices, tuple):
        by_number = {f"cuda:{gpu['number']}": gpu for gpu in known}
        for name in devices:
            if name not in by_number:
                raise RequestError(f'machine.devices lists "{name}": this machine has {len(known)} GPU(s), from cuda:0')
            if refusal := by_number[name].get("refusal"):
                raise RequestError(f'machine.devices lists "{name}": {safe_text(refusal, 300)}')
        taken = [by_number[name] for name in devices]
    else:
        usable = [gpu for gpu in known if not gpu.get("refusal")]
        taken = usable if devices == "all" else usable[: int(devices)]
    return tuple(HandDevice("cuda", {"CUDA_VISIBLE_DEVICES": gpu["visible"]}, uuid=gpu["uuid"]) for gpu in taken)


def core_shares(hands: int) -> tuple[tuple[int, ...], ...]:
    """Return the processor cores of each of `hands` hands, as even as may be; fewer where there are fewer cores."""
    if not hasattr(os, "sched_getaffinity"):
        return ((),) * hands
    allowed = sorted(os.sched_getaffinity(0))
    # Where a container's quota is less than its cores, not the first ones: its neighbours would take the same.
    start = os.getpid() % len(allowed) if cores() < len(allowed) else 0
    usable = sorted((allowed[start:] + allowed[:start])[: cores()])
    count = min(hands, len(usable))
    bounds = [round(place * len(usable) / count) for place in range(count + 1)]
    return tuple(tuple(usable[first:last]) for first, last in pairwise(bounds))
