"""The self-check, on the GPU's program on the CPU's tensors: it holds, finds what is wrong, and is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from embcx_tui.compute import selfcheck
from embcx_tui.compute.gpu_path import ACTIVATIONS, AFFINITIES, DESCENTS, GRAPHS, gpu_path
from embcx_tui.compute.selfcheck import Sizes, self_check
from embcx_tui.compute.training import trainer_gpu
from embcx_tui.compute.tsne import affinities_gpu, descent_gpu, kernels_torch
from embcx_tui.study.errors import RequestError
from embcx_tui.worker import gpu
from tests import small_study

STAND_IN = torch.device("cpu", 0)
SMALL = Sizes(points=(60,), perplexity=10.0, features=(20,), width=8, batch_size=10)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture
def told() -> list[str]:
    texts: list[str] = []
    gpu_path.begin(listener=texts.append)
    return texts


@pytest.mark.parametrize("device", [STAND_IN, pytest.param(torch.device("cuda", 0), marks=GPU)], ids=str)
def test_a_sound_device_passes_whole(device: torch.device, told: list[str]) -> None:
    outcomes = self_check(device, SMALL)
    assert all(outcome.holds and outcome.was_made for outcome in outcomes) and told == []
    assert {outcome.name.split()[0] for outcome in outcomes} >= {"P", "iterations", "score", "whole", "a", "gradients"}


def broken(**functions: Callable[..., Any]) -> Any:
    """Return the plain kernels with some of them replaced."""
    return SimpleNamespace(**{**vars(kernels_torch), **functions})


def wide_symmetrise(conditional: Tensor) -> Tensor:
    """P rounded to float32 on its way."""
    entropies = kernels_torch.symmetrise(conditional)
    conditional.copy_(conditional.float().double())
    return entropies


def biased(points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
    return kernels_torch.cross_entropy(points, joint, p_index) + 1e-6


def lost(*_: object) -> None:
    raise getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: an illegal instruction was encountered")


def half_stepped(*values: Any) -> None:
    """Moves points by one iteration less than asked for."""
    points, velocity, gain, z, joint, p_index, iterations, phase, min_gain = values
    kernels_torch.iterate(points, velocity, gain, z, joint, p_index, max(iterations - 1, 0), phase, min_gain)


def of_company(points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
    """Scores that depend, by less than any tolerance, on how many are scored together."""
    return kernels_torch.cross_entropy(points, joint, p_index) + 1e-13 * len(points)


@pytest.mark.parametrize(
    ("part", "module", "choice", "kernels", "name"),
    [
        (AFFINITIES, affinities_gpu, "affinity_kernels", broken(symmetrise=wide_symmetrise), "P of 60 rows"),
        (DESCENTS, descent_gpu, "descent_kernels", broken(iterate=half_stepped), "iterations on 60 rows"),
        (DESCENTS, descent_gpu, "descent_kernels", broken(cross_entropy=biased), "score of 60 rows"),
        (DESCENTS, descent_gpu, "descent_kernels", broken(cross_entropy=lost), "iterations on 60 rows"),
        (DESCENTS, descent_gpu, "descent_kernels", broken(cross_entropy=of_company), "alone and in company"),
    ],
    ids=["float32 P", "iterations", "score", "error", "company"],
)
def test_kernels_that_are_wrong_are_given_up(
    part: str, module: Any, choice: str, kernels: Any, name: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in (module, selfcheck):
        if hasattr(owner, choice):
            monkeypatch.setattr(owner, choice, lambda device: kernels if gpu_path.is_fast(part) else kernels_torch)
    outcomes = self_check(STAND_IN, SMALL)
    assert all(outcome.holds for outcome in outcomes)
    (text,) = told
    assert name in text and not gpu_path.is_fast(part)


def test_half_precision_in_training_is_found_and_refused(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As TF32 would round, in every product: no step down helps."""

    def of(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def rounded(bias: Tensor, *factors: Tensor, **named: Any) -> Tensor:
            # TF32 keeps 10 bits of the 23.
            cut = (each.contiguous().view(torch.int32).bitwise_and(~0x1FFF).view(torch.float32) for each in factors)
            return product(bias, *cut, **named)

        return rounded

    for name in ("addmm", "baddbmm"):
        monkeypatch.setattr(torch, name, of(getattr(torch, name)))
    with pytest.raises(RequestError, match=r'cpu:0 computes wrong numbers here \(gradients .*use device = "cpu"'):
        self_check(STAND_IN, SMALL)
    assert not gpu_path.is_fast(ACTIVATIONS) and not gpu_path.is_fast(GRAPHS)
    assert len(told) == 2


def test_a_device_without_memory_for_a_check_is_not_refused_for_it(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer_gpu.BatchedTrainer, "_allocate", full)
    outcomes = self_check(STAND_IN, SMALL)
    assert [outcome.name for outcome in outcomes if not outcome.was_made] == ["gradients on 20 inputs"]
    assert told == []


def test_the_sizes_of_a_study_are_checked_where_its_device_computes_them() -> None:
    study = small_study.write()
    sizes = gpu.study_sizes(study.snapshot)
    settings = study.snapshot.plan.settings
    assert sizes == Sizes((120,), settings.measure.perplexity, (4,), settings.networks.width, 100)
    sample = next(iter(study.snapshot.samples.values()))
    large = {"of openTSNE": sample.model_copy(update={"points": 20_000})}
    assert gpu.study_sizes(replace(study.snapshot, samples=large)).points == Sizes().points


def test_what_has_passed_is_checked_again_in_other_circumstances_alone(
    told: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    made: list[Sizes] = []
    whole = self_check

    def counted(device: torch.device, sizes: Sizes) -> Any:
        made.append(sizes)
        return whole(device, sizes)

    monkeypatch.setattr(gpu, "self_check", counted)
    for sizes in (SMALL, SMALL, replace(SMALL, points=(70,)), SMALL):
        gpu.check_once(STAND_IN, sizes, notes.append)
    assert made == [SMALL, replace(SMALL, points=(70,))]
    assert len(notes) == 4 and "10 to 25 more" in notes[0] and "computes what the CPU does" in notes[1]
    (home / "devices.json").write_text("[" * 100_000)  # damaged: as if nothing had passed
    gpu.check_once(STAND_IN, SMALL, notes.append)
    assert len(made) == 3
    gpu_path.step_down([DESCENTS], "no compiler")
    (home / "devices.json").unlink()
    gpu.check_once(STAND_IN, SMALL, notes.append)
    assert not (home / "devices.json").exists(), "a compiler may be installed: it is checked again"
