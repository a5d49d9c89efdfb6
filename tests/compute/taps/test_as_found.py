"""A model is left as it was found, whatever its forward does; compiled, parallel and sharded models."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from embcx_tui.compute.taps.hooks import as_found, forward_hooks, unwrapped
from embcx_tui.compute.taps.layers import layers
from embcx_tui.study.errors import RequestError
from tests.compute.taps.models import Reused, Untidy


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything of a model and the process that a measurement could change."""
    return {
        "modes": [module.training for module in model.modules()],
        "hooks": [list(module._forward_hooks) for module in model.modules()],
        "buffers": {name: (id(tensor), tensor.tolist()) for name, tensor in model.named_buffers()},
        "parameters": {name: (id(one), one._version, one.tolist()) for name, one in model.named_parameters()},
        "gradients": {name: None if one.grad is None else one.grad.tolist() for name, one in model.named_parameters()},
        "requires": {name: one.requires_grad for name, one in model.named_parameters()},
        "devices": {str(one.device) for one in model.parameters()},
        "random": (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),  # type: ignore[index]
        "gradient mode": torch.is_grad_enabled(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
    }


def prepared(model: nn.Module) -> nn.Module:
    """In train mode with one part frozen in eval mode, a parameter without gradients, and a hook of the user's."""
    model.train()
    parts = list(model.children())
    parts[0].eval()
    next(model.parameters()).requires_grad_(False)
    parts[0].register_forward_hook(lambda *_: None)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    return model


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(3)
    yield


@pytest.mark.parametrize("model", [Reused(), Untidy()])
def test_a_model_is_left_as_it_was_found(model: nn.Module) -> None:
    prepared(model)
    rows = torch.rand(8, 6 if isinstance(model, Reused) else 3)
    before = state_of(model)
    layers(model, rows)
    assert state_of(model) == before


def test_also_when_its_forward_raises_and_the_error_is_its_own() -> None:
    model = prepared(Untidy())
    rows = -torch.rand(8, 3)
    before = state_of(model)
    with pytest.raises(ArithmeticError, match="negative"):
        layers(model, rows)
    assert state_of(model) == before


def test_a_graph_that_waits_for_its_backward_pass_stays_valid() -> None:
    model = Reused().train()
    loss = model(torch.randn(8, 6)).sum()
    layers(model, torch.randn(8, 6))
    loss.backward()
    assert model.fc1.weight.grad is not None


def test_what_a_model_keeps_of_the_pass_can_be_trained_with() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.table: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.table is None:
                self.table = torch.arange(3.0)
            out: torch.Tensor = self.fc(x) * self.table
            return out

    model = Caching()
    layers(model, torch.randn(4, 3))
    model(torch.randn(4, 3)).sum().backward()
    assert model.fc.weight.grad is not None


def test_modes_are_set_without_the_models_own_eval() -> None:
    class Merging(nn.Module):
        """Rewrites its weights when it is put into eval mode, as LoRA does."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def train(self, mode: bool = True) -> Merging:
            nn.init.zeros_(self.fc.weight)
            return super().train(mode)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.fc.training
            out: torch.Tensor = self.fc(x)
            return out

    model = Merging()
    layers(model, torch.randn(4, 3))
    assert model.training and bool(model.fc.weight.any())


def test_hooks_of_others_are_heard_first_and_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    handle = model[0].register_forward_hook(lambda module, args, output: output * 0 + 7.0)
    outputs: list[torch.Tensor] = []
    with as_found(model), forward_hooks([("0", model[0])], lambda name, module, output: outputs.append(output)):
        model(torch.randn(2, 3))
    assert (outputs[0] == 7.0).all()
    assert list(model[0]._forward_hooks) == [handle.id]


def test_parallel_and_compiled_models_are_unwrapped() -> None:
    inner = Reused()
    names = [one.name for one in layers(inner, torch.randn(8, 6))]
    assert unwrapped(nn.DataParallel(inner)) is inner
    compiled = torch.compile(nn.DataParallel(inner))
    assert isinstance(compiled, nn.Module)
    assert [one.name for one in layers(compiled, torch.randn(8, 6))] == names
    # A part that is compiled by itself, and one compiled in place, run as they are written.
    part = torch.compile(inner)
    assert isinstance(part, nn.Module)
    holder = nn.Sequential(part, nn.ReLU())
    assert [one.name for one in layers(holder, torch.randn(8, 6))] == [*(f"0.{name}" for name in names), "0", "1"]
    inner.compile()
    assert [one.name for one in layers(inner, torch.randn(8, 6))] == names


class FullyShardedDataParallel(nn.Module):
    """Called as torch's; starting a process group for the real one takes seconds."""


def test_what_cannot_be_tapped_is_refused_in_one_line() -> None:
    with pytest.warns(FutureWarning):
        program = torch.jit.script(nn.Linear(3, 3))
    for model, said in (
        (FullyShardedDataParallel(), "the model is sharded (FSDP)"),
        (nn.Sequential(FullyShardedDataParallel()), "the model is sharded (FSDP)"),
        (program, "the model is a TorchScript program"),
        (nn.Sequential(nn.LazyLinear(3)), "the model has lazy layers"),
        ("resnet18", "the model must be a torch.nn.Module, not str"),
    ):
        with pytest.raises(RequestError) as raised:
            unwrapped(model)  # type: ignore[arg-type]
        assert str(raised.value).startswith(said) and "\n" not in str(raised.value)


def test_a_scripted_part_is_passed_over() -> None:
    with pytest.warns(FutureWarning):
        model = nn.Sequential(torch.jit.script(nn.Linear(3, 3)), nn.ReLU())
    assert [one.name for one in layers(model, torch.randn(2, 3))] == ["1"]
