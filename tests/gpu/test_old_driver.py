"""The commonest first run of all: a GPU whose driver is too old for this torch, as real processes meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from embcx_tui.worker import launch
from tests.cli.test_commands import embcx, refused
from tests.gpu.fake_driver import build, environment

TINY = (
    *("--set", "networks.runs=1", "--set", "networks.depths=[1]", "--set", 'networks.activations=["tanh"]'),
    *("--set", "training.epochs=1", "--set", "data.samples_per_class=10", "--set", "measure.metrics=[]"),
    *("--set", "measure.controls=[]", "--set", "measure.perplexity=10"),
)
LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")


@pytest.fixture
def old_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the variables of a machine with two H100 and a driver for CUDA 12.4; skip where torch takes that."""
    if torch.version.cuda is None or int(torch.version.cuda.partition(".")[0]) < 13:
        pytest.skip("this torch is not built for CUDA 13 or later: a driver for CUDA 12.4 is not too old for it")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return environment(build(tmp_path / "driver", *LIBRARIES), FAKE_GPUS="2")


def device_of(**variables: str) -> tuple[int, dict[str, str]]:
    """Return the exit code of doctor and what it says of the device."""
    done = embcx("doctor", "--json", **variables)
    return done.returncode, next(one for one in json.loads(done.stdout) if one["what"] == "device")


def test_doctor_says_bad_and_names_the_remedy(old_driver: dict[str, str]) -> None:
    code, device = device_of(**old_driver)
    assert code == 1 and device["verdict"] == "bad"
    assert "2 × NVIDIA H100 80GB HBM3 is here, driver 550.54.14 (CUDA 12.4)" in device["text"]
    assert f"needs CUDA {torch.version.cuda}" in device["text"]
    assert "update the driver, or install torch and torchvision for CUDA 12" in device["text"]


def test_a_study_on_the_cpu_beside_it_warns_in_its_log(old_driver: dict[str, str]) -> None:
    run = embcx("run", "demo", *TINY, **old_driver)
    assert run.returncode == 0, run.stderr
    warning = "computing on the CPU: 2 × NVIDIA H100 80GB HBM3 is here, driver 550.54.14"
    assert warning in run.stderr
    lines = embcx("logs", "last").stdout.splitlines()
    (line,) = [line for line in lines if warning in line]
    assert " ! " in line and "update the driver" in line
    detached = embcx("run", "demo", *TINY, "--detach", **old_driver)
    assert detached.returncode == 0 and warning in detached.stderr and len(detached.stdout.split()) == 1
    embcx("logs", "last", "-f")


def test_asked_for_by_name_it_is_refused_with_the_reason(old_driver: dict[str, str], home: Path) -> None:
    line = refused(embcx("run", "demo", "--set", "machine.device=cuda", **old_driver))
    assert "NVIDIA H100" in line and "update the driver" in line
    assert not list(home.glob("studies/*"))


def test_with_libcuda_alone_torchs_own_words_are_enough(tmp_path: Path, old_driver: dict[str, str]) -> None:
    alone = environment(build(tmp_path / "cuda", "libcuda.so.1"))
    code, device = device_of(**alone)
    assert code == 1 and "an NVIDIA GPU is here, driver unknown (CUDA 12.4)" in device["text"]


def test_hidden_on_purpose_it_is_no_fault(old_driver: dict[str, str]) -> None:
    _, device = device_of(**old_driver, CUDA_VISIBLE_DEVICES="")
    assert device["verdict"] == "note" and 'CUDA_VISIBLE_DEVICES=""' in device["text"]


def test_without_gpus_an_installed_driver_is_no_fault(old_driver: dict[str, str]) -> None:
    _, device = device_of(**{**old_driver, "FAKE_GPUS": "0"})
    assert device["verdict"] == "note" and "no GPU that torch can use" in device["text"]


def test_the_form_learns_it_from_a_process_of_its_own(old_driver: dict[str, str]) -> None:
    code = "from embcx_tui.worker.launch import gpu_problem; print(gpu_problem())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | old_driver, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("2 × NVIDIA H100 80GB HBM3 is here") and "update the driver" in done.stdout


def test_without_a_driver_the_form_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(launch, "_DRIVER_LIBRARIES", ("libno-such-driver.so.1",))
    monkeypatch.setattr(launch, "ask", lambda *words: asked.append(words))
    assert launch.gpu_problem() == "" and asked == []
