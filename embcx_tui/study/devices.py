"""What `[machine] devices` of a study file may say: how many devices compute at once, or which."""

from __future__ import annotations

import re

from pydantic_core import PydanticCustomError

from embcx_tui.study.text import safe_text

# Devices of one study, and parts of its networks.
MAX_PARTS = 1_024


def devices_of(value: object) -> object:
    """Let a list of GPUs be typed as `cuda:0,cuda:3`; raise what a study file that means none of the three needs."""
    if isinstance(value, str) and value != "all":
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(one, str) and re.fullmatch(r"cuda:\d{1,3}", one) for one in value):
            if len(set(value)) == len(value):
                return tuple(value)
            raise PydanticCustomError("dataset", "lists a GPU twice")
    elif value == "all" or (type(value) is int and 1 <= value <= MAX_PARTS):
        return value
    raise PydanticCustomError(
        "dataset",
        "must be a number from 1 to {most}, all, or a list such as cuda:0, cuda:3, not {given}",
        {"most": f"{MAX_PARTS:,}", "given": safe_text(repr(value), 60)},
    )


def contradiction_of(device: str, devices: object, cluster: str) -> str:
    """Return how `device`, `devices` and `cluster` contradict each other, as words after `machine.devices`; empty where
    they do not.
    """
    if isinstance(devices, tuple) and cluster:
        return "lists GPUs of one machine, and machine.cluster is ray; give a number or all"
    if isinstance(devices, tuple) and device == "cpu":
        return "lists GPUs, and machine.device is cpu; leave one of them out"
    if device.startswith("cuda:") and cluster:
        return f"are the cluster's, and machine.device is {device} of one machine; set machine.device to cuda or auto"
    if device.startswith("cuda:") and devices != 1:
        return f"asks for several devices, and machine.device for {device} alone; set machine.device to cuda or auto"
    return ""
