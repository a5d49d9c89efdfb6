"""A GPU that is here and cannot be used is named with its reason and remedy, before hours pass on the CPU."""

from __future__ import annotations

import pytest
import torch

from embcx_tui.compute import gpus
from embcx_tui.compute.device import choose_device, device_choice
from embcx_tui.study.errors import RequestError
from tests.gpu.fake_cards import Card, NVMLError, install, install_nvml, install_torch

H100 = Card("1111", "NVIDIA H100 80GB HBM3", capability=(9, 0))
V100 = Card("2222", "Tesla V100-SXM2-32GB", capability=(7, 0))
TOO_OLD = "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver"


def refuse_init(patch: pytest.MonkeyPatch, words: str, error: type[Exception] = RuntimeError) -> None:
    """Let torch refuse its first contact with CUDA."""

    def init() -> None:
        raise error(words)

    patch.setattr(torch.cuda, "init", init)


def refused_by(wanted: str) -> str:
    """Return why a device is refused."""
    with pytest.raises(RequestError) as error:
        choose_device(wanted)
    return str(error.value)


def test_a_driver_too_old_is_named_with_card_need_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_nvml(monkeypatch, [H100, H100])
    install_torch(monkeypatch, [])
    refuse_init(monkeypatch, TOO_OLD)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    choice = device_choice("auto")
    assert choice.device == torch.device("cpu")
    for words in (
        "2 × NVIDIA H100 80GB HBM3",
        "driver 570.86.15",
        "CUDA 12.8",
        "needs CUDA 13.0 (driver 580 or later)",
    ):
        assert words in choice.problem
    assert "update the driver, or install torch and torchvision for CUDA 12" in choice.problem
    assert choice.problem in refused_by("cuda") and choice.problem in refused_by("cuda:1")
    assert device_choice("cpu").problem == ""


def test_without_nvml_torchs_complaint_of_the_driver_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = install_nvml(monkeypatch, [])

    def init() -> None:
        raise NVMLError("NVML Shared Library Not Found")

    nvml.nvmlInit = init
    install_torch(monkeypatch, [])
    refuse_init(monkeypatch, TOO_OLD)
    assert "an NVIDIA GPU is here, driver unknown (CUDA 12.4)" in gpus.trouble().text
    # A machine without a GPU, whose driver's library somebody installed.
    refuse_init(monkeypatch, "Found no NVIDIA driver on your system.")
    assert gpus.trouble().text == ""


def test_a_torch_for_the_cpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, [H100])
    install_torch(monkeypatch, [])
    refuse_init(monkeypatch, "Torch not compiled with CUDA enabled", AssertionError)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built for the CPU alone: install torch and torchvision for CUDA 12" in gpus.trouble().text


def test_a_driver_updated_without_a_reboot_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise NVMLError("RM has detected an NVML/RM version mismatch.")

    install_nvml(monkeypatch, [H100]).nvmlInit = init
    install_torch(monkeypatch, [])
    refuse_init(monkeypatch, "CUDA driver initialization failed")
    assert gpus.trouble().text.endswith("reboot")


def test_who_hides_a_gpu_is_not_warned_but_told_when_asking_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    install_nvml(monkeypatch, [H100])
    install_torch(monkeypatch, [])
    refuse_init(monkeypatch, "No CUDA GPUs are available")
    assert device_choice("auto").problem == ""
    assert 'CUDA_VISIBLE_DEVICES="" hides it' in refused_by("cuda")


def test_a_card_without_kernels_is_refused_with_the_range_of_this_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [V100])
    choice = device_choice("auto")
    assert choice.device == torch.device("cpu")
    for words in (
        "Tesla V100-SXM2-32GB",
        "driver 570.86.15",
        "compute capability 7.0",
        "kernels for 7.5 to 12.0 alone",
    ):
        assert words in choice.problem
    assert "for an older CUDA" in choice.problem
    assert choice.problem in refused_by("cuda")
    install(monkeypatch, [Card("3333", "NVIDIA of 2030", capability=(13, 0))])
    assert "install a newer torch" in device_choice("auto").problem
    # The first is too old, the second works.
    install(monkeypatch, [V100, H100])
    assert device_choice("auto").device == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((8, 9), ["sm_75", "sm_80", "sm_90"], True),
        ((7, 0), ["sm_75", "sm_80"], False),
        ((9, 0), ["sm_80"], False),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120f"], True),
        ((10, 3), ["sm_100a"], False),
        ((9, 0), ["gfx90a"], True),
        ((9, 0), [], True),
    ],
)
def test_kernels_run_where_nvidia_says_they_do(capability: tuple[int, int], built: list[str], runs: bool) -> None:
    assert gpus.has_kernels(capability, built) is runs


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "belongs to another process alone"),
        ("CUDA error: out of memory", "no memory left"),
        ("CUDA error: unspecified launch failure", "fails at a first product"),
    ],
)
def test_a_card_that_fails_at_once_is_passed_by(error: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [H100, H100])
    monkeypatch.setattr(gpus, "trial", lambda number: error if number == 0 else "")
    assert device_choice("auto").device == torch.device("cuda", 1)
    assert words in refused_by("cuda:0") and "NVIDIA H100" in refused_by("cuda:0")
    monkeypatch.setattr(gpus, "trial", lambda number: error)
    choice = device_choice("auto")
    assert choice.device == torch.device("cpu") and words in choice.problem


def test_the_first_product_is_really_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a GPU torch refuses: its first line is the reason.
    if torch.cuda.is_available():
        assert gpus.trial(0) == ""
    else:
        assert gpus.trial(0) and "\n" not in gpus.trial(0)
